"""Truncated, bit-flipped and hostile files: an error that names the file, or what is in it."""

from __future__ import annotations

import collections
from pathlib import Path

import mutate
import numpy as np
import pytest
from good_files import FORMATS, GRAPH_FORMATS, SEEDS, Arrays, networks, read_all, seeds
from hypothesis import given
from hypothesis import strategies as st

import pycnn
from pycnn import ModelFormatError
from pycnn.formats import open_weights

MUTATIONS = 2_000
every_format = pytest.mark.parametrize("suffix", [*FORMATS, *GRAPH_FORMATS])
each_format = pytest.mark.parametrize("suffix", FORMATS)


@every_format
def test_the_good_files_are_good(suffix: str, tmp_path: Path) -> None:
    files = seeds(suffix, tmp_path)
    assert len(files) == SEEDS
    for data in files:
        assert mutate.survives(read_all, tmp_path / f"good{suffix}", data) == "read"


def test_another_file_that_is_opened_is_noticed(tmp_path: Path) -> None:
    def read(path: Path, max_bytes: int) -> None:
        Path("/etc/hostname").exists()
        (tmp_path / "other").write_bytes(b"")

    with pytest.raises(AssertionError, match="other"):
        mutate.survives(read, tmp_path / "a.npz", b"")


@every_format
def test_mutations(suffix: str, tmp_path: Path) -> None:
    files, path = seeds(suffix, tmp_path), tmp_path / f"mutant{suffix}"
    outcomes = collections.Counter(
        mutate.survives(read_all, path, data) for data in mutate.mutations(files, MUTATIONS, 1)
    )
    assert set(outcomes) <= {"read", "ModelFormatError", "UnsupportedError", "ShapeError"}
    # Neither harmless nor stopped at the door, both of which would test nothing.
    assert outcomes["read"] > MUTATIONS / 50, outcomes
    assert outcomes["ModelFormatError"] > MUTATIONS / 4, outcomes


@pytest.mark.slow
@every_format
def test_many_mutations(suffix: str, tmp_path: Path) -> None:
    for data in mutate.mutations(seeds(suffix, tmp_path), 50_000, 2):
        mutate.survives(read_all, tmp_path / f"mutant{suffix}", data)


@every_format
@given(data=st.binary(max_size=300))
def test_any_bytes(suffix: str, data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    mutate.survives(read_all, path, data)


@each_format
@given(size=st.integers(0, 1 << 20), seed=st.integers(0, SEEDS - 1))
def test_every_truncation(
    suffix: str, size: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = FORMATS[suffix](networks()[seed])
    path = tmp_path_factory.getbasetemp() / f"cut{suffix}"
    part = data[: size % len(data)]
    assert mutate.survives(read_all, path, part) in ("ModelFormatError", "UnsupportedError")


@each_format
def test_max_bytes(suffix: str, tmp_path: Path) -> None:
    arrays: Arrays = {"a": np.zeros((10, 10), np.float32), "b": np.zeros(5, np.float16)}
    path = tmp_path / f"w{suffix}"
    path.write_bytes(FORMATS[suffix](arrays))
    open_weights(path, 420)
    with pytest.raises(ModelFormatError, match=r"420 bytes of float32, more than max_bytes, 419"):
        open_weights(path, 419)
    with pytest.raises(ModelFormatError, match="more than max_bytes"):
        pycnn.load("lenet5", weights=path, max_bytes=100)


@each_format
def test_values_beyond_float32(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(FORMATS[suffix]({"a": np.array([1.0, 1e39])}))
    with pytest.raises(ModelFormatError, match="tensor 'a' has values beyond float32"):
        open_weights(path).read("a")
    path.write_bytes(FORMATS[suffix]({"a": np.array([1.0, np.inf, np.nan])}))
    np.testing.assert_array_equal(open_weights(path).read("a"), np.float32([1, np.inf, np.nan]))


def test_a_zip_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, a=np.zeros(100_000_000, np.float32))  # 400 MB in 400 kB
    with (
        mutate.address_space(100_000_000),
        pytest.raises(ModelFormatError, match="more than max_bytes"),
    ):
        open_weights(path, 1 << 24)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_mutated_passports(suffix: str, tmp_path: Path) -> None:
    """`load(path)` believes what a file says of itself only where it makes sense."""
    good = tmp_path / f"good{suffix}"
    pycnn.load("lenet5").save(good)
    path = tmp_path / f"mutant{suffix}"

    def load(path: Path, max_bytes: int) -> None:
        model = pycnn.load(path, max_bytes=max_bytes)
        model.run(np.zeros((1, 1, 32, 32), np.float32))

    pycnn.load(good).run(np.zeros((1, 1, 32, 32), np.float32))
    data = good.read_bytes()
    outcomes = collections.Counter(
        mutate.survives(load, path, mutant)
        for mutant in mutate.mutations([data], MUTATIONS // 4, 3)
    )
    assert set(outcomes) <= {"read", "ModelFormatError", "UnsupportedError", "WeightsError"}
    assert outcomes["read"] > 10, outcomes
