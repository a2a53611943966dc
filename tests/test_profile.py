"""A profiled run computes what a run does, and its steps add up to it."""

from __future__ import annotations

import time

import numpy as np
import pytest

import pycnn
from pycnn.compile import Plan

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
