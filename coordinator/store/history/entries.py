"""The history's entries.

The table lies in the order of time and has no index beside that. A deployment's row says between which entries all of its own lie;
other filters read backwards until the page is full.
"""

import sqlite3
from typing import Final, NamedTuple

from coordinator.service.ports import Cursor, Page
from coordinator.service.records import HistoryRecord
from coordinator.store.history import names
from coordinator.store.history.names import marks
from coordinator.store.paging import Paging

ENTRIES: Final = """
    SELECT y.history_id, y.at, a.name, g.name, d.deployment_id, n.name, e.name, y.because, y.message, p.name
    FROM history y
    JOIN name e ON e.name_no = y.entry_no
    JOIN name p ON p.name_no = y.principal_no
    LEFT JOIN deployment d ON d.deployment_no = y.deployment_no
    LEFT JOIN deployment_group g ON g.group_no = coalesce(y.group_no, d.group_no)
    LEFT JOIN application a ON a.application_no = coalesce(y.application_no, g.application_no)
    LEFT JOIN host h ON h.host_no = y.host_no
    LEFT JOIN name n ON n.name_no = h.name_no
    WHERE y.history_id < ?"""
NEWEST: Final = 1 << 62
"""Greater than any entry's number."""


class Wanted(NamedTuple):
    """Which entries; empty means all."""

    application_name: str = ""
    group_name: str = ""
    deployment_id: str = ""
    host: str = ""
    kinds: tuple[str, ...] = ()


def page(db: sqlite3.Connection, wanted: Wanted, *, size: int, after: Cursor) -> Page[HistoryRecord]:
    """Newest first. Raises when a name or id in `wanted` was never known."""
    paging = Paging("entries", wanted)
    conditions, values = _conditions(db, wanted)
    query = " AND ".join([ENTRIES, *conditions])
    rows = db.execute(f"{query} ORDER BY y.history_id DESC LIMIT ?", (*paging.after(after, [NEWEST]), *values, size + 1)).fetchall()
    return paging.page(rows, size, lambda row: [row[0]], lambda row: _record(tuple(row)))


def _conditions(db: sqlite3.Connection, wanted: Wanted) -> tuple[list[str], list[int | str]]:
    conditions: list[str] = []
    values: list[int | str] = []
    if wanted.kinds:
        conditions.append(f"y.entry_no IN (SELECT name_no FROM name WHERE name IN ({marks(wanted.kinds)}))")
        values += wanted.kinds
    if wanted.deployment_id:
        number = names.deployment(db, wanted.deployment_id)
        first, last = db.execute("SELECT first_history, last_history FROM deployment WHERE deployment_no = ?", (number,)).fetchone()
        conditions += ["y.history_id BETWEEN ? AND ?", "y.deployment_no = ?"]
        values += [first, last, number]
    if wanted.application_name or wanted.group_name:
        groups = names.groups(db, wanted.application_name, wanted.group_name)
        mine = f"y.group_no IN ({marks(groups)})"
        values += groups
        if not wanted.group_name:
            applications = names.applications(db, wanted.application_name)
            mine = f"({mine} OR y.application_no IN ({marks(applications)}))"
            values += applications
        conditions.append(mine)
    if wanted.host:
        hosts = names.hosts(db, wanted.host)
        conditions.append(f"y.host_no IN ({marks(hosts)})")
        values += hosts
    return conditions, values


def _record(row: "tuple[int, int, str | None, str | None, str | None, str | None, str, str, str | None, str]") -> HistoryRecord:
    history_id, at, application_name, group_name, deployment_id, host_name, entry, because, message, principal = row
    return HistoryRecord(
        history_id=history_id,
        at=at,
        application_name=application_name or "",
        group_name=group_name or "",
        deployment_id=deployment_id or "",
        host_name=host_name or "",
        entry=entry,
        because=because,
        message=message or "",
        principal=principal,
    )
