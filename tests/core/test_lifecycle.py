"""The tables say what the statuses' numbers say, and the README shows the tables."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path

import pytest

from coordinator.core.lifecycle import DEPLOYMENT_NEXT, EVENT_NEXT, TARGET_NEXT, DeploymentStatus, TargetStatus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("table", [DEPLOYMENT_NEXT, TARGET_NEXT, EVENT_NEXT])
def test_every_status_has_its_place_and_is_followed_by_later_ones_only(table: Mapping[IntEnum, Sequence[IntEnum]]) -> None:
    assert set(table) == set(type(next(iter(table))))
    assert all(after > before for before, following in table.items() for after in following)


def test_what_is_terminal_is_followed_by_nothing() -> None:
    assert all(status.terminal == (not DEPLOYMENT_NEXT[status]) for status in DeploymentStatus)
    assert all(status.terminal == (not TARGET_NEXT[status]) for status in TargetStatus)


def test_the_readme_shows_the_tables_as_they_are() -> None:
    ended = subprocess.run((sys.executable, ROOT / "scripts" / "gen-diagrams", "--check"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
