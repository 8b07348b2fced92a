"""The store on SQLite keeps the promises of every store."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.contract import StoreContract
from tests.store.make_version import fill
from tests.store.seeds import opened
from tests.store.things import NOW, key, known

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


async def test_what_was_deployed_last_with_success_is_known_after_a_restart(store: "SqliteStore") -> None:
    assert await store.standing() == []
    await fill(store)
    assert await store.standing() == [("shop", "web", "r1", NOW + 9_000)]


async def test_transactions_are_timed_by_their_kind(store: "SqliteStore") -> None:
    told: list[str] = []
    store.time(lambda op, seconds: told.append(op) if seconds >= 0 else None)
    await store.last_commit()
    await store.commit(known("h1"))
    await store.fleet.add_tags(["h1"], {"canary": "yes"}, at=NOW, key=key("2", method="AddTags"))
    assert {"read", "commit", "write"} == set(told)
