"""The passes: what they rewrite, what they must leave alone, and that results stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tolerances
from tolerances import assert_close

from pycnn import Graph, Model, _core
from pycnn.compile import compile_graph
from pycnn.graph import Node
from pycnn.opset import OPS
from pycnn.passes import (
    fold_batch_norm,
    fuse_max_pool,
    fuse_relu,
    fuse_residual,
    optimize,
    remove_dropout,
)
from pycnn.weights import RandomWeights, parameter

Build = Callable[[Graph, str], str]


def graph_of(build: Build, channels: int = 20) -> Graph:
    g = Graph("tiny")
    g.output(build(g, g.input("data", (channels, 6, 5))))
    return g


def run(graph: Graph, x: Mapping[str, Any]) -> dict[str, Any]:
    """Run a graph as it is, without passes."""
    weights = RandomWeights(graph, seed=7)

    def pack(node: Node) -> Any:
        spec = OPS[node.op]
        arrays = {role: parameter(weights, graph, name) for role, name in node.params.items()}
        for role in arrays:  # so that a norm or a bias that is lost shows
            if role.endswith(("bias", "running_mean", "running_var")) or arrays[role].ndim == 1:
                arrays[role] = np.linspace(0.5, 1.5, arrays[role].size, dtype=np.float32)
        assert spec.pack is not None
        return spec.pack(node.attrs, arrays)

    plan = compile_graph(
        graph, {name: value.shape for name, value in x.items()}, pack, _core.active_isa()
    )
    return plan.run(list(x.values()), 2, poison=0xFF)


def ops_of(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def check_same(before: Graph, after: Graph, batch: int = 2) -> None:
    rng = np.random.default_rng(0)
    x = {
        name: rng.standard_normal((batch, *size), np.float32)
        for name, size in before.inputs.items()
    }
    expected, got = run(before, x), run(after, x)
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert_close(got[name], value.astype(np.float64), 1e-6, name)


def conv_bn_relu(g: Graph, x: str) -> str:
    return g.relu("r", g.batch_norm("b", g.conv2d("c", x, 33, 3, padding=1), eps=1e-3))


def test_conv_batch_norm_relu_become_one() -> None:
    before = graph_of(conv_bn_relu)
    folded = fold_batch_norm(before)
    assert ops_of(folded) == ["conv2d", "relu"]
    after = fuse_relu(folded)
    assert ops_of(after) == ["conv2d"]
    (node,) = after.nodes
    assert node.name == "r"
    assert node.attrs["relu"] is True
    check_same(before, folded)
    check_same(before, after)


def test_linear_batch_norm_relu_become_one() -> None:
    before = graph_of(
        lambda g, x: g.relu("r", g.batch_norm("b", g.linear("l", g.flatten("f", x), 19)))
    )
    after = optimize(before)
    assert ops_of(after) == ["flatten", "linear"]
    check_same(before, after)


@pytest.mark.parametrize(
    "build",
    [
        lambda g, x: g.batch_norm("b", g.relu("r", g.conv2d("c", x, 5, 1))),
        lambda g, x: g.batch_norm("b", g.max_pool2d("p", x, 2)),
        lambda g, x: g.batch_norm("b2", g.batch_norm("b1", x)),
    ],
)
def test_batch_norms_that_have_nothing_to_fold_into(build: Build) -> None:
    before = graph_of(build)
    after = optimize(before)
    assert "batch_norm" in ops_of(after)
    check_same(before, after)


def test_two_batch_norms_fold_once() -> None:
    before = graph_of(lambda g, x: g.batch_norm("b2", g.batch_norm("b1", g.conv2d("c", x, 5, 1))))
    after = optimize(before)
    assert ops_of(after) == ["conv2d", "batch_norm"]
    check_same(before, after)


def test_what_is_an_output_is_left_alone() -> None:
    for name in ("c", "b"):
        before = graph_of(conv_bn_relu)
        before.output(name)
        after = optimize(before)
        assert name in [node.name for node in after.nodes]
        check_same(before, after)


def test_what_has_two_readers_is_left_alone() -> None:
    def build(g: Graph, x: str) -> str:
        c = g.conv2d("c", x, 20, 1)
        return g.add("sum", g.relu("r", c), g.tanh("t", c))

    before = graph_of(build)
    after = optimize(before)
    assert ops_of(after) == ["conv2d", "relu", "tanh", "add"]
    check_same(before, after)


def residual_block(projection: bool) -> Build:
    def build(g: Graph, x: str) -> str:
        shortcut = g.batch_norm("b1", g.conv2d("c1", x, 20, 1)) if projection else x
        branch = g.relu("r2", g.conv2d("c2", x, 20, 3, padding=1))
        branch = g.batch_norm("b3", g.conv2d("c3", branch, 20, 3, padding=1, bias=False))
        return g.relu("r", g.add("sum", shortcut, branch))

    return build


@pytest.mark.parametrize("projection", [False, True])
def test_a_residual_sum_becomes_an_epilogue(projection: bool) -> None:
    before = graph_of(residual_block(projection))
    after = optimize(before)
    assert ops_of(after) == ["conv2d"] * (3 if projection else 2)
    last = after.nodes[-1]
    assert (last.name, last.attrs["relu"], len(last.inputs)) == ("r", True, 2)
    check_same(before, after)


def test_a_sum_of_a_value_with_itself() -> None:
    before = graph_of(lambda g, x: g.add("sum", g.conv2d("c", x, 5, 1), "c"))
    after = optimize(before)
    assert ops_of(after) == ["conv2d", "add"]
    check_same(before, after)


def test_a_sum_after_a_relu_does_not_fuse() -> None:
    before = graph_of(lambda g, x: g.add("sum", x, g.relu("r", g.conv2d("c", x, 20, 1))))
    after = optimize(before)
    assert ops_of(after) == ["conv2d", "add"]
    check_same(before, after)


def test_a_batch_norm_after_a_fused_sum_stays() -> None:
    """It scales the sum, so it cannot go into the convolution that took the sum."""
    before = graph_of(lambda g, x: g.batch_norm("b", g.add("sum", g.conv2d("c", x, 20, 1), x)))
    once = optimize(before)
    twice = optimize(once)
    assert ops_of(once) == ops_of(twice) == ["conv2d", "batch_norm"]
    check_same(before, once)
    check_same(before, twice)


def test_dropout_is_removed_also_as_an_output() -> None:
    before = graph_of(lambda g, x: g.dropout("d2", g.dropout("d1", g.conv2d("c", x, 5, 1))))
    after = remove_dropout(before)
    assert ops_of(after) == ["conv2d"]
    assert after.outputs == {"d2": "c"}
    check_same(before, after)


def test_the_pass_of_a_residual_alone() -> None:
    before = graph_of(lambda g, x: g.add("sum", g.conv2d("c", x, 20, 1), x))
    after = fuse_residual(before)
    assert ops_of(after) == ["conv2d"]
    check_same(before, after)


# Concatenations are written in place where channels allow it ------------------------------------


def branches(*channels: int) -> Build:
    def build(g: Graph, x: str) -> str:
        return g.concat("cat", [g.conv2d(f"c{i}", x, c, 1) for i, c in enumerate(channels)])

    return build


def copies(graph: Graph) -> int:
    """How many inputs of concatenations are copied."""
    weights = RandomWeights(graph)
    shapes = {name: (1, *size) for name, size in graph.inputs.items()}

    def pack(node: Node) -> Any:
        arrays = {role: parameter(weights, graph, name) for role, name in node.params.items()}
        spec = OPS[node.op]
        return spec.pack(node.attrs, arrays) if spec.pack else None

    plan = compile_graph(graph, shapes, pack, "baseline")
    concats = {node.name for node in graph.nodes if node.op == "concat"}
    outputs = len(graph.outputs)  # each ends with a layout task of its own name
    return sum(name in concats for name in plan.program.names[:-outputs])


@pytest.mark.parametrize(
    ("build", "copied"),
    [
        (branches(16, 32, 48), 0),
        (branches(16, 32, 5), 0),
        (branches(16, 5, 32), 2),
        (branches(3, 16), 2),
        (lambda g, x: g.concat("cat", [x, g.conv2d("c", x, 16, 1)]), 2),
        (lambda g, x: g.concat("cat", [g.conv2d("c", x, 16, 1), "c"]), 2),
        (
            lambda g, x: g.concat(
                "outer", [g.concat("inner", [g.conv2d("a", x, 16, 1), g.conv2d("b", x, 16, 1)]),
                          g.conv2d("c", x, 7, 1)]
            ),
            0,
        ),
        (
            # "a" belongs to both: it can lie in one of them only.
            lambda g, x: g.concat(
                "two", [g.concat("one", [g.conv2d("a", x, 16, 1), g.conv2d("b", x, 16, 1)]), "a"]
            ),
            1,
        ),
        (
            # DenseNet: each layer reads the concatenation of all before it.
            lambda g, x: g.concat(
                "two",
                [g.concat("one", [g.conv2d("a", x, 16, 1), g.conv2d("b", x, 16, 1)]),
                 g.relu("r", g.conv2d("c", "one", 16, 3, padding=1))],
            ),
            0,
        ),
    ],
)  # fmt: skip
def test_concat_in_place(build: Build, copied: int) -> None:
    graph = graph_of(build)
    assert copies(graph) == copied
    rng = np.random.default_rng(5)
    x = {"data": rng.standard_normal((2, 20, 6, 5), np.float32)}
    # Every part as an output of its own is the reference: outputs are compared with slices.
    parts = graph_of(build)
    for node in graph.nodes:
        if node.op == "concat":
            for member in node.inputs:
                parts.output(member)
    (whole,) = run(graph, x).values()
    separate = run(parts, x)

    def joined(name: str) -> Any:
        if name == "data":
            return x["data"]
        node = graph.node(name)
        if node.op != "concat":
            return separate[name]
        return np.concatenate([joined(member) for member in node.inputs], axis=1)

    (last,) = graph.outputs.values()
    np.testing.assert_array_equal(whole, joined(last))


def test_a_member_that_others_read_too() -> None:
    def build(g: Graph, x: str) -> str:
        a, b = g.conv2d("a", x, 16, 1), g.conv2d("b", x, 32, 1)
        cat = g.concat("cat", [a, b])
        late = g.conv2d("late", g.tanh("t", b), 48, 3, padding=1)
        return g.add("sum", cat, late)

    before = graph_of(build)
    check_same(before, optimize(before))


def test_a_vector_behind_a_pool_is_not_copied() -> None:
    def build(g: Graph, x: str) -> str:
        return g.linear("l", g.flatten("f", g.global_avg_pool("p", x)), 10)

    graph = graph_of(build)
    model = Model(graph, RandomWeights(graph))
    x = np.random.default_rng(1).standard_normal((3, 20, 6, 5), np.float32)
    taps = model.run(x, taps=["p", "f"])
    assert isinstance(taps, dict)
    np.testing.assert_array_equal(taps["p"].reshape(3, 20), taps["f"])


def pooled_conv(algorithm: str, size: tuple[int, int], groups: int = 1) -> Graph:
    """Convolution, ReLU, max pooling by 2x2."""
    kernel = 5 if "_5x5" in algorithm else 3
    g = Graph("tiny")
    x = g.input("data", (32, *size))
    stride = 2 if algorithm.endswith("_stride2") else 1
    c = g.conv2d("c", x, 64, kernel, stride=stride, padding=kernel // 2, groups=groups)
    g.output(g.max_pool2d("p", g.relu("r", c), 2))
    nodes = [
        replace(node, attrs={**node.attrs, "algorithm": algorithm}) if node.op == "conv2d" else node
        for node in g.nodes
    ]
    return fuse_relu(g.with_nodes(nodes))


def pooled(graph: Graph) -> Graph:
    return fuse_max_pool(graph, graph.shapes())


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("algorithm", tolerances.WINOGRAD)
def test_max_pooling_within_the_convolution_gives_the_same(algorithm: str, groups: int) -> None:
    stride = 2 if algorithm.endswith("_stride2") else 1
    before = pooled_conv(algorithm, (22 * stride, 30 * stride), groups)
    after = pooled(before)
    if "_f5x5" in algorithm:  # windows would lie across tiles
        assert ops_of(after) == ["conv2d", "max_pool2d"]
        return
    assert ops_of(after) == ["conv2d"]
    assert after.shapes() == {name: before.shapes()[name] for name in ("data", "p")}
    x = np.random.default_rng(0).standard_normal((3, *before.inputs["data"]), np.float32)
    x[1, 7, 5, 9] = np.nan
    x[1, 3, 20, 2] = np.inf
    seen = replace(before, outputs={**before.outputs, "r": "r"})  # nobody fuses what is seen
    got, expected = (run(graph, {"data": x})["p"] for graph in (after, seen))
    # The compiler may contract a * b + c * d in either way.
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert np.isnan(got).any()


@pytest.mark.parametrize(
    "graph",
    [
        pooled_conv("direct", (22, 30)),
        pooled_conv("winograd_f4x4_3x3", (21, 30)),
        pooled_conv("winograd_f4x4_3x3", (22, 31)),
    ],
)
def test_max_pooling_that_no_tiles_hold(graph: Graph) -> None:
    assert ops_of(pooled(graph)) == ["conv2d", "max_pool2d"]


def test_other_windows_are_not_fused() -> None:
    for options in ({"kernel_size": 3, "stride": 2}, {"kernel_size": 2, "stride": 1},
                    {"kernel_size": 2, "padding": 1}):  # fmt: skip
        graph = pooled_conv("winograd_f4x4_3x3", (22, 30))
        other = Graph("other")
        x = other.input("data", (32, 22, 30))
        other.output(other.max_pool2d("p", x, **options))
        pool = replace(other.nodes[0], inputs=(graph.nodes[0].name,))
        graph = graph.with_nodes([graph.nodes[0], pool])
        assert ops_of(pooled(graph)) == ["conv2d", "max_pool2d"]
