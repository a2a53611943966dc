"""Images with their labels, as files or as arrays: `Dataset`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from pycnn.errors import DataError, ImageError, suggest
from pycnn.vision.files import expand

if TYPE_CHECKING:
    from pycnn.vision.decode import ImageLike

__all__ = ["DataLike", "Dataset", "as_dataset"]

DataLike: TypeAlias = (
    "str | os.PathLike[str] | tuple[Sequence[ImageLike], Iterable[int | str]] | Dataset"
)

# A name is made for each class up to the greatest label, which may be a mistake, or hostile.
_MOST_UNNAMED = 100_000


class Dataset:
    """Images, a label for each, and the names of the classes.

    Parameters
    ----------
    images : uint8 array (N, H, W), (N, H, W, 1) or (N, H, W, 3) RGB, or a list of images
        A list may mix paths, PIL images and uint8 arrays; nothing is read here.
    labels : (N,) integers of at least 0
    classes : sequence of str, optional
        Their names; default: the numbers as text, of which there are at most 100,000.

    Raises
    ------
    ImageError
        There are no images, or an array is not uint8 of such a shape.
    DataError
        The labels do not fit the images or the classes.

    Attributes
    ----------
    array : uint8 (N, H, W, C), or None
        All images of the whole data set, if they are one array; `numbers` says which are ours.
    labels : (n,) int64
    classes : tuple of str
    numbers : (n,) int64
        Each image's number in the whole data set, of which this may be a part: what its random
        numbers are keyed by.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8] | Sequence[ImageLike],
        labels: npt.ArrayLike,
        classes: Sequence[str] | None = None,
    ) -> None:
        self._images = _checked(images) if isinstance(images, np.ndarray) else list(images)
        n = len(self._images)
        if n == 0:
            raise ImageError("a data set has at least one image, got none")
        given = np.asarray(labels)
        if given.shape != (n,) or not np.issubdtype(given.dtype, np.integer):
            raise DataError(
                f"labels: expected {n} integers, one an image, got {given.dtype} {given.shape}"
            )
        self.labels: npt.NDArray[np.int64] = given.astype(np.int64)
        low, high = int(self.labels.min()), int(self.labels.max())
        if classes is None and high >= _MOST_UNNAMED:
            raise DataError(f"labels are {low}..{high}: give the names of so many classes")
        names = tuple(classes) if classes is not None else tuple(map(str, range(high + 1)))
        if low < 0 or high >= len(names):
            raise DataError(f"labels are {low}..{high}, and the classes 0..{len(names) - 1}")
        self.classes = names
        self.numbers: npt.NDArray[np.int64] = np.arange(n)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Dataset:
        """List a folder with one folder of images for each class.

        Parameters
        ----------
        folder : path
            The classes are its folders, in the order of their names; the images those in them and
            below them that `pycnn.vision.expand` finds. Names that begin with a dot are left out.

        Raises
        ------
        ImageError
            It is no folder, has no folders, or one of these has no image.
        """
        root = Path(folder)
        try:
            found = sorted(e.name for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")
        except OSError as error:
            raise ImageError(f"folder {str(root)!r}: {error.strerror}") from error
        if not found:
            raise ImageError(
                f"folder {str(root)!r}: expected one folder of images for each class, found none"
            )
        files = [expand(root / name) for name in found]
        labels = np.repeat(np.arange(len(found)), [len(group) for group in files])
        return cls([file for group in files for file in group], labels, found)

    @property
    def array(self) -> npt.NDArray[np.uint8] | None:
        """See the class."""
        return self._images if isinstance(self._images, np.ndarray) else None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> ImageLike:
        """One image, as it was given."""
        return self._images[int(self.numbers[i])]

    def name(self, i: int) -> str:
        """What to call an image: its path, or its number in the whole data set."""
        image = self[i]
        if isinstance(image, (str, os.PathLike)):
            return repr(os.fsdecode(image))
        return f"image {self.numbers[i]}"

    def subset(self, which: npt.NDArray[np.generic] | Iterable[int]) -> Dataset:
        """The images of these places, in this order; nothing is copied, and numbers stay.

        Parameters
        ----------
        which : (k,) integers, or (len(self),) bool; an array or any iterable

        Raises
        ------
        ImageError
            None is left.
        """
        index = which if isinstance(which, np.ndarray) else list(which)
        part = object.__new__(Dataset)
        part._images, part.classes = self._images, self.classes
        part.numbers, part.labels = self.numbers[index], self.labels[index]
        if not len(part):
            raise ImageError("a subset has at least one image, got none")
        return part

    def __repr__(self) -> str:
        return f"<pycnn.vision.Dataset {len(self)} images, {len(self.classes)} classes>"


def as_dataset(data: DataLike, classes: Sequence[str] | None = None) -> Dataset:
    """Take a folder with a folder for each class, ``(images, labels)`` or a `Dataset`.

    Parameters
    ----------
    data
        Labels are numbers, or names: then the classes are the names, sorted.
    classes : sequence of str, optional
        The classes to tell apart, in the order of the network's outputs, where `data` is not to
        say which there are.

    Raises
    ------
    DataError
        The labels do not fit the images or the classes; near names are suggested.
    ImageError
        A folder or an image cannot be used.
    TypeError
        It is nothing of the kind.
    """
    if isinstance(data, (str, os.PathLike)):
        data = Dataset.from_folder(data)
    if isinstance(data, Dataset):
        if classes is None or tuple(classes) == data.classes:
            return data
        found = data.subset(np.arange(len(data)))
        by_name = [data.classes[label] for label in data.labels]
        found.labels, found.classes = _numbers(by_name, classes), tuple(classes)
        return found
    if not (isinstance(data, tuple) and len(data) == 2):
        raise TypeError(
            f"expected a folder, (images, labels) or a Dataset, got {type(data).__name__}"
        )
    images, labels = data[0], list(data[1])
    if any(isinstance(label, str) for label in labels):
        names = [str(label) for label in labels]
        known = tuple(classes) if classes is not None else tuple(sorted(set(names)))
        return Dataset(images, _numbers(names, known), known)
    return Dataset(images, np.asarray(labels), classes)


def _checked(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(N, H, W, C) uint8, C-contiguous."""
    images = array[..., None] if array.ndim == 3 else array
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        hint = ""
        if images.ndim == 4 and images.shape[1] in (1, 3):
            hint = "; this looks like (N, C, H, W): use array.transpose(0, 2, 3, 1)"
        raise ImageError(
            "expected uint8 images (N, H, W), (N, H, W, 1) or (N, H, W, 3) RGB, got "
            f"{array.dtype} {array.shape}{hint}"
        )
    if not images.size:
        raise ImageError(f"the images are empty: {array.shape}")
    return np.ascontiguousarray(images)


def _numbers(
    names: Sequence[str], classes: Sequence[str]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    index = {name: number for number, name in enumerate(classes)}
    for i, name in enumerate(names):
        if name not in index:
            raise DataError(
                f"the label {name!r} (image {i}) is none of the {len(index)} classes"
                f"{suggest(name, index)}"
            )
    return np.array([index[name] for name in names], np.int64)
