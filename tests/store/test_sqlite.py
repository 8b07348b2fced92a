"""The store on SQLite keeps the promises of every store."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.contract import StoreContract
from tests.store.seeds import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coordinator.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """An empty one on the disk, which knows the groups."""
    made = await opened(tmp_path / "hookline.db")
    yield made
    made.close()


class TestSqliteStore(StoreContract):
    """On the disk."""
