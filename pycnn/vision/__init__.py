"""Images in, class names out: decode, resize, crop, normalise; files and labels.

For training: random changes, and streams of batches made by threads. Pillow is imported when the
first image is read, not with this package.
"""

from pycnn.vision.augmentation import Augmentation
from pycnn.vision.dataset import Dataset
from pycnn.vision.files import expand
from pycnn.vision.preprocess import ImageLike, Preprocessing
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
