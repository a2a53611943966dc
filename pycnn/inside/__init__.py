"""Tools that look into a network: what it costs, how fast and how exact it is, how it looks.

All of them take any network, registered or read from a file.
"""

from pycnn.inside.cam import Activation, class_activation
from pycnn.inside.cost import Cost, explain_cost
from pycnn.inside.diff import Diff, diff
from pycnn.inside.draw import draw
from pycnn.inside.parity import Parity, parity
from pycnn.inside.pictures import feature_maps, filters
from pycnn.inside.profile import Profile, profile
from pycnn.inside.regions import Regions, exciting_regions
from pycnn.inside.what_if import WhatIf, what_if

__all__ = [
    "Activation",
    "Cost",
    "Diff",
    "Parity",
    "Profile",
    "Regions",
    "WhatIf",
    "class_activation",
    "diff",
    "draw",
    "exciting_regions",
    "explain_cost",
    "feature_maps",
    "filters",
    "parity",
    "profile",
    "what_if",
]
