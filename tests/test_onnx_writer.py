"""Networks written as ONNX: ONNX Runtime computes what pycnn computes, and they read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import BUILD, one_op

import pycnn
from pycnn import Graph, UnsupportedError
from pycnn.conversion import convert
from pycnn.formats import write
from pycnn.formats.onnx_schema import MESSAGES, messages
from pycnn.formats.writing import Content
from pycnn.model import Model
from pycnn.weights import ArrayWeights

Rng = np.random.Generator
Array = np.ndarray[Any, Any]


def by_onnxruntime(path: Path, x: Array) -> Array:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path)
    (result,) = session.run(None, {model.graph.input[0].name: x})
    return np.asarray(result)


@pytest.mark.parametrize("op", BUILD)
def test_ops(op: str, tmp_path: Path, rng: Rng) -> None:
    graph, arrays = one_op(op, rng)
    path = tmp_path / "op.onnx"
    write(path, Content(graph.parameters, arrays.__getitem__, graph=graph))
    x = rng.standard_normal((2, 6, 7, 8), np.float32)
    got = Model(graph, ArrayWeights(arrays)).run(x)
    np.testing.assert_allclose(by_onnxruntime(path, x), got, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pycnn.load(path).run(x), got, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "resnet20", "nin_cifar10"])
def test_networks(name: str, tmp_path: Path, rng: Rng) -> None:
    model = pycnn.load(name, weights="random")
    path = tmp_path / "model.onnx"
    write(path, model.content())
    x = rng.standard_normal((2, *next(iter(model.graph.inputs.values()))), np.float32)
    expected = model.run(x)
    np.testing.assert_allclose(by_onnxruntime(path, x), expected, rtol=1e-3, atol=1e-4)
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
