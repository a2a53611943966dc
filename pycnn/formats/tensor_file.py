"""What every reader of weights gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError

# Names of NumPy dtypes that become float32 without asking; everything else is refused.
FLOAT_DTYPES = ("float16", "float32", "float64")


class TensorFile(ABC):
    """Tensors of one file. Names and shapes are known at once, values are read when asked for.

    Attributes
    ----------
    path
        The file.
    shapes
        Name -> shape, in the order of the file.
    dtypes
        Name -> NumPy's name of the dtype, or the file's where NumPy has none.
    metadata
        What the file says of itself, text to text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self.metadata: Mapping[str, str] = {}

    @abstractmethod
    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32; ModelFormatError when it is damaged or no float tensor."""

    def _as_float32(self, name: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        if array.dtype.name not in FLOAT_DTYPES:
            raise ModelFormatError(
                f"{self.path}: tensor '{name}' has dtype {array.dtype}, "
                f"expected one of {', '.join(FLOAT_DTYPES)}"
            )
        return np.ascontiguousarray(array, dtype=np.float32)
