"""Variants: publishers' names, passports, and whose weights a file has."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import publishers_names
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import pycnn
from pycnn import ModelFormatError, UnsupportedError, WeightsError
from pycnn.formats import open_weights
from pycnn.model import Model
from pycnn.models import Published, Variant, find, registry
from pycnn.recognition import rename_for
from pycnn.vision import Preprocessing

VARIANTS = pycnn.variants()
TORCHVISION = [v for v in VARIANTS if v.source.startswith("torchvision")]


def arrays(model: Model) -> dict[str, Any]:
    return {name: model._weights.get(name) for name in model.graph.parameters}


# The registry ------------------------------------------------------------------------------------


def test_everything_that_the_project_promises_is_registered() -> None:
    ids = {variant.id for variant in VARIANTS}
    depths = (18, 34, 50, 101, 152)
    assert ids >= {"alexnet@bvlc", "alexnet@torchvision", "vgg16@vgg", "vgg19@vgg"}
    assert ids >= {f"vgg{d}{bn}@torchvision" for d in (11, 13, 16, 19) for bn in ("", "_bn")}
    assert ids >= {f"resnet{d}@torchvision" for d in depths}
    assert ids >= {f"resnet{d}@{s}" for d in depths[2:] for s in ("torchvision_v2", "msra")}
    assert ids >= {f"resnet{d}@akamaster" for d in (20, 32, 44, 56)}
    assert ids >= {"inception_v1@bvlc", "inception_v1@torchvision", "lenet5@mnist"}
    assert ids >= {"nin@caffe", "nin_cifar10@caffe"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("alexnet", "bvlc"),
        ("inception_v1", "bvlc"),
        ("vgg16", "vgg"),
        ("vgg11", "torchvision"),
        ("vgg16_bn", "torchvision"),
        ("resnet18", "torchvision"),
        ("resnet50", "torchvision"),
        ("resnet20", "cifar10"),
        ("nin", "caffe"),
        ("lenet5", "mnist"),
    ],
)
def test_what_a_bare_name_means(name: str, meant: str) -> None:
    assert find(name).source == meant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.id)
def test_what_is_said_of_published_weights(variant: Variant) -> None:
    published = variant.published
    if published is None:
        assert variant.source in ("paper", "mnist", "cifar10")
        return
    assert published.page.startswith("https://")
    assert published.url is None or re.match(r"https?://", published.url)
    if published.digest is None:
        assert "no hash" in published.note
    else:
        assert re.fullmatch(
            r"sha256:([0-9a-f]{8}|[0-9a-f]{64})|sha1:[0-9a-f]{40}", published.digest
        )
    for accuracy in (published.top1, published.top5):
        assert accuracy is None or 50 < accuracy < 100


@pytest.mark.parametrize("variant", TORCHVISION, ids=lambda v: v.id)
def test_torchvisions_names(variant: Variant) -> None:
    graph = variant.graph()
    rename = rename_for(variant, graph)
    found: dict[str, tuple[int, ...]] = {}
    for theirs, shape in publishers_names.torchvision(variant.name).items():
        ours = rename(theirs)
        if ours is not None:
            assert ours not in found
            found[ours] = shape
    assert found == graph.parameters


def test_the_authors_names_of_resnet() -> None:
    variant = find("resnet50@msra")
    theirs = {}
    for name, shape in variant.graph().parameters.items():
        layer, _, role = name.rpartition(".")
        if layer.startswith("bn") and role in ("weight", "bias"):
            name = f"scale{layer.removeprefix('bn')}.{role}"
        theirs[name] = shape
    assert "scale_conv1.weight" in theirs and "scale5c_branch2c.bias" in theirs
    assert "conv1.bias" in theirs
    rename = rename_for(variant, variant.graph())
    assert {rename(name): shape for name, shape in theirs.items()} == variant.graph().parameters


# Saving ------------------------------------------------------------------------------------------

SAVED = [
    ("lenet5", {}),
    ("lenet5", {"activation": "relu"}),
    ("resnet20", {}),
    ("inception_v1", {"aux": True}),
    ("resnet50", {"stride_on": "1x1"}),
]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize(("name", "choices"), SAVED, ids=str)
def test_a_saved_model_needs_nothing_said(
    name: str, choices: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    model = pycnn.load(name, weights="random", seed=5, **choices)
    path = tmp_path / f"saved{suffix}"
    model.save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = pycnn.load(path)
    assert again.variant is model.variant
    assert again.graph == model.graph
    assert again.recognised_by == "passport"
    assert again.preprocessing == model.preprocessing
    assert again.labels == model.labels
    for parameter in model.graph.parameters:
        np.testing.assert_array_equal(
            again._weights.get(parameter), model._weights.get(parameter), parameter
        )
    assert set(again._weights.shapes) == set(model.graph.parameters)


def test_what_others_read_of_a_saved_model(tmp_path: Path) -> None:
    model = pycnn.load("lenet5")
    model.save(tmp_path / "saved.safetensors")
    model.save(tmp_path / "saved.npz")
    wanted = arrays(model)
    for got in (load_file(tmp_path / "saved.safetensors"), np.load(tmp_path / "saved.npz")):
        assert set(got) == set(wanted)
        for name, array in wanted.items():
            np.testing.assert_array_equal(got[name], array)
    with safe_open(tmp_path / "saved.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["pycnn.variant"] == "lenet5@mnist"
    assert metadata["pycnn.activation"] == "tanh"
    assert metadata["pycnn.origin"] == "lenet5.safetensors"
    assert metadata["pycnn.licence"] == "Apache-2.0"
    assert json.loads(metadata["pycnn.preprocessing"])["input_size"] == [32, 32]


def test_own_preprocessing_and_labels_are_kept(tmp_path: Path) -> None:
    model = pycnn.load("lenet5")
    model.preprocessing = Preprocessing((32, 32), resize=(32, 32), channels="L", scale=1 / 255)
    model.labels = tuple(f"digit {i}" for i in range(10))
    model.save(tmp_path / "saved.safetensors")
    again = pycnn.load(tmp_path / "saved.safetensors")
    assert again.preprocessing == model.preprocessing
    assert again.labels == model.labels


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz", "a.safetensors", "b.safetensors"):
        pycnn.load("lenet5").save(tmp_path / name)
    for suffix in ("npz", "safetensors"):
        a, b = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        assert a.read_bytes() == b.read_bytes()


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"cannot write '\.h5' files"):
        pycnn.load("lenet5").save(tmp_path / "saved.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "saved.safetensors"
    path.write_bytes(b"old")
    model = pycnn.load("lenet5")

    def fail(name: str) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(model._weights, "get", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# Recognition -------------------------------------------------------------------------------------


def torch_file(path: Path, network: str = "resnet20") -> Path:
    """A checkpoint as akamaster's: the names are the publisher's."""
    model = pycnn.load(network, weights="random", seed=9)
    theirs = {}
    for name in model.graph.parameters:
        block = re.fullmatch(r"(res|bn)(\d)([a-z])_branch2([ab])\.(\w+)", name)
        key = name.replace("bn_conv1", "bn1").replace("fc10", "linear")
        if block:
            kind, stage, letter, half, role = block.groups()
            layer = ("conv" if kind == "res" else "bn") + str("ab".index(half) + 1)
            key = f"layer{int(stage) - 1}.{ord(letter) - ord('a')}.{layer}.{role}"
        theirs["module." + key] = torch.from_numpy(model._weights.get(name))
    torch.save({"state_dict": theirs}, path)
    return path


def test_names_and_shapes_tell(tmp_path: Path) -> None:
    model = pycnn.load(torch_file(tmp_path / "unknown.th"))
    assert model.name == "resnet20@akamaster"
    assert model.recognised_by == "names and shapes"
    expected = pycnn.load("resnet20", weights="random", seed=9)
    x = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(model.run(x), expected.run(x))


def test_weights_of_another_network_say_which_one_they_fit(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "resnet20.th")
    with pytest.raises(WeightsError, match=r"do not fit resnet32(.|\n)*fit resnet20@akamaster\."):
        pycnn.load("resnet32", weights=path)
    with pytest.raises(WeightsError, match=r"do not fit plain20(.|\n)*fit resnet20@akamaster\."):
        pycnn.load("plain20", weights=path)
    np.savez(tmp_path / "nothing.npz", a=np.zeros(3, np.float32))
    with pytest.raises(WeightsError, match=r"1 surplus:\n  a$"):
        pycnn.load("lenet5", weights=tmp_path / "nothing.npz")
    with pytest.raises(WeightsError, match="fits no network that pycnn knows"):
        pycnn.load(tmp_path / "nothing.npz")


def test_a_passport_tells_what_names_and_shapes_cannot(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    pycnn.load("plain20", weights="random").save(path)
    assert pycnn.load(path).name == "plain20@cifar10"
    with pytest.raises(WeightsError, match="is of plain20@cifar10, not of resnet20@akamaster"):
        pycnn.load("resnet20@akamaster", weights=path)


def test_where_nothing_can_tell_the_callers_name_decides(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(arrays(pycnn.load("plain32", weights="random")), path)
    with pytest.raises(WeightsError, match="fits resnet32@akamaster, plain32@paper, and nothing"):
        pycnn.load(path)
    # Where only one is of that name, what a user calls it is what it is.
    assert pycnn.load("plain32", weights=path).recognised_by == "names and shapes"
    save_file(arrays(pycnn.load("plain20", weights="random")), path)
    assert pycnn.load("resnet20@akamaster", weights=path).recognised_by is None


@pytest.fixture
def generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two variants of one geometry and the files of both; one more file is nobody's."""
    files = {}
    known = dict(registry._by_id)
    for source, seed in (("first", 1), ("second", 2), ("nobody", 3)):
        files[source] = tmp_path / f"{source}.npz"
        np.savez(files[source], **arrays(pycnn.load("resnet20", weights="random", seed=seed)))
    for source in ("first", "second"):
        sha256 = hashlib.sha256(files[source].read_bytes()).hexdigest()
        published = Published("https://a.page", None, "w.npz", f"sha256:{sha256[:8]}")
        variant = replace(find("resnet20"), name="twin", source=source, published=published)
        known[variant.id] = variant
    for name in [name for name in known if name.startswith(("resnet20@", "plain20@"))]:
        del known[name]  # they fit as well
    # A registry of its own: one that gets an entry back has it in another place.
    monkeypatch.setattr(registry, "_by_id", known)
    return files


def test_the_hash_tells_generations_apart(generations: dict[str, Path]) -> None:
    for source in ("first", "second"):
        for model in (
            pycnn.load(generations[source]),
            pycnn.load(f"twin@{source}", weights=generations[source]),
        ):
            assert (model.name, model.recognised_by) == (f"twin@{source}", "hash")
    with pytest.raises(WeightsError, match="is of twin@second, not of twin@first, by its hash"):
        pycnn.load("twin@first", weights=generations["second"])
    with pytest.raises(WeightsError, match="fits twin@first, twin@second, and nothing"):
        pycnn.load(generations["nobody"])
    assert pycnn.load("twin@second", weights=generations["nobody"]).recognised_by is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("variant", "lenet6@mnist", "unknown"),
        ("activation", "gelu", "activation is 'gelu', expected one of tanh"),
        ("preprocessing", "{", "preprocessing is no JSON"),
        ("preprocessing", "[" * 100_000, "preprocessing is no JSON"),
        ("preprocessing", '{"input_size": [32, 32]}', "missing field"),
        ("labels", '{"a": 1}', "labels are no list"),
        ("labels", "[1, 2]", "labels are no list"),
    ],
)
def test_damaged_passports(key: str, value: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    metadata = {"pycnn.variant": "lenet5@mnist", f"pycnn.{key}": value}
    save_file(arrays(pycnn.load("lenet5")), path, metadata)
    with pytest.raises(ModelFormatError, match=message):
        pycnn.load(path)


def test_a_file_as_the_name_takes_no_weights_beside_it(tmp_path: Path) -> None:
    pycnn.load("lenet5").save(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="so weights= is not"):
        pycnn.load(tmp_path / "w.npz", weights="random")


def test_a_published_file_is_recognised_by_its_hash(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("resnet20_cifar10/resnet20-12fca82f.th")
    model = pycnn.load(path)
    assert (model.name, model.recognised_by) == ("resnet20@akamaster", "hash")
    assert pycnn.load("resnet20@akamaster", weights=path).recognised_by == "hash"


@pytest.mark.parametrize(("name", "least"), [("resnet20", 0.9), ("plain20", 0.88)])
def test_what_was_trained_on_cifar10_ships(
    name: str, least: float, shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, with the accuracy that its file states, on the first of the held-out images."""
    from pycnn.inside.studies import cifar10
    from pycnn.inside.studies.training import evaluate

    monkeypatch.setenv("PYCNN_OFFLINE", "1")
    model = pycnn.load(name)
    assert (model.name, model.recognised_by) == (f"{name}@cifar10", "passport")
    path = resources.files("pycnn") / "data" / "weights" / f"{name}.safetensors"
    stated = float(open_weights(str(path)).metadata["heldout_accuracy"])
    assert stated > least
    _, held_out = cifar10.read(shared_data("cifar10"))
    assert evaluate(model, held_out.subset(range(500))).accuracy == pytest.approx(stated, abs=0.03)
