"""A served world for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.wire.house import House, housed
from tests.wire.world import World, serving


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving(World()) as world:
        yield world


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as house:
        yield house
