"""The feature store: never stale, never torn, whatever happens to those who write it."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pycnn
from pycnn.transfer.store import DIGEST_BYTES, FeatureStore

FACTS = {"weights": "a"}
SHAPE = (3, 2, 1)


def digest(i: int) -> bytes:
    return i.to_bytes(DIGEST_BYTES, "little")


def row(i: int) -> np.ndarray:
    return np.full(SHAPE, i, np.float32)


def add(store: FeatureStore, *numbers: int) -> None:
    with store.writing():
        store.append([digest(i) for i in numbers], np.stack([row(i) for i in numbers]))


def assert_holds(store: FeatureStore, *numbers: int) -> None:
    positions = store.find(digest(i) for i in numbers)
    assert (positions >= 0).all()
    np.testing.assert_array_equal(store.rows[positions], np.stack([row(i) for i in numbers]))


def test_rows_are_found_again_by_their_image(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    assert store.find([digest(1)]).tolist() == [-1]
    add(store, 1, 2)
    add(store, 3)
    again = FeatureStore(tmp_path, FACTS, SHAPE)
    assert len(again) == 3
    assert_holds(again, 3, 1, 2)
    assert again.find([digest(9)]).tolist() == [-1]
    assert again.drop_damaged(map(digest, (1, 2, 3, 9))) == 0


@pytest.mark.parametrize("other", [({"weights": "b"}, SHAPE), (FACTS, (6, 1, 1))])
def test_other_facts_are_another_store(tmp_path: Path, other: tuple) -> None:
    add(FeatureStore(tmp_path, FACTS, SHAPE), 1)
    assert len(FeatureStore(tmp_path, *other)) == 0


def test_a_folder_that_says_something_else_is_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    (store.folder / "facts.json").write_text(json.dumps({"weights": "b"}))
    with pytest.raises(pycnn.StoreError, match=r"facts\.json does not say"):
        FeatureStore(tmp_path, FACTS, SHAPE)


def test_what_a_kill_cuts_off_is_computed_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    add(store, 1, 2, 3)
    index, rows = store.folder / "index", store.folder / "rows"
    whole_index, whole_rows = index.read_bytes(), rows.read_bytes()
    # Between the rows and their records; within a record; within a row.
    for cut_index, cut_rows in ((64, 72), (64 + 17, 72), (64, 48 + 5), (96, 48 + 5)):
        index.write_bytes(whole_index[:cut_index])
        rows.write_bytes(whole_rows[:cut_rows])
        torn = FeatureStore(tmp_path, FACTS, SHAPE)
        assert_holds(torn, 1, 2)
        assert torn.find([digest(3)]).tolist() == [-1]
        add(torn, 3)
        assert (index.read_bytes(), rows.read_bytes()) == (whole_index, whole_rows)


def test_damaged_rows_and_records_are_not_used(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    add(store, 1, 2, 3)
    for name, place in (("rows", 30), ("index", 70)):
        with open(store.folder / name, "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 0x40]))
    damaged = FeatureStore(tmp_path, FACTS, SHAPE)
    assert damaged.drop_damaged([digest(1)]) == 0  # the others are not looked at
    assert damaged.drop_damaged(map(digest, (1, 2, 3))) == 1  # 2; the record of 3 is no record
    assert damaged.find([digest(1), digest(2), digest(3)]).tolist() == [0, -1, -1]
    add(damaged, 2, 3)
    mended = FeatureStore(tmp_path, FACTS, SHAPE)
    assert mended.drop_damaged(map(digest, (1, 2, 3))) == 0
    assert_holds(mended, 1, 2, 3)


_WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_feature_store import *
store = FeatureStore(sys.argv[1], FACTS, SHAPE)
print("ready", flush=True)
for i in range(100000):
    add(store, i)
"""


def test_a_killed_writer_leaves_a_good_store(tmp_path: Path) -> None:
    program = _WRITER.format(tests=str(Path(__file__).parent))
    held = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        while len(FeatureStore(tmp_path, FACTS, SHAPE)) <= held:
            time.sleep(0.01)  # whatever it is at then is cut short
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        store = FeatureStore(tmp_path, FACTS, SHAPE)  # the lock went with its holder
        before, held = held, len(store)
        assert store.drop_damaged(map(digest, range(held))) == 0
        assert held > before
        assert_holds(store, *range(held))
    assert held > 0


def _write_those_missing(folder: Path, numbers: list[int]) -> None:
    store = FeatureStore(folder, FACTS, SHAPE)
    for i in numbers:
        with store.writing():
            if store.find([digest(i)])[0] < 0:
                store.append([digest(i)], row(i)[None])


def test_two_processes_write_every_row_once(tmp_path: Path) -> None:
    numbers = list(range(60))
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=_write_those_missing, args=(tmp_path, order))
        for order in (numbers, numbers[::-1])
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    assert_holds(store, *numbers)
    assert (store.folder / "rows").stat().st_size == len(numbers) * store.row_bytes


def test_a_reader_sees_what_others_add(tmp_path: Path) -> None:
    reader, writer = FeatureStore(tmp_path, FACTS, SHAPE), FeatureStore(tmp_path, FACTS, SHAPE)
    add(writer, 1)
    reader.refresh()
    old = reader.rows
    add(writer, 2)
    reader.refresh()
    assert_holds(reader, 1, 2)
    np.testing.assert_array_equal(old[0], row(1))


_FULL = """
import sys
sys.path.insert(0, {tests!r})
import resource
from test_feature_store import *
resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 24, 50 * 24))
store = FeatureStore(sys.argv[1], FACTS, SHAPE)
try:
    for i in range(0, 100, 8):
        add(store, *range(i, i + 8))
except pycnn.StoreError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    program = _FULL.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    kept = 32  # the index, of 32 bytes a row, is full before the rows, of 24
    assert f"{kept} rows of 24 bytes are kept" in done.stdout
    assert "File too large" in done.stdout
    store = FeatureStore(tmp_path, FACTS, SHAPE)
    assert store.drop_damaged(map(digest, range(kept))) == 0
    assert_holds(store, *range(kept))
    add(store, 99)
    assert_holds(store, *range(kept), 99)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(pycnn.StoreError, match="cannot be opened"):
        FeatureStore(file, FACTS, SHAPE)
