"""Model and load: what comes in, what comes out, what is refused."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

import pycnn
import pycnn.ops
from pycnn import (
    DeviceError,
    ModelFormatError,
    OfflineError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
    WeightsError,
)
from pycnn.graph import Graph
from pycnn.model import MAX_PLANS, Model
from pycnn.weights import ArrayWeights, RandomWeights

SAMPLES = Path(str(resources.files("pycnn") / "data" / "samples"))
Arrays = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


@pytest.fixture(scope="module")
def lenet() -> Model:
    return pycnn.load("lenet5")


@pytest.fixture(scope="module")
def digits(lenet: Model) -> np.ndarray[Any, np.dtype[np.float32]]:
    assert lenet.preprocessing is not None
    return lenet.preprocessing.batch(sorted(SAMPLES.glob("*.png")))


@pytest.fixture
def arrays(lenet: Model) -> Arrays:
    return {name: lenet._weights.get(name).copy() for name in lenet.graph.parameters}


def resnet(**options: Any) -> Model:
    return pycnn.load("resnet20", weights="random", **options)


# Batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "looks like NHWC: use x.transpose(0, 3, 1, 2)"),
        (np.zeros((3, 32, 32), np.float32), "add the batch dimension: x[None]"),
        (np.zeros((1, 4, 32, 32), np.float32), "expected a float32 batch (N, 3, 32, 32)"),
        (np.zeros((1, 3, 32, 32), np.float64), "convert it with .astype(numpy.float32)"),
        (np.zeros((1, 3, 32, 32), np.uint8), "predict() takes uint8 images"),
        (np.zeros((1, 3, 32, 32), np.complex64), "got complex64"),
        (np.zeros((0, 3, 32, 32), np.float32), "the batch is empty"),
        (np.zeros((1, 3, 32, 0), np.float32), "the batch is empty"),
        ([[1.0, 2.0]], "got float64 (1, 2)"),
        ("cat.jpg", "expected a float32 batch"),
        (torch.zeros(1, 3, 32, 32, requires_grad=True), "use .detach().cpu().float()"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16), "use .detach().cpu().float()"),
        (None, "expected a float32 batch"),
        ({"image": np.zeros((1, 3, 32, 32), np.float32)}, "has the inputs ['data']"),
    ],
    ids=str,
)
def test_a_batch_that_does_not_fit(batch: Any, message: str) -> None:
    model = resnet()
    with pytest.raises(ShapeError, match=re.escape(message)) as error:
        model.run(batch)
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value, pycnn.PycnnError)


def test_an_image_size_that_the_network_cannot_take(lenet: Model) -> None:
    with pytest.raises(ShapeError, match="layer 'c5' of lenet5"):
        lenet.run(np.zeros((1, 1, 40, 40), np.float32))
    with pytest.raises(ShapeError, match="images of this network are 32 x 32"):
        lenet.run(np.zeros((1, 1, 64, 64), np.float32))
    with pytest.raises(ShapeError, match="layer 'c3' of lenet5"):
        lenet.run(np.zeros((1, 1, 9, 9), np.float32))
    assert lenet.run(np.zeros((1, 1, 32, 32), np.float32)).shape == (1, 10)


def test_arrays_of_every_kind(lenet: Model, digits: Any) -> None:
    expected = lenet.run(digits)
    assert expected.dtype == np.float32
    assert expected.shape == (20, 10)
    np.testing.assert_array_equal(lenet.run(torch.from_numpy(digits)), expected)
    np.testing.assert_array_equal(lenet.run({"data": digits}), expected)
    np.testing.assert_array_equal(lenet.run(np.asfortranarray(digits)), expected)
    np.testing.assert_array_equal(lenet.run(digits[::-1]), expected[::-1])
    wide = np.zeros((20, 1, 32, 64), np.float32)
    wide[..., ::2] = digits
    np.testing.assert_array_equal(lenet.run(wide[..., ::2]), expected)
    digits = digits.copy()
    digits.flags.writeable = False
    np.testing.assert_array_equal(lenet.run(digits), expected)


def test_results_are_the_callers_own(lenet: Model, digits: Any) -> None:
    first = lenet.run(digits)
    kept = first.copy()
    lenet.run(digits * 2)
    np.testing.assert_array_equal(first, kept)


def test_special_values_stay_in_their_row(lenet: Model, digits: Any) -> None:
    batch = digits.copy()
    batch[3, 0, 16, 16] = np.nan
    got = lenet.run(batch)
    assert np.isnan(got[3]).any()
    np.testing.assert_array_equal(np.delete(got, 3, 0), np.delete(lenet.run(digits), 3, 0))


# Outputs -----------------------------------------------------------------------------------------


def test_probabilities(lenet: Model, digits: Any) -> None:
    logits, got = lenet.run(digits).astype(np.float64), lenet.probabilities(digits)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9)


def test_a_graph_that_ends_in_softmax_is_not_softened_twice() -> None:
    g = Graph("with softmax")
    g.output(g.softmax("prob", g.flatten("f", g.input("data", (5, 1, 1)))))
    model = Model(g, RandomWeights(g))
    x = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    np.testing.assert_array_equal(model.run(x), model.probabilities(x))


def test_taps_and_until(lenet: Model, digits: Any) -> None:
    got = lenet.run(digits, taps=["c1", "s2", "data", "f6/tanh"])
    assert list(got) == ["output", "c1", "s2", "data", "f6/tanh"]
    assert [got[k].shape for k in got] == [(20, 10), (20, 6, 28, 28), (20, 6, 14, 14),
                                           (20, 1, 32, 32), (20, 84)]  # fmt: skip
    np.testing.assert_array_equal(got["output"], lenet.run(digits))
    np.testing.assert_array_equal(got["data"], digits)
    np.testing.assert_array_equal(lenet.run(digits, until="s2"), got["s2"])
    both = lenet.run(digits, until="f6/tanh", taps=["c1"])
    assert list(both) == ["f6/tanh", "c1"]
    for wrong in ({"taps": ["conv1"]}, {"until": "c2"}):
        with pytest.raises(UnknownNameError, match="lenet5 has no layer"):
            lenet.run(digits, **wrong)


def test_a_tap_alone_and_a_tap_that_is_the_output(lenet: Model, digits: Any) -> None:
    assert list(lenet.run(digits, taps="c1")) == ["output", "c1"]
    assert list(lenet.run(digits, taps=["output"])) == ["output"]


def test_a_tap_on_a_head_without_weights(arrays: Arrays) -> None:
    model = pycnn.load("inception_v1", weights="random", aux=True)
    trunk = pycnn.load("inception_v1", weights="random").graph
    trunk = trunk.with_outputs(trunk.outputs)
    weights = {name: model._weights.get(name) for name in trunk.parameters}
    model = pycnn.load("inception_v1", weights=weights)
    with pytest.raises(WeightsError, match=r"6 missing:\n  loss1/conv.weight"):
        model.run(np.zeros((1, 3, 224, 224), np.float32), taps=["loss1/classifier"])


def test_until_needs_no_later_layer(lenet: Model) -> None:
    """The classifier fixes the image size; the layers before it do not."""
    assert lenet.run(np.zeros((1, 1, 40, 44), np.float32), until="s4").shape == (1, 16, 7, 8)


def test_auxiliary_heads_are_off_unless_asked_for() -> None:
    x = np.zeros((1, 3, 224, 224), np.float32)
    model = pycnn.load("inception_v1", weights="random", aux=True)
    got = model.run(x)
    assert isinstance(got, dict)
    assert {name: value.shape for name, value in got.items()} == {
        "loss3/classifier": (1, 1000), "aux1": (1, 1000), "aux2": (1, 1000)
    }  # fmt: skip
    assert isinstance(pycnn.load("inception_v1", weights="random").run(x), np.ndarray)


# predict -----------------------------------------------------------------------------------------


def test_predict_takes_paths_images_and_arrays(lenet: Model) -> None:
    path = SAMPLES / "digit_7_50999.png"
    picture = Image.open(path)
    expected = lenet.predict(path)
    assert expected[0].label == "7"
    assert expected[0].index == 7
    assert len(expected) == 5
    probabilities = [p.probability for p in expected]
    assert probabilities == sorted(probabilities, reverse=True)
    for image in (str(path), picture, np.asarray(picture)):
        assert lenet.predict(image) == expected
    assert lenet.predict([path, str(path), picture], top=2) == [expected[:2]] * 3
    assert lenet.predict([]) == []
    assert len(lenet.predict(path, top=99)) == 10
    with pytest.raises(ValueError, match="top must be at least 1"):
        lenet.predict(path, top=0)


def test_predict_many_in_small_batches(lenet: Model) -> None:
    path = SAMPLES / "digit_7_50999.png"
    assert lenet.predict([path] * 50) == [lenet.predict(path)] * 50


def test_predict_needs_preprocessing() -> None:
    g = Graph("bare")
    g.output(g.relu("r", g.input("data", (3, 4, 4))))
    with pytest.raises(UnsupportedError, match="does not know how its images"):
        Model(g, RandomWeights(g)).predict("cat.jpg")


# Weights -----------------------------------------------------------------------------------------


def test_everything_that_does_not_fit_is_in_one_message(arrays: Arrays) -> None:
    arrays["extra"] = arrays.pop("c1.weight")
    arrays["c3.weight"] = arrays["c3.weight"][:, :5]
    arrays["f6.bias"] = arrays["f6.bias"][:3]
    with pytest.raises(WeightsError) as error:
        pycnn.load("lenet5", weights=arrays)
    for part in (
        "1 missing:\n  c1.weight",
        "1 surplus:\n  extra",
        "2 of another shape:",
        "c3.weight: (16, 5, 5, 5), expected (16, 6, 5, 5)",
        "f6.bias: (3,), expected (84,)",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files(
    suffix: str, dtype: Any, arrays: Arrays, digits: Any, tmp_path: Path, lenet: Model
) -> None:
    path = tmp_path / f"weights{suffix}"
    typed = {name: array.astype(dtype) for name, array in arrays.items()}
    typed["c5.weight"] = typed["c5.weight"][..., None, None]  # as Caffe keeps it
    if suffix == ".npz":
        np.savez(path, **typed)
    else:
        save_file(typed, path)
    model = pycnn.load("lenet5", weights=path)
    rounded = {name: array.astype(dtype).astype(np.float32) for name, array in arrays.items()}
    expected = pycnn.load("lenet5", weights=rounded).run(digits)
    np.testing.assert_array_equal(model.run(digits), expected)
    assert str(path) in repr(model)


def test_arrays_with_dlpack(arrays: Arrays, digits: Any, lenet: Model) -> None:
    tensors = {name: torch.nn.Parameter(torch.from_numpy(a)) for name, a in arrays.items()}
    model = pycnn.load("lenet5", weights=tensors)
    np.testing.assert_array_equal(model.run(digits), lenet.run(digits))


def damaged_files(folder: Path) -> dict[str, Path]:
    good_npz, good_st = folder / "good.npz", folder / "good.safetensors"
    np.savez(good_npz, a=np.zeros(4, np.float32))
    save_file({"a": np.zeros(4, np.float32)}, good_st)
    np.savez(folder / "objects.npz", a=np.array([{}], dtype=object))
    np.savez(folder / "integers.npz", **{"c1.weight": np.zeros((6, 1, 5, 5), np.int64)})
    (folder / "cut.npz").write_bytes(good_npz.read_bytes()[:-30])
    (folder / "cut.safetensors").write_bytes(good_st.read_bytes()[:-3])
    (folder / "empty.npz").write_bytes(b"")
    (folder / "empty.safetensors").write_bytes(b"")
    huge = bytearray(good_st.read_bytes())
    huge[:8] = (1 << 60).to_bytes(8, "little")
    (folder / "huge.safetensors").write_bytes(bytes(huge))
    return {path.name: path for path in folder.iterdir() if "good" not in path.name}


def test_an_npz_damaged_at_every_place(arrays: Arrays, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "damaged.npz"
    np.savez_compressed(whole, **arrays)
    data = whole.read_bytes()
    x = np.zeros((1, 1, 32, 32), np.float32)
    for place in [*range(200), *range(200, len(data), 1500), *range(len(data) - 200, len(data))]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            pycnn.load("lenet5", weights=path).run(x)
        except (ModelFormatError, WeightsError) as error:
            assert "damaged.npz" in str(error)


def test_types_that_are_no_floats_are_named_at_load(arrays: Arrays, tmp_path: Path) -> None:
    arrays["c1.bias"] = np.zeros(6, np.int32)  # type: ignore[assignment]
    np.savez(tmp_path / "w.npz", **arrays)
    save_file(arrays, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.npz", tmp_path / "w.safetensors"):
        with pytest.raises(WeightsError, match=r"1 of another type:\n  c1.bias: (int32|I32)"):
            pycnn.load("lenet5", weights=path)


def test_damaged_files(tmp_path: Path) -> None:
    files = damaged_files(tmp_path)
    assert len(files) == 7
    for name, path in files.items():
        with pytest.raises((ModelFormatError, WeightsError), match=re.escape(name)):
            pycnn.load("lenet5", weights=path).run(np.zeros((1, 1, 32, 32), np.float32))


def test_files_that_are_not_there_or_not_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        pycnn.load("lenet5", weights=tmp_path / "absent.npz")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(UnsupportedError, match=r"cannot read '\.h5' files"):
        pycnn.load("lenet5", weights=tmp_path / "weights.h5")


def test_no_default_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYCNN_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r'no weights for plain32@paper.*"random"'):
        pycnn.load("plain32")
    with pytest.raises(OfflineError, match=r"resnet20@akamaster: PYCNN_OFFLINE forbids to fetch"):
        pycnn.load("resnet20@akamaster")
    model = resnet()
    save_file(
        {name: model._weights.get(name) for name in model.graph.parameters},
        tmp_path / "resnet20@akamaster.safetensors",
    )
    x = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(pycnn.load("resnet20@akamaster").run(x), model.run(x))


def test_random_weights_are_he_and_seeded() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    one = resnet().run(x)
    np.testing.assert_array_equal(one, resnet(seed=0).run(x))
    assert not np.array_equal(one, resnet(seed=1).run(x))
    weight = resnet()._weights.get("res4b_branch2a.weight")
    assert weight.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.02)
    assert np.abs(one).max() > 1e-2


def test_weights_of_another_choice_are_refused() -> None:
    with pytest.raises(WeightsError, match="was trained with activation='tanh'; leave"):
        pycnn.load("lenet5", activation="relu")
    assert pycnn.load("lenet5", weights="random", activation="relu")


def test_publishers_names_and_counters() -> None:
    model = resnet()
    theirs = {}
    for name in model.graph.parameters:
        block = re.match(r"(res|bn)(\d)([a-z])_branch2([ab])\.(\w+)", name)
        if block:
            kind, stage, letter, half, role = block.groups()
            layer = "conv" if kind == "res" else "bn"
            index = "abc".index(letter)
            key = f"module.layer{int(stage) - 1}.{index}.{layer}{'ab'.index(half) + 1}.{role}"
        else:
            key = "module." + name.replace("bn_conv1", "bn1").replace("fc10", "linear")
        theirs[key] = model._weights.get(name)
    theirs["module.bn1.num_batches_tracked"] = np.zeros((), np.float32)
    x = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(
        pycnn.load("resnet20@akamaster", weights=theirs).run(x), model.run(x)
    )


# Names and options -------------------------------------------------------------------------------


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'inception_v1'"):
        pycnn.load("inceptoin_v1")
    with pytest.raises(UnknownNameError, match="resnet50@torchvision"):
        pycnn.load("resnet50@keras")
    with pytest.raises(ValueError, match="has no option 'activatoin'"):
        pycnn.load("lenet5", activatoin="relu")
    with pytest.raises(ValueError, match="threads must be an integer of 1 to 1024"):
        pycnn.load("lenet5", threads=0)
    absent = "neon" if "neon" not in pycnn.available_isas() else "avx2"
    for isa in ("avx1024", absent):
        with pytest.raises(DeviceError, match=isa):
            pycnn.load("lenet5", isa=isa)
        with pytest.raises(DeviceError, match=isa):
            pycnn.ops.relu(np.zeros((1, 3), np.float32), isa=isa)
    with pytest.raises(TypeError, match="weights must be a path"):
        pycnn.load("lenet5", 5)


# Memory and plans --------------------------------------------------------------------------------


def test_layers_that_share_parameters_keep_their_own_eps() -> None:
    def build(eps: tuple[float, float]) -> pycnn.Graph:
        g = pycnn.Graph("shared")
        x = g.input("data", (4, 5, 5))
        for i, value in enumerate(eps):
            x = g.batch_norm(f"bn{i}", x, eps=value)
            g.nodes[-1].params.update(g.nodes[0].params)
        g.output(x)
        return g

    rng = np.random.default_rng(0)
    graph = build((1e-5, 3.0))
    weights = {name: rng.uniform(0.5, 2, 4).astype(np.float32) for name in graph.parameters}
    x = rng.standard_normal((1, 4, 5, 5), np.float32)

    def run(eps: tuple[float, float]) -> Any:
        return pycnn.Model(build(eps), ArrayWeights(weights)).run(x)

    assert np.abs(run((1e-5, 3.0)) - run((1e-5, 1e-5))).max() > 0.1


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "resnet20", "inception_v1", "alexnet"])
@pytest.mark.parametrize("batch", [1, 3])
def test_memory_is_exact_before_anything_runs(name: str, batch: int) -> None:
    model = pycnn.load(name, weights="random")
    memory = model.memory(batch)
    (size,) = model.graph.inputs.values()
    out = model.run(np.zeros((batch, *size), np.float32))
    assert isinstance(out, np.ndarray)
    (plan,) = model._plans.values()
    assert memory.activation_bytes == plan.program.bytes(model.threads)
    assert memory.weights_bytes == sum(packed.bytes for packed in model._backend._packed.values())
    assert memory.output_bytes == out.nbytes
    assert memory.total_bytes == sum(
        (memory.activation_bytes, memory.weights_bytes, memory.output_bytes)
    )


def test_plans_share_weights_are_bounded_and_let_go(digits: Any) -> None:
    model = pycnn.load("lenet5")
    expected = model.run(digits)
    packed = dict(model._backend._packed)
    for n in range(1, MAX_PLANS + 5):
        np.testing.assert_array_equal(model.run(digits[:n]), expected[:n])
    assert len(model._plans) == MAX_PLANS
    assert all(model._backend._packed[key] is value for key, value in packed.items())
    model.trim()
    assert not model._plans
    assert not model._backend._packed
    np.testing.assert_array_equal(model.run(digits), expected)


def test_summary_adds_up(lenet: Model) -> None:
    table = lenet.summary(batch=3)
    assert table.parameters == 61_706
    assert table.macs == 3 * 416_520
    assert table.rows[0].output_shape == (3, 6, 28, 28)
    assert str(table).splitlines()[-1].split() == ["total", "61,706", "1,249,560", "123,288"]
    assert table.activation_bytes == sum(4 * 3 * math.prod(r.output_shape[1:]) for r in table.rows)
    assert table.rows[3].receptive_field == (14, 14)
    assert "<td" in table._repr_html_() and "61,706" in table._repr_html_()


def test_repr_says_what_it_is(lenet: Model) -> None:
    assert "lenet5@mnist" in repr(lenet)
    assert pycnn.active_isa() in repr(lenet)


# Pickles -----------------------------------------------------------------------------------------


def copies(make: Callable[[], Model], x: Any) -> None:
    model = make()
    clone = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(clone.run(x), model.run(x))
    assert clone.name == model.name
    assert clone.labels == model.labels
    assert clone.preprocessing == model.preprocessing


def test_pickles(digits: Any, arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(arrays, path)
    copies(lambda: pycnn.load("lenet5", threads=1), digits)
    copies(lambda: pycnn.load("lenet5", weights=str(path)), digits)
    copies(lambda: pycnn.load("lenet5", weights=arrays), digits)
    copies(lambda: pycnn.load("lenet5", weights="random", seed=3, activation="relu"), digits)
    stored = pickle.dumps(pycnn.load("lenet5"))
    assert len(stored) < 2_000  # a reference, not the weights
    assert b"lenet5.safetensors" not in stored  # which may lie elsewhere where it is read


def test_a_network_of_ones_own_pickles_with_its_graph() -> None:
    g = Graph("own")
    g.output(g.conv2d("c", g.input("data", (3, 8, 8)), 4, 3))
    copies(lambda: Model(g, RandomWeights(g)), np.ones((1, 3, 8, 8), np.float32))
