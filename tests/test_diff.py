"""In what two networks differ."""

from __future__ import annotations

import pycnn
from pycnn.inside import diff


def test_two_networks_of_one_name() -> None:
    """As a model and what was edited of it: both sides are there."""
    model = pycnn.load("lenet5")
    found = diff(model.graph, model.edit(drop="s2/tanh").graph).to_dict()
    assert found["a"] == found["b"] == "lenet5"
    rows = {row.pop("what"): row for row in found["differences"]}
    assert rows["layers: tanh"] == {"a": "4", "b": "3"}
    assert rows["s2/tanh"] == {"a": "tanh scale=1 slope=1", "b": "-"}
