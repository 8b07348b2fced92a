"""The questions that README.md asks of the history: each has the right answer on a database where that is known."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus
from coordinator.core.model import Creator, DeploymentId, ErrorInformation
from coordinator.store.sqlite import SqliteStore
from tests.store.make_version import fill
from tests.store.seeds import opened
from tests.store.things import NOW, created, deployment, plan

README = (Path(__file__).parents[2] / "coordinator" / "store" / "README.md").read_text(encoding="utf-8")
SECOND = 1_000


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """d-1 succeeded, d-2 failed at 70 s, d-4 at 100 s, and the rollback d-5 took the group back at 130 s. An alarm stopped d-6 at 200 s,
    and nobody has mended that; a person stopped d-7. d-3 runs still."""
    store = await opened(tmp_path / "hookline.db")
    await fill(store)
    await end(store, "d-4", DeploymentStatus.Failed, 100, DeploymentErrorCode.HEALTH_CONSTRAINTS)
    await end(store, "d-5", DeploymentStatus.Succeeded, 130, None, rolls_back="d-4")
    await end(store, "d-6", DeploymentStatus.Stopped, 200, DeploymentErrorCode.ALARM_ACTIVE)
    await end(store, "d-7", DeploymentStatus.Stopped, 210, DeploymentErrorCode.MANUAL_STOP)
    store.close()
    return store.path


async def end(
    store: SqliteStore, name: str, status: DeploymentStatus, seconds: int, code: DeploymentErrorCode | None, rolls_back: str = ""
) -> None:
    """A deployment that ended so many seconds after the first began."""
    made = replace(plan(name, created_at=NOW + seconds * SECOND - SECOND), creator=Creator.user, rolls_back=None)
    if rolls_back:
        made = replace(made, creator=Creator.codeDeployRollback, rolls_back=DeploymentId(rolls_back))
    error = None if code is None else ErrorInformation(code=code, message="because")
    ended = deployment(made, "h1", status=status, stopping=None, error=error, completed_at=NOW + seconds * SECOND)
    await store.commit(created(ended))


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """As somebody would open it who only looks."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        yield opened


def answer(db: sqlite3.Connection, question: str, **values: str) -> list[tuple[object, ...]]:
    """What the query below a question finds."""
    (query,) = re.findall(rf"^{re.escape(question)}.*?```sql\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    return db.execute(query, values).fetchall()


def test_how_often_and_how_much_of_it_fails(db: sqlite3.Connection) -> None:
    # five deployments and a rollback ended: two failed, and an alarm stopped one
    assert answer(db, "How often do we deploy") == [("2027-02", "shop", "web", 5, 0.6, 1)]


def test_how_long_until_a_group_works_again(db: sqlite3.Connection) -> None:
    # d-2 and d-4 are one outage, of 60 s; that of d-6 goes on
    assert answer(db, "How long until a group works again?") == [("shop", "web", 2, 1, 60.0, 60.0)]


def test_which_hooks_were_the_slowest(db: sqlite3.Connection) -> None:
    slowest = answer(db, "Which hooks were the slowest of late")
    assert slowest[0] == (3.25, "ApplicationStop", "h1", "shop", "web", "d-1")
    assert {row[1] for row in slowest} == {"ApplicationStop"}


def test_which_event_is_the_slowest(db: sqlite3.Connection) -> None:
    assert answer(db, "Which lifecycle event is the slowest?") == [
        ("shop", "ApplicationStop", 3, 3.25, 3.25),
        ("shop", "Install", 2, 3.25, 3.25),
    ]


def test_what_ran_on_a_host_at_a_time(db: sqlite3.Connection) -> None:
    asked = "What ran on a host at a certain time?"
    assert answer(db, asked, host="h1", time="2027-01-15T09:00:00Z") == [("shop", "web", "r1", "d-1", "2027-01-15T08:00:05.623Z")]
    assert answer(db, asked, host="h1", time="2027-01-15T08:00:00Z") == []


def test_which_hosts_are_unhealthy_or_behind(db: sqlite3.Connection) -> None:
    assert answer(db, "Which hosts are unhealthy") == [
        ("shop", "web", "h1", "Connected", "Healthy", "Unknown", "r2", "r1"),
        ("shop", "web", "h2", "Connected", "Healthy", "Unknown", "r1", "r1"),
    ]


def test_what_failed_where_and_why(db: sqlite3.Connection) -> None:
    assert answer(db, "What failed where, and why?") == [("d-2", "h1", "Install", "ScriptFailed", "a.sh", "exit 1")]


def test_which_alarms_stopped_deployments(db: sqlite3.Connection) -> None:
    assert answer(db, "Which alarms stopped deployments") == [
        ("2027-01-15T08:01:05.123Z", "d-2", "alarm HighErrors", "OK -> ALARM: 0.31 > 0.05")
    ]


def test_who_changed_what(db: sqlite3.Connection) -> None:
    assert ("2027-01-15T08:00:00.123Z", "ada", "DeploymentConfigCreated", None, None, "Gentle") in answer(db, "Who changed what?")


def test_every_question_is_answered_here(db: sqlite3.Connection) -> None:
    asked = README.partition("\n## Questions\n")[2].partition("\n## ")[0].count("```sql\n")
    assert asked == sum(name.startswith("test_") for name in globals()) - 1
