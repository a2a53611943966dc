"""Which layer is the head, where a network can be cut, and heads that are replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pycnn
from pycnn import Graph, Model
from pycnn.models import find, variants
from pycnn.surgery import cut_points, edited, head_of, tail, with_classifier, with_head
from pycnn.weights import ArrayWeights, RandomWeights

# What the papers' Caffe files call the last layer with weights.
HEADS = {
    "lenet5": "output",
    "alexnet": "fc8",
    "vgg": "fc8",
    "resnet": ("fc1000", "fc10"),
    "plain": ("fc1000", "fc10"),
    "nin_cifar10": "cccp6",
    "nin": "cccp8-1024",
    "inception_v1": "loss3/classifier",
}


@pytest.mark.parametrize("name", [v.id for v in variants() if v.name != "lenet5_1998"])
def test_the_head_of_every_network_is_found(name: str) -> None:
    graph = find(name).graph()
    head = head_of(graph).name
    expected = next(head for prefix, head in HEADS.items() if name.startswith(prefix))
    assert head == expected or head in expected
    changed = with_head(graph, 7)
    (output,) = changed.outputs.values()
    assert changed.shapes()[output] == (1, 7, 1, 1)
    differing = {n for n, shape in changed.parameters.items() if graph.parameters[n] != shape}
    assert differing == set(changed.node(head).params.values())


def build(*layers: Callable[[Graph, str], str]) -> Graph:
    g = Graph("net")
    x = g.input("data", (3, 8, 8))
    for layer in layers:
        x = layer(g, x)
    g.output(x)
    return g


def conv(g: Graph, x: str) -> str:
    return g.conv2d("conv", x, 4, 3)


def pool(g: Graph, x: str) -> str:
    return g.global_avg_pool("pool", x)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: find("lenet5_1998").graph(), r"'output' \(rbf\)"),
        (lambda: build(pool), "no head: no layer with weights"),
        (lambda: build(conv), r"'conv' .*does not give one number for each class"),
        (lambda: build(conv, lambda g, x: g.batch_norm("bn", x), pool), r"'bn' \(batch_norm\)"),
        (
            lambda: build(conv, pool, lambda g, x: g.add("add", x, x)),
            r"'add' \(add\) stands between",
        ),
        (
            lambda: build(conv, lambda g, x: g.avg_pool2d("part", x, 2)),
            "does not give one number for each class",
        ),
        (
            lambda: build(lambda g, x: g.conv2d("conv", x, 3, 3, groups=3), pool),
            "does not give one number for each class",
        ),
    ],
)
def test_networks_without_a_head(graph: Callable[[], Graph], message: str) -> None:
    with pytest.raises(pycnn.UnsupportedError, match=message):
        head_of(graph())


def test_a_head_that_serves_two_is_refused() -> None:
    graph = build(conv, lambda g, x: g.relu("relu", x), pool)
    graph.output("conv", "other")
    graph.output(graph.global_max_pool("max", "conv"), "third")
    with pytest.raises(pycnn.UnsupportedError, match="also serves relu, max"):
        head_of(graph)


def test_replace_head_is_told_how_many_classes() -> None:
    with pytest.raises(TypeError, match="their names are labels="):
        pycnn.load("lenet5").replace_head(["cat", "dog"])  # type: ignore[arg-type]


def test_replace_head_keeps_everything_else(rng: np.random.Generator) -> None:
    model = pycnn.load("lenet5")
    small = model.replace_head(3, labels=["a", "b", "c"], seed=4)
    x = rng.standard_normal((2, 1, 32, 32)).astype(np.float32)
    assert small.run(x).shape == (2, 3)
    np.testing.assert_array_equal(small.run(x, until="f6/tanh"), model.run(x, until="f6/tanh"))
    assert small.labels == ("a", "b", "c")
    assert small.preprocessing == model.preprocessing
    assert small.variant is None
    assert model.run(x).shape == (2, 10)
    same = model.replace_head(3, seed=4)
    np.testing.assert_array_equal(same.run(x), small.run(x))
    assert same.labels is None
    assert not np.array_equal(model.replace_head(3, seed=5).run(x), small.run(x))


def test_replace_head_leaves_auxiliary_heads_out() -> None:
    model = pycnn.load("inception_v1", weights="random", aux=True).replace_head(5)
    assert list(model.graph.outputs.values()) == ["loss3/classifier"]
    assert not any(name.startswith(("loss1", "loss2")) for name in model.graph.parameters)


def test_bad_heads() -> None:
    model = pycnn.load("lenet5")
    with pytest.raises(ValueError, match="2 labels for 3 classes"):
        model.replace_head(3, labels=["a", "b"])
    with pytest.raises(pycnn.ShapeError, match="one class at least"):
        model.replace_head(0)


def test_cut_points_of_inception_lie_between_modules() -> None:
    graph = find("inception_v1").graph()
    main = graph.with_outputs({"loss3/classifier": "loss3/classifier"})
    points = cut_points(main)
    assert "inception_3a/output" in points
    assert "conv1/7x7_s2" in points
    assert not any("/3x3_reduce" in p or "/5x5" in p for p in points if p.startswith("inception"))


@pytest.mark.parametrize("layer", ["pool2/3x3_s2", "inception_4c/output", "pool5/7x7_s1"])
def test_a_tail_goes_on_where_the_trunk_ends(layer: str, rng: np.random.Generator) -> None:
    model = pycnn.load("inception_v1", weights="random", check_input=False)
    graph = model.graph.with_outputs(model.graph.outputs)
    after = tail(graph, layer)
    content = model.content()
    rest = Model(after, ArrayWeights({name: content.read(name) for name in after.parameters}))
    x = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    between, whole = model.run(x, taps=[layer], until=layer)[layer], model.run(x)
    np.testing.assert_allclose(rest.run(between), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (
            "inception_4a/3x3",
            pycnn.UnsupportedError,
            "can at 'pool3/3x3_s2' or 'inception_4a/output'",
        ),
        ("inception_4a/outptu", pycnn.UnknownNameError, "did you mean 'inception_4a/output'"),
        ("loss3/classifier", pycnn.UnsupportedError, "cannot be cut at 'loss3/classifier'"),
    ],
)
def test_where_a_network_cannot_be_cut(layer: str, error: type[Exception], message: str) -> None:
    graph = find("inception_v1").graph()
    with pytest.raises(error, match=message):
        tail(graph.with_outputs({"loss3/classifier": "loss3/classifier"}), layer)


def test_with_classifier_averages_images() -> None:
    graph = with_classifier(build(conv, pool), "conv", 5)
    model = Model(graph, RandomWeights(graph))
    assert model.graph.names() == ["data", "conv", "features/pool", "features", "classifier"]
    assert model.run(np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 5)


# Editing ------------------------------------------------------------------------------------------


def test_dropping_a_layer(rng: np.random.Generator) -> None:
    model = pycnn.load("nin_cifar10", weights="random", check_input=False)
    edited = model.edit(drop=["drop3", "drop6"])
    x = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    np.testing.assert_array_equal(edited.run(x), model.run(x))  # dropout is the identity
    assert "drop3" not in edited.taps
    assert "drop3" in model.taps
    assert edited.labels == model.labels
    last = model.edit(drop="flatten")
    assert last.graph.outputs == {"flatten": "pool3"}
    np.testing.assert_array_equal(last.run(x).reshape(2, 10), model.run(x))


def test_replacing_a_layer(rng: np.random.Generator) -> None:
    model = pycnn.load("lenet5", check_input=False)
    x = rng.standard_normal((2, 1, 32, 32)).astype(np.float32)
    edited = model.edit(replace={"f6/tanh": lambda g, x: g.relu("f6/relu", x)})
    before = model.run(x, taps=["f6"], until="f6")["f6"]
    np.testing.assert_array_equal(edited.run(x, until="f6/relu"), np.maximum(before, 0))
    # A wider layer: what reads it gets new weights, the rest stays.
    wide = model.edit(replace={"f6": lambda g, x: g.linear("f6", x, 90)}, seed=3)
    assert wide.graph.parameters["output.weight"] == (10, 90)
    np.testing.assert_array_equal(wide.run(x, until="c5/tanh"), model.run(x, until="c5/tanh"))
    # Two inputs.
    residual = pycnn.load("resnet20", weights="random", check_input=False)
    product = residual.edit(
        replace={"res2a": lambda g, a, b: g.binary("res2a", a, b, kind="multiply")}
    )
    assert product.graph.node("res2a").inputs == residual.graph.node("res2a").inputs


def test_inserting_a_layer(rng: np.random.Generator) -> None:
    model = pycnn.load("lenet5", check_input=False)
    x = rng.standard_normal((2, 1, 32, 32)).astype(np.float32)
    twice = model.edit(insert={"data": lambda g, x: g.affine("twice", x, scale=2)})
    np.testing.assert_array_equal(twice.run(x), model.run(2 * x))
    values = {"scale.weight": np.full(6, 2), "scale.bias": np.zeros(6)}
    arrays = {name: value.astype(np.float32) for name, value in values.items()}
    scaled = model.edit(insert={"c1": lambda g, x: g.channel_affine("scale", x)}, weights=arrays)
    np.testing.assert_allclose(
        scaled.run(x, until="s2"), 2 * model.run(x, until="s2"), rtol=1e-5, atol=1e-6
    )
    new_head = model.edit(replace={"output": lambda g, x: g.linear("output", x, 3)})
    assert new_head.labels is None
    assert new_head.preprocessing == model.preprocessing


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"drop": "s22"}, pycnn.UnknownNameError, "did you mean 's2'"),
        ({"replace": {"s22": lambda g, x: x}}, pycnn.UnknownNameError, "did you mean 's2'"),
        ({"insert": {"dat": lambda g, x: x}}, pycnn.UnknownNameError, "did you mean 'data'"),
        ({"insert": {"s2": lambda g, x: None}}, pycnn.UnknownNameError, "built for 's2' is None"),
        ({"drop": "s2", "replace": {"s2": lambda g, x: x}}, ValueError, "dropped and replaced"),
        ({"drop": ["s2", "s4", "flatten"]}, pycnn.ShapeError, "layer 'c5'"),
        ({"weights": {"c9.weight": np.ones(3)}}, pycnn.WeightsError, "no parameter c9.weight"),
        ({"weights": {"c1.bias": np.ones(3)}}, pycnn.WeightsError, r"c1.bias: \(3,\), expected"),
    ],
)
def test_edits_that_cannot_be(how: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pycnn.load("lenet5").edit(**how)


def test_channels_follow_an_edit() -> None:
    def shapes_with(op: Callable[[Graph, str], str]) -> dict[str, tuple[int, ...]]:
        graph = build(conv, op, lambda g, x: g.relu("relu", x))
        wide = edited(graph, replace={"conv": lambda g, x: g.conv2d("conv", x, 8, 3)})
        return wide.parameters

    assert shapes_with(lambda g, x: g.prelu("p", x))["p.weight"] == (8,)
    assert shapes_with(lambda g, x: g.conv2d("d", x, 8, 3, groups=4))["d.weight"] == (16, 1, 3, 3)
    assert shapes_with(lambda g, x: g.conv2d("g", x, 8, 3, groups=2))["g.weight"] == (8, 4, 3, 3)
    graph = build(conv, lambda g, x: g.conv2d("two", x, 8, 3, groups=2))
    with pytest.raises(pycnn.ShapeError, match="layer 'two' of net: 5 channels cannot be cut"):
        edited(graph, replace={"conv": lambda g, x: g.conv2d("conv", x, 5, 3)})
