"""Good files of every format, which the tests of bad files and tools/fuzz damage."""

from __future__ import annotations

import collections
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import test_caffe
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from pycnn import Graph
from pycnn.formats import caffe_schema, holds_graph, open_graph, open_weights, write
from pycnn.formats.writing import Content

SEEDS = 5
SHAPES = {"conv.weight": (4, 2, 1, 1), "conv.bias": (4,)}  # of the prototxt with a free input

Arrays = dict[str, np.ndarray[Any, Any]]


def networks() -> list[Arrays]:
    """Small sets of tensors that differ in number, shape and dtype."""
    rng = np.random.default_rng(0)

    def array(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
        return rng.standard_normal(shape).astype(dtype)

    return [
        {"a": array(4)},
        {"conv.weight": array(8, 3, 3, 3), "conv.bias": array(8), "n": array(2, dtype="float64")},
        {f"layer{i}.weight": array(3, 5, dtype="float16") for i in range(20)},
        {"scalar": array(), "empty": array(0, 3), "long": array(1, 1, 1, 1, 1, 7)},
        {"ints": np.arange(6).reshape(2, 3), "flags": np.array([True, False]), "f": array(30, 30)},
    ]


def npz(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if "conv.weight" in arrays else np.savez)(file, **arrays)
    return file.getvalue()


def safetensors(arrays: Arrays) -> bytes:
    return save(arrays, {"pycnn.variant": "lenet5@mnist", "note": "x" * 20})


def pt(arrays: Arrays, zip_layout: bool) -> bytes:
    state: Any = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    if "conv.weight" in arrays:
        state = {"state_dict": collections.OrderedDict(state), "epoch": 3, "best": 0.5}
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=zip_layout)
    return file.getvalue()


# Of weights alone.
FORMATS: dict[str, Callable[[Arrays], bytes]] = {
    ".npz": npz,
    ".safetensors": safetensors,
    ".pt": lambda arrays: pt(arrays, True),
    ".th": lambda arrays: pt(arrays, False),
}


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


GRAPH_FORMATS: dict[str, Callable[[Path], list[bytes]]] = {
    ".prototxt": lambda folder: prototxts(),
    ".caffemodel": lambda folder: caffemodels(),
    ".onnx": onnx_files,
}


def seeds(suffix: str, folder: Path) -> list[bytes]:
    """Five good files of a format; `folder` may be written to."""
    if suffix in FORMATS:
        return [FORMATS[suffix](arrays) for arrays in networks()]
    return GRAPH_FORMATS[suffix](folder)


def read_all(path: Path, max_bytes: int) -> None:
    """Read a file whole, and see that it is what its headers say."""
    if holds_graph(path):
        free = b"TRAIN" in path.read_bytes()
        graph, file = open_graph(path, max_bytes, SHAPES if free else None)
        graph.shapes()
        assert set(file.shapes) <= set(graph.parameters)
    else:
        file = open_weights(path, max_bytes)
    elems = 0
    for name, shape in file.shapes.items():
        elems += int(np.prod(shape, dtype=float))
        if file.dtypes[name].startswith("float"):
            array = file.read(name)
            assert array.shape == shape
            assert array.dtype == np.float32
    assert 4 * elems <= max_bytes
