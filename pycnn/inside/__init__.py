"""Tools that look into a network: what it costs, how fast and how exact it is, how it looks.

All of them take any network, registered or read from a file.
"""

from pycnn.inside.cost import Cost, explain_cost
from pycnn.inside.diff import Diff, diff
from pycnn.inside.draw import draw
from pycnn.inside.parity import Parity, parity
from pycnn.inside.profile import Profile, profile
from pycnn.inside.what_if import WhatIf, what_if

__all__ = [
    "Cost",
    "Diff",
    "Parity",
    "Profile",
    "WhatIf",
    "diff",
    "draw",
    "explain_cost",
    "parity",
    "profile",
    "what_if",
]
