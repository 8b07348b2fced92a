"""What is not kept for ever."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.core.model import DeploymentId
from coordinator.store.history.retention import DAY, HistoryRetention
from coordinator.store.sqlite import SqliteStore
from tests.store.make_version import fill
from tests.store.seeds import opened
from tests.store.things import NOW, FixedClock


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW + 60_000 + 30 * DAY)


@pytest.fixture
async def store(tmp_path: Path, clock: FixedClock) -> AsyncIterator[SqliteStore]:
    """d-1 ended 30 days ago and most of a minute, d-2 less than 30 days ago, d-3 goes on."""
    store = await opened(tmp_path / "hookline.db", clock)
    await fill(store)
    yield store
    store.close()


def read(store: SqliteStore, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


BY_DEPLOYMENT = "SELECT deployment_id, count(*) FROM {} GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize("at_once", [1, 4_000])
async def test_events_go_after_their_time_and_deployments_stay(store: SqliteStore, clock: FixedClock, at_once: int) -> None:
    targets, deployments = (read(store, BY_DEPLOYMENT.format(view)) for view in ("v_targets", "v_deployments"))
    before = read(store, BY_DEPLOYMENT.format("v_lifecycle_events"))
    history = read(store, "SELECT * FROM v_history")
    assert await HistoryRetention(store.writer, clock, days=30, at_once=at_once).remove() == 1
    assert read(store, BY_DEPLOYMENT.format("v_lifecycle_events")) == [row for row in before if row[0] != "d-1"]
    assert read(store, "SELECT * FROM v_history") == history
    assert [read(store, BY_DEPLOYMENT.format(view)) for view in ("v_targets", "v_deployments")] == [targets, deployments]
    assert (await store.history.target(DeploymentId("d-1"), "h1")).events == ()
    assert await HistoryRetention(store.writer, clock, days=30).remove() == 0


async def test_what_failed_goes_with_its_diagnostics_and_what_is_live_stays(store: SqliteStore, clock: FixedClock) -> None:
    clock.at += DAY
    assert await HistoryRetention(store.writer, clock, days=30).remove() == 2
    assert read(store, "SELECT count(*) FROM diagnostics") == [(0,)]
    assert {row[0] for row in read(store, BY_DEPLOYMENT.format("v_lifecycle_events"))} == {"d-3"}
    assert read(store, "PRAGMA foreign_key_check") == []


async def test_what_was_broken_off_goes_on(store: SqliteStore, clock: FixedClock) -> None:
    await store.writer.run(lambda db, _: db.execute("UPDATE deployment SET lifecycle_events = 0 WHERE deployment_id = 'd-1'"))
    assert await HistoryRetention(store.writer, clock, days=30).remove() == 1
    assert read(store, "SELECT count(*) FROM lifecycle_event JOIN deployment USING (deployment_no) WHERE deployment_id = 'd-1'") == [(0,)]


async def test_everything_is_kept_unless_days_are_said(store: SqliteStore, clock: FixedClock) -> None:
    await HistoryRetention(store.writer, clock, days=0).run()
    assert ("d-1", 6) in read(store, BY_DEPLOYMENT.format("v_lifecycle_events"))
