"""Targets with their lifecycle events, as committed."""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from coordinator.core.errors import DeploymentTargetDoesNotExist
from coordinator.core.lifecycle import EventStatus, LifecycleErrorCode, LifecycleEvent, TargetStatus, event_status
from coordinator.core.model import DeploymentId, Diagnostics, HostId, InstanceHealth, RevisionId, revision_health
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import EventRecord, TargetRecord
from coordinator.store.history import names
from coordinator.store.history.names import marks
from coordinator.store.paging import Paging
from coordinator.store.rows.columns import lifecycle_events

TARGETS: Final = """
    SELECT t.host_no, h.host_id, n.name, t.status, t.message, t.started_at, t.ended_at,
           m.health, i.name AS installed, f.name AS deployed, r.revision_id AS current,
           t.stage, t.attempt
    FROM target t JOIN host h ON h.host_no = t.host_no JOIN name n ON n.name_no = t.host_name_no
    JOIN deployment d ON d.deployment_no = t.deployment_no JOIN deployment_group g ON g.group_no = d.group_no
    LEFT JOIN member m ON m.group_no = d.group_no AND m.host_no = t.host_no
    LEFT JOIN holding o ON o.host_no = t.host_no AND o.group_no = d.group_no
    LEFT JOIN name i ON i.name_no = o.installed_no LEFT JOIN name f ON f.name_no = o.deployed_no
    LEFT JOIN deployment l ON l.deployment_no = g.last_successful_no LEFT JOIN revision r ON r.revision_no = l.revision_no
    WHERE t.deployment_no = ?"""
EVENTS: Final = """
    SELECT e.host_no, e.event, e.status, e.started_at, e.ended_at, d.error_code, d.script_name, d.message, d.log_tail
    FROM lifecycle_event e
    JOIN target t ON t.deployment_no = e.deployment_no AND t.host_no = e.host_no AND t.attempt = e.attempt
    LEFT JOIN diagnostics d
           ON d.deployment_no = e.deployment_no AND d.host_no = e.host_no AND d.event = e.event AND d.attempt = e.attempt
    WHERE e.deployment_no = ?"""
MANY: Final = 500
"""For more hosts than this all events of the deployment are read: that is cheaper than to name the hosts."""

TargetRow = tuple[int, str, str, int, str | None, int | None, int | None, int | None, str | None, str | None, str | None, int, int]


class Asked(NamedTuple):
    """The deployment whose targets are asked for."""

    deployment_id: DeploymentId
    number: int
    events: tuple[LifecycleEvent, ...]


class StoredEvent(NamedTuple):
    """What was reported of a lifecycle event."""

    status: EventStatus
    started_at: int | None
    ended_at: int | None
    diagnostics: Diagnostics | None


def page(
    db: sqlite3.Connection, deployment_id: DeploymentId, *, statuses: Sequence[TargetStatus], size: int, after: Cursor
) -> Page[TargetRecord]:
    """Targets by host name."""
    wanted = sorted(int(status) for status in statuses)
    paging = Paging("targets", deployment_id, wanted)
    asked = _asked(db, deployment_id)
    filter = f" AND t.status IN ({marks(wanted)})" if wanted else ""
    rows = db.execute(
        f"{TARGETS}{filter} AND (n.name, t.host_no) > (?, ?) ORDER BY n.name, t.host_no LIMIT ?",
        (asked.number, *wanted, *paging.after(after, ["", 0]), size + 1),
    ).fetchall()
    made = iter(_records(db, asked, rows[:size]))
    return paging.page(rows, size, lambda row: [row[2], row[0]], lambda _: next(made))


def one(db: sqlite3.Connection, deployment_id: DeploymentId, host: str) -> TargetRecord:
    """A target by its host's id, else by the name that the host had. Raises DeploymentTargetDoesNotExist."""
    asked = _asked(db, deployment_id)
    row = db.execute(f"{TARGETS} AND h.host_id = ?", (asked.number, host)).fetchone()
    row = row or db.execute(f"{TARGETS} AND n.name = ?", (asked.number, host)).fetchone()
    if row is None:
        raise DeploymentTargetDoesNotExist(f"cannot find host {host} among the targets of deployment {deployment_id}", field="host")
    return _records(db, asked, [row])[0]


def changed(db: sqlite3.Connection, deployment_id: DeploymentId, *, since: int, size: int) -> tuple[list[TargetRecord], int]:
    """Up to `size` targets that changed after commit `since` (more when one commit changed more), and where to go on."""
    asked = _asked(db, deployment_id)
    order = db.execute(
        "SELECT host_no, commit_no FROM target WHERE deployment_no = ? AND commit_no > ? ORDER BY commit_no, host_no", (asked.number, since)
    ).fetchall()
    if len(order) <= size:
        upto = db.execute("SELECT commit_no FROM last_commit").fetchone()[0]
    else:
        upto = order[size - 1][1] if order[size - 1][1] != order[size][1] else _before(order, size)
        order = [row for row in order if row[1] <= upto]
    hosts = [row[0] for row in order]
    within = f" AND t.host_no IN ({marks(hosts)})" if len(hosts) <= MANY else ""
    rows = {row[0]: row for row in db.execute(f"{TARGETS}{within}", (asked.number, *(hosts if within else ())))}
    return _records(db, asked, [rows[number] for number in hosts]), max(since, int(upto))


def _before(order: Sequence[tuple[int, int]], size: int) -> int:
    """The last commit that fits into `size` rows as a whole; the first one, when even that does not fit."""
    split = order[size][1]
    return max((commit for _, commit in order[:size] if commit < split), default=split)


def _asked(db: sqlite3.Connection, deployment_id: DeploymentId) -> Asked:
    number = names.deployment(db, deployment_id)
    bits = db.execute("SELECT lifecycle_events FROM deployment WHERE deployment_no = ?", (number,)).fetchone()[0]
    return Asked(deployment_id, number, lifecycle_events(bits))


def _records(db: sqlite3.Connection, asked: Asked, rows: Sequence[TargetRow]) -> list[TargetRecord]:
    if not rows:
        return []
    stored = _stored(db, asked, [row[0] for row in rows])
    made = []
    for number, host_id, name, status_no, message, started_at, ended_at, health, installed, deployed, current, stage, attempt in rows:
        status = TargetStatus(status_no)
        mine = stored.get(number, {})
        record = TargetRecord(
            deployment_id=asked.deployment_id,
            host_id=HostId(host_id),
            host_name=name,
            status=status,
            message=message or "",
            events=tuple(_event(event, status, mine.get(event)) for event in asked.events),
            started_at=started_at,
            ended_at=ended_at,
            health=InstanceHealth(health or InstanceHealth.Unhealthy),
            revision_health=revision_health(RevisionId(installed or ""), RevisionId(deployed or ""), RevisionId(current or "")),
            stage=stage,
            attempt=attempt,
        )
        made.append(record)
    return made


def _stored(db: sqlite3.Connection, asked: Asked, hosts: list[int]) -> dict[int, dict[int, StoredEvent]]:
    """What was reported of the last attempt, by host and event."""
    within = f" AND e.host_no IN ({marks(hosts)})" if len(hosts) <= MANY else ""
    query = f"{EVENTS}{within} ORDER BY e.host_no, e.event"
    found: dict[int, dict[int, StoredEvent]] = {}
    for host, event, status, started_at, ended_at, code, script, message, tail in db.execute(
        query, (asked.number, *(hosts if within else ()))
    ):
        told = None
        if code is not None:
            told = Diagnostics(error_code=LifecycleErrorCode(code), script_name=script, message=message, log_tail=tail)
        found.setdefault(host, {})[event] = StoredEvent(EventStatus(status), started_at, ended_at, told)
    return found


def _event(event: LifecycleEvent, target: TargetStatus, stored: StoredEvent | None) -> EventRecord:
    if stored is None:
        return _unreported(event, target)
    status, started_at, ended_at, told = stored
    return EventRecord(event=event, status=event_status(target, status), started_at=started_at, ended_at=ended_at, diagnostics=told)


@lru_cache
def _unreported(event: LifecycleEvent, target: TargetStatus) -> EventRecord:
    return EventRecord(event=event, status=event_status(target, None), started_at=None, ended_at=None, diagnostics=None)
