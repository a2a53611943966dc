"""Caffe files: real ones, and small ones made here for every layer and both generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from graphs import by_json
from PIL import Image
from tolerances import ELEMENTWISE, LOGITS, assert_close, rms_error
from torch_networks import build as build_torch

import pycnn
from pycnn import ModelFormatError, UnsupportedError, WeightsError
from pycnn.formats import caffe, caffe_schema
from pycnn.passes import optimize

Rng = np.random.Generator
Array = np.ndarray[Any, Any]


# Real files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nin(shared_data: Callable[[str], Path]) -> pycnn.Model:
    folder = shared_data("nin_cifar10")
    return pycnn.load(folder / "nin_model.prototxt", weights=folder / "cifar10_nin.caffemodel")


def test_nin_is_the_registered_network(
    nin: pycnn.Model, shared_data: Callable[[str], Path], rng: Rng
) -> None:
    assert nin.graph.inputs == {"data": (3, 32, 32)}  # its Data layer says no size
    x = 50 * rng.standard_normal((2, 3, 32, 32), np.float32)
    caffemodel = shared_data("nin_cifar10") / "cifar10_nin.caffemodel"
    registered = pycnn.load("nin_cifar10", weights=caffemodel)
    got = nin.run(x, until="pool3")
    np.testing.assert_array_equal(got, registered.run(x, until="pool3"))
    assert set(registered.graph.parameters) <= set(nin.graph.parameters)


def test_nin_agrees_with_torch(
    nin: pycnn.Model, shared_data: Callable[[str], Path], rng: Rng
) -> None:
    x = 50 * rng.standard_normal((2, 3, 32, 32), np.float32)
    net = build_torch("nin_cifar10").double().eval()
    caffemodel = pycnn.formats.open_weights(shared_data("nin_cifar10/cifar10_nin.caffemodel"))
    net.load_state_dict(
        {name: torch.tensor(caffemodel.read(name)).double() for name in caffemodel.shapes}
    )
    with torch.no_grad():
        expected = net(torch.from_numpy(x).double()).numpy()
    got = nin.run(x, until="pool3").reshape(2, 10)
    assert np.abs(got - expected).max() <= LOGITS * np.abs(expected).max()
    softmax = torch.softmax(torch.from_numpy(expected), 1).numpy()
    np.testing.assert_allclose(nin.run(x).reshape(2, 10), softmax, atol=1e-5)


def test_nin_recognises_what_it_was_trained_on(
    nin: pycnn.Model, shared_data: Callable[[str], Path]
) -> None:
    """Global contrast normalisation (scale 55), then ZCA whitening by the training images."""
    folder = shared_data("cifar10")

    def images(sheet: int) -> Array:
        pixels = np.asarray(Image.open(folder / f"train_{sheet:02d}.png"))
        x = pixels.reshape(-1, 1024, 3).transpose(0, 2, 1).reshape(-1, 3072).astype(np.float32)
        x -= x.mean(1, keepdims=True)
        return 55 * x / np.linalg.norm(x, axis=1, keepdims=True)

    # A fifth of the training images has all but the same statistics.
    training = np.concatenate([images(sheet) for sheet in range(0, 50, 5)])
    mean = training.mean(0)
    training -= mean
    variances, axes = np.linalg.eigh(training.T @ training / len(training))
    whiten = (axes / np.sqrt(variances + 0.1)) @ axes.T
    x = (images(49) - mean) @ whiten
    got = nin.run(x.reshape(-1, 3, 32, 32)).reshape(-1, 10).argmax(1)
    labels = np.load(folder / "train_labels.npy")[-1000:]
    assert (got == labels).mean() >= 0.98


def test_bvlc_deploy_gives_the_reference_logits(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("inception_v1_bvlc")
    model = pycnn.load(folder / "deploy.prototxt", weights=folder / "weights.npz")
    reference_logits = np.load(folder / "reference_logits.npz")
    expected = reference_logits["logits_f64"]
    got = model.run(reference_logits["x"], until="loss3/classifier")
    assert np.abs(got - expected).max() <= LOGITS * np.abs(expected).max()
    assert list(model.graph.outputs) == ["prob"]


# Files made here --------------------------------------------------------------------------------

INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 6, 8, 8] } } }'


def write(
    folder: Path, text: str, blobs: Mapping[str, tuple[str, list[Array]]] | None = None
) -> tuple[Path, Path]:
    """A prototxt, and a caffemodel of layers: name -> type, blobs."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    net = caffe_schema.messages()["NetParameter"](name="net")
    for name, (kind, arrays) in (blobs or {}).items():
        layer = net.layer.add(name=name, type=kind)
        for array in arrays:
            blob = layer.blobs.add(data=array.astype("<f4").tobytes())
            blob.shape.dim.extend(array.shape)
    caffemodel.write_bytes(net.SerializeToString())
    return prototxt, caffemodel


def run(
    folder: Path, text: str, x: Array, blobs: Mapping[str, tuple[str, list[Array]]] | None = None
) -> Any:
    prototxt, caffemodel = write(folder, text, blobs)
    model = pycnn.load(prototxt, weights=caffemodel)
    assert by_json(model.graph) == model.graph
    return model.run(x)


def layer(kind: str, text: str = "", bottom: str = "data", top: str = "y", name: str = "y") -> str:
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {text} }}\n'


def lrn_within(x: Array, size: int, alpha: float, beta: float) -> Array:
    square = torch.from_numpy(np.square(x))
    mean = torch.nn.functional.avg_pool2d(square, size, 1, (size - 1) // 2)
    return x / (1 + alpha * mean.numpy()) ** beta


def pool(kind: str, **options: Any) -> Callable[[Array], Array]:
    function = getattr(torch.nn.functional, f"{kind}_pool2d")
    return lambda x: function(torch.from_numpy(x), **options).numpy()


LAYERS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "relu": (layer("ReLU"), reference.relu),
    "leaky": (
        layer("ReLU", "relu_param { negative_slope: 0.25 }"),
        lambda x: np.where(x < 0, 0.25 * x, x),
    ),
    "sigmoid": (layer("Sigmoid"), reference.sigmoid),
    "tanh": (layer("TanH"), reference.tanh),
    "power": (
        layer("Power", "power_param { power: 2 scale: 0.5 shift: 1.5 }"),
        lambda x: (0.5 * x + 1.5) ** 2,
    ),
    "affine": (layer("Power", "power_param { scale: -2 shift: 3 }"), lambda x: 3 - 2 * x),
    "clip": (layer("Clip", "clip_param { min: -1 max: 0.5 }"), lambda x: np.clip(x, -1, 0.5)),
    "softmax": (layer("Softmax"), reference.softmax),
    "flatten": (layer("Flatten"), lambda x: x.reshape(len(x), -1)),
    "reshape": (
        layer("Reshape", "reshape_param { shape { dim: [0, 3, -1, 8] } }"),
        lambda x: x.reshape(-1, 3, 16, 8),
    ),
    "lrn": (
        layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }"),
        lambda x: reference.lrn(x, 1, 1, 0.5, 0.6, 2.0),
    ),
    "lrn within": (
        layer("LRN", "lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }"),
        lambda x: lrn_within(x, 3, 2.0, 0.75),
    ),
    "max pool, rounded up": (
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"),
        pool("max", kernel_size=3, stride=2, ceil_mode=True),
    ),
    "max pool, rounded down": (
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }"),
        pool("max", kernel_size=3, stride=2),
    ),
    "average pool, padded": (
        layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
        pool("avg", kernel_size=3, stride=2, padding=1, ceil_mode=True),
    ),
    "average pool, two sizes": (
        layer(
            "Pooling",
            """pooling_param { pool: AVE kernel_h: 2 kernel_w: 5
              stride_h: 1 stride_w: 2 }""",
        ),
        pool("avg", kernel_size=(2, 5), stride=(1, 2), ceil_mode=True),
    ),
    "average of all": (
        layer("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
        lambda x: x.mean((2, 3), keepdims=True),
    ),
    "maximum of all": (
        layer("Pooling", "pooling_param { global_pooling: true }"),
        lambda x: x.max((2, 3), keepdims=True),
    ),
    "split, sum": (
        layer("Split", top="a b", name="s") + layer("Eltwise", bottom="a b"),
        lambda x: 2 * x,
    ),
    "sum with coefficients": (
        layer("ReLU", top="r", name="r")
        + layer(
            "Eltwise", "eltwise_param { coeff: 2 coeff: -1 coeff: 0.5 }", "data r data", "y", "y"
        ),
        lambda x: 2.5 * x - np.maximum(x, 0),
    ),
    "product": (layer("Eltwise", "eltwise_param { operation: PROD }", "data data"), np.square),
    "maximum": (
        layer("Power", "power_param { scale: -1 }", top="m", name="m")
        + layer("Eltwise", "eltwise_param { operation: MAX }", "data m"),
        np.abs,
    ),
    "slice, concat": (
        layer("Slice", "slice_param { slice_point: 2 }", top="a b", name="s")
        + layer("Concat", bottom="b a"),
        lambda x: np.concatenate([x[:, 2:], x[:, :2]], 1),
    ),
    "equal slices": (
        layer("Slice", top="a b c", name="s") + layer("Concat", bottom="c a b"),
        lambda x: np.concatenate([x[:, 4:], x[:, :4]], 1),
    ),
    "squeeze and excitation": (
        layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", top="g", name="g")
        + layer("Scale", "scale_param { axis: 0 }", "data g"),
        lambda x: x * x.mean((2, 3), keepdims=True),
    ),
    "in place": (
        layer("Power", "power_param { scale: -1 }", top="y", name="m")
        + layer("ReLU", bottom="y", top="y", name="r")
        + layer("Dropout", "dropout_param { dropout_ratio: 0.3 }", "y", "y", "d")
        + layer("Power", "power_param { shift: 1 }", "y", "y", "p"),
        lambda x: np.maximum(-x, 0) + 1,
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_without_weights(case: str, tmp_path: Path, rng: Rng) -> None:
    text, expected = LAYERS[case]
    x = rng.standard_normal((3, 6, 8, 8), np.float32)
    got = run(tmp_path, INPUT + text, x)
    assert_close(got, expected(x.astype(np.float64)), 2 * ELEMENTWISE, case)


def test_convolutions(tmp_path: Path, rng: Rng) -> None:
    x, w = rng.standard_normal((2, 6, 8, 8), np.float32), rng.standard_normal((4, 3, 3, 2))
    text = INPUT + layer(
        "Convolution",
        """convolution_param { num_output: 4 group: 2 kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1
           pad_w: 0 dilation: [1, 3] bias_term: false }""",
    )
    got = run(tmp_path, text, x, {"y": ("Convolution", [w])})
    w = w.astype(np.float32).astype(np.float64)
    expected = reference.conv2d(
        x, w, stride=(2, 2), padding=(1, 1, 0, 0), dilation=(1, 3), groups=2
    )
    assert_close(got, expected, 3e-7)


@pytest.mark.parametrize("transpose", [False, True])
def test_inner_products(transpose: bool, tmp_path: Path, rng: Rng) -> None:
    x = rng.standard_normal((2, 6, 8, 8), np.float32)
    w, bias = rng.standard_normal((5, 384), np.float32), rng.standard_normal(5, np.float32)
    option = f"inner_product_param {{ num_output: 5 transpose: {str(transpose).lower()} }}"
    prototxt, caffemodel = write(tmp_path, INPUT + layer("InnerProduct", option))
    net = caffe_schema.messages()["NetParameter"]()
    saved = net.layer.add(name="y", type="InnerProduct")
    saved.inner_product_param.transpose = transpose
    for array in (w.T if transpose else w, bias):
        saved.blobs.add(data=np.ascontiguousarray(array).tobytes()).shape.dim.extend(array.shape)
    caffemodel.write_bytes(net.SerializeToString())
    got = pycnn.load(prototxt, weights=caffemodel).run(x)
    expected = x.reshape(2, -1).astype(np.float64) @ w.T.astype(np.float64) + bias
    assert_close(got, expected, 6e-7)


def test_batch_norm_and_scale_fold_into_the_convolution(tmp_path: Path, rng: Rng) -> None:
    x, w = rng.standard_normal((2, 6, 8, 8), np.float32), rng.standard_normal((7, 6, 1, 1))
    sums, count = rng.uniform(1, 3, (2, 7)), np.array([4.0])
    gamma, beta = rng.standard_normal((2, 7))
    text = (
        INPUT
        + layer(
            "Convolution", "convolution_param { num_output: 7 kernel_size: 1 bias_term: false }"
        )
        + layer("BatchNorm", "batch_norm_param { eps: 0.01 }", "y", "y", "bn")
        + layer("Scale", "scale_param { bias_term: true }", "y", "y", "scale")
        + layer("ReLU", "", "y", "y", "relu")
    )
    blobs = {
        "y": ("Convolution", [w]),
        "bn": ("BatchNorm", [sums[0], sums[1], count]),
        "scale": ("Scale", [gamma, beta]),
    }
    prototxt, caffemodel = write(tmp_path, text, blobs)
    model = pycnn.load(prototxt, weights=caffemodel)
    mean, var = (v.reshape(1, -1, 1, 1) / 4 for v in sums)
    y = (reference.conv2d(x, w.astype(np.float32)) - mean) / np.sqrt(var + 0.01)
    y = y * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1)
    assert_close(model.run(x), np.maximum(y, 0), 1e-6)
    assert [node.op for node in optimize(model.graph).nodes] == ["conv2d"]
    taps = model.run(x, taps=["bn", "scale"])
    assert_close(taps["scale"], y, 1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_slopes_scales_and_biases(shared: bool, tmp_path: Path, rng: Rng) -> None:
    x = rng.standard_normal((2, 6, 8, 8), np.float32)
    slope = rng.standard_normal(1 if shared else 6)
    scale, bias = rng.standard_normal((2, 6))
    text = (
        INPUT
        + layer("PReLU", f"prelu_param {{ channel_shared: {str(shared).lower()} }}")
        + layer("Scale", "", "y", "y", "scale")
        + layer("Bias", "", "y", "y", "bias")
    )
    blobs = {
        "y": ("PReLU", [slope]),
        "scale": ("Scale", [scale]),
        "bias": ("Bias", [bias]),
    }
    got = run(tmp_path, text, x, blobs)
    s, w, b = (v.astype(np.float32).reshape(1, -1, 1, 1) for v in (slope, scale, bias))
    y = x.astype(np.float64)
    assert_close(got, np.where(y < 0, s * y, y) * w + b, 2 * ELEMENTWISE)


V1 = """
name: "first generation"
input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 weight_decay: 1
         convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "ip" type: INNER_PRODUCT bottom: "conv" top: "ip"
         inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }
"""


@pytest.mark.parametrize("doubles", [False, True])
def test_the_first_generation(doubles: bool, tmp_path: Path, rng: Rng) -> None:
    arrays = {
        "conv": [rng.standard_normal((3, 2, 3, 3)), rng.standard_normal((1, 1, 1, 3))],
        "ip": [rng.standard_normal((1, 1, 5, 12)), rng.standard_normal((1, 1, 1, 5))],
    }
    net = caffe_schema.messages()["NetParameter"]()
    for name, kind in (("conv", "CONVOLUTION"), ("ip", "INNER_PRODUCT")):
        saved = net.layers.add(name=name, type=kind)
        for array in arrays[name]:
            n, c, h, w = array.shape
            blob = saved.blobs.add(num=n, channels=c, height=h, width=w)
            if doubles:
                blob.double_data = array.astype("<f8").tobytes()
            else:
                blob.data = array.astype("<f4").tobytes()
    (tmp_path / "net.prototxt").write_text(V1)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    model = pycnn.load(tmp_path / "net.prototxt", weights=tmp_path / "net.caffemodel")
    assert model.graph.parameters["ip.weight"] == (5, 12)
    x = rng.standard_normal((2, 2, 4, 4), np.float32)
    y = np.maximum(reference.conv2d(x, arrays["conv"][0]) + arrays["conv"][1].reshape(-1, 1, 1), 0)
    y = y.reshape(2, -1) @ arrays["ip"][0][0, 0].T + arrays["ip"][1].ravel()
    assert rms_error(model.run(x), reference.softmax(y)) < 2e-6


TRAINING = """
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 9 mirror: true mean_value: 104 } data_param { batch_size: 4 } }
layer { name: "test" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 8 } data_param { source: "x" batch_size: 4 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 }
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" exclude { phase: TEST } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "accuracy" type: "Accuracy" bottom: "pool" bottom: "label" top: "accuracy" }
layer { name: "top5" type: "Accuracy" bottom: "pool" bottom: "label" top: "top5"
        accuracy_param { top_k: 5 } include { phase: TEST stage: "extra" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "pool" bottom: "label" top: "loss" }
"""


def test_a_training_network_in_its_test_phase(tmp_path: Path, rng: Rng) -> None:
    weight, bias = rng.standard_normal((4, 2, 1, 1)), rng.standard_normal(4)
    prototxt, caffemodel = write(tmp_path, TRAINING, {"conv": ("Convolution", [weight, bias])})
    model = pycnn.load(prototxt, weights=caffemodel)
    assert model.graph.inputs == {"data": (2, 8, 8)}  # the channels are the weights'
    assert [node.name for node in model.graph.nodes] == ["conv", "pool", "loss"]
    for size in (8, 11):
        y = model.run(rng.standard_normal((3, 2, size, size), np.float32))
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)


def test_weights_may_have_more_than_the_network(tmp_path: Path, rng: Rng) -> None:
    text = INPUT + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }")
    blobs = {
        "y": ("Convolution", [rng.standard_normal((2, 6, 1, 1)), np.zeros(2)]),
        "aux": ("InnerProduct", [rng.standard_normal((3, 7))]),
    }
    assert run(tmp_path, text, np.zeros((1, 6, 8, 8), np.float32), blobs).shape == (1, 2, 8, 8)
    with pytest.raises(WeightsError, match=r"y\.weight"):
        run(tmp_path, text, np.zeros((1, 6, 8, 8), np.float32), {"aux": blobs["aux"]})


# What is refused --------------------------------------------------------------------------------

BAD_TEXTS = {
    'line 1:.*no field named "lair"': "lair { }",
    'line 3:.*no field named "kernel_siz"': INPUT
    + "\n\n"
    + layer("Convolution", "convolution_param { kernel_siz: 3 }"),
    "reads the blob 'x', which no layer has made": INPUT + layer("ReLU", bottom="x"),
    "already has a layer 'y'": INPUT + layer("ReLU") + layer("ReLU", bottom="y", top="z"),
    "'data' of shape": 'input: "data" input_shape { dim: [1, 3, -8, 8] }',
    "'data' has no shape": 'input: "data"',
    "stride must be": INPUT + layer("Pooling", "pooling_param { kernel_size: 2 stride: 0 }"),
    "layer 'y'.*kernel_size": INPUT + layer("Pooling", "pooling_param { kernel_size: 4294967295 }"),
    "has 1 bottoms, expected 2": INPUT + layer("Eltwise"),
    "without layers": 'name: "empty"',
    "even local_size": INPUT + layer("LRN", "lrn_param { local_size: 4 }"),
    "3 coefficients for 2": INPUT
    + layer("Eltwise", "eltwise_param { coeff: [1, 2, 3] }", "data data"),
}


@pytest.mark.parametrize("message", BAD_TEXTS)
def test_bad_texts(message: str, tmp_path: Path) -> None:
    path, _ = write(tmp_path, BAD_TEXTS[message])
    with pytest.raises(ModelFormatError, match=rf"(?s)net\.prototxt: .*{message}"):
        pycnn.formats.open_graph(path)


def test_all_missing_layers_are_named(tmp_path: Path) -> None:
    text = INPUT + layer("MVN", name="a") + layer("ReLU") + layer("SPP", name="b")
    with pytest.raises(UnsupportedError, match=r"a \(MVN\), b \(SPP\)"):
        pycnn.formats.open_graph(write(tmp_path, text)[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), "stochastic"),
        (layer("Softmax", "softmax_param { axis: 2 }"), "axis 2; only 1"),
        (layer("BatchNorm", "batch_norm_param { use_global_stats: false }"), "use_global_stats"),
        (layer("ReLU", 'param { name: "w" } param { name: "w" }'), "shares the weights 'w'"),
        ('layers { layer { name: "conv1" type: "conv" } }', "oldest generation"),
    ],
)
def test_unsupported_parameters(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        pycnn.formats.open_graph(write(tmp_path, INPUT + text)[0])


def test_a_window_that_is_not_implemented(tmp_path: Path) -> None:
    text = INPUT + layer("LRN", "lrn_param { local_size: 131 }")
    with pytest.raises(UnsupportedError, match=r"net\.prototxt: layer 'y'.*lrn: .* at most 64"):
        pycnn.formats.open_graph(write(tmp_path, text)[0])


def test_not_every_size_is_tried_of_a_network_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caffe, "_MAX_LAYERS_TRIED", 500)
    text = 'layer { name: "d" type: "Data" top: "data" }\n'
    text += layer("InnerProduct", "inner_product_param { num_output: 3 }", name="ip")
    text += "".join(layer("ReLU", name=f"r{i}") for i in range(20))
    path, _ = write(tmp_path, text)
    graph = pycnn.formats.open_graph(path, weights={"ip.weight": (3, 3 * 20 * 20)})[0]
    assert graph.inputs == {"data": (3, 20, 20)}
    with pytest.raises(ModelFormatError, match="at no input size tried"):
        pycnn.formats.open_graph(path, weights={"ip.weight": (3, 3 * 40 * 40)})


def test_a_free_input_needs_weights(tmp_path: Path) -> None:
    text = 'layer { name: "d" type: "Data" top: "data" }' + layer("ReLU")
    with pytest.raises(UnsupportedError, match="does not say the input's size"):
        pycnn.formats.open_graph(write(tmp_path, text)[0])


def test_bad_blobs(tmp_path: Path, rng: Rng) -> None:
    def refused(message: str, change: Callable[[Any], None]) -> None:
        net = caffe_schema.messages()["NetParameter"]()
        saved = net.layer.add(name="y", type="Convolution")
        blob = saved.blobs.add(data=np.zeros(6, "<f4").tobytes())
        blob.shape.dim.extend([6, 1, 1, 1])
        change(blob)
        path = tmp_path / "bad.caffemodel"
        path.write_bytes(net.SerializeToString())
        with pytest.raises(ModelFormatError, match=rf"bad\.caffemodel: {message}"):
            pycnn.formats.open_weights(path)

    refused("blob 'y.weight' has no data", lambda blob: blob.ClearField("data"))
    refused("blob 'y.weight' of shape .* 24 bytes", lambda blob: blob.shape.dim.append(2))
    refused("blob 'y.weight' of shape .-6", lambda blob: blob.shape.dim.__setitem__(0, -6))
    refused("blob 'y.weight' of shape .46", lambda blob: blob.shape.dim.__setitem__(0, 1 << 62))


def test_a_cut_caffemodel(tmp_path: Path, rng: Rng) -> None:
    _, path = write(tmp_path, INPUT, {"y": ("Convolution", [rng.standard_normal((6, 6, 3, 3))])})
    whole = path.read_bytes()
    for length in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        if length == 0:
            assert not pycnn.formats.open_weights(path).shapes
            continue
        with pytest.raises(ModelFormatError, match=r"net\.caffemodel: byte \d+: "):
            pycnn.formats.open_weights(path)
