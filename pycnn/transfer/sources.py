"""Where the part that learns gets its inputs from: a store, or images through the frozen part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycnn.model import Model
from pycnn.opset import Array
from pycnn.transfer.data import require_classes
from pycnn.transfer.features import Features, Unreadable
from pycnn.vision import Stream

__all__ = ["Stored", "Streamed"]


@dataclass(frozen=True)
class Stored:
    """Rows of a store, read as they are asked for; shuffled, where there is a seed."""

    features: Features
    batch_size: int
    seed: int | None = None

    def __len__(self) -> int:
        """Images of an epoch."""
        return len(self.features)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Images that were left out."""
        return self.features.unreadable

    @property
    def computed(self) -> int:
        """Rows that were not in the store."""
        return self.features.computed

    def epoch(self, number: int) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
        """Rows ``(n, C, H, W)`` and labels of each batch."""
        order = np.arange(len(self))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            rows = self.features.rows[self.features.positions[chosen]]  # a copy, in memory
            yield np.asarray(rows), self.features.labels[chosen]


@dataclass(frozen=True)
class Streamed:
    """Images of a stream, and what the frozen part, which pycnn runs, makes of them.

    Attributes
    ----------
    trunk, cut
        The frozen part's network and last layer; None where the images themselves are wanted.
    classes
        Those of which an epoch must have an image that can be used.
    part
        What an error calls the images.
    """

    stream: Stream
    classes: Sequence[str]
    trunk: Model | None = None
    cut: str | None = None
    part: str = "to learn from"

    def __len__(self) -> int:
        """Images of an epoch."""
        return len(self.stream.data)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Images that were left out so far."""
        return tuple(Unreadable(name, why) for name, why in self.stream.failures.items())

    @property
    def computed(self) -> int:
        """None: nothing goes to a store."""
        return 0

    def epoch(self, number: int) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
        """Values ``(n, C, H, W)`` and labels of each batch; DataError where a class has none."""
        self.stream.seek(number)
        seen = []
        for images, labels in self.stream:
            seen.append(labels)
            if self.trunk is None:
                yield images, labels
            else:
                yield np.asarray(self.trunk.run(images, until=self.cut, check_input=False)), labels
        require_classes(np.concatenate(seen), self.classes, self.part)
