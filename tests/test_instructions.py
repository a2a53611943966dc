"""No kernel takes more instructions than it did: callgrind counts them, whatever the machine does.

After a change that is worth it: `python -m benchmarks instructions --store`.
"""

from __future__ import annotations

import pytest

from benchmarks import instructions
from pycnn import _core


def test_no_kernel_takes_more_instructions() -> None:
    if instructions.ISA not in _core.available_isas():
        pytest.skip(f"this machine has no {instructions.ISA}")
    before = instructions.stored()
    try:
        if instructions.compiler() != before["compiler"]:
            pytest.skip(f"the counts are {before['compiler']}'s, not {instructions.compiler()}'s")
        now = instructions.count()
    except instructions.CannotCount as error:
        pytest.skip(str(error))
    grown = instructions.grown(before["counts"], now)
    assert not grown, "\n".join(grown)


def test_what_counts_as_grown() -> None:
    before = {"a": 1000, "b": 1000, "gone": 1}
    (line, *others) = instructions.grown(before, {"a": 1029, "b": 1040, "new": 1})
    assert line == "b: 1,040 instructions, 1,000 are stored (+4.0%)"
    assert others == ["gone: not in both", "new: not in both"]
