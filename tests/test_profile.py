"""A profiled run computes what a run does, and its steps add up to it."""

from __future__ import annotations

import itertools
import json
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import pycnn
from pycnn.compile import Plan
from pycnn.inside import Profile
from pycnn.inside.work import measure_limits, work_of
from pycnn.opset import Tuning
from pycnn.passes import choose_algorithms, optimize

SVG = "{http://www.w3.org/2000/svg}"
X = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return pycnn.load("resnet20", weights="random").compile(len(X))


@pytest.mark.parametrize("threads", [1, 3])
def test_it_computes_what_a_run_does(plan: Plan, threads: int) -> None:
    ((name, expected),) = plan.run([X], threads).items()
    got = np.full(plan.outputs[name], np.nan, np.float32)
    assert len(plan.program.profile([X], [got], threads)) == len(plan.program.names)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_steps_add_up(plan: Plan, threads: int) -> None:
    start = time.perf_counter()
    steps = plan.profile([X], threads)
    took = time.perf_counter() - start
    assert {node.name for node in plan.graph.nodes} <= {name for name, _ in steps} | {"flatten"}
    assert all(seconds >= 0 for _, seconds in steps)
    assert 0 < sum(seconds for _, seconds in steps) <= took


def test_wrong_arrays_are_refused(plan: Plan) -> None:
    with pytest.raises(pycnn.PycnnError, match="wrong number"):
        plan.program.profile([X], [], 1)


# What is made of the times -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def profile() -> Profile:
    return pycnn.load("resnet20", weights="random", threads=1).profile(2, runs=3)


def test_every_layer_has_its_time(profile: Profile) -> None:
    model = pycnn.load("resnet20", weights="random")
    names = [layer.name for layer in profile.layers]
    assert len(names) == len(set(names))
    assert {"conv1_relu", "res3a_branch1", "res3a_relu", "fc10", "fc10 (layout)"} <= set(names)
    assert sum(layer.part for layer in profile.layers) == pytest.approx(1)
    assert sum(layer.ms for layer in profile.layers) == pytest.approx(profile.ms)
    macs = {layer.name: layer.gflops * layer.ms / 2e-6 for layer in profile.layers}
    assert sum(macs.values()) == pytest.approx(2 * model.summary().macs, rel=1e-6)
    for layer in profile.layers:
        assert (layer.algorithm != "") == (layer.op in ("conv2d", "linear"))
        assert layer.binds in ("compute", "memory") or layer.op == "layout"
    assert (profile.batch, profile.threads, profile.runs) == (2, 1, 3)


def test_tables_traces_and_charts(profile: Profile) -> None:
    text = str(profile)
    assert "res3a_relu" in text and "GFLOP/s" in text
    assert "res3a_relu" in profile._repr_html_()
    events = json.loads(profile.trace())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [event["name"] for event in spans] == [layer.name for layer in profile.layers]
    for one, following in itertools.pairwise(spans):
        assert following["ts"] == pytest.approx(one["ts"] + one["dur"])
    assert spans[-1]["ts"] + spans[-1]["dur"] == pytest.approx(1e3 * profile.ms)
    tips = [title.text for title in ET.fromstring(profile.chart()).iter(f"{SVG}title")]
    assert len(tips) == len(profile.layers)
    assert json.loads(json.dumps(profile.to_dict()))["layers"][0]["share"] > 0


def test_the_limits_are_near_what_layers_reach() -> None:
    limits = measure_limits(1, pycnn.active_isa())
    assert 0.1 < limits.read_gbps < 1000
    assert 0.5 < limits.compute_gflops < 1000
    assert measure_limits(1, pycnn.active_isa()) is limits


def test_work_of_a_layer() -> None:
    model = pycnn.load("alexnet", weights="random", threads=1)
    graph = choose_algorithms(optimize(model.graph), model.graph.shapes(), Tuning())
    shapes = graph.shapes()
    found = work_of(graph, graph.node("relu2"), shapes)
    assert found.geometry == "5x5 96->256 27x27 2 groups"
    assert found.macs == model.graph.macs()["conv2"]
    assert found.algorithm.startswith("winograd")
    assert found.products < found.macs / 2
    pool = work_of(graph, graph.node("pool1"), shapes)
    assert (pool.products, pool.bytes) == (0, 4 * 96 * (55 * 55 + 27 * 27))


def test_what_cannot_be_profiled() -> None:
    model = pycnn.load("lenet5")
    with pytest.raises(ValueError, match="runs must be at least 1"):
        model.profile(runs=0)
    with pytest.raises(pycnn.ShapeError):
        model.profile(size=(8, 8))
