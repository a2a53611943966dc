"""Checkpoints of gradient descent: a killed `fit` goes on, with the bits of an undisturbed one."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
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


# Its second checkpoint kills it: as it is about to get its name, or when it has it. PyTorch's sums
# depend on its threads.
_LEARN = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
from test_checkpoint import learn

def replace(source, target):
    kept.extend([target] if target.suffix == ".checkpoint" else [])
    if len(kept) < 2 or when == "after":
        rename(source, target)
    if len(kept) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

regime, when, store = sys.argv[1:]
kept, rename, os.replace = [], os.replace, replace
learn(regime, Path(store))
"""


@pytest.mark.parametrize(("regime", "when"), [("freeze:pool1", "before"), ("full", "after")])
def test_a_killed_training_goes_on_with_the_same_bits(
    tmp_path: Path, regime: str, when: str
) -> None:
    program = _LEARN.format(tests=str(Path(__file__).parent), threads=torch.get_num_threads())
    store = tmp_path / "store"
    killed = subprocess.run([sys.executable, "-c", program, regime, when, store], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = torch.load(file_of(store), weights_only=True)["history"]
    assert len(before) == (2 if when == "before" else 3)  # with the start
    assert len(list(store.glob(".*.checkpoint.*"))) == (1 if when == "before" else 0)
    random = torch.get_rng_state()
    done = learn(regime, store)
    assert [step.seconds for step in done.history[: len(before)]] == [s["seconds"] for s in before]
    whole = learn(regime, tmp_path / "another")
    assert changed(whole.model, done.model) == set()
    assert [astuple(s)[:3] for s in done.history] == [astuple(s)[:3] for s in whole.history]
    assert torch.get_rng_state().equal(random)
    assert not list(tmp_path.rglob("*.checkpoint*"))


def test_a_training_that_fails_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The only step of its first epoch spoils all, and the loss of the second one says so."""
    with pytest.raises(pycnn.WeightsError, match="no longer finite"):
        learn("head", tmp_path, schedule=replace(SCHEDULE, learning_rate=1e36, batch_size=288))
    assert "epoch 1, held out: loss " in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.checkpoint*"))


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
