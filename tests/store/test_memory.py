"""The store that simulations crash keeps the promises of every store."""

import pytest

from coordinator.core.errors import StorageFull
from tests.store.contract import StoreContract
from tests.store.memory import MemoryStore
from tests.store.things import known


@pytest.fixture
def store() -> MemoryStore:
    """An empty one."""
    return MemoryStore()


class TestMemoryStore(StoreContract):
    """In memory."""


async def test_a_commit_that_is_interrupted_before_it_stores_nothing(store: MemoryStore) -> None:
    async def fail(where: str) -> None:
        if where == "before":
            raise StorageFull("no room")

    store.interrupt = fail
    with pytest.raises(StorageFull):
        await store.commit(known("h1"))
    assert await store.sessions() == []


async def test_a_commit_that_is_interrupted_after_it_has_stored_everything(store: MemoryStore) -> None:
    async def fail(where: str) -> None:
        if where == "after":
            raise ConnectionError

    store.interrupt = fail
    with pytest.raises(ConnectionError):
        await store.commit(known("h1"))
    assert [session.name for session in await store.sessions()] == ["h1"]
