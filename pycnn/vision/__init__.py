"""Images in, class names out: decode, resize, crop, normalise; files and labels.

Pillow is imported when the first image is read, not with this package.
"""

from pycnn.vision.decode import ImageLike
from pycnn.vision.files import expand
from pycnn.vision.preprocess import Preprocessing

__all__ = ["ImageLike", "Preprocessing", "expand"]
