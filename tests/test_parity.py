"""Parity: golden activations of every network, PyTorch, ONNX Runtime."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycnn
from pycnn.inside import golden, parity
from pycnn.inside.parity import ALGORITHMS
from pycnn.models import find, variants

SMALL = ["lenet5@mnist", "lenet5_1998@paper", "resnet20@akamaster"]
FOLDER = Path(str(resources.files("pycnn") / "data" / "golden"))


def quick(name: str, **how: Any) -> Any:
    how = {"isas": [pycnn.active_isa()], "algorithms": ["latency"], **how}
    return parity(find(name).graph(), None, name=name, **how)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_on_every_instruction_set_and_algorithm(name: str) -> None:
    found = parity(find(name).graph(), None)
    assert {run.isa for run in found.runs} == set(pycnn.available_isas())
    assert {"latency", "throughput", "direct"} <= {run.algorithms for run in found.runs}
    assert found.holds, found
    errors = [layer.rms_error for run in found.runs for layer in run.layers]
    assert 0 < max(errors) < 2e-5


@pytest.mark.parametrize("name", ["inception_v1@bvlc", "resnet18@torchvision"])
def test_larger_networks(name: str) -> None:
    found = quick(name)
    assert found.holds, found
    assert len(found.runs[0].layers) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", [v.id for v in variants()])
def test_every_network(name: str) -> None:
    found = quick(name)
    assert found.holds, found


@pytest.mark.parametrize("name", [v.id for v in variants()])
def test_every_network_has_its_file(name: str) -> None:
    graph = find(name).graph()
    found = golden.open_golden(graph)
    layers = golden.survivors(graph)
    assert set(found.values) == set(layers)
    assert all(values.shape == (golden.SAMPLES,) for values in found.values.values())
    assert all(found.rms[layer] > 1e-2 for layer in layers), "dead: it would say nothing"
    assert set(found.scales) <= set(graph.parameters)


def test_files_are_small_and_all_in_use() -> None:
    files = {path.name for path in FOLDER.glob("*.npz")}
    assert files == {golden.file_name(v.graph()) for v in variants()}
    sizes = [path.stat().st_size for path in FOLDER.glob("*.npz")]
    assert max(sizes) < 40_000
    assert sum(sizes) < 500_000


def test_the_numbers_are_the_same_on_every_machine() -> None:
    values = golden.uniform("conv1.weight", 3_000_000)  # in chunks
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == "05e24c503a65482b"
    np.testing.assert_array_equal(golden.uniform("conv1.weight", 100), values[:100])
    assert abs(values.mean()) < 1e-3
    assert values.std() == pytest.approx(3**-0.5, rel=1e-3)
    assert values.min() >= -1 and values.max() < 1


def test_a_fault_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that is wrong diverges, and it is the first one that does."""
    graph = find("resnet20").graph()
    right = golden.open_golden(graph)
    monkeypatch.setattr(golden, "open_golden", lambda graph: right)
    nodes = [
        replace(node, op="sigmoid") if node.name == "res3b_relu" else node for node in graph.nodes
    ]
    found = parity(graph.with_nodes(nodes), None, isas=["baseline"], algorithms=["direct"])
    assert not found.holds
    (run,) = found.runs
    assert run.diverges == "res3b_relu"
    assert "res3b_relu" in str(found) and "res3b_relu" in found.layers_table()
    assert "res3b_relu" in found._repr_html_()
    errors = {layer.name: layer.rms_error for layer in run.layers}
    assert errors["res3a_relu"] < 1e-6 < 1e-4 < errors["res3b_relu"]
    # What is no number diverges too.
    nan = replace(run.layers[0], rms_error=float("nan"))
    broken = replace(found, runs=(replace(run, layers=(nan, *run.layers[1:])),))
    assert broken.runs[0].diverges == nan.name
    assert broken.to_dict()["runs"][0]["layers"][0]["rms_error"] is None


@pytest.mark.parametrize("against", ["torch", "onnx"])
@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "resnet20"])
def test_other_engines(name: str, against: str) -> None:
    weights = None if name == "lenet5" else "random"
    model = pycnn.load(name, weights=weights, check_input=False)
    found = model.parity(against, isas=[pycnn.active_isa()], algorithms=["latency", "direct"])
    assert found.holds, found
    assert found.network == model.name
    assert len(found.runs[0].layers) == len(golden.survivors(model.graph))


def test_the_algorithms_are_the_engines() -> None:
    header = Path(__file__).parents[1] / "csrc" / "ops" / "conv2d.h"
    names = re.findall(r'Conv2dAlgorithm::k\w+, "(\w+)"', header.read_text())
    assert names == ["auto", *ALGORITHMS]


def test_what_cannot_be_compared() -> None:
    with pytest.raises(pycnn.UnsupportedError, match="no golden activations of this lenet5"):
        parity(find("lenet5").graph(activation="relu"), None)
    with pytest.raises(ValueError, match="golden, torch, onnx"):
        parity(find("lenet5").graph(), None, "caffe")
    with pytest.raises(ValueError, match="did you mean 'direct'"):
        quick("lenet5", algorithms=["dierct"])
    with pytest.raises(ValueError, match="needs the weights"):
        parity(find("lenet5").graph(), None, "torch")
    with pytest.raises(ValueError, match="no instruction set or algorithm is left"):
        quick("lenet5", algorithms=["winograd_f6x6_3x3"])
    for tolerance in (float("nan"), float("inf"), -1e-4):
        with pytest.raises(ValueError, match="tolerance must be a finite number of at least 0"):
            quick("lenet5", tolerance=tolerance)
