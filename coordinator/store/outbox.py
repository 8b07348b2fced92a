"""The services' Outbox on SQLite: the history is the queue, and each who is told has a cursor in it.

Groups never look back further than their cursors, so nothing here needs an index on the history.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from coordinator.core.model import DeploymentId, HostId
from coordinator.core.orders import Entry
from coordinator.service.notifications.ports import EVERYWHERE, Line, News, Notice, Standing, Wanted
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.rows.triggers import triggers
from coordinator.store.schema.tables import Table

CURSOR: Final = Table(
    "notification_cursor",
    """group_no BIGINT NOT NULL,
       name TEXT NOT NULL,
       history_id BIGINT NOT NULL,
       PRIMARY KEY (group_no, name)""",
    clustered=True,
)

HANDFUL: Final = 200
STRETCH: Final = 50_000
"""So many entries are looked at in one question."""

CATALOGUE: Final = frozenset({Entry.DeploymentGroupCreated, Entry.DeploymentGroupUpdated, Entry.DeploymentGroupDeleted})

HEAD: Final = "SELECT coalesce(max(history_id), 0) FROM history"
STANDING: Final = """
    SELECT g.group_no, g.triggers, c.name, c.history_id FROM notification_cursor c JOIN deployment_group g USING (group_no)
    WHERE g.deleted_at IS NULL"""
NEWS: Final = """
    SELECT DISTINCT y.group_no, e.name FROM history y JOIN name e ON e.name_no = y.entry_no
    WHERE y.history_id > ? AND y.history_id <= ? AND y.group_no IS NOT NULL"""
NOTICES: Final = """
    SELECT y.history_id, y.at, e.name, a.name, g.name, d.deployment_id, coalesce(h.host_id, ''), coalesce(n.name, ''),
           coalesce(y.message, ''), coalesce(b.deployment_id, '')
    FROM history y
    JOIN name e ON e.name_no = y.entry_no
    JOIN deployment d ON d.deployment_no = y.deployment_no
    JOIN deployment_group g ON g.group_no = d.group_no
    JOIN application a ON a.application_no = g.application_no
    LEFT JOIN deployment b ON b.deployment_no = d.rolls_back_no
    LEFT JOIN host h ON h.host_no = y.host_no
    LEFT JOIN name n ON n.name_no = h.name_no
    WHERE y.history_id > ? AND y.history_id <= ?"""
BEGIN: Final = "INSERT INTO notification_cursor (group_no, name, history_id) VALUES (?, ?, ?) ON CONFLICT (group_no, name) DO NOTHING"
MOVE: Final = "UPDATE notification_cursor SET history_id = ? WHERE group_no = ? AND name = ? AND history_id < ?"


class SqliteOutbox:
    """Reads by readers; cursors move on the one write connection."""

    def __init__(self, writer: Writer, reader: Reader, handful: int = HANDFUL) -> None:
        """Writes go through the one writer; `handful` entries are read at a time."""
        self._handful = handful
        self._writer = writer
        self._reader = reader

    async def head(self) -> int:
        """See `service.notifications.ports.Outbox`; so for all that follow."""
        return await self._reader.run(_head)

    async def standing(self) -> list[Standing]:
        """All triggers of all groups."""

        def query(db: sqlite3.Connection) -> list[Standing]:
            found = []
            for group_no, text, name, cursor in db.execute(STANDING):
                found += [Standing(Line(group_no, name), one, cursor) for one in triggers(text) if one.name == name]
            return found

        return await self._reader.run(query)

    async def begin(self, line: Line) -> int:
        """The cursor of somebody who is told of everything."""

        def change(db: sqlite3.Connection, _numbers: Numbers) -> int:
            db.execute(BEGIN, (*line, _head(db)))
            found = db.execute("SELECT history_id FROM notification_cursor WHERE group_no = ? AND name = ?", line).fetchone()
            return int(found[0])

        return await self._writer.run(change)

    async def forget(self, line: Line) -> None:
        """Let go of a cursor."""

        def change(db: sqlite3.Connection, _numbers: Numbers) -> None:
            db.execute("DELETE FROM notification_cursor WHERE group_no = ? AND name = ?", line)

        await self._writer.run(change)

    async def news(self, after: int, upto: int) -> News:
        """What has come."""

        def query(db: sqlite3.Connection) -> News:
            rows = db.execute(NEWS, (after, upto)).fetchall()
            return News(frozenset(row[0] for row in rows), any(row[1] in CATALOGUE for row in rows))

        return await self._reader.run(query)

    async def notices(self, line: Line, wanted: Wanted, after: int, upto: int) -> tuple[list[Notice], int]:
        """What comes next."""
        through = min(upto, after + STRETCH)
        condition, values = _condition(wanted)
        if line.group_no != EVERYWHERE:
            condition, values = f"{condition} AND y.group_no = ?", [*values, line.group_no]
        asked = (after, through, *values, self._handful)

        def query(db: sqlite3.Connection) -> list[Notice]:
            rows = db.execute(f"{NOTICES} AND {condition} ORDER BY y.history_id LIMIT ?", asked)
            return [_notice(tuple(row)) for row in rows]

        found = await self._reader.run(query)
        return found, found[-1].history_id if len(found) == self._handful else through

    async def move(self, cursors: Mapping[Line, int]) -> None:
        """Put cursors forward."""
        rows = [(cursor, *line, cursor) for line, cursor in cursors.items()]

        def change(db: sqlite3.Connection, _numbers: Numbers) -> None:
            db.executemany(MOVE, rows)

        await self._writer.run(change)

    async def give_up(self, line: Line, cursor: int, message: str, *, at: int) -> None:
        """Put a cursor forward and say so."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            db.execute(MOVE, (cursor, *line, cursor))
            db.execute(
                "INSERT INTO history (history_id, at, entry_no, because, group_no, message, principal_no) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(numbers.history(1).start, at, numbers.names[Entry.NotificationsGivenUp], f"notifications {line.name}"),
                    *(line.group_no or None, message, numbers.names["coordinator"]),
                ),
            )

        await self._writer.run(change)


def keep_cursors(db: sqlite3.Connection, group_no: int, names: Iterable[str]) -> None:
    """A group has these triggers from now on, in the transaction that says so: those that are new begin at the newest entry."""
    kept = set(names)
    for (name,) in db.execute("SELECT name FROM notification_cursor WHERE group_no = ?", (group_no,)).fetchall():
        if name not in kept:
            db.execute("DELETE FROM notification_cursor WHERE group_no = ? AND name = ?", (group_no, name))
    if kept:
        db.executemany(BEGIN, [(group_no, name, _head(db)) for name in sorted(kept)])


def _head(db: sqlite3.Connection) -> int:
    return int(db.execute(HEAD).fetchone()[0])


def _condition(wanted: Wanted) -> tuple[str, list[str | int]]:
    parts: list[str] = []
    values: list[str | int] = []
    for null, entries in (("IS NULL", wanted.of_deployments), ("IS NOT NULL", wanted.of_hosts)):
        if entries:
            parts.append(f"y.host_no {null} AND e.name IN ({', '.join('?' * len(entries))})")
            values += entries
    return f"({' OR '.join(f'({part})' for part in parts)})" if parts else "0", values


def _notice(row: "tuple[int, int, str, str, str, str, str, str, str, str]") -> Notice:
    history_id, at, entry, application_name, group_name, deployment_id, host_id, host_name, message, rolls_back = row
    return Notice(
        history_id=history_id,
        at=at,
        entry=entry,
        application_name=application_name,
        group_name=group_name,
        deployment_id=DeploymentId(deployment_id),
        host_id=HostId(host_id),
        host_name=host_name,
        message=message,
        rolls_back=rolls_back,
    )
