"""The services' AlarmCatalog on SQLite. An alarm is one JSON text in its row: nothing asks for its parts."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from coordinator.core.errors import AlarmAlreadyExists, AlarmDoesNotExist, AlarmInUse, InvalidAlarmConfig
from coordinator.core.facts import RequestKey
from coordinator.core.model import Alarm
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import CatalogAlarm
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging
from coordinator.store.rows.alarms import alarm, alarm_map
from coordinator.store.rows.columns import text_of

ALARMS: Final = "SELECT name, alarm, created_at, updated_at FROM alarm WHERE deleted_at IS NULL"
NAMED: Final = 5
"""So many are named in a refusal."""


class SqliteAlarms:
    """The services' AlarmCatalog."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def create(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        """Raises AlarmAlreadyExists."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> CatalogAlarm:
            refuse_replay(db, key)
            if db.execute(f"{ALARMS} AND name = ?", (alarm.name,)).fetchone() is not None:
                raise AlarmAlreadyExists(f"cannot create alarm {alarm.name}: it exists", field="alarm.alarm_name")
            row = (alarm.name, text_of(alarm_map(alarm)), at, at)
            db.execute("INSERT INTO alarm (name, alarm, created_at, updated_at) VALUES (?, ?, ?, ?)", row)
            tell(db, numbers, Told(Entry.AlarmCreated, alarm.name), at=at, key=key)
            finish(db, numbers, alarm.name, at=at, key=key)
            return existing(db, alarm.name)

        return await self._writer.run(change)

    async def alarm(self, name: str) -> CatalogAlarm:
        """Raises AlarmDoesNotExist."""
        return await self._reader.run(lambda db: existing(db, name))

    async def alarms(self, *, size: int, after: Cursor) -> Page[CatalogAlarm]:
        """By name."""
        paging = Paging("alarms")

        def query(db: sqlite3.Connection) -> Page[CatalogAlarm]:
            rows = db.execute(f"{ALARMS} AND name > ? ORDER BY name LIMIT ?", (*paging.after(after, [""]), size + 1)).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], lambda row: _alarm(tuple(row)))

        return await self._reader.run(query)

    async def update(self, alarm: Alarm, *, at: int, key: RequestKey) -> CatalogAlarm:
        """Put an alarm in the place of the one with its name. Raises AlarmDoesNotExist."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> CatalogAlarm:
            refuse_replay(db, key)
            existing(db, alarm.name)
            db.execute(
                "UPDATE alarm SET alarm = ?, updated_at = ? WHERE name = ? AND deleted_at IS NULL",
                (text_of(alarm_map(alarm)), at, alarm.name),
            )
            tell(db, numbers, Told(Entry.AlarmUpdated, alarm.name), at=at, key=key)
            finish(db, numbers, alarm.name, at=at, key=key)
            return existing(db, alarm.name)

        return await self._writer.run(change)

    async def delete(self, name: str, *, at: int, key: RequestKey) -> None:
        """Raises AlarmDoesNotExist, AlarmInUse."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            existing(db, name)
            if users := _users(db, name):
                more = f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
                raise AlarmInUse(
                    f"cannot delete alarm {name}: deployment groups name it: {', '.join(users[:NAMED])}{more}; give them other alarms first"
                )
            db.execute("UPDATE alarm SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL", (at, name))
            tell(db, numbers, Told(Entry.AlarmDeleted, name), at=at, key=key)
            finish(db, numbers, name, at=at, key=key)

        await self._writer.run(change)


def existing(db: sqlite3.Connection, name: str) -> CatalogAlarm:
    """Raises AlarmDoesNotExist."""
    row = db.execute(f"{ALARMS} AND name = ?", (name,)).fetchone()
    if row is None:
        raise AlarmDoesNotExist(f"cannot find alarm {name}", field="alarm_name")
    return _alarm(tuple(row))


def named(db: sqlite3.Connection, names: Iterable[str], *, field: str) -> tuple[Alarm, ...]:
    """The alarms that have these names, in their order. Raises InvalidAlarmConfig, which says what is unknown."""
    found: list[Alarm] = []
    unknown: list[str] = []
    for name in names:
        try:
            found.append(existing(db, name).alarm)
        except AlarmDoesNotExist:
            unknown.append(name)
    if unknown:
        raise InvalidAlarmConfig(
            f"cannot watch what does not exist: there is no alarm {', '.join(unknown[:NAMED])}; make it with hookline alarm create",
            field=field,
        )
    return tuple(found)


def _users(db: sqlite3.Connection, name: str) -> list[str]:
    """The groups that name an alarm."""
    rows = db.execute(
        """SELECT a.name, g.name, g.alarms FROM deployment_group g JOIN application a USING (application_no)
           WHERE g.deleted_at IS NULL AND g.alarms <> '[]' ORDER BY 1, 2"""
    )
    return [f"{application}/{group}" for application, group, alarms in rows if name in json.loads(alarms)]


def _alarm(row: tuple[str, str, int, int]) -> CatalogAlarm:
    _, text, created_at, updated_at = row
    return CatalogAlarm(alarm=alarm(json.loads(text)), created_at=created_at, updated_at=updated_at)
