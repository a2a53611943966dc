"""The planner: no two buffers that live at the same time overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycnn import compile, models, placement
from pycnn.opset import DEFAULT_TUNING
from pycnn.passes import optimize, specialize
from pycnn.planner import Lifetime, plan


def check(lifetimes: list[Lifetime]) -> int:
    offsets, total = plan(lifetimes)
    assert plan(lifetimes) == (offsets, total)  # a pure function
    for i, a in enumerate(lifetimes):
        assert 0 <= offsets[i] <= offsets[i] + a.size <= total
        for j, b in enumerate(lifetimes[:i]):
            if a.first <= b.last and b.first <= a.last:
                apart = offsets[i] + a.size <= offsets[j] or offsets[j] + b.size <= offsets[i]
                assert apart, f"{a} at {offsets[i]} and {b} at {offsets[j]}"
    steps = range(max((a.last for a in lifetimes), default=-1) + 1)
    needed = max(
        (sum(a.size for a in lifetimes if a.first <= s <= a.last) for s in steps), default=0
    )
    assert total >= needed
    return total


@given(
    st.lists(
        st.builds(
            lambda size, first, length: Lifetime(16 * size, first, first + length),
            st.integers(0, 50),
            st.integers(0, 20),
            st.integers(0, 10),
        ),
        max_size=40,
    )
)
def test_live_buffers_never_overlap(lifetimes: list[Lifetime]) -> None:
    check(lifetimes)


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    sizes = [64, 32, 128, 16, 64]
    assert check([Lifetime(size, i, i + 1) for i, size in enumerate(sizes)]) == 128 + 32


@pytest.mark.parametrize("batch", [2, 16])
@pytest.mark.parametrize("name", models.names())
def test_the_plan_of_every_network(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Lifetime]] = []

    def spy(lifetimes: list[Lifetime]) -> tuple[list[int], int]:
        seen.append(list(lifetimes))
        return plan(lifetimes)

    monkeypatch.setattr(placement, "plan", spy)
    graph = models.find(name).graph()
    graph = optimize(graph.with_outputs(graph.outputs))
    sizes = {key: (batch, *size) for key, size in graph.inputs.items()}
    shapes = graph.shapes(sizes)
    graph = specialize(graph, shapes, DEFAULT_TUNING)
    total = compile._Layout.of(graph, shapes, threads=2).arena
    (lifetimes,) = seen
    assert check(lifetimes) == total
    assert total < sum(lifetime.size for lifetime in lifetimes)
