"""Networks written as ONNX: ONNX Runtime computes what pycnn computes, and they read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import pycnn
from pycnn import Graph, UnsupportedError
from pycnn.conversion import convert
from pycnn.formats import write
from pycnn.formats.onnx_schema import MESSAGES, messages
from pycnn.formats.writing import Content
from pycnn.model import Model
from pycnn.opset import OPS
from pycnn.weights import ArrayWeights

Rng = np.random.Generator
Array = np.ndarray[Any, Any]
WHOLE = (None, None, None)

# What the graph of an op is built of, on an image (6, 7, 8).
BUILD: dict[str, Callable[[Graph, str], str]] = {
    "add": lambda g, x: g.add("y", x, g.relu("r", x)),
    "affine": lambda g, x: g.affine("y", x, -2.0, 0.5),
    "avg_pool2d": lambda g, x: g.avg_pool2d("y", x, 3, 2, 1, count_include_pad=False),
    "batch_norm": lambda g, x: g.batch_norm("y", g.batch_norm("z", x, affine=False), 1e-3),
    "binary": lambda g, x: g.prelu(
        "y", g.binary("z", g.binary("m", x, g.global_avg_pool("p", x), "mul"), x, "add", 0.5, -2.0)
    ),
    "channel_affine": lambda g, x: g.channel_affine("y", g.channel_affine("z", x, bias=False)),
    "clip": lambda g, x: g.clip("y", g.clip("z", x, high=0.7), -0.5, 3.0),
    "concat": lambda g, x: g.concat("y", [x, g.relu("r", x)]),
    "conv2d": lambda g, x: g.conv2d("y", x, 4, (3, 2), (1, 2), (0, 1, 2, 0), (2, 1), groups=2),
    "dropout": lambda g, x: g.dropout("y", x),
    "flatten": lambda g, x: g.flatten("y", x),
    "gather": lambda g, x: g.gather("y", x, [5, 0, 0]),
    "global_avg_pool": lambda g, x: g.global_avg_pool("y", x),
    "global_max_pool": lambda g, x: g.global_max_pool("y", x),
    "hard_sigmoid": lambda g, x: g.hard_sigmoid("y", x),
    "hard_swish": lambda g, x: g.hard_swish("y", x),
    "leaky_relu": lambda g, x: g.leaky_relu("y", x, 0.3),
    "linear": lambda g, x: g.linear("y", g.flatten("f", x), 5),
    "log_softmax": lambda g, x: g.log_softmax("y", x),
    "lrn": lambda g, x: g.lrn("y", x, 3, 0.5, 0.6, 2.0),
    "max_pool2d": lambda g, x: g.max_pool2d("y", x, 3, 2, ceil_mode=True),
    "pad": lambda g, x: g.pad("y", g.pad("z", x, (1, 2), mode="reflect"), 1, (2, 1), value=0.5),
    "permute": lambda g, x: g.permute("y", x, (2, 3, 56), (1, 0, 2), (3, 2, 56)),
    "pow": lambda g, x: g.pow("y", x, 2.0),
    "rbf": lambda g, x: g.rbf("y", g.linear("l", g.flatten("f", x), 4), 3),
    "relu": lambda g, x: g.relu("y", x),
    "shortcut_a": lambda g, x: g.shortcut_a("y", x, 9, 2),
    "sigmoid": lambda g, x: g.sigmoid("y", x),
    "slice": lambda g, x: g.slice("y", x, (1, 5, 2), (None, None, -1), WHOLE),
    "softmax": lambda g, x: g.softmax("y", x),
    "sqrt": lambda g, x: g.sqrt("y", g.relu("r", x)),
    "tanh": lambda g, x: g.tanh("y", g.tanh("z", x, 1.7159, 2 / 3)),
}


def test_every_op_has_a_case() -> None:
    assert set(BUILD) == set(OPS)


def by_onnxruntime(path: Path, x: Array) -> Array:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path)
    (result,) = session.run(None, {model.graph.input[0].name: x})
    return np.asarray(result)


@pytest.mark.parametrize("op", BUILD)
def test_ops(op: str, tmp_path: Path, rng: Rng) -> None:
    graph = Graph("one op")
    graph.output(BUILD[op](graph, graph.input("x", (6, 7, 8))))
    arrays = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in graph.parameters.items()
    }
    path = tmp_path / "op.onnx"
    write(path, Content(graph.parameters, arrays.__getitem__, graph=graph))
    x = rng.standard_normal((2, 6, 7, 8), np.float32)
    got = Model(graph, ArrayWeights(arrays)).run(x)
    np.testing.assert_allclose(by_onnxruntime(path, x), got, rtol=1e-5, atol=1e-5)
    if op != "rbf":  # read back, it would be a sum over features, which no network needs
        np.testing.assert_allclose(pycnn.load(path).run(x), got, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "resnet20", "nin_cifar10"])
def test_networks(name: str, tmp_path: Path, rng: Rng) -> None:
    model = pycnn.load(name, weights="random")
    path = tmp_path / "model.onnx"
    write(path, model.content())
    x = rng.standard_normal((2, *next(iter(model.graph.inputs.values()))), np.float32)
    expected = model.run(x)
    np.testing.assert_allclose(by_onnxruntime(path, x), expected, rtol=1e-3, atol=1e-4)
    if name != "lenet5_1998":
        np.testing.assert_allclose(pycnn.load(path).run(x), expected, rtol=1e-4, atol=1e-5)


def test_converting(tmp_path: Path) -> None:
    """The shipped LeNet-5 as ONNX, and back to safetensors: the same numbers by the same names."""
    model = pycnn.load("lenet5")
    saved, written = tmp_path / "lenet5.safetensors", tmp_path / "lenet5.onnx"
    model.save(saved)
    convert(saved, written)
    convert(written, tmp_path / "back.npz")
    again = pycnn.load("lenet5", weights=tmp_path / "back.npz")
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32), np.float32)
    np.testing.assert_array_equal(again.run(x), model.run(x))


def test_what_onnx_cannot_say(tmp_path: Path) -> None:
    graph = Graph("g")
    x = graph.input("x", (4, 8, 8))
    graph.output(graph.lrn("even", x, 4))
    content = Content({}, {}.__getitem__, graph=graph)
    with pytest.raises(UnsupportedError, match="no window as that of 'even'"):
        write(tmp_path / "g.onnx", content)
    with pytest.raises(UnsupportedError, match="tensors alone"):
        write(tmp_path / "g.onnx", Content({}, {}.__getitem__))
    assert not list(tmp_path.iterdir())


def test_our_messages_are_onnx_s() -> None:
    """Field for field, by number, type and repetition; but for those that we keep as places."""
    theirs = {"TensorType": onnx.TypeProto.Tensor, "Dimension": onnx.TensorShapeProto.Dimension,
              "SparseTensor": onnx.SparseTensorProto}  # fmt: skip
    for name in MESSAGES:
        official = theirs.get(name) or getattr(onnx, name)
        for field in messages()[name].DESCRIPTOR.fields:
            known = official.DESCRIPTOR.fields_by_name[field.name]
            assert field.number == known.number
            assert field.is_repeated == known.is_repeated
            assert field.type == known.type or known.type == known.TYPE_ENUM
