"""pycnn runs convolutional networks: the classic ones, with their published weights, fast.

>>> import pycnn
>>> model = pycnn.load("lenet5")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pycnn._core import __version__, active_isa, available_isas
from pycnn.ensemble import Ensemble
from pycnn.errors import (
    DataError,
    DeviceError,
    ImageError,
    InputWarning,
    ModelFormatError,
    OfflineError,
    PycnnError,
    ShapeError,
    StoreError,
    UnknownNameError,
    UnsupportedError,
    WeightsError,
)
from pycnn.graph import Graph
from pycnn.loading import from_torch, load
from pycnn.model import Model, Prediction
from pycnn.models import variants

if TYPE_CHECKING:
    from pycnn import inside, ops, transfer

__all__ = [
    "DataError",
    "DeviceError",
    "Ensemble",
    "Graph",
    "ImageError",
    "InputWarning",
    "Model",
    "ModelFormatError",
    "OfflineError",
    "Prediction",
    "PycnnError",
    "ShapeError",
    "StoreError",
    "UnknownNameError",
    "UnsupportedError",
    "WeightsError",
    "__version__",
    "active_isa",
    "available_isas",
    "from_torch",
    "inside",
    "load",
    "ops",
    "transfer",
    "variants",
]


def __getattr__(name: str) -> Any:
    """Import what few need when it is first used: ``pycnn.transfer.fit(...)``."""
    if name in ("inside", "ops", "transfer"):
        return importlib.import_module(f"pycnn.{name}")
    raise AttributeError(f"module 'pycnn' has no attribute '{name}'")
