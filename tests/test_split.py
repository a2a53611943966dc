"""Large batches go through the first stages in parts: less memory, and the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pycnn
from pycnn import compile as cpu
from pycnn import models
from pycnn.graph import Graph
from pycnn.opset import DEFAULT_TUNING, Shape
from pycnn.passes import optimize, specialize
from pycnn.planner import Lifetime
from pycnn.split import Split

IN_PARTS = ["alexnet", "inception_v1", "nin", "resnet18", "resnet20", "vgg16"]


def specialized(name: str, batch: int) -> tuple[Graph, dict[str, Shape], dict[str, Shape]]:
    """Graph, shapes of its inputs, and of all values."""
    graph = models.find(name).graph()
    graph = optimize(graph.with_outputs(graph.outputs))
    inputs = {key: (batch, *size) for key, size in graph.inputs.items()}
    shapes = graph.shapes(inputs)
    return specialize(graph, shapes, DEFAULT_TUNING), inputs, dict(shapes)


def split_of(name: str, batch: int, threads: int | None) -> Split:
    graph, _, shapes = specialized(name, batch)
    return cpu._Layout.of(graph, shapes, threads).split


@given(st.integers(1, 70), st.integers(1, 9), st.integers(-1, 5), st.integers(5, 9))
def test_every_image_meets_every_stage_once(batch: int, part: int, stages: int, end: int) -> None:
    sweeps = Split(batch, part, stages).sweeps(end)
    met = [
        (stage, image)
        for first, images, begin, end in sweeps
        for stage in range(begin, end)
        for image in range(first, first + images)
    ]
    assert sorted(met) == [(stage, image) for stage in range(-1, end) for image in range(batch)]
    order = {key: i for i, key in enumerate(met)}
    assert all(order[stage - 1, image] < order[stage, image] for stage, image in met if stage >= 0)


def test_what_the_parts_leave_lives_from_the_first_on() -> None:
    split = Split(batch=16, part=2, stages=4)
    assert split.lifetime(Lifetime(160, 1, 3)) == Lifetime(20, 1, 3)
    assert split.lifetime(Lifetime(160, 3, 4)) == Lifetime(160, -1, 4)
    assert split.lifetime(Lifetime(160, 4, 6)) == Lifetime(160, 4, 6)
    assert Split(16, 16, -1).lifetime(Lifetime(160, -1, 3)) == Lifetime(160, -1, 3)


@pytest.mark.parametrize("name", IN_PARTS)
def test_the_same_bits_in_less_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """11 images: the last part is smaller than the others."""
    batch = 121 if name == "resnet20" else 11
    threads = 3
    assert 0 < split_of(name, batch, threads).part < batch
    graph = models.find(name).graph()
    (size,) = graph.inputs.values()
    x = np.random.default_rng(0).standard_normal((batch, *size), np.float32)
    model = pycnn.load(name, weights="random", threads=threads)
    found = model._run(x, model.graph.outputs, poison=0xFF)
    small = model.memory(batch).activation_bytes
    model.trim()
    monkeypatch.setattr(cpu, "split_batch", lambda *_: Split(batch, batch, -1))
    assert model.memory(batch).activation_bytes > 1.2 * small
    whole = model._run(x, model.graph.outputs)
    assert all(np.array_equal(found[key], whole[key]) for key in whole)


def test_what_stays_whole() -> None:
    """One image to a thread or fewer, small networks, and single operations."""
    assert split_of("resnet18", 2, 1) == Split(2, 2, -1)
    assert split_of("resnet18", 8, 8) == Split(8, 8, -1)
    assert split_of("lenet5", 16, 2) == Split(16, 16, -1)
    assert split_of("resnet18", 16, None) == Split(16, 16, -1)
    assert split_of("resnet18", 3, 1).part == 2
    assert split_of("resnet18", 320, 2).part == 10


def test_large_weights_are_read_once() -> None:
    """The stages in parts have fewer bytes of weights than of maps."""
    graph, _, shapes = specialized("vgg16", 16)
    layout = cpu._Layout.of(graph, shapes, 2)
    names = {node.name for node in graph.nodes if layout.stages[node.name] < layout.split.stages}
    assert "relu3_2" in names
    assert not any(name.startswith(("relu4", "conv4", "fc")) for name in names)
