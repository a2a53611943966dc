"""Every network against an independent torch definition, per layer and at the logits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paper_numbers
import pytest
import torch
from alive import randomise
from tolerances import LOGITS
from torch_layers import Net
from torch_networks import akamaster_to_pycnn, build, weights

import pycnn
from pycnn import models

NAMES = [variant.id for variant in models.variants()]
# Variants with the very graph of another one: nothing is left to compare.
SAME = {f"resnet{depth}@torchvision_v2": f"resnet{depth}@torchvision" for depth in (50, 101, 152)}
SAME |= {"resnet20@cifar10": "resnet20@akamaster", "plain20@cifar10": "plain20@paper"}
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in NAMES if name not in SAME] + [
    ("lenet5", {"activation": "relu"}),
    ("lenet5", {"activation": "sigmoid"}),
    ("resnet50", {"stride_on": "1x1"}),
    ("inception_v1", {"aux": True}),
]
PARAMS = [
    pytest.param(name, options, id="-".join([name, *map(str, options.values())]))
    for name, options in CASES
]


@functools.lru_cache(1)  # the largest take 600 MB
def oracle(name: str, options: tuple[tuple[str, Any], ...]) -> Net:
    torch.set_num_threads(2)
    return randomise(build(name, **dict(options)), seed=42)


def batch_for(net: Net, n: int = 2) -> torch.Tensor:
    return torch.randn(n, *net.input_shape, generator=torch.Generator().manual_seed(7))


def in_float64(net: Net, x: torch.Tensor, every_layer: bool = False) -> Any:
    """What the network computes, with nothing lost to float32."""
    with torch.inference_mode():
        exact = copy.deepcopy(net).double()
        return exact.forward_all(x.double()) if every_layer else exact(x.double())


def test_every_network_is_tested() -> None:
    assert set(NAMES) == set(paper_numbers.PARAMETERS) == set(paper_numbers.MACS)


@pytest.mark.parametrize(("name", "tested"), SAME.items())
def test_variants_that_differ_in_their_weights_only(name: str, tested: str) -> None:
    assert models.find(name).graph() == models.find(tested).graph()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs(name: str) -> None:
    table = pycnn.load(name, weights="random").summary()
    assert table.parameters == paper_numbers.PARAMETERS[name]
    assert table.macs == paper_numbers.MACS[name]


def test_auxiliary_heads_have_parameters_of_their_own() -> None:
    table = pycnn.load("inception_v1", weights="random", aux=True).summary()
    assert table.parameters == paper_numbers.INCEPTION_V1_WITH_AUX_PARAMETERS


@pytest.mark.parametrize(("name", "options"), paper_numbers.PUBLISHED_MACS, ids=str)
def test_published_macs(name: str, options: tuple[tuple[str, str], ...]) -> None:
    macs, tolerance = paper_numbers.PUBLISHED_MACS[name, options]
    table = pycnn.load(name, weights="random", **dict(options)).summary()
    assert table.macs == pytest.approx(macs, abs=tolerance)


@pytest.mark.parametrize(("name", "options"), PARAMS)
def test_logits_and_layers(name: str, options: dict[str, Any]) -> None:
    """The network as it runs, for one image and for many, then each layer by its name.

    Taps keep layers from being fused.
    """
    net = oracle(name, tuple(options.items()))
    x = batch_for(net)
    exact = {layer: value.numpy() for layer, value in in_float64(net, x, True).items()}
    alive = [value.std() for value in exact.values()]
    assert min(alive) > 1e-3, "dead activations: the comparison would say nothing"
    assert max(alive) < 1e3
    for optimize in ("throughput", "latency"):
        model = pycnn.load(name, weights=weights(net), optimize=optimize, **options)
        got = model._run(x.numpy(), model.graph.outputs, poison=0xFF)
        for output, logits in got.items():
            # What only we have are flattens: torch does them inside its linear layers.
            wanted = exact[net.extra_outputs.get(output, net.last)]
            assert_near(logits, wanted, f"{output} for {optimize}")
            np.testing.assert_array_equal(logits.argmax(1), wanted.argmax(1))
        assert len(got) == 1 + len(net.extra_outputs)

    ours = set(model.graph.with_outputs(model.graph.outputs).names())
    assert set(exact) <= ours
    assert all(model.graph.node(layer).op == "flatten" for layer in ours - set(exact))
    taps = model.run(x.numpy(), taps=exact)
    assert isinstance(taps, dict)
    for layer, wanted in exact.items():
        assert_near(taps[layer], wanted, layer)


def assert_near(got: Any, wanted: Any, what: str) -> None:
    error = np.abs(got.reshape(wanted.shape) - wanted).max() / np.abs(wanted).max()
    assert error <= LOGITS, f"{what}: {error:.3g} of the largest"


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "plain20", "nin_cifar10"])
def test_each_instruction_set(name: str, isa: str) -> None:
    net = oracle(name, ())
    x = batch_for(net)
    wanted = in_float64(net, x).numpy()
    got = pycnn.load(name, weights=weights(net), isa=isa).run(x.numpy())
    assert np.abs(got - wanted).max() <= LOGITS * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["resnet18", "plain18", "resnet20"])
def test_other_image_sizes(name: str) -> None:
    """Networks that end in a global average take images of other sizes."""
    net = oracle(name, ())
    c, h, w = net.input_shape
    size = (h + 37, w - 5)
    x = torch.randn(1, c, *size, generator=torch.Generator().manual_seed(8))
    wanted = in_float64(net, x).numpy()
    got = pycnn.load(name, weights=weights(net)).run(x.numpy())
    assert np.abs(got - wanted).max() <= LOGITS * np.abs(wanted).max()


# Real weights ------------------------------------------------------------------------------------

SharedData = Callable[[str], Path]


@pytest.fixture(scope="module")
def inception(shared_data: SharedData) -> pycnn.Model:
    return pycnn.load("inception_v1", weights=shared_data("inception_v1_bvlc/weights.npz"))


def test_inception_v1_meets_its_reference_logits(
    inception: pycnn.Model, shared_data: SharedData
) -> None:
    reference = np.load(shared_data("inception_v1_bvlc/reference_logits.npz"))
    got, wanted = inception.run(reference["x"]), reference["logits_f64"]
    assert np.abs(got - wanted).max() <= LOGITS * np.abs(wanted).max()
    np.testing.assert_array_equal(got.argmax(1), wanted.argmax(1))


def test_inception_v1_on_photographs(inception: pycnn.Model, shared_data: SharedData) -> None:
    files = [shared_data("images/cat.jpg"), shared_data("images/dog.jpg")]
    cat, dog = inception.predict(files, top=3)
    assert isinstance(cat, list)
    assert isinstance(dog, list)
    assert [p.index for p in cat] == [282, 281, 285]
    assert [p.label.split(",")[0] for p in cat] == ["tiger cat", "tabby", "Egyptian cat"]
    assert [p.probability for p in cat] == pytest.approx([0.38, 0.27, 0.25], abs=0.02)
    assert dog[0].index == 258
    assert dog[0].label.startswith("Samoyed")
    assert dog[0].probability == pytest.approx(0.93, abs=0.02)
    assert inception.predict(str(files[1]))[0] == dog[0]


def test_resnet20_equals_torch_on_1000_images(shared_data: SharedData) -> None:
    checkpoint = torch.load(
        shared_data("resnet20_cifar10/resnet20-12fca82f.th"), map_location="cpu", weights_only=True
    )["state_dict"]
    net = build("resnet20")
    net.load_state_dict({akamaster_to_pycnn(k): v for k, v in checkpoint.items()}, strict=False)
    from PIL import Image

    rows = np.asarray(Image.open(shared_data("cifar10/train_49.png")))
    images = rows.reshape(1000, 32, 32, 3)
    labels = np.load(shared_data("cifar10/train_labels.npy"))[-1000:]
    model = pycnn.load("resnet20@akamaster", weights=checkpoint)  # by the publisher's names
    assert model.preprocessing is not None
    x = model.preprocessing.batch(images)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(x)).numpy()
    got = model.run(x)
    assert np.abs(got - wanted).max() <= LOGITS * np.abs(wanted).max()
    np.testing.assert_array_equal(got.argmax(1), wanted.argmax(1))
    assert (got.argmax(1) == labels).mean() > 0.9


def test_lenet5_reads_held_out_digits(shared_data: SharedData) -> None:
    import gzip

    with gzip.open(shared_data("mnist/train-images-idx3-ubyte.gz")) as file:
        file.seek(16 + 50_000 * 784)
        digits = np.frombuffer(file.read(), np.uint8).reshape(10_000, 28, 28)
    with gzip.open(shared_data("mnist/train-labels-idx1-ubyte.gz")) as file:
        file.seek(8 + 50_000)
        labels = np.frombuffer(file.read(), np.uint8)
    model = pycnn.load("lenet5")
    assert model.preprocessing is not None
    x = model.preprocessing.batch(list(digits))
    accuracy = (model.run(x).argmax(1) == labels).mean()
    assert accuracy == pytest.approx(0.9923, abs=1e-3)
