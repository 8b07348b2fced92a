"""Deployments, live and past, as committed."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Final

from coordinator.core.errors import DeploymentDoesNotExist
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import DeploymentId
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import DeploymentRecord, QueuePlace
from coordinator.store.history import names
from coordinator.store.history.names import marks
from coordinator.store.paging import Paging
from coordinator.store.rows import columns
from coordinator.store.rows.running import DEPLOYMENT_QUERY, plan
from coordinator.store.rows.stages import Named, progress

COUNTS: Final = "SELECT deployment_no, stage, status, count(*) FROM target WHERE deployment_no IN ({}) GROUP BY 1, 2, 3"
Stages = dict[int, dict[TargetStatus, int]]
"""Targets of each stage by status."""
UNDER_WAY: Final = """
    SELECT deployment_id, due_at IS NOT NULL AND turn_at IS NULL AS waits
    FROM deployment d JOIN deployment_group g ON g.group_no = d.group_no
    WHERE g.group_id = ? AND d.status <= 3 ORDER BY waits, creator = 3 DESC, due_at, deployment_no"""
"""The deployments of a group that have not ended: the live ones, what brings newcomers up to date first, then those that wait for their
turn, in their order."""
NEWEST: Final = 1 << 62
"""Greater than any deployment's number."""


def one(db: sqlite3.Connection, deployment_id: DeploymentId) -> DeploymentRecord:
    """Raises DeploymentDoesNotExist."""
    row = db.execute(f"{DEPLOYMENT_QUERY} WHERE d.deployment_id = ?", (deployment_id,)).fetchone()
    if row is None:
        raise DeploymentDoesNotExist(f"cannot find deployment {deployment_id}", field="deployment_id")
    return _records(db, [row])[0]


def page(
    db: sqlite3.Connection, wanted: tuple[str, str], *, statuses: Sequence[DeploymentStatus], size: int, after: Cursor
) -> Page[DeploymentRecord]:
    """Newest first; `wanted` are the names of application and group, empty for all."""
    numbers = sorted(int(status) for status in statuses)
    paging = Paging("deployments", wanted, numbers)
    query, values = f"{DEPLOYMENT_QUERY} WHERE d.deployment_no < ?", paging.after(after, [NEWEST])
    if any(wanted):
        groups = names.groups(db, *wanted)
        query += f" AND d.group_no IN ({marks(groups)})"
        values += groups
    if numbers:
        query += f" AND d.status IN ({marks(numbers)})"
        values += numbers
    rows = db.execute(f"{query} ORDER BY d.deployment_no DESC LIMIT ?", (*values, size + 1)).fetchall()
    made = iter(_records(db, rows[:size]))
    return paging.page(rows, size, lambda row: [row["deployment_no"]], lambda _: next(made))


def _records(db: sqlite3.Connection, rows: Sequence[Named]) -> list[DeploymentRecord]:
    numbers: list[int] = [row["deployment_no"] for row in rows]
    stages: dict[int, Stages] = {number: {} for number in numbers}
    for number, stage, status, count in db.execute(COUNTS.format(marks(numbers)), numbers):
        stages[number].setdefault(stage, {})[TargetStatus(status)] = count
    return [_record(row, stages[row["deployment_no"]], _queue_place(db, row)) for row in rows]


def _queue_place(db: sqlite3.Connection, row: Named) -> QueuePlace | None:
    if row["due_at"] is None or row["turn_at"] is not None or DeploymentStatus(row["status"]).terminal:
        return None
    under_way = db.execute(UNDER_WAY, (row["group_id"],)).fetchall()
    line = [DeploymentId(one[0]) for one in under_way]  # whatever is live stands before those that wait
    place, live = line.index(DeploymentId(row["deployment_id"])), sum(not one[1] for one in under_way)
    return QueuePlace(position=place + 1 - live, behind=line[place - 1] if place else None)


def _record(row: Named, stages: Stages, queue: QueuePlace | None) -> DeploymentRecord:
    counts: Counter[TargetStatus] = Counter()
    for stage in stages.values():
        counts.update(stage)
    return DeploymentRecord(
        plan=plan(row),
        status=DeploymentStatus(row["status"]),
        counts=counts,
        error=columns.error(row["error_code"], row["error_message"]),
        stopping=columns.error(row["stopping_code"], row["stopping_message"]),
        approved_by=row["approved_by"],
        watched=bool(row["watched"]),
        rollback_deployment_id=row["rollback_deployment_id"],
        rollback_message=row["rollback_message"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        commit=row["commit_no"],
        progress=progress(row),
        clock=row["clock"],
        stages=stages,
        queue=queue,
    )
