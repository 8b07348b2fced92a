"""The views that people query: their columns are promises, and README.md names every one."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from coordinator.core.model import HostId, RevisionId
from coordinator.core.orders import Changes, HoldingChange
from coordinator.store.schema.tables import FIRST_TABLES
from coordinator.store.schema.views import VIEWS
from tests.store.make_version import fill
from tests.store.seeds import opened
from tests.store.things import WEB, known

README = Path(__file__).parents[2] / "coordinator" / "store" / "README.md"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with three deployments."""
    store = await opened(tmp_path / "hookline.db")
    await fill(store)
    store.close()
    return store.path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """As somebody would open it who only looks."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        opened.row_factory = sqlite3.Row
        yield opened


def test_deployments_read_like_codedeploys(db: sqlite3.Connection) -> None:
    first, second, _ = db.execute("SELECT * FROM v_deployments ORDER BY created_at")
    assert dict(first) == {
        "deployment_id": "d-1",
        "application_name": "shop",
        "deployment_group_name": "web",
        "revision_id": "r1",
        "status": "Succeeded",
        "created_at": "2027-01-15T08:00:00.123Z",
        "started_at": "2027-01-15T08:00:00.126Z",
        "completed_at": "2027-01-15T08:00:09.123Z",
        "duration_seconds": 9.0,
        "creator": "user",
        "created_by": "ada",
        "description": "the big one",
        "deployment_config_name": "Gentle",
        "minimum_healthy_hosts_type": "FLEET_PERCENT",
        "minimum_healthy_hosts_value": 75,
        "previous_revision_id": None,
        "rolls_back_deployment_id": None,
        "rollback_deployment_id": None,
        "rollback_message": "",
        "error_code": None,
        "error_message": None,
        "scheduled_at": None,
        "rollback_deployment_config_name": "Quick",
        "deployment_mode": "DEPLOY",
    }
    assert (second["status"], second["previous_revision_id"], second["error_code"], second["error_message"]) == (
        "Failed",
        "r1",
        "MANUAL_STOP",
        "stopped by ada",
    )


def test_targets_tell_where_what_ran(db: sqlite3.Connection) -> None:
    rows = [tuple(row) for row in db.execute("SELECT host_name, revision_id, status, duration_seconds FROM v_targets")]
    assert ("h1", "r1", "Succeeded", 4.5) in rows
    assert ("h1", "r2", "Failed", 4.5) in rows
    assert ("h2", "r2", "Skipped", None) in rows


def test_events_without_a_report_are_pending_or_skipped(db: sqlite3.Connection) -> None:
    query = "SELECT lifecycle_event, status, error_code, message FROM v_lifecycle_events WHERE deployment_id = ? AND host_name = ?"
    assert [tuple(row) for row in db.execute(query, ("d-2", "h1"))] == [
        ("ApplicationStop", "Succeeded", None, None),
        ("Install", "Failed", "ScriptFailed", "exit 1"),
        ("AfterAllowTraffic", "Skipped", None, None),
    ]
    assert [row["status"] for row in db.execute(query, ("d-3", "h1"))] == ["Pending"] * 3
    assert [row["status"] for row in db.execute(query, ("d-2", "h2"))] == ["Skipped"] * 3


def test_the_history_has_names_and_times(db: sqlite3.Connection) -> None:
    row = db.execute("SELECT * FROM v_history WHERE deployment_id = 'd-2' AND entry = 'Failed'").fetchone()
    assert (row["at"], row["because"], row["host_name"], row["application_name"]) == ("2027-01-15T08:01:05.623Z", "report 2", "h1", "shop")


@pytest.mark.parametrize("installed", ["", "r1", "r2"])
@pytest.mark.parametrize("deployed", ["", "r1", "r2"])
async def test_a_hosts_health_is_told_as_the_fleet_tells_it(path: Path, db: sqlite3.Connection, installed: str, deployed: str) -> None:
    store = await opened(path)
    try:
        changes = Changes()
        changes.holdings[WEB, HostId("id-h1")] = HoldingChange(RevisionId(installed), RevisionId(deployed))
        await store.commit(changes)
        (holding,) = (await store.fleet.host("h1")).holdings
        row = db.execute("SELECT * FROM v_host_health WHERE host_name = 'h1'").fetchone()
        assert (row["instance_health"], row["revision_health"]) == (holding.health.name, holding.revision_health.name)
        assert (row["installed_revision_id"] or "", row["deployed_revision_id"] or "") == (installed, deployed)
        assert row["group_revision_id"] == "r1"
    finally:
        store.close()


def test_every_reference_leads_somewhere(db: sqlite3.Connection) -> None:
    counts = [
        ("history", "v_history", "SELECT count(*) FROM {}"),
        ("target", "v_targets", "SELECT count(*) FROM {}"),
        ("deployment", "v_deployments", "SELECT count(*) FROM {}"),
    ]
    for table, view, query in counts:
        assert db.execute(query.format(table)).fetchone()[0] == db.execute(query.format(view)).fetchone()[0]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    orphans = "SELECT count(*) FROM lifecycle_event LEFT JOIN target USING (deployment_no, host_no) WHERE target.status IS NULL"
    assert db.execute(orphans).fetchone()[0] == 0


@pytest.mark.parametrize("view", VIEWS)
def test_the_readme_describes_every_column(db: sqlite3.Connection, view: str) -> None:
    section = README.read_text(encoding="utf-8").partition(f"### `{view}`")[2].partition("\n### ")[0].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert described == [row["name"] for row in db.execute(f"PRAGMA table_info({view})")]


def test_the_readmes_queries_run(db: sqlite3.Connection) -> None:
    queries = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) >= 4
    for query in queries:
        given = {"host": "h1", "time": "2027-01-15T09:00:00Z"}
        assert db.execute(query, {name: value for name, value in given.items() if f":{name}" in query}).fetchall(), query


async def test_people_read_while_the_coordinator_writes(path: Path) -> None:
    store = await opened(path)
    try:
        reading = Database(sqlite3.connect(f"file:{path}?mode=ro", uri=True))
        for number in range(5):
            await store.commit(known(f"new{number}"))
            (row,) = reading.query("SELECT host_name FROM v_history ORDER BY history_id DESC LIMIT 1")
            assert row == {"host_name": f"new{number}"}
        assert set(VIEWS) <= set(reading.view_names())
        reading.close()
        if shutil.which("sqlite3"):
            query = "SELECT count(*) FROM v_deployments"
            shell = await asyncio.create_subprocess_exec("sqlite3", "-readonly", str(path), query, stdout=asyncio.subprocess.PIPE)
            assert (await shell.communicate())[0] == b"3\n"
        await store.commit(known("last"))
    finally:
        store.close()


def test_no_row_that_is_written_per_host_has_a_second_index(db: sqlite3.Connection) -> None:
    busy = {table.name for table in FIRST_TABLES if table.clustered} | {"history", "report_cursor"}
    found = {row["tbl_name"] for row in db.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")}
    assert not busy & found
