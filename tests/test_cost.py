"""What layers cost, and what other geometries would do."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pycnn
from pycnn import Graph
from pycnn.inside import explain_cost, what_if
from pycnn.models import find, variants
from pycnn.receptive_field import fields
from pycnn.summary import summarize


def test_the_papers_example() -> None:
    """Szegedy et al. 2014: 28 x 28, 192 channels, 5 x 5 to 32, through 16."""
    cost = explain_cost(find("inception_v1").graph(), "inception_3a/5x5")
    assert cost.macs == 28 * 28 * 32 * 5 * 5 * 16
    assert cost.formula == "28 * 28 * 32 * 5 * 5 * 16"
    saving = cost.saving
    assert saving is not None
    assert saving.layer == "inception_3a/5x5_reduce"
    assert (saving.macs_without, saving.total_macs) == (120_422_400, 12_443_648)
    assert saving.ratio == pytest.approx(9.68, abs=0.01)
    assert "120,422,400" in str(cost) and "12,443,648" in str(cost)
    assert "120,422,400" in cost._repr_html_()


@pytest.mark.parametrize("name", [v.id for v in variants()])
def test_every_layer_of_every_network_is_explained(name: str) -> None:
    graph = find(name).graph()
    table = {row.name: row for row in summarize(graph).rows}
    macs = graph.macs()
    # A layer of each kind and place; all of the deepest networks would take seconds.
    for node in graph.nodes[:: 1 + len(graph.nodes) // 25]:
        cost = explain_cost(graph, node.name)
        assert cost.macs == macs[node.name]
        if cost.formula:
            assert math.prod(map(int, cost.formula.split(" * "))) == cost.macs
        else:
            assert cost.macs == 0
        if node.name in table:
            row = table[node.name]
            assert cost.parameters == row.parameters
            assert cost.activation_bytes == row.activation_bytes
            assert cost.receptive_field == row.receptive_field


def test_bottlenecks() -> None:
    resnet = find("resnet50").graph()
    assert explain_cost(resnet, "res2a_branch2b").saving is None  # 64 channels in, 64 out
    saving = explain_cost(resnet, "res2b_branch2b").saving
    assert saving is not None and saving.channels == (256, 64)  # behind batch norm and ReLU
    assert explain_cost(resnet, "res2b_branch2a").bottleneck_of == "res2b_branch2b"
    assert explain_cost(find("alexnet").graph(), "conv2").groups == 2
    assert explain_cost(find("alexnet").graph(), "conv2").saving is None


def test_near_names() -> None:
    with pytest.raises(pycnn.UnknownNameError, match="did you mean 'inception_3a/5x5'"):
        explain_cost(find("inception_v1").graph(), "inception_3a/5x")


def test_what_if_there_were_no_bottleneck() -> None:
    graph = find("inception_v1").graph()
    found = what_if(graph, "inception_3a/5x5", bottleneck=None)
    assert found.after.macs - found.before.macs == 120_422_400 - 12_443_648
    assert found.graph.param_shapes(found.graph.node("inception_3a/5x5"))["weight"] == (
        *(32, 192, 5, 5),
    )
    gone = {change.layer for change in found.changes if change.shape_after is None}
    assert gone == {"inception_3a/5x5_reduce", "inception_3a/relu_5x5_reduce"}
    assert "+6.8%" in str(found) and "+6.8%" in found._repr_html_()


def test_what_if_there_were_one() -> None:
    graph = find("vgg16").graph()
    found = what_if(graph, "conv3_2", bottleneck=64)
    saving = explain_cost(found.graph, "conv3_2").saving
    assert saving is not None
    assert saving.macs_without == graph.macs()["conv3_2"]
    assert found.before.macs - found.after.macs == saving.macs_without - saving.total_macs
    # One that is there gets another width.
    graph = find("inception_v1").graph()
    found = what_if(graph, "inception_3a/5x5", bottleneck=32)
    assert len(found.graph.nodes) == len(found.before.rows)
    macs = found.graph.macs()
    assert macs["inception_3a/5x5"] == 2 * graph.macs()["inception_3a/5x5"]
    assert macs["inception_3a/5x5_reduce"] == 2 * graph.macs()["inception_3a/5x5_reduce"]


def test_a_strided_bottleneck_leaves_its_stride() -> None:
    graph = find("resnet50@msra").graph()
    found = what_if(graph, "res3a_branch2b", bottleneck=None)
    assert found.graph.node("res3a_branch2b").attrs["stride"] == (2, 2)


def test_shapes_follow_downstream() -> None:
    found = what_if(find("alexnet").graph(), "conv1", stride=2)
    shapes = found.graph.shapes()
    assert shapes["conv1"] == (1, 96, 109, 109)
    assert shapes["flatten"] == (1, 256 * 13 * 13, 1, 1)
    assert found.graph.parameters["fc6.weight"] == (4096, 256 * 13 * 13)
    wide = what_if(find("resnet50").graph(), "res2a_branch2b", width=128)
    assert wide.graph.parameters["bn2a_branch2b.running_var"] == (128,)
    assert wide.graph.parameters["res2a_branch2c.weight"] == (256, 128, 1, 1)
    assert wide.to_dict()["after"]["macs"] == wide.after.macs
    assert wide.changes[0].layer == "res2a_branch2b"


@pytest.mark.parametrize(
    ("network", "layer", "width", "follow"),
    [
        ("resnet50", "res2b_branch2c", 8, {"res2a_branch1", "res2a_branch2c", "res2c_branch2c"}),
        ("resnet20", "conv1", 24, {f"res2{block}_branch2b" for block in "abc"}),
        ("resnet20", "res3a_branch2b", 48, {"res3a_branch1", "res3b_branch2b", "res3c_branch2b"}),
        ("vgg16", "conv3_2", 8, set()),
    ],
)
def test_what_is_summed_gets_the_same_width(
    network: str, layer: str, width: int, follow: set[str]
) -> None:
    changed = what_if(find(network).graph(), layer, width=width).graph
    shapes, before = changed.shapes(), find(network).graph().shapes()
    makers = {
        node.name
        for node in changed.nodes
        if node.op in ("conv2d", "shortcut_a") and shapes[node.name] != before[node.name]
    }
    assert makers == follow | {layer}
    assert all(shapes[name][1] == width for name in makers)


def test_an_input_has_the_width_that_it_has() -> None:
    graph = pycnn.Graph("with_input")
    x = graph.input("data", (3, 8, 8))
    graph.output(graph.add("sum", x, graph.conv2d("conv", x, 3, 3, padding=1)))
    with pytest.raises(pycnn.ShapeError, match="layer 'sum' of with_input"):
        what_if(graph, "conv", width=4)


@pytest.mark.parametrize(
    ("layer", "kernel_size", "padding"),
    [
        ("conv1/7x7_s2", 3, (1, 1, 1, 1)),
        ("inception_3a/1x1", 3, (1, 1, 1, 1)),
        ("inception_3a/3x3", 1, (0, 0, 0, 0)),
        ("inception_3a/3x3", 4, (1, 2, 1, 2)),
        ("inception_3a/pool", 5, (2, 2, 2, 2)),
    ],
)
def test_another_filter_keeps_the_size(
    layer: str, kernel_size: int, padding: tuple[int, ...]
) -> None:
    graph = find("inception_v1").graph()
    changed = what_if(graph, layer, kernel_size=kernel_size).graph
    assert changed.node(layer).attrs["padding"] == padding
    assert changed.shapes() == graph.with_outputs(graph.outputs).shapes()


def test_another_filter_of_a_dilated_layer_keeps_the_size() -> None:
    graph = pycnn.Graph("dilated")
    x = graph.input("data", (3, 16, 16))
    graph.output(graph.conv2d("conv", x, 4, 3, padding=(2, 2, 3, 3), dilation=(2, 3)))
    changed = what_if(graph, "conv", kernel_size=5).graph
    assert changed.node("conv").attrs["padding"] == (4, 4, 6, 6)
    assert changed.node("conv").attrs["dilation"] == (2, 3)
    assert changed.shapes()["conv"] == (1, 4, 16, 16)


@pytest.mark.parametrize(
    ("network", "layer", "asked", "error", "message"),
    [
        ("resnet50", "res2a", {"width": 8}, pycnn.UnsupportedError, r"'res2a' \(add\) has no wid"),
        ("vgg16", "fc6", {"stride": 2}, pycnn.UnsupportedError, "has no stride, only width"),
        ("vgg16", "pool1", {"width": 2}, pycnn.UnsupportedError, "only stride, kernel_size"),
        ("vgg16", "conv1_1", {"bottleneck": None}, pycnn.UnsupportedError, "no bottleneck in fr"),
        ("alexnet", "conv2", {"bottleneck": 8}, pycnn.UnsupportedError, "has groups"),
        ("alexnet", "conv2", {"width": 255}, pycnn.ShapeError, "layer 'conv2'"),
        (
            "resnet50",
            "res3a_branch2a",
            {"stride": 2},
            pycnn.ShapeError,
            "layer 'res3a' of resnet50",
        ),
        ("inception_v1", "inception_3a/3x3", {"stride": 2}, pycnn.ShapeError, "inception_3a/outp"),
        ("lenet5_1998", "c3", {"width": 8}, pycnn.UnsupportedError, "table of connections"),
        ("lenet5_1998", "c1", {"width": 8}, pycnn.ShapeError, "connects 6 maps, and the input has"),
        ("vgg16", "conv1_1", {"width": 0}, ValueError, "width must be an integer of at least 1"),
        ("vgg16", "conv1_1", {}, ValueError, "nothing to change"),
        ("vgg16", "conv11", {"width": 1}, pycnn.UnknownNameError, "did you mean 'conv1_1'"),
    ],
)
def test_what_cannot_be(
    network: str, layer: str, asked: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        what_if(find(network).graph(), layer, **asked)


# Receptive fields --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "layer", "size"),
    [
        ("alexnet", "conv5", 163),
        ("vgg16", "conv5_3", 196),
        ("vgg16", "pool5", 212),
        ("resnet50@msra", "res5c_relu", 483),  # Araujo, Norris, Sim 2019, of ResNet v1
        ("resnet101@msra", "res5c_relu", 1027),
        ("inception_v1", "conv2/3x3", 19),
        ("plain18", "res5b_relu", 435),
    ],
)
def test_published_receptive_fields(network: str, layer: str, size: int) -> None:
    assert fields(find(network).graph())[layer].size == (size, size)


@pytest.mark.parametrize("network", ["lenet5", "resnet20", "nin_cifar10"])
def test_a_unit_sees_its_field_and_nothing_else(network: str) -> None:
    """A pixel changes the units whose box holds it, and no others."""
    # Winograd's tiles pass roundings on to their neighbours.
    model = pycnn.load(network, weights="random", check_input=False, winograd=False)
    c, h, w = next(iter(model.graph.inputs.values()))
    x = np.random.default_rng(0).standard_normal((1, c, h, w)).astype(np.float32)
    row, column = 13, 9
    y = x.copy()
    y[:, :, row, column] += 10
    found = fields(model.graph)
    layers = [n for n in model.taps[1:] if model.graph.shapes()[n][2] > 1]
    before, after = model.run(x, taps=layers), model.run(y, taps=layers)
    for layer in layers:
        changed = (before[layer] != after[layer]).any(axis=(0, 1))
        for i, j in np.ndindex(*changed.shape):
            top, left, lower, right = found[layer].box(i, j)
            if changed[i, j]:
                assert top <= row < lower and left <= column < right, (layer, i, j)
        assert changed.any() or network == "resnet20", layer


def test_fields_of_moves() -> None:
    g = Graph("moves")
    x = g.input("data", (3, 16, 16))
    g.pad("pad", x, (2, 0, 1, 0))
    g.slice("slice", x, (None, None, None), (4, None, 2), (None, None, None))
    g.slice("mirror", x, (None, None, None), (None, None, None), (None, None, -1))
    g.conv2d("dilated", x, 4, 3, dilation=2, padding=2)
    g.global_avg_pool("pool", x)
    found = fields(g)
    assert found["pad"].box(0, 0) == (-2, -1, -1, 0)
    assert found["slice"].box(1, 0) == (6, 0, 7, 1)
    assert found["mirror"].size == (1, 16)
    assert found["dilated"].box(0, 0) == (-2, -2, 3, 3)
    assert found["pool"].size == (16, 16)
