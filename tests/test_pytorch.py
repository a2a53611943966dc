"""`to_torch`: the same names, weights and outputs in PyTorch; and the way back."""

from __future__ import annotations

from typing import Any

import alive
import numpy as np
import pytest
import torch
import torch_networks
from tolerances import LOGITS

import pycnn
from pycnn import Graph, Model
from pycnn.opset import OPS
from pycnn.pytorch.ops import FORWARD
from pycnn.weights import RandomWeights

# Between them they have every op of the networks, both ways of pooling and every kind of shortcut.
NETWORKS = (
    "lenet5",
    "lenet5_1998",
    "alexnet@bvlc",
    "nin_cifar10",
    "resnet20",
    "resnet18",
    "inception_v1@bvlc",
    "inception_v1@torchvision",
)


def alive_model(name: str, **choices: Any) -> Model:
    net = alive.randomise(torch_networks.build(name, **choices), seed=1)
    return pycnn.load(name, torch_networks.weights(net), check_input=False, **choices)


def inputs_of(graph: Graph, rng: np.random.Generator, batch: int = 2) -> np.ndarray:
    (size,) = graph.inputs.values()
    return rng.standard_normal((batch, *size), np.float32)


def assert_equal_outputs(model: Model, module: torch.nn.Module, x: np.ndarray) -> None:
    expected = model.run(x)
    with torch.no_grad():
        got = module(torch.from_numpy(x))
    if not isinstance(expected, dict):
        expected, got = {"main": expected}, {"main": got}
    assert list(got) == list(expected)
    for name, reference in expected.items():
        assert got[name].shape == reference.shape
        error = np.abs(got[name].numpy() - reference).max()
        assert error <= LOGITS * np.abs(reference).max(), f"{name}: {error}"


def test_every_op_has_its_row() -> None:
    assert set(FORWARD) == set(OPS)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_equal_names_and_outputs(name: str, rng: np.random.Generator) -> None:
    model = alive_model(name)
    module = model.to_torch()
    main = model.graph.with_outputs(model.graph.outputs)
    assert set(module.state_dict()) == set(main.parameters)
    assert {n for n, _ in module.named_buffers()} == main.buffers()
    assert_equal_outputs(model, module, inputs_of(model.graph, rng))


def test_auxiliary_heads_are_outputs_too(rng: np.random.Generator) -> None:
    model = alive_model("inception_v1@bvlc", aux=True)
    assert_equal_outputs(model, model.to_torch(), inputs_of(model.graph, rng))


def ops_graph(build: Any, size: tuple[int, int, int] = (4, 9, 8)) -> Graph:
    graph = Graph("one op")
    graph.output(build(graph, graph.input("data", size)))
    return graph


POOLS = [
    {"kernel_size": 3, "stride": 2, "padding": (1, 0, 2, 1)},
    {"kernel_size": (2, 3), "stride": (3, 2), "padding": 0, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 4, "ceil_mode": True, "window_rule": "caffe"},
]
OTHERS = {
    "conv2d": lambda g, x: g.conv2d(
        "y", x, 6, (3, 2), stride=(1, 2), padding=(2, 0, 1, 3), dilation=(2, 1), groups=2
    ),
    "lrn, even": lambda g, x: g.lrn("y", x, size=4, alpha=0.5),
    "lrn, mirrored": lambda g, x: g.lrn("y", x, size=(1, 2), alpha=0.5, k=2.0),
    "pad, edge": lambda g, x: g.pad("y", x, (1, -2, 3, 0), channels=(1, 2), mode="edge"),
    "pad, reflect": lambda g, x: g.pad("y", x, (1, 2, 3, 0), channels=(0, 2), mode="reflect"),
    "pad, constant": lambda g, x: g.pad("y", x, (1, 2, -3, 0), channels=(-1, 2), value=0.5),
    "slice": lambda g, x: g.slice("y", x, (3, None, -2), (1, -1, 3), (None, None, -1)),
    "gather": lambda g, x: g.gather("y", x, [3, 0, 0]),
    "permute": lambda g, x: g.permute("y", x, (2, 2, 72), (1, 2, 0), (144, 2, 1)),
    "prelu": lambda g, x: g.prelu("y", x),
    "add": lambda g, x: g.binary("y", x, g.global_max_pool("p", x), "add", 0.5, -2.0),
    "max": lambda g, x: g.binary("y", x, g.global_avg_pool("p", x), "max"),
    "min": lambda g, x: g.binary("y", x, g.hard_sigmoid("p", x), "min"),
    "div": lambda g, x: g.binary("y", x, g.sqrt("q", g.pow("p", x, 2.0)), "div"),
    "mul": lambda g, x: g.binary("y", x, g.hard_swish("p", x), "mul"),
    "chain": lambda g, x: g.log_softmax(
        "y", g.clip("c", g.leaky_relu("l", g.affine("a", x, -2.0, 1.0), 0.2), -1.0, 2.0)
    ),
    "vector": lambda g, x: g.softmax("y", g.linear("l", g.flatten("f", x), 5, bias=False)),
}


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d", "avg_pool2d without padding"])
@pytest.mark.parametrize("window", POOLS, ids=str)
def test_pools(op: str, window: dict[str, Any], rng: np.random.Generator) -> None:
    options = {"count_include_pad": False} if "without" in op else {}
    method = op.partition(" ")[0]
    check_op(lambda g, x: getattr(g, method)("y", x, **window, **options), rng)


@pytest.mark.parametrize("op", OTHERS)
def test_ops(op: str, rng: np.random.Generator) -> None:
    check_op(OTHERS[op], rng)


def check_op(build: Any, rng: np.random.Generator) -> None:
    graph = ops_graph(build)
    model = Model(graph, RandomWeights(graph))
    assert_equal_outputs(model, model.to_torch(), inputs_of(graph, rng))


def test_back_from_torch_after_training(rng: np.random.Generator) -> None:
    model = alive_model("resnet20")
    module = model.to_torch().train()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01)
    x = inputs_of(model.graph, rng, batch=4)
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.arange(4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    module.eval()
    trained = pycnn.from_torch(module)
    assert_equal_outputs(trained, module, x)
    assert not np.allclose(trained.run(x), model.run(x), rtol=0.01)
    assert (trained.labels, trained.preprocessing) == (model.labels, model.preprocessing)
    assert trained.variant is model.variant
    with torch.no_grad():  # what is trained further does not change the model
        next(module.parameters()).zero_()
    assert np.abs(trained.run(x)).max() > 0


def test_a_layer_in_evaluation_mode_keeps_its_statistics(rng: np.random.Generator) -> None:
    module = alive_model("resnet20").to_torch().train()
    module.get_submodule("bn_conv1").eval()
    before = {name: value.clone() for name, value in module.named_buffers()}
    module(torch.from_numpy(inputs_of(module.graph, rng)))
    changed = {name for name, value in module.named_buffers() if not value.equal(before[name])}
    assert changed == {name for name in before if not name.startswith("bn_conv1.")}


def test_dropout_drops_in_training_only(rng: np.random.Generator) -> None:
    graph = ops_graph(lambda g, x: g.dropout("y", x, 0.5))
    module = Model(graph, RandomWeights(graph)).to_torch()
    x = torch.from_numpy(inputs_of(graph, rng))
    assert module(x).equal(x)
    assert 0.3 < float((module.train()(x) == 0).float().mean()) < 0.7


def test_other_modules_are_refused() -> None:
    with pytest.raises(pycnn.UnsupportedError, match=r"Linear was not made by Model\.to_torch"):
        pycnn.from_torch(torch.nn.Linear(2, 2))


def test_names_that_torch_cannot_have_are_refused() -> None:
    graph = Graph("bad names")
    graph.output(graph.conv2d("add_module", graph.input("data", (1, 4, 4)), 1, 1))
    with pytest.raises(pycnn.UnsupportedError, match=r"name 'add_module\.weight'"):
        Model(graph, RandomWeights(graph)).to_torch()
