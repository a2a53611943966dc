"""Batches of decoded, augmented images, made by threads while they are consumed: `Stream`."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.errors import ImageError, InputWarning
from pycnn.vision.augmentation import Augmentation
from pycnn.vision.dataset import DataLike, as_dataset
from pycnn.vision.preprocess import Preprocessing, num_threads
from pycnn.vision.render import Renderer
from pycnn.vision.workers import Making, Slot, Times

__all__ = ["Batch", "Stream", "StreamStats"]

# Pixels that a thread makes at a time: many small images, so that Python's share is small, or one
# large one, so that the first batch is soon there.
_UNIT_PIXELS = 1 << 17

# The random numbers of the order of an epoch are those of a sample that no data set has.
_ORDER = np.array([-1])


class Batch(tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]):
    """``images, labels = batch``, and which images they are.

    Attributes
    ----------
    images : (n, C, H, W) float32
        As the network takes them; the caller's own, nothing writes to it any more.
    labels : (n,) int64
    places : (n,) int64
        Where in the stream's data set each image is.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    def __new__(
        cls,
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
    ) -> Batch:
        """Of three arrays with a row for each image."""
        batch = super().__new__(cls, (images, labels))
        batch.images, batch.labels, batch.places = images, labels, places
        return batch

    def __reduce__(self) -> tuple[Any, ...]:
        return Batch, (self.images, self.labels, self.places)


class _Position(NamedTuple):
    epoch: int
    batch: int  # those before it were taken


@dataclass(frozen=True)
class StreamStats:
    """What a stream did so far, and what held it up; made by `Stream.stats`.

    Attributes
    ----------
    images, batches : int
        Delivered.
    failed : int
        Images that could not be used, each counted once.
    seconds : float
        Spent in loops over the stream.
    waited_s : float
        Of these, those in which the consumer waited for a batch.
    busy_s, idle_s : float
        Summed over the threads: making images; with nothing to make, because the batches that are
        ready were not taken yet.
    threads : int
    """

    images: int
    batches: int
    failed: int
    seconds: float
    waited_s: float
    busy_s: float
    idle_s: float
    threads: int

    @property
    def images_per_s(self) -> float:
        """Delivered images over the whole time."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def bottleneck(self) -> Literal["decoding", "consumer"]:
        """Who the other one waited for: making images, or what is done with them."""
        idle = self.idle_s / self.threads
        return "decoding" if self.waited_s >= idle else "consumer"

    def __str__(self) -> str:
        whole = self.seconds or 1.0
        waited, idle = self.waited_s / whole, self.idle_s / self.threads / whole
        advice = {
            "decoding": "making images is the bottleneck: more threads, or smaller files, help",
            "consumer": "the consumer is the bottleneck: images are ready before it asks",
        }
        lines = [
            f"{self.images} images in {self.batches} batches, {self.seconds:.2f} s: "
            f"{self.images_per_s:.0f} images/s by {self.threads} threads",
            f"the consumer waited {waited:.0%} of the time, the threads {idle:.0%}",
            advice[self.bottleneck],
        ]
        if self.failed:
            lines.append(f"{self.failed} images could not be used: see failures")
        return "\n".join(lines)


class Stream:
    """Batches of images for training or prediction, made by threads.

    ``for images, labels in stream`` goes through one epoch; the next such loop through the next.
    The images are the same for any number of threads and for any way there: they depend on seed,
    epoch and the images' numbers in the data set. A loop that was left early goes on where it
    stopped; `seek` goes elsewhere.

    Parameters
    ----------
    data : Dataset, path, or (images, labels)
        A path is a folder with a folder for each class. Labels are numbers, or names.
    preprocessing : Preprocessing
        Of the network: ``model.preprocessing``.
    augmentation : Augmentation, optional
        Without one the images are those that the network predicts from, bit for bit.
    batch_size : int
    shuffle : bool
        A new order in each epoch.
    drop_last : bool
        Leave out the last batch where it is smaller; there must be another.
    seed : int
        Of the order and of the augmentation.
    threads : int, optional
        Default: ``PYCNN_NUM_THREADS``, or the CPUs that this process may use.
    ahead : int, optional
        Batches that may be ready or in the making: these, and what the threads decode, are all the
        memory that the stream takes. Default: two, and more where each thread makes a whole batch.
    errors : {"skip", "raise"}
        What becomes of an image that cannot be used. "skip": its batch is smaller, a warning names
        it once, `failures` and `stats` keep it.

    Raises
    ------
    ImageError
        There is no image; those of an array do not fit the network. Later, in a loop: an image
        cannot be used and ``errors="raise"``, or no image of an epoch could be.
    DataError
        Labels do not fit the images.
    ValueError, TypeError
        An option is out of its range.

    Notes
    -----
    The threads live as long as a loop: they end with it, however it ends. A new loop ends another
    that is under way, which raises RuntimeError if it is gone on with; so does one in a forked
    process, where a new loop goes on. The images are NumPy arrays that nothing else holds:
    ``torch.from_numpy(images)`` copies nothing.

    Examples
    --------
    >>> images = np.zeros((5, 4, 4, 3), np.uint8)
    >>> stream = Stream((images, [0, 1, 0, 1, 1]), Preprocessing((4, 4)), batch_size=2)
    >>> [labels.tolist() for _, labels in stream]
    [[0, 1], [0, 1], [1]]
    """

    def __init__(
        self,
        data: DataLike,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        *,
        batch_size: int = 64,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        threads: int | None = None,
        ahead: int | None = None,
        errors: Literal["skip", "raise"] = "skip",
    ) -> None:
        if batch_size < 1 or (ahead is not None and ahead < 1):
            raise ValueError(
                f"batch_size and ahead must be at least 1, got {batch_size} and {ahead}"
            )
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed must be 0..2**64 - 1, got {seed}")
        if errors not in ("skip", "raise"):
            raise ValueError(f"errors must be 'skip' or 'raise', got {errors!r}")
        self.data = as_dataset(data)
        if drop_last and len(self.data) < batch_size:
            raise ValueError(
                f"drop_last=True leaves nothing of {len(self.data)} images in batches of "
                f"{batch_size}"
            )
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.threads = num_threads(threads)
        self.errors = errors
        self.failures: dict[str, str] = {}  # why, by the image's name
        height, width = preprocessing.input_size
        self._unit = min(batch_size, max(1, _UNIT_PIXELS // (height * width)))
        self._ahead = ahead or 2 + (self.threads * self._unit - 1) // batch_size
        self._renderer = Renderer(preprocessing, augmentation, seed)
        self._position = _Position(0, 0)
        self._making: Making | None = None
        self._times = Times()
        self._seconds, self._images, self._batches = 0.0, 0, 0
        if self.data.array is not None:
            self._renderer.check_array(self.data.array)

    def __len__(self) -> int:
        """Batches of an epoch; fewer come where every image of a batch fails."""
        n = len(self.data)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._position.epoch

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Go to a batch of an epoch; a loop that is under way ends, as after its last batch."""
        if epoch < 0 or not 0 <= batch < max(1, len(self)):
            raise ValueError(f"there is no batch {batch} of {len(self)} in epoch {epoch}")
        self.close()
        self._position = _Position(epoch, batch)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as plain numbers and text; taken between two batches."""
        return {**self._identity(), **self._position._asdict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another stream of the same data and options was.

        Raises
        ------
        ValueError
            It was a stream of other data, or with other options: its batches would not go on here.
        """
        own = self._identity()
        missing = {*own, *_Position._fields} - set(state)
        if missing:
            raise ValueError(f"the state of a stream has also {', '.join(sorted(missing))}")
        for name, value in own.items():
            if state[name] != value:
                raise ValueError(f"the state has {name} {state[name]!r}, this stream {value!r}")
        self.seek(int(state["epoch"]), int(state["batch"]))

    def _identity(self) -> dict[str, Any]:
        """What decides the batches, but for the images themselves."""
        return {
            "images": len(self.data),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "seed": self.seed,
            "preprocessing": repr(self.preprocessing),
            "augmentation": repr(self.augmentation),
        }

    def close(self) -> None:
        """End a loop that is under way, and its threads; a new loop starts new ones."""
        if self._making is not None:
            self._making.close()
            self._making = None

    def stats(self) -> StreamStats:
        """Count and time of all loops so far, also of one that is under way."""
        busy = self._times.busy_s
        return StreamStats(
            images=self._images,
            batches=self._batches,
            failed=len(self.failures),
            seconds=self._seconds,
            waited_s=self._times.waited_s,
            busy_s=busy,
            idle_s=max(0.0, self.threads * self._seconds - busy),
            threads=self.threads,
        )

    def __iter__(self) -> Generator[Batch]:
        """Go through what is left of the epoch; only one loop at a time."""
        self.close()
        epoch, first = self._position
        batches = self._order(epoch)
        making = self._making = Making(
            batches[first:],
            self.preprocessing.shape,
            lambda images, places, closed: self._fill(images, places, epoch, closed),
            unit=self._unit,
            threads=self.threads,
            ahead=self._ahead,
            times=self._times,
        )
        delivered = 0
        start = time.perf_counter()
        try:
            for number in range(first, len(batches)):
                slot = making.take()
                if slot is None:
                    if self._making is None:
                        return
                    raise RuntimeError("another loop over the stream ended this one")
                batch = self._batch(slot)
                last = number + 1 == len(batches)
                self._position = _Position(epoch + 1, 0) if last else _Position(epoch, number + 1)
                self._seconds, start = (
                    self._seconds - start + time.perf_counter(),
                    time.perf_counter(),
                )
                if batch is not None:
                    delivered += len(batch.labels)
                    self._images += len(batch.labels)
                    self._batches += 1
                    yield batch
        finally:
            self._seconds += time.perf_counter() - start
            making.close()
        if delivered == 0 and first == 0:
            name, reason = next(iter(self.failures.items()))
            raise ImageError(f"none of the {len(self.data)} images could be used; {name}: {reason}")
        if delivered == 0:  # which may be right: of the whole epoch these were few
            rest = sum(map(len, batches[first:]))
            warnings.warn(
                f"none of the last {rest} images of epoch {epoch} could be used: see failures",
                InputWarning,
                stacklevel=2,
            )

    def _order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Places of each batch of an epoch."""
        n = len(self.data)
        places = np.arange(n)
        if self.shuffle:
            places = np.argsort(_core.uniforms(self.seed, epoch, _ORDER, n)[0], kind="stable")
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return [places[start : start + self.batch_size] for start in starts]

    def _fill(
        self,
        images: npt.NDArray[np.float32],
        places: npt.NDArray[np.int64],
        epoch: int,
        closed: Callable[[], bool],
    ) -> dict[int, ImageError]:
        """Make images; what failed, by row. Called by several threads."""
        data = self.data
        numbers = data.numbers[places]
        if data.array is not None:
            return self._renderer.render_array(images, data.array, numbers, epoch)
        # A file takes long: whoever leaves the loop is not to wait for the rest of them.
        wanted = itertools.takewhile(lambda _: not closed(), places.tolist())
        return self._renderer.render(images, (data[place] for place in wanted), numbers, epoch)

    def _batch(self, slot: Slot) -> Batch | None:
        """What is good of a batch; None where nothing is."""
        labels = self.data.labels[slot.rows]
        if not slot.failed:
            return Batch(slot.images, labels, slot.rows)
        for row, error in sorted(slot.failed.items()):
            if self.errors == "raise":
                raise error
            name = self.data.name(int(slot.rows[row]))
            if name not in self.failures:
                self.failures[name] = str(error)
                warnings.warn(f"left out: {error}", InputWarning, stacklevel=3)
        good = np.array([row not in slot.failed for row in range(len(labels))])
        if not good.any():
            return None
        return Batch(slot.images[good], labels[good], slot.rows[good])
