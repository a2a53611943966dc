"""Damaged and hostile Caffe and ONNX files: an error that names the file, or a graph."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import mutate
import numpy as np
import onnx
import pytest
from good_files import read_all
from onnx import TensorProto, helper, numpy_helper

import pycnn
from pycnn import ModelFormatError, UnsupportedError
from pycnn.formats import open_graph
from pycnn.formats.protobuf import varint


def test_fields_without_end(tmp_path: Path) -> None:
    """Millions of empty fields, messages within messages: refused, quickly."""
    for suffix in (".caffemodel", ".onnx"):
        many = b"\x12\x00" * 2_000_000
        assert mutate.survives(read_all, tmp_path / f"many{suffix}", many) == "ModelFormatError"
    graph = b""
    for _ in range(60):
        attribute = b"\x32" + varint(len(graph)) + graph  # the graph of a branch
        node = b"\x2a" + varint(len(attribute)) + attribute
        graph = b"\x0a" + varint(len(node)) + node
    path = tmp_path / "nested.onnx"
    path.write_bytes(b"\x3a" + varint(len(graph)) + graph)
    with pytest.raises(ModelFormatError, match="nested deeper than 32"):
        open_graph(path)


def test_a_deep_prototxt(tmp_path: Path) -> None:
    text = b"layer { " * 50_000
    assert mutate.survives(read_all, tmp_path / "deep.prototxt", text) == "ModelFormatError"


def one_tensor(**changes: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.ones(4, np.float32), "w")],
    )
    tensor = graph.initializer[0]
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_sizes_of_tensors(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    for dims in ([5], [-4], [1 << 40, 1 << 40], [4, 0], [1] * 40):
        onnx.save(one_tensor(dims=dims), path)
        with pytest.raises(ModelFormatError, match=r"bad\.onnx: tensor 'w'"):
            pycnn.load(path)
    onnx.save(one_tensor(data_type=TensorProto.STRING), path)
    with pytest.raises(UnsupportedError, match="elements of type 8"):
        pycnn.load(path)


node = helper.make_node
branch = helper.make_graph([], "b", [], [])
LONG = np.zeros(1 << 14, np.int64)
# Small files whose constants would take terabytes, or gigabytes that max_bytes allows.
LARGE: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "a fill": (
        [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"])],
        {"s": np.array([1 << 20, 1 << 20])},
    ),
    "a fill that is joined": (
        [node("ConstantOfShape", ["s"], ["c"]), node("Concat", ["x", "c"], ["y"], axis=1)],
        {"s": np.array([1, 1 << 22, 1, 1])},
    ),
    "a fill that is a condition": (
        [
            node("ConstantOfShape", ["s"], ["c"]),
            node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        ],
        {"s": np.array([(1 << 22) + 1])},
    ),
    "broadcast": (
        [node("Where", ["a", "b", "c"], ["d"]), node("Reshape", ["x", "d"], ["y"])],
        {"a": LONG.astype(bool), "b": LONG[:, None], "c": LONG[:, None, None]},
    ),
    "gathered": (
        [node("Gather", ["a", "b"], ["c"], axis=1), node("Reshape", ["x", "c"], ["y"])],
        {"a": LONG[:, None], "b": LONG},
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_constants_that_fill_memory(case: str, tmp_path: Path) -> None:
    nodes, tensors = LARGE[case]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "big.onnx"
    path.write_bytes(model.SerializeToString())
    with (
        mutate.address_space(60_000_000),
        pytest.raises((ModelFormatError, UnsupportedError), match=r"big\.onnx: "),
    ):
        pycnn.load(path)


def test_attributes_of_another_type(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Softmax", ["x"], ["y"], axis=1.0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    path = tmp_path / "bad.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    with pytest.raises(ModelFormatError, match=r"'y' .Softmax.: the attribute 'axis' is of type 1"):
        pycnn.load(path)


def external(location: str, **entries: int) -> onnx.ModelProto:
    model = one_tensor(data_location=TensorProto.EXTERNAL)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())  # onnx.save would look for the data


def test_external_data(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path, data = folder / "m.onnx", folder / "w.data"
    buffer = io.BytesIO()
    buffer.write(np.arange(8, dtype="<f4").tobytes())
    data.write_bytes(buffer.getvalue())
    (tmp_path / "w.data").write_bytes(buffer.getvalue())
    save(external("w.data", offset=16, length=16), path)
    x = np.zeros((2, 4), np.float32)
    np.testing.assert_array_equal(pycnn.load(path).run(x), [[4, 5, 6, 7]] * 2)

    os.symlink(data, folder / "link")
    os.link(tmp_path / "w.data", folder / "hard")
    os.mkfifo(folder / "pipe")
    for location in ("../w.data", str(data), "", ".", "..", "link", "hard", "pipe", "a\\b", "none"):
        save(external(location), path)
        with pytest.raises(ModelFormatError, match=r"m\.onnx: tensor 'w'"):
            pycnn.load(path)
    for entries in (
        *({"offset": 17}, {"offset": -4}, {"length": 12}, {"length": 20, "offset": 0}),
        *({"offset": 1 << 63, "length": 16}, {"length": -16}),
    ):
        save(external("w.data", **entries), path)
        with pytest.raises(ModelFormatError, match=r"m\.onnx: tensor 'w'"):
            pycnn.load(path)
