"""Images in, class names out: decode, resize, crop, normalise; files and labels.

For training: random changes, and streams of batches made by threads. What only training needs is
imported when it is first named, and Pillow when the first image is read, not with this package.
"""

from typing import TYPE_CHECKING, Any

from pycnn.vision.decode import ImageLike
from pycnn.vision.files import expand
from pycnn.vision.preprocess import Preprocessing

if TYPE_CHECKING:
    from pycnn.vision.augmentation import Augmentation
    from pycnn.vision.dataset import Dataset
    from pycnn.vision.steps import (
        ColorJitter,
        ElasticWarp,
        Mirror,
        PcaColor,
        RandomCrop,
        RandomResizedCrop,
        Rotate,
        Shear,
    )
    from pycnn.vision.stream import Batch, Stream, StreamStats

__all__ = [
    "Augmentation",
    "Batch",
    "ColorJitter",
    "Dataset",
    "ElasticWarp",
    "ImageLike",
    "Mirror",
    "PcaColor",
    "Preprocessing",
    "RandomCrop",
    "RandomResizedCrop",
    "Rotate",
    "Shear",
    "Stream",
    "StreamStats",
    "expand",
]

_FOR_TRAINING = ("augmentation", "dataset", "steps", "stream")


def __getattr__(name: str) -> Any:
    """Import what only training needs."""
    if name in __all__:
        from importlib import import_module

        for module in _FOR_TRAINING:
            found = vars(import_module(f"pycnn.vision.{module}"))
            if name in found["__all__"]:
                globals()[name] = found[name]
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
