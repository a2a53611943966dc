"""The ONNX reader: what it refuses and how it says so, batches, names, shared weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import pycnn
from pycnn import ModelFormatError, UnsupportedError
from pycnn.formats.protobuf import build_messages

Rng = np.random.Generator
node = helper.make_node


def load(
    folder: Path,
    nodes: list[Any],
    shape: list[Any],
    tensors: dict[str, Any] | None = None,
    opset: int = 17,
) -> pycnn.Model:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (tensors or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return pycnn.load(path)


def test_all_missing_ops_are_named_at_once(tmp_path: Path) -> None:
    branch = helper.make_graph([node("Erf", ["x"], ["b"], name="inside")], "b", [], [])
    nodes = [
        node("TopK", ["x", "k"], ["a", "i"], name="top"),
        node("Einsum", ["a"], ["b"], name="sum1", equation="ij->i"),
        node("Einsum", ["b"], ["c"], equation="ij->i"),
        node("FancyAttention", ["c"], ["d"], name="attention", domain="com.example"),
        node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(UnsupportedError) as error:
        load(tmp_path, nodes, [1, 3])
    text = str(error.value)
    for part in ("TopK (top)", "Einsum (sum1, c)", "com.example.FancyAttention (attention)", "Erf"):
        assert part in text


REFUSED: dict[str, tuple[list[Any], list[Any], dict[str, Any], str]] = {
    "joins images": ([node("Concat", ["x", "x"], ["y"], axis=0)], [1, 3, 4, 4], {}, "batch"),
    "loses the batch": (
        [node("Reshape", ["x", "s"], ["y"])],
        ["N", 4],
        {"s": np.array([4, -1])},
        "the batch does not stay",
    ),
    "computes with the batch": (
        [
            node("Shape", ["x"], ["s"]),
            node("Add", ["s", "s"], ["t"]),
            node("Reshape", ["x", "t"], ["y"]),
        ],
        ["N", 4],
        {},
        "a size that the model leaves free",
    ),
    "a constant for each image": (
        [node("Add", ["x", "w"], ["y"])],
        [2, 4],
        {"w": np.ones((2, 4), np.float32)},
        "another for each image",
    ),
    "a weight that is computed": (
        [node("Conv", ["x", "x"], ["y"])],
        [1, 3, 4, 4],
        {},
        "input 1 is no constant",
    ),
    "a condition that is computed": (
        [
            node("If", ["x"], ["y"], then_branch=helper.make_graph([], "t", [], []),
                 else_branch=helper.make_graph([], "e", [], []))
        ],
        [1, 3],
        {},
        "input 0 is no constant",
    ),
    "the maxima's indices": (
        [
            node("MaxPool", ["x"], ["z", "i"], kernel_shape=[2, 2]),
            node("Cast", ["i"], ["y"], to=1),
        ],
        [1, 3, 4, 4],
        {},
        "pycnn lacks the output 'i' of 'z' .MaxPool",
    ),
    "free channels": (
        [node("Relu", ["x"], ["y"])],
        ["N", "C", 4, 4],
        {},
        "axis 1 must have a size",
    ),
    "a window that is not implemented": (
        [node("LRN", ["x"], ["y"], size=131)],
        [1, 3, 4, 4],
        {},
        "'y' .LRN.: .*at most 64",
    ),
    "an output whose batch is second": (
        [node("Transpose", ["x"], ["y"], perm=[1, 0])],
        [1, 3],
        {},
        "the output 'y' .* its batch is not first",
    ),
    "a layer of it": (
        [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Relu", ["t"], ["y"])],
        [1, 3],
        {},
        "'y' .Relu.: input 0 is transposed",
    ),
    "the size of it": (
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0]),
            node("Shape", ["t"], ["s"]),
            node("Reshape", ["x", "s"], ["y"]),
        ],
        [1, 3],
        {},
        "'s' .Shape.: input 0 is transposed",
    ),
    "half precision": ([node("Cast", ["x"], ["y"], to=10)], [1, 3], {}, "float32 only"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    nodes, shape, tensors, message = REFUSED[case]
    with pytest.raises(UnsupportedError, match=rf"model\.onnx: .*{message}"):
        load(tmp_path, nodes, shape, tensors)


def test_opsets(tmp_path: Path) -> None:
    assert load(tmp_path, [node("Relu", ["x"], ["y"])], [1, 3], opset=7)
    with pytest.raises(UnsupportedError, match="opset 6; pycnn reads 7 and later"):
        load(tmp_path, [node("Relu", ["x"], ["y"])], [1, 3], opset=6)


def test_networks_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="reads 'z', which nothing before it makes"):
        load(tmp_path, [node("Relu", ["z"], ["y"])], [1, 3])
    with pytest.raises(ModelFormatError, match="no node makes the output 'y'"):
        load(tmp_path, [node("Relu", ["x"], ["z"])], [1, 3])
    with pytest.raises(ModelFormatError, match=r"'y' .Add.*operands of the shapes"):
        load(tmp_path, [node("Add", ["x", "w"], ["y"])], [1, 3], {"w": np.ones(2, np.float32)})
    with pytest.raises(ModelFormatError, match=r"names no opset"):
        (tmp_path / "empty.onnx").write_bytes(b"")
        pycnn.load(tmp_path / "empty.onnx")


def test_free_sizes_of_images(tmp_path: Path, rng: Rng) -> None:
    """Nominally 224 x 224; other sizes run, unless the model computes with them."""
    model = load(tmp_path, [node("GlobalMaxPool", ["x"], ["y"])], ["N", 3, "H", "W"])
    assert model.graph.inputs == {"x": (3, 224, 224)}
    x = rng.standard_normal((2, 3, 9, 17), np.float32)
    np.testing.assert_array_equal(model.run(x), x.max((2, 3), keepdims=True))
    nodes = [
        node("Shape", ["x"], ["s"], start=2),
        node("Concat", ["nc", "s"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["y"]),
    ]
    with pytest.raises(UnsupportedError, match="only the batch may be left free"):
        load(tmp_path, nodes, [1, 3, "H", "W"], {"nc": np.array([1, 3])})


def test_sums_over_space(tmp_path: Path, rng: Rng) -> None:
    x = rng.standard_normal((2, 3, 4, 5), np.float32)
    for axes, keepdims in (([2, 3], 1), ([-1, -2], 0), ([3], 0), ([2], 1)):
        nodes = [node("ReduceSum", ["x", "axes"], ["y"], keepdims=keepdims)]
        model = load(tmp_path, nodes, ["N", 3, 4, 5], {"axes": np.array(axes)})
        expected = x.sum(tuple(axes), keepdims=bool(keepdims), dtype=np.float64)
        got = model.run(x)
        np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    for axes, shape in (([1], [1, 3, 4, 5]), ([2, 3], [1, 3, "H", "W"])):
        with pytest.raises(
            UnsupportedError, match=r"'y' .ReduceSum.: (reduces axes|needs the size)"
        ):
            load(tmp_path, [node("ReduceSum", ["x", "axes"], ["y"])], shape, {"axes": axes})


def test_channels_as_dynamo_picks_them(tmp_path: Path, rng: Rng) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
        node("GatherND", ["t", "i"], ["g"]),
        node("Transpose", ["g"], ["y"], perm=[1, 0, 2, 3]),
    ]
    x = rng.standard_normal((2, 3, 4, 5), np.float32)
    model = load(tmp_path, nodes, [1, 3, 4, 5], {"i": np.array([[2], [0], [-1], [1]])})
    np.testing.assert_array_equal(model.run(x), x[:, [2, 0, -1, 1]])
    with pytest.raises(ModelFormatError, match=r"'g' .GatherND.: gathers .3. of 3"):
        load(tmp_path, nodes, [1, 3, 4, 5], {"i": np.array([[3]])})
    with pytest.raises(UnsupportedError, match=r"'g' .GatherND.: gathers, but not channels"):
        load(tmp_path, nodes, [1, 3, 4, 5], {"i": np.array([[2, 0]])})


def test_one_weight_in_two_shapes(tmp_path: Path, rng: Rng) -> None:
    """A shared initializer is one parameter where its shape is one, and two where it is not."""
    w = rng.standard_normal(4).astype(np.float32)
    nodes = [
        node("Mul", ["x", "w"], ["a"]),
        node("Flatten", ["a"], ["f"]),
        node("Gemm", ["f", "m", "w"], ["b"]),
        node("Add", ["b", "w"], ["y"]),
    ]
    m = rng.standard_normal((16, 4)).astype(np.float32)
    model = load(tmp_path, nodes, [1, 4, 1, 4], {"w": w, "m": m})
    x = rng.standard_normal((3, 4, 1, 4), np.float32)
    expected = (x.astype(np.float64) * w).reshape(3, -1) @ m.astype(np.float64) + 2 * w
    np.testing.assert_allclose(model.run(x), expected, rtol=1e-5, atol=1e-5)


def test_vectors_may_have_two_dimensions(tmp_path: Path, rng: Rng) -> None:
    model = load(tmp_path, [node("Softmax", ["x"], ["y"], axis=-1)], ["N", 7])
    x = rng.standard_normal((3, 7), np.float32)
    got = model.run(x)
    np.testing.assert_array_equal(got.reshape(3, 7), model.run(x[:, :, None, None]).reshape(3, 7))
    np.testing.assert_allclose(got.reshape(3, 7).sum(1), 1, rtol=1e-6)


def test_without_the_protobuf_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'pycnn\[onnx\]'"):
        build_messages("p", {"M": "1 a string"}, {}, extra="onnx")
