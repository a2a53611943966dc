"""In what two networks differ."""

from __future__ import annotations

import pycnn
from pycnn.inside import diff


def test_two_networks_of_one_name() -> None:
    """As a model and what was edited of it: both sides are there."""
    model = pycnn.load("lenet5")
    found = diff(model.graph, model.edit(drop="s2/tanh").graph).to_dict()
    assert found["a"] == found["b"] == "lenet5"
    rows = {row.pop("what"): row for row in found["differences"]}
    assert rows["layers: tanh"] == {"a": "4", "b": "3"}
    assert rows["s2/tanh"] == {"a": "tanh scale=1 slope=1", "b": "-"}


def two_convolutions(first: str = "p", second: str = "q", data: str = "data") -> pycnn.Graph:
    graph = pycnn.Graph("two")
    x = graph.input(data, (3, 8, 8))
    a = graph.conv2d("a", x, 4, 3)
    b = graph.conv2d("b", a, 4, 3)
    graph.output(a, first)
    graph.output(b, second)
    return graph


def test_outputs_and_inputs_of_other_names() -> None:
    a, b = two_convolutions(), two_convolutions("q", "p")
    (row,) = diff(a, b).rows
    assert (row.what, row.a, row.b) == ("outputs", "p of a, q of b", "q of a, p of b")
    rows = {row.what: (row.a, row.b) for row in diff(a, two_convolutions(data="x")).rows}
    assert rows["input"] == ("data 3 x 8 x 8", "x 3 x 8 x 8")
    assert not diff(a, two_convolutions())


def test_layers_at_other_places() -> None:
    """Each follows the one before it, which is not written, and nothing has another cost."""
    graphs = []
    for steps in (("relu", "tanh", "sigmoid"), ("tanh", "relu", "sigmoid")):
        graph = pycnn.Graph("chain")
        x = graph.input("data", (3, 8, 8))
        for step in steps:
            x = graph.add_node(step, step, [x])
        graph.output(x)
        graphs.append(graph)
    (row,) = diff(*graphs).rows
    assert (row.what, row.a, row.b) == ("order", "relu, tanh", "tanh, relu")


def test_parameters_of_other_names() -> None:
    graphs = []
    for names in ({}, {"weight": "shared.weight"}):
        graph = pycnn.Graph("named")
        x = graph.input("data", (3, 8, 8))
        shapes = {"weight": (4, 3, 1, 1)}
        how = two_convolutions().node("a").attrs
        graph.output(graph.add_node("a", "conv2d", [x], how, shapes, names))
        graphs.append(graph)
    (row,) = diff(*graphs).rows
    assert row.what == "a" and row.b == f"{row.a} weight=shared.weight"


def test_layers_that_are_called_as_facts_are() -> None:
    graphs = []
    for width in (4, 5):
        graph = pycnn.Graph("facts")
        x = graph.input("data", (3, 8, 8))
        x = graph.conv2d("MACs", x, width, 1, bias=False)
        graph.output(graph.conv2d("input", x, 2, 1, bias=False))
        graphs.append(graph)
    rows = {row.what: (row.a, row.b) for row in diff(*graphs).rows}
    assert rows == {
        "parameters": ("20", "25"),
        "MACs": ("1,280", "1,600"),
        "layer MACs": ("conv2d 4x3x1x1 stride=1", "conv2d 5x3x1x1 stride=1"),
        "layer input": ("conv2d 2x4x1x1 stride=1", "conv2d 2x5x1x1 stride=1"),
    }
