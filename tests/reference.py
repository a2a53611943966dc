"""Slow, obvious float64 references of every op, in NumPy alone: the oracle of the op tests.

Arrays are plain NCHW. Letters: N batch, C in-channels, H W input, K out-channels, R S filter,
P Q output, G groups. `padding` is an int, (vertical, horizontal) or (top, bottom, left, right);
`kernel_size`, `stride` and `dilation` are an int or (vertical, horizontal). Inputs of any float
type are taken as float64, and nothing is rounded in between.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FLT_MAX = float(np.finfo(np.float32).max)


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def sides(padding: int | tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right)."""
    if isinstance(padding, int):
        return (padding,) * 4
    if len(padding) == 2:
        return (padding[0], padding[0], padding[1], padding[1])
    top, bottom, left, right = padding
    return (top, bottom, left, right)


def f64(x: npt.ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


# Output sizes, along one axis


def conv_output_size(
    size: int, kernel_size: int, stride: int, before: int, after: int, dilation: int = 1
) -> int:
    """floor((size + before + after - dilation (kernel_size - 1) - 1) / stride) + 1."""
    return (size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1


def pool_output_size(
    size: int,
    kernel_size: int,
    stride: int,
    before: int,
    after: int,
    ceil_mode: bool = False,
    drop_outside: bool = True,
) -> int:
    """floor or ceil of (size + before + after - kernel_size) / stride, + 1.

    Rounding up can add a last window that starts beyond the input and the padding before it. With
    `drop_outside` it is dropped.
    """
    steps = size + before + after - kernel_size
    if not ceil_mode:
        return steps // stride + 1
    outputs = -(-steps // stride) + 1
    if drop_outside and (outputs - 1) * stride >= size + before:
        outputs -= 1
    return outputs


def pool2d_output_size(
    size: tuple[int, int],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, ...] = 0,
    ceil_mode: bool = False,
    window_rule: str = "torch",
) -> tuple[int, int]:
    """(P, Q) of pooling (H, W).

    `window_rule`: "torch" always drops a last window that starts outside. "caffe" drops it only if
    there is padding, on whichever side and axis; without, stride > kernel_size can leave an empty
    window. Both round by `ceil_mode`; Caffe's own layers round up.
    """
    if window_rule not in ("torch", "caffe"):
        raise ValueError(f"window_rule is {window_rule!r}, expected 'torch' or 'caffe'")
    r, s = pair(kernel_size)
    stride_h, stride_w = pair(kernel_size if stride is None else stride)
    top, bottom, left, right = sides(padding)
    drop = window_rule == "torch" or any((top, bottom, left, right))
    return (
        pool_output_size(size[0], r, stride_h, top, bottom, ceil_mode, drop),
        pool_output_size(size[1], s, stride_w, left, right, ceil_mode, drop),
    )


# Convolution and linear


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    residual: npt.ArrayLike | None = None,
    relu: bool = False,
) -> Array:
    """Cross-correlation, with what may follow it in one step.

    y[n, k, p, q] = bias[k] + residual[n, k, p, q] + sum over c, r, s of
                    x[n, c, p stride + r dilation - top, q stride + s dilation - left] w[k, c, r, s]
    then max(y, 0) if `relu`. c runs over the C/G channels of k's group; x is 0 outside.
    x (N, C, H, W), weight (K, C/G, R, S), bias (K), residual and result (N, K, P, Q).
    """
    x, weight = f64(x), f64(weight)
    n, c, h, w = x.shape
    k, c_per_group, r_size, s_size = weight.shape
    assert c == c_per_group * groups and k % groups == 0
    (stride_h, stride_w), (dilation_h, dilation_w) = pair(stride), pair(dilation)
    top, bottom, left, right = sides(padding)
    p = conv_output_size(h, r_size, stride_h, top, bottom, dilation_h)
    q = conv_output_size(w, s_size, stride_w, left, right, dilation_w)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    y = np.zeros((n, k, p, q))
    k_per_group = k // groups
    for g in range(groups):
        cs = slice(g * c_per_group, (g + 1) * c_per_group)
        ks = slice(g * k_per_group, (g + 1) * k_per_group)
        for r in range(r_size):
            for s in range(s_size):
                first_h, first_w = r * dilation_h, s * dilation_w
                rows = slice(first_h, first_h + (p - 1) * stride_h + 1, stride_h)
                columns = slice(first_w, first_w + (q - 1) * stride_w + 1, stride_w)
                # (K/G, C/G) x (N, C/G, P, Q) -> (N, K/G, P, Q)
                met = padded[:, cs, rows, columns]
                y[:, ks] += np.einsum("kc,ncpq->nkpq", weight[ks, :, r, s], met, optimize=True)
    if bias is not None:
        y += f64(bias)[:, None, None]
    if residual is not None:
        y += f64(residual)
    return np.maximum(y, 0.0) if relu else y


def linear(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    relu: bool = False,
) -> Array:
    """y[n, k] = bias[k] + sum_c x[n, c] weight[k, c]; x is flattened in the order C, H, W.

    x (N, C) or (N, C, H, W), weight (K, C), bias (K), result (N, K).
    """
    x = f64(x)
    y = x.reshape(x.shape[0], -1) @ f64(weight).T
    if bias is not None:
        y += f64(bias)
    return np.maximum(y, 0.0) if relu else y


def rbf(x: npt.ArrayLike, weight: npt.ArrayLike) -> Array:
    """y[n, k] = -sum_j (x[n, j] - weight[k, j])^2. x (N, C) or (N, C, 1, 1), weight (K, C)."""
    x, weight = f64(x), f64(weight)
    x = x.reshape(x.shape[0], -1)
    return -((x[:, None, :] - weight[None, :, :]) ** 2).sum(axis=2)


# Pooling


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, ...] = 0,
    ceil_mode: bool = False,
    window_rule: str = "torch",
) -> Array:
    """The largest x in each window, over the cells inside the input: padding never wins.

    A window with none is -FLT_MAX, as in Caffe. A NaN in a window wins.
    (N, C, H, W) -> (N, C, P, Q).
    """
    x = f64(x)
    size = pool2d_output_size(
        (x.shape[2], x.shape[3]), kernel_size, stride, padding, ceil_mode, window_rule
    )
    y = np.full((*x.shape[:2], *size), -FLT_MAX)
    for p in range(size[0]):
        for q in range(size[1]):
            inside, _ = _window(x, p, q, kernel_size, stride, padding)
            if inside.size:
                y[:, :, p, q] = inside.max(axis=(2, 3))
    return y


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, ...] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    window_rule: str = "torch",
) -> Array:
    """The sum over the cells of each window inside the input, divided by a number of cells.

    With `count_include_pad` these are the window's cells inside the padded input (not always R S:
    rounding up lets the last window hang over), without it only those inside the input. A window
    without a cell inside the input gives 0. (N, C, H, W) -> (N, C, P, Q).
    """
    x = f64(x)
    size = pool2d_output_size(
        (x.shape[2], x.shape[3]), kernel_size, stride, padding, ceil_mode, window_rule
    )
    y = np.zeros((*x.shape[:2], *size))
    for p in range(size[0]):
        for q in range(size[1]):
            inside, padded_cells = _window(x, p, q, kernel_size, stride, padding)
            inside_cells = inside.shape[2] * inside.shape[3]
            if inside_cells:
                cells = padded_cells if count_include_pad else inside_cells
                y[:, :, p, q] = inside.sum(axis=(2, 3)) / cells
    return y


def _window(
    x: Array,
    p: int,
    q: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None,
    padding: int | tuple[int, ...],
) -> tuple[Array, int]:
    """The cells of window (p, q) inside x, and how many lie inside the padded input."""
    r, s = pair(kernel_size)
    stride_h, stride_w = pair(kernel_size if stride is None else stride)
    top, bottom, left, right = sides(padding)
    rows_inside, rows = _clip(p * stride_h - top, r, x.shape[2], bottom)
    columns_inside, columns = _clip(q * stride_w - left, s, x.shape[3], right)
    return x[:, :, rows_inside, columns_inside], rows * columns


def _clip(first: int, kernel_size: int, size: int, after: int) -> tuple[slice, int]:
    """[first, first + kernel_size) cut to [0, size), and its length cut to the padded input."""
    end = min(first + kernel_size, size + after)
    inside = slice(min(max(first, 0), size), max(min(end, size), 0))
    return inside, max(end - first, 0)


def global_avg_pool(x: npt.ArrayLike) -> Array:
    """The mean over H and W: (N, C, H, W) -> (N, C, 1, 1)."""
    return f64(x).mean(axis=(2, 3), keepdims=True)


# Normalisation


def lrn_window_torch(size: int) -> tuple[int, int]:
    """(before, after) of torch's window of `size` channels; for even sizes it leans forward."""
    return size // 2, (size - 1) // 2


def lrn_window_onnx(size: int) -> tuple[int, int]:
    """(before, after) of ONNX's: floor and ceil of (size - 1) / 2, the mirror of torch's."""
    return (size - 1) // 2, size // 2


def lrn(x: npt.ArrayLike, before: int, after: int, alpha: float, beta: float, k: float) -> Array:
    """Local response normalisation across channels.

    y[n, c] = x[n, c] / (k + alpha / size sum_i x[n, i]^2)^beta, the sum over the channels i in
    [c - before, c + after] that exist, size = before + 1 + after. (N, C, H, W) -> the same.
    """
    x = f64(x)
    size = before + 1 + after
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        neighbours = x[:, max(c - before, 0) : c + after + 1]
        scale = k + alpha / size * (neighbours**2).sum(axis=1)
        y[:, c] = x[:, c] / scale**beta
    return y


def batch_norm(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike,
    running_mean: npt.ArrayLike,
    running_var: npt.ArrayLike,
    eps: float = 1e-5,
) -> Array:
    """y = (x - running_mean[c]) / sqrt(running_var[c] + eps) weight[c] + bias[c].

    x (N, C, H, W) or (N, C), the rest (C).
    """
    x = f64(x)
    mean, var = _per_channel(running_mean, x), _per_channel(running_var, x)
    normalised = (x - mean) / np.sqrt(var + eps)
    return normalised * _per_channel(weight, x) + _per_channel(bias, x)


def channel_affine(x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike) -> Array:
    """y = x weight[c] + bias[c]. x (N, C, H, W) or (N, C), weight and bias (C)."""
    x = f64(x)
    return x * _per_channel(weight, x) + _per_channel(bias, x)


def _per_channel(values: npt.ArrayLike, x: Array) -> Array:
    """(C) -> (1, C, 1, 1), or as many axes as x has."""
    return f64(values).reshape(1, -1, *[1] * (x.ndim - 2))


# Elementwise, and the rest. Any shape, the result the same, unless said otherwise


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0); NaN stays NaN."""
    return np.maximum(f64(x), 0.0)


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), written so that no exp overflows and small results keep their digits."""
    return np.exp(-np.logaddexp(0.0, -f64(x)))


def tanh(x: npt.ArrayLike, scale: float = 1.0, slope: float = 1.0) -> Array:
    """scale tanh(slope x)."""
    return scale * np.tanh(slope * f64(x))


def add(a: npt.ArrayLike, b: npt.ArrayLike, relu: bool = False) -> Array:
    """a + b, of equal shapes; then max(., 0) if `relu`."""
    a, b = f64(a), f64(b)
    assert a.shape == b.shape
    return np.maximum(a + b, 0.0) if relu else a + b


def concat(xs: list[npt.ArrayLike]) -> Array:
    """The channels of all xs, one after the other: (N, C_i, H, W) -> (N, sum C_i, H, W)."""
    return np.concatenate([f64(x) for x in xs], axis=1)


def softmax(x: npt.ArrayLike) -> Array:
    """exp(x[n, c]) / sum_i exp(x[n, i]), over the channels. (N, C) or (N, C, H, W)."""
    x = f64(x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def shortcut_a(x: npt.ArrayLike, out_channels: int, stride: int) -> Array:
    """ResNet's option A: every stride-th pixel from the first, zero channels on both sides.

    The sides get (out_channels - C) / 2 channels each.
    (N, C, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    x = f64(x)[:, :, ::stride, ::stride]
    n, c, p, q = x.shape
    assert (out_channels - c) % 2 == 0
    first = (out_channels - c) // 2
    y = np.zeros((n, out_channels, p, q))
    y[:, first : first + c] = x
    return y
