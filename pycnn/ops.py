"""Each op as a function on NumPy arrays: for teaching, tests and microbenchmarks.

A function builds a graph of one node and runs it, so it is the very code that a network runs.
Arrays are float32, images ``(N, C, H, W)``, vectors ``(N, C)``; results are new arrays. All raise
:class:`~pycnn.errors.ShapeError` when shapes or parameters do not fit.

Keyword arguments that all share: `threads` (default: what ``PYCNN_NUM_THREADS`` or the machine
says); `isa`, an instruction set (default: the best, or ``PYCNN_CPU_ISA``), which may change the
last bits; `poison`, a byte that fills the result and all scratch memory first (tests).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.compile import Plan, compile_graph
from pycnn.errors import ShapeError
from pycnn.graph import Bounds, Graph, IntOrPair, Node, Padding, pair, sides
from pycnn.opset import OPS, Array, Shape

__all__ = [
    "add",
    "affine",
    "avg_pool2d",
    "batch_norm",
    "binary",
    "channel_affine",
    "clip",
    "concat",
    "conv2d",
    "flatten",
    "gather",
    "global_avg_pool",
    "global_max_pool",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "linear",
    "log_softmax",
    "lrn",
    "max_pool2d",
    "pad",
    "permute",
    "pow",
    "prelu",
    "rbf",
    "relu",
    "shortcut_a",
    "sigmoid",
    "slice",
    "softmax",
    "sqrt",
    "tanh",
]


def _array(x: npt.ArrayLike, what: str, op: str) -> Array:
    array = np.asarray(x)
    if array.dtype != np.float32:
        raise ShapeError(f"{op}: {what} has dtype {array.dtype}, expected float32")
    return np.ascontiguousarray(array)


class Options(TypedDict, total=False):
    """What every function of this module takes beside its own arguments."""

    isa: str | None
    threads: int | None
    poison: int | None


def prepare(
    op: str,
    inputs: Sequence[npt.ArrayLike],
    attrs: Mapping[str, Any] | None = None,
    params: Mapping[str, npt.ArrayLike | None] | None = None,
    isa: str | None = None,
) -> tuple[Plan, list[Array]]:
    """Compile one op for these arrays: the plan, and the arrays to run it on."""
    arrays = [_array(x, f"input {i}", op) for i, x in enumerate(inputs)]
    weights = {
        role: _array(value, role, op) for role, value in (params or {}).items() if value is not None
    }
    graph = Graph(op)
    full: dict[str, Shape] = {}
    for i, array in enumerate(arrays):
        if array.ndim not in (2, 4):
            raise ShapeError(
                f"{op}: input {i} has shape {array.shape}, expected (N, C, H, W) or (N, C)"
            )
        n, c, h, w = (*array.shape, 1, 1)[:4]
        full[graph.input(f"input {i}", (c, h, w))] = (n, c, h, w)
    shapes = {role: value.shape for role, value in weights.items()}
    graph.output(graph.add_node(op, op, list(graph.inputs), attrs, shapes))

    def pack(node: Node) -> Any:
        spec = OPS[node.op]
        return spec.pack(node.attrs, weights) if spec.pack else None

    return compile_graph(graph, full, pack, isa or _core.active_isa()), arrays


def _run(
    op: str,
    inputs: Sequence[npt.ArrayLike],
    options: Options,
    attrs: Mapping[str, Any] | None = None,
    params: Mapping[str, npt.ArrayLike | None] | None = None,
) -> Array:
    plan, arrays = prepare(op, inputs, attrs, params, options.get("isa"))
    threads = options.get("threads")
    if threads is None:
        threads = _core.default_num_threads()
    (result,) = plan.run(arrays, threads, options.get("poison")).values()
    return result.reshape(result.shape[: max(array.ndim for array in arrays)])


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    residual: npt.ArrayLike | None = None,
    relu: bool = False,
    algorithm: str = "auto",
    **options: Unpack[Options],
) -> Array:
    """Two-dimensional convolution (cross-correlation, as in every framework).

    Parameters
    ----------
    x : (N, C, H, W) float32
    weight : (K, C/groups, R, S) float32
    bias : (K,) float32, optional
    stride, dilation : int or (height, width), in pixels
    padding : int, (height, width) or (top, bottom, left, right), in pixels of zeros
    groups : int
        The channels in and out fall into this many groups that do not see each other.
    residual : (N, K, P, Q) float32, optional
        Added before the ReLU, as in a residual block.
    relu : bool
        Apply max(., 0) to the result.
    algorithm : {"auto", "direct", "gemm", "depthwise", "grouped"}

    Returns
    -------
    (N, K, P, Q) float32
        ``P = (H + top + bottom - dilation*(R-1) - 1) // stride + 1``, Q likewise.

    Raises
    ------
    ShapeError
        Shapes or parameters do not fit.
    UnsupportedError
        The forced algorithm cannot do this geometry.

    Notes
    -----
    LeCun et al. 1998, section II.A; grouped as in Krizhevsky et al. 2012, section 3.5. Products are
    summed in the order r, s, c.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import ops
    >>> image = np.ones((1, 1, 3, 3), np.float32)
    >>> ops.conv2d(image, np.ones((1, 1, 3, 3), np.float32), padding=1)[0, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]], dtype=float32)
    """
    attrs = {
        "stride": pair(stride),
        "padding": sides(padding),
        "dilation": pair(dilation),
        "groups": groups,
        "relu": relu,
        "algorithm": algorithm,
    }
    inputs = [x] if residual is None else [x, residual]
    return _run("conv2d", inputs, options, attrs, {"weight": weight, "bias": bias})


def linear(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    relu: bool = False,
    **options: Unpack[Options],
) -> Array:
    """Fully connected layer, ``y = x @ weight.T + bias``.

    Parameters
    ----------
    x : (N, C) float32
    weight : (K, C) float32
    bias : (K,) float32, optional
    relu : bool

    Returns
    -------
    (N, K) float32
        The same bits as a 1x1 convolution of the same weights.
    """
    return _run("linear", [x], options, {"relu": relu}, {"weight": weight, "bias": bias})


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    window_rule: str = "torch",
    **options: Unpack[Options],
) -> Array:
    """Maximum of each window; padding never wins.

    Parameters
    ----------
    x : (N, C, H, W) float32
    kernel_size : int or (height, width), in pixels
    stride : int or (height, width), in pixels
        Default: `kernel_size`.
    padding : int, (height, width) or (top, bottom, left, right), smaller than the window
    ceil_mode : bool
        Round the output size up: the last window may stand out of the input.
    window_rule : {"torch", "caffe"}
        In ceil mode a last window that would start beyond the input and its left padding is
        dropped: always ("torch"), or only where there is padding ("caffe"; an empty window gives
        -FLT_MAX).

    Returns
    -------
    (N, C, P, Q) float32

    Raises
    ------
    ShapeError
        The window is larger than the padded input, or the padding not smaller than the window.
    """
    return _run(
        "max_pool2d", [x], options, _window(kernel_size, stride, padding, ceil_mode, window_rule)
    )


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    window_rule: str = "torch",
    **options: Unpack[Options],
) -> Array:
    """Average of each window.

    Parameters
    ----------
    x : (N, C, H, W) float32
    kernel_size, stride, padding, ceil_mode, window_rule
        As for :func:`max_pool2d`; an empty window gives 0.
    count_include_pad : bool
        Divide by the part of the window inside the padded input (also Caffe's rule), or by its part
        inside the input.

    Returns
    -------
    (N, C, P, Q) float32
    """
    attrs = _window(kernel_size, stride, padding, ceil_mode, window_rule)
    return _run("avg_pool2d", [x], options, {**attrs, "count_include_pad": count_include_pad})


def _window(
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: Padding,
    ceil_mode: bool,
    window_rule: str,
) -> dict[str, Any]:
    return {
        "kernel_size": pair(kernel_size),
        "stride": pair(kernel_size if stride is None else stride),
        "padding": sides(padding),
        "ceil_mode": ceil_mode,
        "window_rule": window_rule,
    }


def global_avg_pool(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """Average over each image: (N, C, H, W) to (N, C, 1, 1) (Lin et al. 2013, section 3.2)."""
    return _run("global_avg_pool", [x], options)


def global_max_pool(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """Maximum over each image: (N, C, H, W) to (N, C, 1, 1)."""
    return _run("global_max_pool", [x], options)


def lrn(
    x: npt.ArrayLike,
    size: int | tuple[int, int] = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    **options: Unpack[Options],
) -> Array:
    """Local response normalisation across channels.

    ``y[c] = x[c] / (k + alpha/size * sum of x[j]^2 over the window of c) ** beta``

    Parameters
    ----------
    x : (N, C, H, W) float32
    size : int or (before, after)
        Channels in the window. An even number has torch's window, ``size // 2`` before and
        ``(size - 1) // 2`` after; ONNX's is mirrored: give both sides.
    alpha, beta, k : float
        Note that `alpha` is divided by the size (as in Caffe, torch and ONNX).

    Returns
    -------
    (N, C, H, W) float32

    Notes
    -----
    Krizhevsky et al. 2012, section 3.3.
    """
    window = size if isinstance(size, tuple) else (size // 2, (size - 1) // 2)
    attrs = {"window": window, "alpha": alpha, "beta": beta, "k": k}
    return _run("lrn", [x], options, attrs)


def add(
    a: npt.ArrayLike, b: npt.ArrayLike, *, relu: bool = False, **options: Unpack[Options]
) -> Array:
    """``a + b``, then max(., 0) if `relu`: the sum of a residual block (He et al. 2015, eq. 1).

    Parameters
    ----------
    a, b : (N, C, H, W) or (N, C) float32, of equal shapes
    relu : bool

    Returns
    -------
    float32, of the same shape
    """
    return _run("add", [a, b], options, {"relu": relu})


def relu(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``max(x, 0)`` of (N, C, H, W) or (N, C) float32; NaN stays NaN."""
    return _run("relu", [x], options)


def sigmoid(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``1 / (1 + exp(-x))`` of (N, C, H, W) or (N, C) float32."""
    return _run("sigmoid", [x], options)


def tanh(
    x: npt.ArrayLike, scale: float = 1.0, slope: float = 1.0, **options: Unpack[Options]
) -> Array:
    """``scale * tanh(slope * x)`` of (N, C, H, W) or (N, C) float32.

    LeCun et al. 1998, appendix A, use scale 1.7159 and slope 2/3.
    """
    return _run("tanh", [x], options, {"scale": scale, "slope": slope})


def affine(
    x: npt.ArrayLike, scale: float = 1.0, shift: float = 0.0, **options: Unpack[Options]
) -> Array:
    """``scale * x + shift`` of (N, C, H, W) or (N, C) float32."""
    return _run("affine", [x], options, {"scale": scale, "shift": shift})


def leaky_relu(x: npt.ArrayLike, slope: float = 0.01, **options: Unpack[Options]) -> Array:
    """``x``, times `slope` where it is negative (Maas et al. 2013)."""
    return _run("leaky_relu", [x], options, {"slope": slope})


def prelu(x: npt.ArrayLike, weight: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``x``, times ``weight[c]`` where it is negative (He et al. 2015, "Delving deep", eq. 1).

    Parameters
    ----------
    x : (N, C, H, W) or (N, C) float32
    weight : (C,) float32

    Returns
    -------
    float32, of the shape of `x`
    """
    attrs = {"kind": "prelu", "shape": (np.shape(weight)[0], 1, 1)}
    return _run("binary", [x], options, attrs, {"weight": weight})


def clip(
    x: npt.ArrayLike, low: float = -np.inf, high: float = np.inf, **options: Unpack[Options]
) -> Array:
    """``min(max(x, low), high)`` of (N, C, H, W) or (N, C) float32; NaN stays NaN."""
    return _run("clip", [x], options, {"low": low, "high": high})


def hard_sigmoid(
    x: npt.ArrayLike, scale: float = 1 / 6, shift: float = 0.5, **options: Unpack[Options]
) -> Array:
    """``min(max(scale * x + shift, 0), 1)``; torch's scale is 1/6, ONNX's 1/5."""
    return _run("hard_sigmoid", [x], options, {"scale": scale, "shift": shift})


def hard_swish(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``x * min(max(x / 6 + 1/2, 0), 1)`` (Howard et al. 2019, section 5.2)."""
    return _run("hard_swish", [x], options)


def pow(x: npt.ArrayLike, exponent: float, **options: Unpack[Options]) -> Array:
    """``x ** exponent`` of (N, C, H, W) or (N, C) float32."""
    return _run("pow", [x], options, {"exponent": exponent})


def sqrt(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """Square root of (N, C, H, W) or (N, C) float32."""
    return _run("sqrt", [x], options)


def binary(
    kind: str,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    alpha: float = 1.0,
    beta: float = 1.0,
    *,
    relu: bool = False,
    **options: Unpack[Options],
) -> Array:
    """Combine two arrays element by element, broadcast as in NumPy.

    Parameters
    ----------
    kind : {"add", "mul", "div", "max", "min", "prelu"}
        "add" is ``alpha * a + beta * b``; "prelu" is `a`, times `b` where `a` is negative.
    a, b : (N, C, H, W) or (N, C) float32
    alpha, beta : float
        For "add".
    relu : bool
        Apply max(., 0) to the result.

    Returns
    -------
    float32, of the broadcast shape
    """
    attrs = {"kind": kind, "alpha": alpha, "beta": beta, "relu": relu}
    return _run("binary", [a, b], options, attrs)


def pad(
    x: npt.ArrayLike,
    padding: Padding = 0,
    channels: tuple[int, int] = (0, 0),
    mode: str = "constant",
    value: float = 0.0,
    **options: Unpack[Options],
) -> Array:
    """Pad each image, and add channels.

    Parameters
    ----------
    x : (N, C, H, W) float32
    padding : int, (height, width) or (top, bottom, left, right), in pixels; negative numbers crop
    channels : (before, after)
    mode : {"constant", "reflect", "edge"}
        As in :func:`numpy.pad`.
    value : float
        For "constant".

    Returns
    -------
    (N, C + before + after, H + top + bottom, W + left + right) float32
    """
    attrs = {"padding": sides(padding), "channels": channels, "mode": mode, "value": value}
    return _run("pad", [x], options, attrs)


def slice(
    x: npt.ArrayLike,
    channels: Bounds = (None, None, None),
    rows: Bounds = (None, None, None),
    columns: Bounds = (None, None, None),
    **options: Unpack[Options],
) -> Array:
    """``x[:, slice(*channels), slice(*rows), slice(*columns)]``, each (start, stop, step)."""
    return _run("slice", [x], options, {"bounds": (channels, rows, columns)})


def gather(x: npt.ArrayLike, indices: Sequence[int], **options: Unpack[Options]) -> Array:
    """``x[:, indices]``: channels by index, any number of times each."""
    return _run("gather", [x], options, {"indices": tuple(indices)})


def permute(
    x: npt.ArrayLike,
    dims: Sequence[int],
    perm: Sequence[int],
    shape: tuple[int, int, int],
    **options: Unpack[Options],
) -> Array:
    """Transpose each image as an array of other dimensions.

    Parameters
    ----------
    x : (N, C, H, W) float32
    dims : sequence of int
        What each image is reshaped to, at most 8 dimensions.
    perm : sequence of int
        The axes of `dims` in their new order, as in :func:`numpy.transpose`.
    shape : (C, H, W)
        What the result is reshaped to.

    Returns
    -------
    (N, C, H, W) float32

    Examples
    --------
    A channel shuffle (Zhang et al. 2017, figure 1):

    >>> import numpy as np
    >>> from pycnn import ops
    >>> x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    >>> ops.permute(x, (2, 3), (1, 0), (6, 1, 1)).ravel()
    array([0., 3., 1., 4., 2., 5.], dtype=float32)
    """
    attrs = {"dims": tuple(dims), "perm": tuple(perm), "shape": shape}
    return _run("permute", [x], options, attrs)


def softmax(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``exp(x[c]) / sum_j exp(x[j])`` over the channels of (N, C) or (N, C, H, W) float32."""
    return _run("softmax", [x], options)


def log_softmax(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """Logarithm of :func:`softmax`, exact also where the softmax underflows."""
    return _run("log_softmax", [x], options)


def concat(inputs: Sequence[npt.ArrayLike], **options: Unpack[Options]) -> Array:
    """Concatenate along the channels: arrays (N, Ci, H, W) of equal N, H, W."""
    return _run("concat", inputs, options)


def flatten(x: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """(N, C, H, W) to (N, C*H*W), in the order c, h, w, as in torch."""
    result = _run("flatten", [x], options)
    return result.reshape(result.shape[:2])


def batch_norm(
    x: npt.ArrayLike,
    running_mean: npt.ArrayLike,
    running_var: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    relu: bool = False,
    **options: Unpack[Options],
) -> Array:
    """Batch normalisation at inference, ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    x : (N, C, H, W) or (N, C) float32
    running_mean, running_var, weight, bias : (C,) float32
    eps : float
    relu : bool

    Returns
    -------
    float32, of the shape of `x`

    Notes
    -----
    Ioffe and Szegedy 2015, algorithm 2. Scale and shift are computed in float64, then applied.
    """
    params = {
        "weight": weight,
        "bias": bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    return _run("batch_norm", [x], options, {"eps": eps, "relu": relu}, params)


def channel_affine(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    **options: Unpack[Options],
) -> Array:
    """``x * weight[c] + bias[c]`` of (N, C, H, W) or (N, C) float32 with (C,) weight and bias."""
    return _run("channel_affine", [x], options, {}, {"weight": weight, "bias": bias})


def shortcut_a(
    x: npt.ArrayLike, out_channels: int, stride: int = 2, **options: Unpack[Options]
) -> Array:
    """Shortcut without parameters: every stride-th pixel, zero channels on both sides.

    (N, C, H, W) to (N, out_channels, ceil(H/stride), ceil(W/stride)); He et al. 2015, section 3.3,
    option A.
    """
    return _run("shortcut_a", [x], options, {"out_channels": out_channels, "stride": stride})


def rbf(x: npt.ArrayLike, weight: npt.ArrayLike, **options: Unpack[Options]) -> Array:
    """``y[n, k] = -sum_j (x[n, j] - weight[k, j])**2``, the output layer of the 1998 LeNet-5.

    Parameters
    ----------
    x : (N, C) float32
    weight : (K, C) float32

    Returns
    -------
    (N, K) float32
        The distance with its sign turned: the largest is the answer (LeCun et al. 1998, eq. 7).
    """
    return _run("rbf", [x], options, {}, {"weight": weight})
