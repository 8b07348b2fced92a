"""A served world for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.wire.world import World, serving


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving(World()) as world:
        yield world
