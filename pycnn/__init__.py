"""pycnn runs convolutional networks: the classic ones, with their published weights, fast.

>>> import pycnn
>>> model = pycnn.load("lenet5")
"""

from pycnn._core import __version__, active_isa, available_isas
from pycnn.ensemble import Ensemble
from pycnn.errors import (
    DeviceError,
    ImageError,
    InputWarning,
    ModelFormatError,
    OfflineError,
    PycnnError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
    WeightsError,
)
from pycnn.graph import Graph
from pycnn.loading import load
from pycnn.model import Model, Prediction
from pycnn.models import variants

__all__ = [
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
    "UnknownNameError",
    "UnsupportedError",
    "WeightsError",
    "__version__",
    "active_isa",
    "available_isas",
    "load",
    "variants",
]
