"""`pycnn train`, on a small network and images that a line of code makes."""

from __future__ import annotations

import functools
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stripes import CLASSES, folder_of, small_net, stripes

import pycnn
from pycnn import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return small_net()


def pycnn_train(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pycnn", "train", *map(str, arguments)],
        **options,
        capture_output=True,
        text=True,
        check=False,
    )


def test_train_on_the_command_line(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "small.safetensors")
    folder = folder_of(tmp_path / "images", stripes(12))
    (folder / "level" / "broken.png").write_bytes(b"no image")
    done = pycnn_train(
        *(folder, "--model", tmp_path / "small.safetensors", "--regime", "features", "--json"),
        *("--out", tmp_path / "my.safetensors", "--store", tmp_path / "store"),
        *("--plots", tmp_path / "plots"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["classes"] == list(CLASSES)
    assert result["computed"] == 36
    assert done.stderr.count("broken.png") == 1
    assert (tmp_path / "plots" / "curves.png").exists()
    assert pycnn.load(tmp_path / "my.safetensors").labels == CLASSES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tap", "pol2", "--out", "my.safetensors"), "did you mean 'pool2'"),
        (("--out", "my.foo"), "my.foo: cannot write '.foo' files"),
        (("--out", "absent/my.safetensors"), "absent/my.safetensors: there is no folder 'absent'"),
    ],
)
def test_train_refuses_before_it_works(
    model: Model, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    model.save(tmp_path / "small.safetensors")
    folder = folder_of(tmp_path / "images", stripes(2))
    store = tmp_path / "store"
    done = pycnn_train(
        *(folder, "--model", tmp_path / "small.safetensors", "--store", store, *options),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert not store.exists()


def test_train_refuses_a_file_as_the_folder_of_pictures(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "small.safetensors")
    folder = folder_of(tmp_path / "images", stripes(3))
    done = pycnn_train(
        *(folder, "--model", tmp_path / "small.safetensors", "--out", tmp_path / "my.safetensors"),
        *("--regime", "features", "--store", tmp_path / "store"),
        *("--plots", tmp_path / "small.safetensors"),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--plots" in done.stderr and "is a file" in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "drawn"),
    [((), "None"), (("--no-augment",), "steps=()"), (("--augment",), "RandomResizedCrop")],
)
def test_augmentation_on_the_command_line(
    model: Model, tmp_path: Path, options: tuple[str, ...], drawn: str
) -> None:
    model.save(tmp_path / "small.safetensors")
    program = "import pycnn.transfer as t, sys\n"
    program += "t.fit = lambda *a, augmentation, **o: sys.exit(repr(augmentation))\n"
    program += "from pycnn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "images", "--model", "small.safetensors"]
        + ["--out", "my.safetensors", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert drawn in done.stderr


def test_train_refuses_a_disk_without_room(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "small.safetensors")
    done = pycnn_train(
        *("images", "--model", "small.safetensors", "--out", "my.safetensors"),
        cwd=tmp_path,
        preexec_fn=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large: 'my.safetensors'" in done.stderr


_FOLDER_GOES = """
import shutil, sys
import pycnn.transfer
from pycnn.cli import main

def then_remove(*arguments, **options):
    done = learn(*arguments, **options)
    shutil.rmtree("out")
    return done

learn, pycnn.transfer.fit = pycnn.transfer.fit, then_remove
main()
"""


def test_train_does_not_lose_what_it_cannot_save(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "small.safetensors")
    folder = folder_of(tmp_path / "images", stripes(12))
    (tmp_path / "out").mkdir()
    options = ("--model", "small.safetensors", "--regime", "features")
    done = subprocess.run(
        [sys.executable, "-c", _FOLDER_GOES, "train", folder, *options, "--out", "out/my.npz"],
        cwd=tmp_path,
        env={**os.environ, "PYCNN_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "held-out images are right" in done.stdout
    assert "saved:" not in done.stdout
    (file,) = (tmp_path / "home").glob("my-*.npz")
    assert f"No such file or directory: 'out/my.npz'; it is in '{file}' instead" in done.stderr
    assert pycnn.load(file).labels == CLASSES
