"""Damaged and hostile Caffe and ONNX files: an error that names the file, or a graph."""

from __future__ import annotations

import collections
import io
import os
from pathlib import Path
from typing import Any

import mutate
import numpy as np
import onnx
import pytest
import test_caffe
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import pycnn
from pycnn import Graph, ModelFormatError, UnsupportedError
from pycnn.formats import caffe_schema, open_graph, open_weights, write
from pycnn.formats.protobuf import varint
from pycnn.formats.writing import Content

MUTATIONS = 2_000
SEEDS = 5


def prototxts() -> list[bytes]:
    texts = [
        test_caffe.INPUT + test_caffe.LAYERS[name][0]
        for name in ("sum with coefficients", "lrn within", "slice, concat")
    ]
    return [text.encode() for text in (*texts, test_caffe.V1, test_caffe.TRAINING)]


def caffemodels() -> list[bytes]:
    rng = np.random.default_rng(0)
    files = []
    for i in range(SEEDS):
        net = caffe_schema.messages()["NetParameter"](name=f"net {i}", input=["data"])
        first = i % 2 == 0
        for k, kind in enumerate(("Convolution", "InnerProduct", "BatchNorm")[: i + 1]):
            if first:
                layer = net.layers.add(
                    name=f"layer{k}", type=("CONVOLUTION", "INNER_PRODUCT")[k % 2]
                )
            else:
                layer = net.layer.add(name=f"layer{k}", type=kind, bottom=["data"], top=["y"])
            for shape in ((3, 2, 2, 2), (3,), (1,))[: 3 if kind == "BatchNorm" else 2]:
                values = rng.standard_normal(shape)
                blob = layer.blobs.add()
                if i == 3:
                    blob.double_data = values.astype("<f8").tobytes()
                else:
                    blob.data = values.astype("<f4").tobytes()
                if first:
                    blob.num, blob.channels, blob.height, blob.width = (*shape, 1, 1, 1)[:4]
                else:
                    blob.shape.dim.extend(shape)
        files.append(net.SerializeToString())
    return files


def _written(graph: Graph, folder: Path) -> bytes:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in graph.parameters.items()
    }
    path = folder / "seed.onnx"
    write(path, Content(graph.parameters, arrays.__getitem__, graph=graph))
    return path.read_bytes()


def onnx_files(folder: Path) -> list[bytes]:
    """Two networks that we write, and three models with what only others write."""
    classifier = Graph("classifier")
    x = classifier.relu("r", classifier.conv2d("c", classifier.input("x", (3, 8, 8)), 4, 3))
    x = classifier.max_pool2d("m", classifier.lrn("n", x), 2, ceil_mode=True)
    classifier.output(
        classifier.softmax("s", classifier.linear("l", classifier.flatten("f", x), 5))
    )
    shuffled = Graph("shuffled")
    x = shuffled.pad("p", shuffled.input("x", (4, 5, 5)), 1, mode="reflect")
    x = shuffled.permute("t", x, (2, 2, 49), (1, 0, 2), (4, 7, 7))
    shuffled.output(shuffled.batch_norm("b", shuffled.slice("s", x, (1, 3, 1), *[(None,) * 3] * 2)))
    files = [_written(classifier, folder), _written(shuffled, folder)]

    def model(nodes: list[Any], tensors: list[TensorProto], shape: list[Any]) -> bytes:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "g",
            [value("x", TensorProto.FLOAT, shape)],
            [value("y", TensorProto.FLOAT, None)],
            tensors,
        )
        opset = helper.make_opsetid("", 13)
        return bytes(helper.make_model(graph, opset_imports=[opset]).SerializeToString())

    node = helper.make_node
    branch = helper.make_graph(
        [node("Relu", ["x"], ["b"])], "t", [], [helper.make_empty_tensor_value_info("b")]
    )
    ints = numpy_helper.from_array
    files.append(  # sizes that the model computes, and a branch that they choose
        model(
            [
                node("Shape", ["x"], ["shape"]),
                node("Gather", ["shape", "one"], ["c"]),
                node("Equal", ["c", "three"], ["yes"]),
                node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch),
                node("Slice", ["shape", "zeros", "ones"], ["batch"]),
                node("Concat", ["batch", "rest"], ["target"], axis=0),
                node("Reshape", ["z", "target"], ["y"]),
            ],
            [
                *(ints(np.array(i), name) for i, name in ((1, "one"), (3, "three"))),
                *(ints(np.array([i]), name) for i, name in ((0, "zeros"), (1, "ones"))),
                ints(np.array([-1]), "rest"),
            ],
            ["N", 3, 4, 4],
        )
    )
    files.append(  # numbers in fields of every kind
        model(
            [
                node("Add", ["x", "f"], ["a"]),
                node("Mul", ["a", "h"], ["b"]),
                node("ConstantOfShape", ["s"], ["o"]),
                node("Div", ["b", "o"], ["y"]),
            ],
            [
                helper.make_tensor("f", TensorProto.FLOAT, [4, 1], [0.5, 1.0, 2.0, 3.0]),
                helper.make_tensor("h", TensorProto.FLOAT16, [1], [1.5]),
                helper.make_tensor("s", TensorProto.INT64, [2], [4, 3]),
            ],
            [2, 4, 3],
        )
    )
    files.append(
        model(
            [
                node("Conv", ["x", "w"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2], group=2),
                node("Split", ["a"], ["b", "c"], axis=1),
                node("PRelu", ["b", "slope"], ["d"]),
                node("Pad", ["d", "pads"], ["e"]),
                node("Clip", ["e", "", "high"], ["f"]),
                node("GlobalAveragePool", ["f"], ["g"]),
                node("Squeeze", ["g", "axes"], ["y"]),
            ],
            [
                ints(np.ones((4, 2, 3, 3), np.float32), "w"),
                ints(np.full((2, 1, 1), 0.2, np.float32), "slope"),
                ints(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads"),
                ints(np.array(6.0, np.float32), "high"),
                ints(np.array([2, 3]), "axes"),
            ],
            [1, 4, 7, 7],
        )
    )
    return files


def seeds(suffix: str, folder: Path) -> list[bytes]:
    """Good files of a format, for these tests and for tools/fuzz."""
    if suffix == ".onnx":
        return onnx_files(folder)
    return prototxts() if suffix == ".prototxt" else caffemodels()


each_format = pytest.mark.parametrize("suffix", [".prototxt", ".caffemodel", ".onnx"])
SHAPES = {"conv.weight": (4, 2, 1, 1), "conv.bias": (4,)}  # for the network with a free input


def read_all(path: Path, max_bytes: int) -> None:
    if path.suffix == ".caffemodel":
        tensors = open_weights(path, max_bytes)
    else:
        free = b"TRAIN" in path.read_bytes()
        graph, tensors = open_graph(path, max_bytes, SHAPES if free else None)
        graph.shapes()
        assert set(tensors.shapes) <= set(graph.parameters)
    for name, shape in tensors.shapes.items():
        if tensors.dtypes[name].startswith("float"):
            array = tensors.read(name)
            assert array.shape == shape
            assert array.dtype == np.float32


@each_format
def test_the_good_files_are_good(suffix: str, tmp_path: Path) -> None:
    files = seeds(suffix, tmp_path)
    assert len(files) == SEEDS
    for data in files:
        assert mutate.survives(read_all, tmp_path / f"good{suffix}", data) == "read"


@each_format
def test_mutations(suffix: str, tmp_path: Path) -> None:
    files, path = seeds(suffix, tmp_path), tmp_path / f"mutant{suffix}"
    outcomes = collections.Counter(
        mutate.survives(read_all, path, data) for data in mutate.mutations(files, MUTATIONS, 1)
    )
    assert set(outcomes) <= {"read", "ModelFormatError", "UnsupportedError", "ShapeError"}
    assert outcomes["read"] > MUTATIONS / 50, outcomes
    assert outcomes["ModelFormatError"] > MUTATIONS / 4, outcomes


@pytest.mark.slow
@each_format
def test_many_mutations(suffix: str, tmp_path: Path) -> None:
    files = seeds(suffix, tmp_path)
    for data in mutate.mutations(files, 50_000, 2):
        mutate.survives(read_all, tmp_path / f"mutant{suffix}", data)


@each_format
@given(data=st.binary(max_size=300))
def test_any_bytes(suffix: str, data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    mutate.survives(read_all, path, data)


# Aimed at one place each ------------------------------------------------------------------------


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


def test_a_constant_that_fills_memory(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["s"], ["big"]),
            helper.make_node("Add", ["x", "big"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    data = model.SerializeToString()
    assert mutate.survives(read_all, tmp_path / "big.onnx", data) == "ModelFormatError"


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
