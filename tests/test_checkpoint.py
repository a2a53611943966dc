"""Checkpoints of gradient descent: a killed `fit` goes on, with the bits of an undisturbed one."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import time
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stripes import changed, small_net, stripes

import pycnn
from pycnn.transfer import Fit, Schedule, fit
from pycnn.transfer.checkpoint import Checkpoint
from pycnn.vision import Augmentation, Mirror, Preprocessing

SCHEDULE = Schedule(epochs=6, batch_size=16, learning_rate=0.01, patience=6)


def learn(regime: str, store: Path, **options: Any) -> Fit:
    """From mirrored images where all of it learns, from stored features elsewhere."""
    mirrored = Augmentation(Mirror() if regime == "full" else ())
    known = {"augmentation": mirrored, "schedule": SCHEDULE, "seed": 3, "head": "random"}
    return fit(small_net(), stripes(120), regime, store=store, **{**known, **options})


def file_of(store: Path) -> Path:
    (file,) = store.glob("*.checkpoint")
    return file


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the checkpoint of a "head" that was stopped in its second epoch."""

    class StoppedError(Exception):
        pass

    def stop(self: Checkpoint, state: Any) -> None:
        save(self, state)
        raise StoppedError

    save = Checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stop)
        with pytest.raises(StoppedError):
            learn("head", tmp_path)
    return tmp_path


# PyTorch's sums depend on its threads.
_LEARN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
from test_checkpoint import learn
learn(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.mark.parametrize("regime", ["freeze:pool1", "full"])
def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path, regime: str) -> None:
    program = _LEARN.format(tests=str(Path(__file__).parent), threads=torch.get_num_threads())
    killed = subprocess.Popen([sys.executable, "-c", program, regime, str(tmp_path)])
    while not list(tmp_path.glob("*.checkpoint")):
        assert killed.poll() is None, "it ended before it kept anything"
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    before = torch.load(file_of(tmp_path), weights_only=True)["history"]
    assert 2 <= len(before) <= SCHEDULE.epochs
    random = torch.get_rng_state()
    done = learn(regime, tmp_path)
    assert [step.seconds for step in done.history[: len(before)]] == [s["seconds"] for s in before]
    whole = learn(regime, tmp_path / "another")
    assert changed(whole.model, done.model) == set()
    assert [astuple(s)[:3] for s in done.history] == [astuple(s)[:3] for s in whole.history]
    assert torch.get_rng_state().equal(random)
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_what_a_training_depends_on_names_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, state: kept.append(self.path))

    def name(regime: str = "head", **options: Any) -> Path:
        learn(regime, tmp_path, **options)
        return kept[-1]

    first = name()
    assert name() == first
    held_out = stripes(4, seed=8)
    others = [name(seed=4), name(balance=False), name(schedule=replace(SCHEDULE, patience=5))]
    others += [name(augmentation=Augmentation(Mirror())), name(validation=held_out)]
    others += [name("full"), name("full", head="features"), name("freeze:pool1"), name(tap="pool2")]
    other = small_net()
    other.preprocessing = Preprocessing(other.preprocessing.input_size, scale=1 / 255)
    for model, data in ((small_net(), stripes(120, seed=1)), (other, stripes(120))):
        fit(model, data, "head", schedule=SCHEDULE, seed=3, store=tmp_path)
        others.append(kept[-1])
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize("damage", ["cut off", "no checkpoint", "hostile", "of something else"])
def test_a_damaged_checkpoint_is_refused(stopped: Path, damage: str) -> None:
    file = file_of(stopped)
    witness = stopped / "witness"

    class Hostile:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(witness),))

    whole = file.read_bytes()
    error: type[Exception] = pycnn.StoreError
    if damage == "cut off":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "no checkpoint":
        file.write_bytes(b"nothing of the kind")
    elif damage == "hostile":
        file.write_bytes(pickle.dumps(Hostile(), protocol=2))  # which PyTorch reads
    else:
        torch.save([1, 2], file)
        error = pycnn.WeightsError
    with pytest.raises(error, match=file.name):
        learn("head", stopped)
    assert not witness.exists()
    file.unlink()
    assert learn("head", stopped).accuracy > 0.6


def test_a_full_disk_keeps_the_epoch_before(stopped: Path) -> None:
    whole = file_of(stopped).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        with pytest.raises(pycnn.StoreError, match=r"File too large.*epoch before"):
            learn("head", stopped)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file_of(stopped).read_bytes() == whole
    assert len(learn("head", stopped).history) == 1 + SCHEDULE.epochs
