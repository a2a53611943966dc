"""Teaching a network new classes, on images with labels: `fit`.

PyTorch, scikit-learn and matplotlib are imported where they are needed: ``pip install
'pycnn[train]'``.
"""

from pycnn.transfer.features import Features, Unreadable, View, extract
from pycnn.transfer.fit import Fit, fit
from pycnn.transfer.history import Measured, Step
from pycnn.transfer.schedule import Schedule
from pycnn.transfer.store import FeatureStore

__all__ = [
    "FeatureStore",
    "Features",
    "Fit",
    "Measured",
    "Schedule",
    "Step",
    "Unreadable",
    "View",
    "extract",
    "fit",
]
