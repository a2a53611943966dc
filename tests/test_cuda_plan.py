"""What a network's plan for a GPU says, before anything is built: places, lifetimes, algorithms."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from pycnn import models
from pycnn.cuda.compile import Layout, Place, Step, lay_out
from pycnn.cuda.device import Gpu, Target
from pycnn.graph import Graph
from pycnn.passes import optimize

pytestmark = pytest.mark.usefixtures("cuda_on_host")

H200 = Gpu("NVIDIA H200", 9, 0, 132, 227 << 10, 141 << 30, 60 << 20)
A100 = Gpu("NVIDIA A100", 8, 0, 108, 163 << 10, 40 << 30, 40 << 20)


def planned(name: str, batch: int, dtype: str = "float16", gpu: Gpu = H200) -> Layout:
    graph = models.find(name).graph()
    graph = optimize(graph.with_outputs(graph.outputs))
    shapes = {key: (batch, *size) for key, size in graph.inputs.items()}
    return lay_out(graph, shapes, Target(0, gpu, dtype))


def extent(place: Place, itemsize: int) -> tuple[int, int]:
    """First byte, and one past the last."""
    n, c, h, w = place.shape
    return place.offset_bytes, place.offset_bytes + ((n * h * w - 1) * place.pitch + c) * itemsize


def overlap(a: Place, b: Place, itemsize: int) -> bool:
    """Whether two tensors share a byte; those of one pitch may interleave."""
    (first_a, end_a), (first_b, end_b) = extent(a, itemsize), extent(b, itemsize)
    if first_a >= end_b or first_b >= end_a:
        return False
    apart, row = first_b - first_a, a.pitch * itemsize
    if a.pitch == b.pitch and 0 < abs(apart) < row:  # channels of one buffer
        first, second = (a, b) if apart > 0 else (b, a)
        return abs(apart) < first.shape[1] * itemsize or (
            abs(apart) + second.shape[1] * itemsize > row
        )
    return True


def written_in_place(step: Step) -> list[Place]:
    """Inputs of a concatenation that lie in its output already."""
    if step.node is None or step.node.op != "concat":
        return []
    return [step.inputs[i] for i in step.node.attrs["in_place"]]


def last_uses(layout: Layout) -> dict[str, int]:
    """The stage that reads a value last; what lies in a concatenation lives as long as that."""
    graph: Graph = layout.graph
    written = {step.name for step in layout.steps if step.output.buffer == 0}
    moves_nothing = {node.name: node.inputs[0] for node in graph.nodes if node.name not in written}

    def owner(name: str) -> str:
        return owner(moves_nothing[name]) if name in moves_nothing else name

    found: dict[str, int] = defaultdict(lambda: -1)
    for step in layout.steps:
        names = step.node.inputs if step.node else ()
        if step.output.buffer > 0:
            names = (graph.outputs[step.name],)
        for name in names:
            found[owner(name)] = max(found[owner(name)], step.stage)
    for node in reversed(graph.nodes):
        if node.op == "concat":
            for name in node.inputs:
                found[owner(name)] = max(found[owner(name)], found[node.name])
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", models.names())
def test_no_two_that_live_at_once_overlap(name: str, dtype: str) -> None:
    layout = planned(name, 2, dtype)
    slices = {(place, step.output) for step in layout.steps for place in written_in_place(step)}
    itemsize = 4 if dtype == "float32" else 2
    uses = last_uses(layout)
    alive: list[tuple[Place, int, int]] = []
    for step in layout.steps:
        if step.output.buffer == 0:
            alive.append((step.output, step.stage, max(uses[step.name], step.stage)))
            assert extent(step.output, itemsize)[1] <= layout.arena_bytes
            assert step.output.offset_bytes % 16 == 0
            assert step.output.pitch * itemsize % 16 == 0
        if step.choice is not None and step.choice.workspace_bytes:
            size = step.choice.workspace_bytes
            place = Place(0, step.workspace_offset, (1, size // itemsize, 1, 1), size, dtype)
            alive.append((place, step.stage, step.stage))
            assert step.workspace_offset % 256 == 0
            assert step.workspace_offset + size <= layout.arena_bytes
    assert len(alive) >= len(layout.graph.nodes) - 1
    for (a, first_a, last_a), (b, first_b, last_b) in itertools.combinations(alive, 2):
        same = a == b or (a, b) in slices or (b, a) in slices
        if first_a <= last_b and first_b <= last_a and not same:
            assert not overlap(a, b, itemsize), f"{a} in {first_a}..{last_a}, {b} in {first_b}.."
    total = sum(extent(place, itemsize)[1] - place.offset_bytes for place, _, _ in alive)
    assert layout.arena_bytes < total


def test_reads_come_after_writes() -> None:
    layout = planned("inception_v1", 1)
    written: dict[Place, int] = {}
    for step in layout.steps:
        for place in step.inputs:
            if place.buffer == 0 and place not in written_in_place(step):
                assert written[place] < step.stage
        written.setdefault(step.output, step.stage)
    assert [step.stage for step in layout.steps] == sorted(step.stage for step in layout.steps)


def test_inception_is_written_in_place_side_by_side() -> None:
    layout = planned("inception_v1", 1)
    stages = defaultdict(list)
    for step in layout.steps:
        stages[step.stage].append(step)
    assert max(len(steps) for steps in stages.values()) == 4
    concats = [step.node for step in layout.steps if step.node and step.node.op == "concat"]
    assert len(concats) == 9
    assert all(node.attrs["in_place"] == (0, 1, 2, 3) for node in concats)


def test_a_classifier_reads_the_image() -> None:
    """VGG's first linear layer is a 7x7 convolution; no flatten is left."""
    layout = planned("vgg16", 1)
    ops = [step.node.op for step in layout.steps if step.node]
    assert "flatten" not in ops
    shapes = [step.choice.weight_shape for step in layout.steps if step.choice]
    assert shapes.count((4096, 512, 7, 7)) == 1


def test_the_stem_reads_the_callers_memory() -> None:
    layout = planned("resnet50", 1)
    first, last = layout.steps[0], layout.steps[-1]
    assert first.inputs[0] == Place(1, 0, (1, 3, 224, 224), 0, "float32")
    assert last.output == Place(2, 0, (1, 1000, 1, 1), 0, "float32")
    assert sum(step.node is None for step in layout.steps) == 1
    half = lay_out(layout.graph, layout.inputs, Target(0, H200, "float16"), {"data": "float16"})
    assert half.steps[0].node is None  # float16 from the caller is brought to NHWC first


@pytest.mark.parametrize(
    ("gpu", "dtype", "algorithm"),
    [
        (H200, "float16", "wgmma"),
        (A100, "float16", "mma"),
        (A100, "tf32", "mma"),
        (H200, "float32", "simt"),
    ],
    ids=str,
)
def test_algorithms_follow_the_gpu(gpu: Gpu, dtype: str, algorithm: str) -> None:
    """All but the stem, which has too few channels for TMA's boxes."""
    _, *steps = planned("resnet50", 8, dtype, gpu).steps
    assert {step.choice.algorithm for step in steps if step.choice} == {f"gemm_{algorithm}"}


def test_small_batches_split_sums() -> None:
    """The last layers of a ResNet have few tiles for 132 multiprocessors."""

    def splits(batch: int) -> int:
        steps = planned("resnet50", batch).steps
        return max(s.choice.split_k for s in steps if s.choice and s.node and s.node.op == "conv2d")

    assert splits(1) > 1
    assert splits(256) == 1


def test_the_arena_of_a_batch() -> None:
    assert planned("resnet50", 2).arena_bytes < planned("resnet50", 256).arena_bytes < 2 << 30
    wide, narrow = (planned("vgg16", 8, dtype).arena_bytes for dtype in ("float32", "float16"))
    assert narrow < 0.6 * wide
