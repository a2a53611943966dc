"""A pytest plugin for long suites in short steps, as `make gpu-test` needs them.

    PYTHONPATH=tests python -m pytest -p in_parts --passed FILE --minutes 7 tests/test_gpu.py

Tests that passed are noted in a file, and passed over the next time; after so many minutes none is
begun any more. When all have passed the file goes, and the next run begins anew.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("in parts")
    group.addoption("--passed", type=Path, required=True, help="where to note what passed")
    group.addoption("--minutes", type=float, required=True, help="begin no test later than that")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Parts(config.option.passed, config.option.minutes))


class _Parts:
    def __init__(self, passed: Path, minutes: float) -> None:
        self.passed = passed
        self.end = time.monotonic() + 60 * minutes

    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        known = set(self.passed.read_text().splitlines()) if self.passed.exists() else set()
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in known])
        items[:] = [item for item in items if item.nodeid not in known]
        self.session, self.left = session, len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            with self.passed.open("a") as file:
                print(report.nodeid, file=file)

    def pytest_runtest_logfinish(self) -> None:
        self.left -= 1
        if self.left > 0 and time.monotonic() > self.end:
            self.session.shouldstop = f"{self.left} tests are left: run this again"

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK:
            self.passed.unlink(missing_ok=True)
