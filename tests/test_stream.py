"""Batches made by threads: which, in what order, with what bounds, and how it ends."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pycnn
from pycnn.errors import ImageError, InputWarning
from pycnn.vision import (
    Augmentation,
    Batch,
    ColorJitter,
    Dataset,
    ElasticWarp,
    Mirror,
    Preprocessing,
    RandomCrop,
    RandomResizedCrop,
    Rotate,
    Stream,
    preprocess,
    render,
)
from pycnn.vision.dataset import as_dataset
from pycnn.vision.decode import decode
from pycnn.vision.render import Renderer
from pycnn.vision.workers import Making, Times

PREPROCESSING = Preprocessing((16, 16), scale=1 / 255, mean=(0.5,), std=(0.25,))
PHOTOS = Preprocessing((16, 16), resize=18, crop=(16, 16))
CHAIN = Augmentation([RandomCrop(16, padding=2), Mirror(), Rotate(10), ColorJitter(0.2, 0.2, 0.2)])


@pytest.fixture
def arrays(rng: np.random.Generator) -> Dataset:
    """Fifty images of 16 x 16, three classes."""
    return Dataset(rng.integers(0, 256, (50, 16, 16, 3), np.uint8), np.arange(50) % 3)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Three classes of four photographs of different sizes; the sixth of all is damaged."""
    for i in range(12):
        name = tmp_path / ("cat", "dog", "neither")[i // 4]
        name.mkdir(exist_ok=True)
        size = (20 + i, 31 - i, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(name / f"{i:02}.png")
    damaged = tmp_path / "dog" / "05.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    return tmp_path


def pycnn_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("pycnn-image")]


def everything(stream: Stream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels, places of what is left of the epoch."""
    batches = list(stream)
    parts = [(b.images, b.labels, b.places) for b in batches]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


# --- which images


def test_an_epoch_is_the_data_set_as_the_network_takes_it(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=8)
    batches = list(stream)
    assert [len(labels) for _, labels in batches] == [8] * 6 + [2] and len(stream) == 7
    images, labels, places = (np.concatenate([getattr(b, name) for b in batches])
                              for name in ("images", "labels", "places"))  # fmt: skip
    np.testing.assert_array_equal(images, PREPROCESSING.batch(arrays.array))
    np.testing.assert_array_equal(labels, arrays.labels)
    np.testing.assert_array_equal(places, np.arange(50))
    assert images.dtype == np.float32 and labels.dtype == np.int64
    assert stream.epoch == 1


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("ahead", [1, 4])
def test_batches_are_the_same_for_any_number_of_threads(
    arrays: Dataset, folder: Path, threads: int, ahead: int
) -> None:
    files = Dataset.from_folder(folder).subset([0, 1, 2, 3, 4, 6, 7, 8])
    photos = Augmentation([RandomResizedCrop(), ElasticWarp(), Mirror()])
    for data, preprocessing, chain in ((arrays, PREPROCESSING, CHAIN), (files, PHOTOS, photos)):
        options = {"batch_size": 5, "shuffle": True, "seed": 3}
        one = Stream(data, preprocessing, chain, threads=1, **options)
        many = Stream(data, preprocessing, chain, threads=threads, ahead=ahead, **options)
        for _ in range(2):
            for expected, got in zip(everything(one), everything(many), strict=True):
                np.testing.assert_array_equal(got, expected)


def test_each_epoch_has_its_own_order_and_changes(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, CHAIN, batch_size=16, shuffle=True)
    first, second = everything(stream), everything(stream)
    for _, labels, places in (first, second):
        assert sorted(places) == list(range(50)) and not np.array_equal(places, range(50))
        np.testing.assert_array_equal(labels, arrays.labels[places])
    assert not np.array_equal(first[2], second[2])
    assert np.abs(first[0][np.argsort(first[2])] - second[0][np.argsort(second[2])]).max() > 0.1
    stream.seek(0)
    for expected, got in zip(first, everything(stream), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_image_is_the_same_in_a_part_of_the_data_set(arrays: Dataset) -> None:
    whole, _, _ = everything(Stream(arrays, PREPROCESSING, CHAIN))
    part = arrays.subset(np.arange(50) % 7 == 2)
    images, labels, places = everything(Stream(part, PREPROCESSING, CHAIN, batch_size=3))
    np.testing.assert_array_equal(images, whole[2::7])
    np.testing.assert_array_equal(labels, arrays.labels[2::7])
    np.testing.assert_array_equal(places, np.arange(len(part)))


def test_arrays_that_must_be_shrunk_go_through_pillow(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (6, 40, 40, 3), np.uint8)
    data = (images, np.zeros(6, int))
    got, _, _ = everything(Stream(data, PHOTOS, batch_size=4))
    np.testing.assert_array_equal(got, PHOTOS.batch(images))
    chain = Augmentation([RandomCrop(), Mirror()])
    got, _, _ = everything(Stream(data, PHOTOS, chain))
    out = np.empty((1, 3, 16, 16), np.float32)
    Renderer(PHOTOS, chain, 0).render(out, [images[4]], np.array([4]), 0)
    np.testing.assert_array_equal(got[4], out[0])


def test_an_opened_image_that_occurs_often_is_decoded_by_one_thread(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Pillow decodes into the image itself; threads must not do it together."""
    pixels = rng.integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    whole = Preprocessing((500, 500))
    for _ in range(3):
        opened = Image.open(tmp_path / "noise.png")
        data = Dataset([opened] * 8, [0] * 8)
        images, _, _ = everything(Stream(data, whole, batch_size=1, threads=4, ahead=8))
        for image in images:
            np.testing.assert_array_equal(image, pixels.transpose(2, 0, 1))


def test_grey_and_colour_become_what_the_network_takes(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 256, (3, 16, 16), np.uint8)
    got, _, _ = everything(Stream((grey, [0, 0, 0]), Preprocessing((16, 16)), CHAIN))
    colour = np.repeat(grey[..., None], 3, axis=3)
    expected, _, _ = everything(Stream((colour, [0, 0, 0]), Preprocessing((16, 16)), CHAIN))
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_drop_last(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=16, drop_last=True)
    assert [len(labels) for _, labels in stream] == [16, 16, 16] and len(stream) == 3


# --- going on


def test_a_state_goes_on_in_the_middle_of_an_epoch(arrays: Dataset) -> None:
    options = {"batch_size": 8, "shuffle": True, "seed": 9}
    stream = Stream(arrays, PREPROCESSING, CHAIN, **options)
    list(stream)
    expected = everything(stream)[0]
    stream.seek(1)
    first = []
    for images, _ in stream:
        first.append(images)
        if len(first) == 3:
            break
    state = json.loads(json.dumps(stream.state_dict()))
    assert (state["epoch"], state["batch"]) == (1, 3)
    resumed = Stream(arrays, PREPROCESSING, CHAIN, threads=3, **options)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(np.concatenate([*first, everything(resumed)[0]]), expected)
    np.testing.assert_array_equal(np.concatenate([*first, everything(stream)[0]]), expected)
    assert resumed.epoch == stream.epoch == 2


def test_a_state_of_another_stream_is_refused(arrays: Dataset) -> None:
    state = Stream(arrays, PREPROCESSING, CHAIN, seed=1).state_dict()
    with pytest.raises(ValueError, match="the state has seed 1, this stream 2"):
        Stream(arrays, PREPROCESSING, CHAIN, seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match="the state has augmentation"):
        Stream(arrays, PREPROCESSING, seed=1).load_state_dict(state)
    del state["epoch"]
    with pytest.raises(ValueError, match="has also epoch"):
        Stream(arrays, PREPROCESSING, CHAIN, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="no batch 9 of 1"):
        Stream(arrays, PREPROCESSING).seek(0, 9)


def test_a_loop_left_at_its_last_batch_is_followed_by_the_next_epoch(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=25)
    for i, _ in enumerate(stream):
        if i == 1:
            break
    assert stream.epoch == 1
    assert len(list(stream)) == 2


# --- images that cannot be used


def test_a_damaged_file_is_left_out_named_and_counted(folder: Path) -> None:
    stream = Stream(folder, PHOTOS, batch_size=4)
    assert stream.data.classes == ("cat", "dog", "neither")
    with pytest.warns(InputWarning, match=r"left out: .*dog/05\.png'") as warned:
        images, labels, places = everything(stream)
    assert len(warned) == 1
    assert len(images) == 11 and labels.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    assert places.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(images[5], PHOTOS(stream.data[6]))
    ((name, reason),) = stream.failures.items()
    assert name.endswith("05.png'") and "cannot be decoded" in reason
    assert len(everything(stream)[0]) == 11  # again, and no second warning
    stats = stream.stats()
    assert (stats.images, stats.batches, stats.failed) == (22, 6, 1)
    assert "1 images could not be used" in str(stats)


def test_a_damaged_file_stops_where_that_is_asked(folder: Path) -> None:
    stream = Stream(folder, PHOTOS, batch_size=4, errors="raise")
    batches = iter(stream)
    assert len(next(batches).labels) == 4
    with pytest.raises(ImageError, match=r"05\.png"):
        next(batches)
    assert stream.state_dict()["batch"] == 1  # it would meet the file again
    assert not pycnn_threads()


def test_a_batch_without_an_image_is_left_out_and_an_epoch_without_any_fails(folder: Path) -> None:
    files = Dataset.from_folder(folder)
    with pytest.warns(InputWarning):
        assert [len(labels) for _, labels in Stream(files, PHOTOS, batch_size=1)] == [1] * 11
    stream = Stream(files.subset([5]), PHOTOS)
    with (
        pytest.warns(InputWarning),
        pytest.raises(ImageError, match=r"none of the 1 images could be used; .*05\.png"),
    ):
        list(stream)


def test_a_rest_of_an_epoch_without_an_image_is_named(folder: Path) -> None:
    files = Dataset.from_folder(folder).subset([0, 1, 5])
    stream = Stream(files, PHOTOS, batch_size=1)
    for _ in range(2):  # also when the damaged file is known
        stream.seek(0, 2)
        with pytest.warns(InputWarning) as warned:
            assert list(stream) == []
        assert "none of the last 1 images of epoch 0" in str(warned[-1].message)
        assert stream.epoch == 1


def test_any_other_failure_of_a_thread_is_raised(
    arrays: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Renderer, "render_array", fail)
    with pytest.raises(MemoryError, match="no room"):
        list(Stream(arrays, PREPROCESSING))
    assert not pycnn_threads()


def test_a_batch_that_cannot_be_allocated_is_an_error() -> None:
    rows = [np.arange(1 << 20)] * 2
    making = Making(
        rows, (1 << 20, 4096, 4096), lambda *_: {}, unit=1, threads=2, ahead=2, times=Times()
    )
    with pytest.raises((MemoryError, ValueError), match=r"allocate|too big|too large"):
        making.take()
    making.close()
    assert not pycnn_threads()


# --- bounds and ends


def test_no_more_batches_are_made_than_may_be_ahead(
    arrays: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    render = Renderer.render_array

    def count(self: Renderer, out: np.ndarray, *rest: object) -> dict[int, ImageError]:
        made.append(len(out))
        return render(self, out, *rest)

    monkeypatch.setattr(Renderer, "render_array", count)
    batches = iter(Stream(arrays, PREPROCESSING, batch_size=2, threads=3, ahead=4))
    for taken in range(1, 4):
        next(batches)
        time.sleep(0.05)
        assert taken < len(made) <= taken + 4
    batches.close()


def test_threads_end_however_the_loop_does(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=2, threads=2, ahead=1)
    for _ in stream:
        assert pycnn_threads()
        break
    gc.collect()
    assert not pycnn_threads()

    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        for _ in stream:
            raise Stop
    gc.collect()
    assert not pycnn_threads()
    batches = iter(stream)
    next(batches)
    stream.close()
    assert not pycnn_threads()
    list(stream)
    assert not pycnn_threads()


@pytest.mark.parametrize("chain", [None, Augmentation([Mirror()])])
def test_leaving_a_loop_waits_for_one_file_of_each_thread(
    arrays: Dataset, monkeypatch: pytest.MonkeyPatch, chain: Augmentation | None
) -> None:
    decoded = []

    def slow(image: np.ndarray, mode: str) -> object:
        time.sleep(0.05)
        decoded.append(image)
        return decode(image, mode)

    monkeypatch.setattr(preprocess, "decode", slow)
    monkeypatch.setattr(render, "decode", slow)
    data = Dataset(list(arrays.array), arrays.labels)
    batches = iter(Stream(data, PREPROCESSING, chain, batch_size=10, threads=2))
    next(batches)
    before = len(decoded)
    batches.close()
    assert len(decoded) - before <= 4  # of up to 20


def test_a_second_loop_ends_the_first(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=2, threads=1)
    first, second = iter(stream), iter(stream)
    next(first)
    next(second)
    with pytest.raises(RuntimeError, match="another loop"):
        next(first)
    next(second)
    second.close()
    assert not pycnn_threads()


def test_a_thread_may_be_the_one_that_finds_the_loop_left() -> None:
    """The garbage collector runs in any thread, and closes the loops that it finds."""
    begun, made = threading.Event(), threading.Event()

    def fill(*_: object) -> dict[int, ImageError]:
        assert begun.wait(20)
        with making._changed:  # the worst moment
            making.close()
        made.set()
        return {}

    rows = [np.arange(1)] * 9
    making = Making(rows, (1, 1, 1), fill, unit=1, threads=2, ahead=3, times=Times())
    begun.set()
    assert made.wait(20)
    making.close(20)
    assert not pycnn_threads()


def test_a_loop_ends_where_the_stream_goes_elsewhere(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=2)
    state = stream.state_dict()
    moves = [stream.close, lambda: stream.seek(4), lambda: stream.load_state_dict(state)]
    for move, position in zip(moves, [(0, 2), (4, 0), (0, 0)], strict=True):
        for taken, _ in enumerate(stream):
            if taken:
                move()
        assert taken == 1 and (stream.epoch, stream.state_dict()["batch"]) == position
        assert not pycnn_threads()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_loop_does_not_go_on_in_a_fork_and_another_does(arrays: Dataset) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=10, threads=2, ahead=1)
    batches = iter(stream)
    next(batches)
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def go_on() -> None:
        try:
            next(batches)
        except RuntimeError as error:
            results.put(str(error))
        results.put(sum(len(labels) for _, labels in stream))

    child = context.Process(target=go_on, daemon=True)
    child.start()
    assert "forked process: begin a new one there" in results.get(timeout=60)
    assert results.get(timeout=60) == 40
    child.join(60)
    assert child.exitcode == 0
    assert sum(len(labels) for _, labels in batches) == 40


PROGRAM = """
import numpy as np, signal, sys, threading
from pycnn.vision import Preprocessing, Stream
stream = Stream((np.zeros((1000, 8, 8, 3), np.uint8), np.zeros(1000, int)), Preprocessing((8, 8)),
                batch_size=1, threads=2, ahead=3)
batches = iter(stream)
next(batches)
if sys.argv[1] == "exit":
    sys.exit(3)  # with the loop open
signal.setitimer(signal.ITIMER_REAL, 0.2)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
try:
    for _ in batches:
        threading.Event().wait(0.05)
except KeyboardInterrupt:
    del batches, _
    print([t.name for t in threading.enumerate()])
"""


@pytest.mark.parametrize(
    ("how", "code", "says"), [("exit", 3, ""), ("ctrl-c", 0, "['MainThread']\n")]
)
def test_the_interpreter_ends(how: str, code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, says, "")


# --- who waits for whom


def test_stats_tell_a_slow_consumer_from_slow_images(
    arrays: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(arrays, PREPROCESSING, batch_size=10, threads=1, ahead=1)
    for _ in stream:
        time.sleep(0.02)
    stats = stream.stats()
    assert stats.bottleneck == "consumer" and "the consumer is the bottleneck" in str(stats)
    assert (stats.images, stats.batches, stats.threads) == (50, 5, 1)
    assert stats.seconds >= 0.1 and stats.images_per_s == pytest.approx(50 / stats.seconds)

    stream = Stream(arrays, PREPROCESSING, threads=1)  # one batch: its thread waits for nobody
    for _ in stream:
        time.sleep(0.1)
    assert stream.stats().bottleneck == "consumer"
    assert stream.stats().idle_s > 0.09

    render = Renderer.render_array

    def slow(self: Renderer, *arguments: object) -> dict[int, ImageError]:
        time.sleep(0.02)
        return render(self, *arguments)

    monkeypatch.setattr(Renderer, "render_array", slow)
    stream = Stream(arrays, PREPROCESSING, batch_size=10, threads=1)
    list(stream)
    assert stream.stats().bottleneck == "decoding"


# --- with torch


def test_it_feeds_a_torch_loop_without_a_copy(arrays: Dataset) -> None:
    import torch

    for images, labels in Stream(arrays, PREPROCESSING, CHAIN, batch_size=20):
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        assert x.is_contiguous() and x.dtype == torch.float32 and y.dtype == torch.int64
        x += 1
        assert x.data_ptr() == images.ctypes.data


# --- data sets and misuse


def test_a_folder_lists_its_classes(folder: Path) -> None:
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("no class")
    data = Dataset.from_folder(folder)
    assert len(data) == 12 and data.classes == ("cat", "dog", "neither")
    assert data.name(5).endswith("05.png'")
    with pytest.raises(ImageError, match="no image in it"):
        (folder / "empty").mkdir()
        Dataset.from_folder(folder)


def test_a_part_may_be_chosen_by_any_iterable(arrays: Dataset) -> None:
    for which in ([1, 4], (1, 4), np.array([1, 4]), {1: 0, 4: 0}, (i for i in (1, 4))):
        assert arrays.subset(which).numbers.tolist() == [1, 4]
    assert arrays.subset(i == 3 for i in range(50)).numbers.tolist() == [3]


def test_data_sets_that_are_none(tmp_path: Path) -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ImageError, match="one folder of images for each class, found none"):
        Dataset.from_folder(tmp_path)
    with pytest.raises(ImageError, match="No such file"):
        Dataset.from_folder(tmp_path / "absent")
    with pytest.raises(ImageError, match="at least one image"):
        Dataset([], [])
    with pytest.raises(ImageError, match=r"looks like \(N, C, H, W\)"):
        Dataset(images.transpose(0, 3, 1, 2), [0, 0])
    with pytest.raises(ImageError, match="expected uint8 images"):
        Dataset(images.astype(np.float32), [0, 0])
    with pytest.raises(ValueError, match="expected 2 integers"):
        Dataset(images, [0])
    with pytest.raises(ValueError, match=r"labels are 0\.\.2, and the classes 0\.\.1"):
        Dataset(images, [0, 2], ["a", "b"])
    with pytest.raises(ValueError, match="give the names of so many classes"):
        Dataset(images, [0, 1 << 60])
    with pytest.raises(ImageError, match="a subset has at least one image"):
        Dataset(images, [0, 1]).subset([])


def test_labels_are_taken_alike_everywhere() -> None:
    images = np.zeros((3, 16, 16, 3), np.uint8)
    (_, labels), *_ = stream = Stream((images, ["cat", "ant", "cat"]), PREPROCESSING)
    assert (labels.tolist(), stream.data.classes) == ([1, 0, 1], ("ant", "cat"))
    for data in (
        (images, ["ant", "cta", "cat"]),
        Dataset(images, [0, 1, 2], ["ant", "cta", "cat"]),
    ):
        with pytest.raises(pycnn.DataError, match=r"'cta' \(image 1\).*did you mean 'cat'"):
            as_dataset(data, ("ant", "cat"))
    for given in ([0, 1, 2], [0, 1, -1], [0, 1]):
        for take in (as_dataset, lambda data, classes: Dataset(*data, classes)):
            with pytest.raises(pycnn.DataError, match="labels"):
                take((images, given), ("ant", "cat"))


def test_a_batch_is_copied_and_pickled_whole(arrays: Dataset) -> None:
    batch = next(iter(Stream(arrays, PREPROCESSING, batch_size=3)))
    for again in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert isinstance(again, Batch)
        for name in ("images", "labels", "places"):
            np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
        images, labels = again
        assert images is again.images and labels is again.labels


def test_misuse_of_a_stream(arrays: Dataset) -> None:
    with pytest.raises(TypeError, match=r"a folder, \(images, labels\) or a Dataset, got int"):
        Stream(3, PREPROCESSING)
    with pytest.raises(ValueError, match="batch_size and ahead"):
        Stream(arrays, PREPROCESSING, batch_size=0)
    with pytest.raises(ValueError, match="seed must be"):
        Stream(arrays, PREPROCESSING, seed=-1)
    with pytest.raises(ValueError, match="errors must be"):
        Stream(arrays, PREPROCESSING, errors="ignore")
    with pytest.raises(ValueError, match="leaves nothing of 50 images in batches of 51"):
        Stream(arrays, PREPROCESSING, batch_size=51, drop_last=True)
    with pytest.raises(ImageError, match=r": 16 x 16 \(H x W\), .* 18 x 18: give the pre"):
        Stream(arrays, Preprocessing((18, 18)))
    with pytest.raises(ImageError, match=r"16 x 16 .* smaller than the crop 20 x 20"):
        Stream(arrays, PREPROCESSING, Augmentation(RandomCrop(20)))
