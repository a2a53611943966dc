"""What torch.onnx exports, by both exporters, computes what torch computes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_networks
import torchvision_networks
from graphs import by_json
from tolerances import LOGITS

import pycnn

Rng = np.random.Generator


def export(
    net: torch.nn.Module, x: torch.Tensor, path: Path, dynamo: bool, free_batch: bool, **more: Any
) -> None:
    """Export, with what the exporters say of themselves left out."""
    if free_batch and dynamo:
        more["dynamic_shapes"] = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    elif free_batch:
        more["dynamic_axes"] = {"input": {0: "batch"}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (x,), path, dynamo=dynamo, input_names=["input"], verbose=False, **more
        )


def assert_same(model: pycnn.Model, net: torch.nn.Module, batch: np.ndarray[Any, Any]) -> None:
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(batch).double())
    if isinstance(expected, dict):
        expected = expected[torch_networks.MAIN_OUTPUT]
    got = model.run(batch)
    if isinstance(got, dict):
        got = next(iter(got.values()))
    assert got.shape == expected.shape
    assert np.abs(got - expected.numpy()).max() <= LOGITS * float(expected.abs().max())


@pytest.mark.parametrize("free_batch", [False, True], ids=["batch 1", "any batch"])
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", torchvision_networks.NETWORKS)
def test_torchvision(name: str, dynamo: bool, free_batch: bool, tmp_path: Path, rng: Rng) -> None:
    net, edge = torchvision_networks.build(name)
    path = tmp_path / "model.onnx"
    # An export for any batch is made of two images: torch takes one for a constant.
    x = torch.zeros(2 if free_batch else 1, 3, edge, edge)
    export(net, x, path, dynamo, free_batch)
    model = pycnn.load(path)
    for batch in (1, 3):
        assert_same(model, net, rng.standard_normal((batch, 3, edge, edge), np.float32))
    assert by_json(model.graph) == model.graph
    ops = [node.op for node in model.graph.nodes]
    assert ("lrn" in ops) == (name == "alexnet_lrn")
    assert "permute" not in ops or name in ("shufflenet", "others")


def check_registered(name: str, dynamo: bool, folder: Path, rng: Rng) -> None:
    torch.manual_seed(0)
    net = torch_networks.build(name).eval()
    shape = net.input_shape
    path = folder / "model.onnx"
    export(net, torch.zeros(1, *shape), path, dynamo, free_batch=False)
    model = pycnn.load(path)
    assert by_json(model.graph) == model.graph
    assert_same(model, net, rng.standard_normal((2, *shape), np.float32))


@pytest.mark.parametrize(
    "name", ["lenet5", "lenet5_1998", "nin_cifar10", "resnet20", "plain20", "resnet18"]
)
def test_networks_of_pycnn(name: str, tmp_path: Path, rng: Rng) -> None:
    check_registered(name, False, tmp_path, rng)


@pytest.mark.parametrize("name", ["resnet20", "inception_v1"])
def test_networks_of_pycnn_by_dynamo(name: str, tmp_path: Path, rng: Rng) -> None:
    check_registered(name, True, tmp_path, rng)


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", sorted({variant.name for variant in pycnn.variants()}))
def test_every_network_of_pycnn(name: str, dynamo: bool, tmp_path: Path, rng: Rng) -> None:
    check_registered(name, dynamo, tmp_path, rng)


def test_external_data_beside_a_model(tmp_path: Path, rng: Rng) -> None:
    """As dynamo writes it even for small models."""
    net, edge = torchvision_networks.build("squeezenet")
    path = tmp_path / "model.onnx"
    export(net, torch.zeros(1, 3, edge, edge), path, True, False, external_data=True)
    assert (tmp_path / "model.onnx.data").exists()
    assert_same(pycnn.load(path), net, rng.standard_normal((2, 3, edge, edge), np.float32))
