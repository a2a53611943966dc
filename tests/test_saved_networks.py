"""Networks that are no registered variant, saved and loaded with nothing said."""

from __future__ import annotations

import collections
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutate
import numpy as np
import pytest
import test_caffe
from graphs import BUILD, by_json, one_op
from safetensors import safe_open
from safetensors.numpy import save_file

import pycnn
from pycnn import Graph, ModelFormatError, PycnnError, UnsupportedError, WeightsError
from pycnn.conversion import convert
from pycnn.graph_json import graph_to_dict
from pycnn.model import Model
from pycnn.opset import OPS
from pycnn.vision.labels import labels
from pycnn.weights import ArrayWeights, RandomWeights

Rng = np.random.Generator
MUTATIONS = 2_000


def with_new_head(labels: list[str]) -> Model:
    """LeNet-5 as transfer learning leaves it: another last layer, other classes."""
    trained = pycnn.load("lenet5")
    *body, last = trained.graph.nodes
    graph = trained.graph.with_outputs({"body": body[-1].name})
    graph.name = "lenet5 of letters"
    graph.outputs.clear()
    graph.output(graph.linear("letters", body[-1].name, len(labels)))
    assert last.op == "linear"
    weights = {
        name: trained._weights.get(name) for name in graph.parameters if "letters" not in name
    }
    head = RandomWeights(graph, 3)
    weights |= {name: head.get(name) for name in graph.parameters if "letters" in name}
    return Model(graph, ArrayWeights(weights), preprocessing=trained.preprocessing, labels=labels)


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("op", BUILD)
def test_ops(op: str, tmp_path: Path, rng: Rng) -> None:
    graph, arrays = one_op(op, rng)
    model = Model(graph, ArrayWeights(arrays))
    model.save(tmp_path / "op.safetensors")
    again = pycnn.load(tmp_path / "op.safetensors")
    assert again.graph == graph
    x = rng.standard_normal((2, 6, 7, 8), np.float32)
    np.testing.assert_array_equal(again.run(x), model.run(x))


def test_every_op_has_a_case() -> None:
    assert set(BUILD) == set(OPS)


def test_every_variants_graph() -> None:
    for variant in pycnn.variants():
        graph = variant.graph()
        assert by_json(graph) == graph, variant.id


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_network_whose_head_was_replaced(suffix: str, tmp_path: Path) -> None:
    model = with_new_head(["a", "b", "c"])
    model.save(tmp_path / f"letters{suffix}")
    again = pycnn.load(tmp_path / f"letters{suffix}")
    assert (again.variant, again.name) == (None, "lenet5 of letters")
    assert again.recognised_by == "passport"
    assert again.labels == ("a", "b", "c")
    assert again.preprocessing == model.preprocessing
    digit = np.zeros((28, 28), np.uint8)
    assert again.predict(digit) == model.predict(digit)


def test_a_list_of_labels_that_comes_with_pycnn_goes_by_its_name(tmp_path: Path) -> None:
    graph, arrays = one_op("relu", np.random.default_rng(0))
    Model(graph, ArrayWeights(arrays), labels=labels("imagenet")).save(tmp_path / "a.safetensors")
    assert metadata(tmp_path / "a.safetensors")["pycnn.labels"] == '"imagenet"'
    assert pycnn.load(tmp_path / "a.safetensors").labels == labels("imagenet")
    Model(graph, ArrayWeights(arrays)).save(tmp_path / "b.safetensors")
    assert "pycnn.labels" not in metadata(tmp_path / "b.safetensors")
    assert pycnn.load(tmp_path / "b.safetensors").labels is None


def test_networks_of_files(tmp_path: Path, rng: Rng) -> None:
    """ONNX and Caffe to safetensors and npz, by `save` and by `convert`, and to ONNX again."""
    original = with_new_head(["a", "b"])
    x = rng.standard_normal((2, 1, 32, 32), np.float32)
    start, onnx = tmp_path / "a.safetensors", tmp_path / "b.onnx"
    original.save(start)
    assert convert(start, onnx)["network"] == "lenet5 of letters"
    assert b"pycnn.graph" not in onnx.read_bytes()
    convert(onnx, tmp_path / "c.npz")
    pycnn.load(tmp_path / "c.npz").save(tmp_path / "d.safetensors")
    np.testing.assert_allclose(
        pycnn.load(tmp_path / "d.safetensors").run(x), original.run(x), rtol=1e-6, atol=1e-6
    )

    (tmp_path / "net.prototxt").write_text(test_caffe.V1)
    caffe = pycnn.load(tmp_path / "net.prototxt", weights="random")
    caffe.save(tmp_path / "caffe.safetensors")
    again = pycnn.load(tmp_path / "caffe.safetensors")
    (size,) = caffe.graph.inputs.values()
    image = rng.standard_normal((2, *size), np.float32)
    np.testing.assert_array_equal(again.run(image), caffe.run(image))


def test_what_the_file_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with_new_head(["a"]).save(path)
    with pytest.raises(ValueError, match="has no option 'activation'"):
        pycnn.load(path, activation="relu")
    with pytest.raises(WeightsError, match="2 missing:"):
        pycnn.load("lenet5", weights=path)


def test_a_description_that_an_npz_cannot_hold(tmp_path: Path) -> None:
    graph, arrays = one_op("relu", np.random.default_rng(0))
    names = [bytes(np.random.default_rng(i).bytes(60)).hex() for i in range(2_000)]
    model = Model(graph, ArrayWeights(arrays), labels=names)
    with pytest.raises(UnsupportedError, match="bytes of metadata; an npz file takes 65,535"):
        model.save(tmp_path / "a.npz")
    model.save(tmp_path / "a.safetensors")
    assert pycnn.load(tmp_path / "a.safetensors").labels == tuple(names)
    model.labels = tuple(names[:600])  # which it holds compressed
    model.save(tmp_path / "a.npz")
    assert pycnn.load(tmp_path / "a.npz").labels == model.labels


# Hostile descriptions ---------------------------------------------------------------------------

SMALL = Graph("small")
SMALL.output(
    SMALL.linear(
        "fc",
        SMALL.flatten(
            "f",
            SMALL.max_pool2d(
                "p",
                SMALL.conv2d(
                    "c", SMALL.clip("k", SMALL.input("x", (2, 6, 6)), 0.0), 3, 3, bias=True
                ),
                2,
            ),
        ),
        4,
    )
)


def written(path: Path, description: Any, graph: Graph = SMALL) -> Path:
    arrays = {name: np.ones(shape, np.float32) for name, shape in graph.parameters.items()}
    save_file(arrays, path, {"pycnn.graph": json.dumps(description)})
    return path


Change = Callable[[dict[str, Any]], Any]


def at(*keys: Any, value: Any) -> Change:
    def change(found: dict[str, Any]) -> None:
        item: Any = found
        for key in keys[:-1]:
            item = item[key]
        item[keys[-1]] = value

    return change


HOSTILE: list[tuple[Change, str]] = [
    (at("version", value=2), r"version 2, only 1 is known"),
    (at("inputs", value=[]), "inputs: expected names"),
    (at("inputs", value={}), "'k' reads 'x', not known yet"),
    (at("inputs", "x", value=[2, 6]), "expected a list of 3"),
    (at("inputs", "x", value=[2, 6, 1 << 40]), "an integer of 1 to"),
    (at("inputs", "x", value=[1 << 30] * 3), "more than 2,147,483,648 numbers"),
    (at("inputs", "x", value=[True, 6, 6]), "expected an integer"),
    (at("nodes", value=None), "nodes: expected a list"),
    (at("nodes", value=[None] * 20_001), "a list of at most 20,000"),
    (at("nodes", 1, value=7), "node 1, None: expected named fields, got 7"),
    (at("nodes", 1, "op", value="exec"), "node 1, 'c': op 'exec' is unknown"),
    (at("nodes", 1, "op", value=[]), "expected a text"),
    (at("nodes", 1, "inputs", value=["f"]), "'c' reads 'f', not known yet"),  # a cycle
    (at("nodes", 1, "inputs", value=["c"]), "'c' reads 'c', not known yet"),
    (at("nodes", 1, "inputs", value=[]), "0 inputs, expected 1 to 1"),
    (at("nodes", 1, "inputs", value=["k", "k"]), "2 inputs, expected 1 to 1"),
    (at("nodes", 1, "name", value="k"), "already has a layer 'k'"),
    (at("nodes", 1, "name", value="\ud800"), "surrogates not allowed"),
    (at("nodes", 1, "name", value="n" * 4097), "a text of at most 4096 characters"),
    (at("nodes", 1, "attrs", "stride", value=[0, 1]), "'c': stride: expected an integer of 1"),
    (at("nodes", 1, "attrs", "stride", value=2), "'c': stride: expected a list of 2"),
    (at("nodes", 1, "attrs", "groups", value=3), "output channels in 3 groups|the input has 2"),
    (at("nodes", 1, "attrs", "padding", value=[1 << 31] * 4), "padding: expected an integer"),
    (at("nodes", 1, "attrs", "algorithm", value="magic"), "'magic'"),
    (at("nodes", 1, "attrs", "relu", value=True), "attrs: unknown 'relu'"),
    (at("nodes", 1, "attrs", value={}), "attrs: no algorithm, dilation, groups, padding, stride"),
    (at("nodes", 1, "params", value={}), "params: no weight"),
    (at("nodes", 1, "params", "scale", value="c.bias"), "params: unknown 'scale'"),
    (at("nodes", 1, "params", "weight", value="d.weight"), "has no tensor 'd.weight'"),
    (at("nodes", 1, "params", "weight", value="c.bias"), "expected \\(K, C, R, S\\)"),
    (at("nodes", 1, "params", "bias", value="fc.bias"), "the bias has shape \\(4,\\)"),
    (at("nodes", 4, "params", "bias", value="c.bias"), "the bias has shape \\(3,\\)"),
    (at("nodes", 0, "attrs", "low", value="nan"), "low: expected a number"),
    (at("nodes", 0, "attrs", "low", value=float("nan")), "low: expected a number"),
    (at("nodes", 0, "attrs", "low", value=10**400), "low: expected a number"),
    (at("nodes", 0, "attrs", "low", value=False), "low: expected a number"),
    (at("nodes", 2, "attrs", "window_rule", value="tf"), "expected one of torch, caffe"),
    (at("nodes", 2, "attrs", "ceil_mode", value=1), "expected true or false"),
    (at("outputs", value={}), "no input or no output"),
    (at("outputs", value={"y": "z"}), "has no layer 'z'"),
    (at("outputs", value={"y": 1}), "expected a text"),
    (at("extra", value=1), "unknown 'extra'"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_hostile_descriptions(change: Change, message: str, tmp_path: Path) -> None:
    found = copy.deepcopy(graph_to_dict(SMALL))
    pycnn.load(written(tmp_path / "good.safetensors", found))
    change(found)
    path = written(tmp_path / "bad.safetensors", found)
    with pytest.raises(ModelFormatError, match=message) as caught:
        pycnn.load(path)
    assert str(caught.value).startswith(f"{path}: graph: ")
    assert len(str(caught.value)) < 400 + len(str(path))


def test_hostile_tables_of_connections(tmp_path: Path) -> None:
    graph = Graph("table")
    x = graph.input("x", (3, 5, 5))
    graph.output(graph.conv2d("c", x, 2, 3, connections=[[0, 1], [2]]))
    for key, value, message in (
        ("connections", [[0], [2]], "has not one filter for each"),
        ("connections", [[0, 1], [3]], "a channel beyond 3"),
        ("connections", [[0, 1, 2]] + [[]] * 200_000, "more than max_bytes"),
        ("in_channels", 4, "the input has 3"),
    ):
        found = copy.deepcopy(graph_to_dict(graph))
        found["nodes"][0]["attrs"][key] = value
        path = written(tmp_path / "bad.safetensors", found, graph)
        with pytest.raises(ModelFormatError, match=f"node 0, 'c': .*{message}"):
            pycnn.load(path, max_bytes=1 << 24)
    found = copy.deepcopy(graph_to_dict(graph))
    del found["nodes"][0]["attrs"]["in_channels"]
    with pytest.raises(ModelFormatError, match="in_channels: missing"):
        pycnn.load(written(tmp_path / "bad.safetensors", found, graph))


def test_a_constant_without_its_shape(tmp_path: Path) -> None:
    graph = Graph("constant")
    x = graph.input("x", (2, 3, 3))
    attrs = {"kind": "add", "shape": (2, 3, 3)}
    graph.output(graph.add_node("b", "binary", [x], attrs, {"weight": (2, 3, 3)}))
    found = copy.deepcopy(graph_to_dict(graph))
    del found["nodes"][-1]["attrs"]["shape"]
    with pytest.raises(ModelFormatError, match="shape: missing"):
        pycnn.load(written(tmp_path / "bad.safetensors", found, graph))


def test_a_permutation_of_many_axes(tmp_path: Path) -> None:
    graph, _ = one_op("permute", np.random.default_rng(0))
    found = copy.deepcopy(graph_to_dict(graph))
    found["nodes"][-1]["attrs"]["dims"] = [2] * 500_000
    with pytest.raises(ModelFormatError, match="dims: expected a list of at most 8") as caught:
        pycnn.load(written(tmp_path / "bad.safetensors", found, graph))
    assert len(str(caught.value)) < 1000


def test_only_what_can_be_read_back_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for number, name, message in (
        (float("nan"), "clip", "not JSON compliant|low: expected a number"),
        (0.0, "n" * 5000, "a text of at most 4096 characters"),
    ):
        graph = Graph("strange")
        graph.output(graph.clip(name, graph.input("x", (2, 3, 3)), number))
        with pytest.raises(UnsupportedError, match=f"strange cannot be saved: .*({message})"):
            Model(graph, ArrayWeights({})).save(path)
        assert not path.exists()


def test_a_layer_named_as_the_softmax_of_the_output() -> None:
    graph = Graph("names")
    y = graph.clip("y", graph.input("x", (4, 1, 1)), 0.0)
    graph.output(y)
    graph.output(graph.clip("softmax of y", y, 0.0))
    found = Model(graph, ArrayWeights({})).probabilities(np.ones((1, 4, 1, 1), np.float32))
    np.testing.assert_allclose(found.reshape(-1), 0.25)


def test_text_that_is_no_description(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    for text, message in (
        ("{", "graph is no JSON"),
        ("[" * 100_000, "graph is no JSON"),
        ("[]", "expected named fields"),
        ("9" * 5_000, "graph is no JSON"),
        (" " * (17 << 20), "graph: more than 16,777,216 characters"),
    ):
        save_file({"a": np.zeros(1, np.float32)}, path, {"pycnn.graph": text})
        with pytest.raises(ModelFormatError, match=message):
            pycnn.load(path)


ODD: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2, 3, 7, 16, 255, 1 << 15, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 63),
    *(10**30, 0.5, -0.0, 1e308, "inf", "", "x", "c", "c.weight", [], {}, [1, 1], [0, 0, 0, 0]),
)


def places(item: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of what JSON gave."""
    keys = list(item) if isinstance(item, dict) else range(len(item))
    found = [(item, key) for key in keys]
    return found + [
        p for key in keys if isinstance(item[key], (dict, list)) for p in places(item[key])
    ]


def mutant(good: dict[str, Any], rng: Rng) -> dict[str, Any]:
    """One to three values are replaced by odd ones, by others of the description, or left out."""
    found = copy.deepcopy(good)
    for _ in range(1 + int(rng.integers(3))):
        every = places(found)
        container, key = every[int(rng.integers(len(every)))]
        what = rng.random()
        if what < 0.6:
            container[key] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
        elif what < 0.9:
            other, place = every[int(rng.integers(len(every)))]
            container[key] = copy.deepcopy(other[place])
        else:
            del container[key]
    return found


def test_mutated_descriptions(tmp_path: Path) -> None:
    graphs = [
        SMALL,
        *(one_op(op, np.random.default_rng(0))[0] for op in ("slice", "pad", "binary", "lrn")),
        *(one_op(op, np.random.default_rng(0))[0] for op in ("permute", "avg_pool2d", "concat")),
    ]
    good = [graph_to_dict(graph) for graph in graphs]
    path = tmp_path / "mutant.safetensors"

    def load_and_run(path: Path, max_bytes: int) -> None:
        model = pycnn.load(path, max_bytes=max_bytes)
        if model.memory().total_bytes < 1 << 24:
            try:
                model.run(
                    {
                        name: np.zeros((1, *size), np.float32)
                        for name, size in model.graph.inputs.items()
                    }
                )
            except PycnnError as error:  # what only the shapes of a run show
                raise type(error)(f"{path.name}: {error}") from None

    outcomes = collections.Counter()
    for i in range(MUTATIONS):
        which = i % len(graphs)
        written(path, mutant(good[which], np.random.default_rng([5, i])), graphs[which])
        outcomes[mutate.survives(load_and_run, path, path.read_bytes())] += 1
    assert set(outcomes) <= {"read", "ModelFormatError", "UnsupportedError", "WeightsError"}
    assert outcomes["read"] > MUTATIONS / 50, outcomes
    assert outcomes["ModelFormatError"] > MUTATIONS / 4, outcomes
