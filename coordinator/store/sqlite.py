"""The store on SQLite: one file, one write connection, read-only readers. Everything else in this folder is a part of it."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TextIO

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.core.facts import RequestKey
from coordinator.core.model import Group, GroupId, HostId, RevisionId, Session
from coordinator.core.orders import Changes
from coordinator.engine.ports import Clock, StoreBroken
from coordinator.metrics import Sizes
from coordinator.service.discovery import Found, Wanted
from coordinator.service.records import Awaiting, Ground
from coordinator.store import calls
from coordinator.store.access.audit import SqliteAudit
from coordinator.store.access.certificates import SqliteCertificates
from coordinator.store.access.operators import SqliteOperators
from coordinator.store.alerts import SqliteAlerts
from coordinator.store.catalog.alarms import SqliteAlarms
from coordinator.store.catalog.catalog import SqliteCatalog
from coordinator.store.changes import Storing
from coordinator.store.connections.files import claim, prepare
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Told, Writer, room
from coordinator.store.enrolment import SqliteEnrolments
from coordinator.store.fleet import SqliteFleet
from coordinator.store.history.history import SqliteHistory
from coordinator.store.outbox import SqliteOutbox
from coordinator.store.snapshots import cohorts, ground, newcomers, running
from coordinator.store.snapshots.running import Standing

FILE_NAME: Final = "hookline.db"
BACKED_UP: Final = "backed-up"
"""An empty file beside it, as old as the last backup."""

ENOUGH_ROOM: Final = 16 << 20
"""Bytes: what the write-ahead log may grow by between two checkpoints."""

BUGS: Final = (sqlite3.Error, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What goes wrong with the change itself; the writer has made of all that may pass an error of ours."""


class _TakenBack(Exception):
    """A rehearsal is over; its transaction is rolled back."""


def _take_back() -> None:
    raise _TakenBack


class SqliteStore:
    """The engine's Store, the services' Requests and Grounds; the other parts are the services' other ports."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: TextIO, clock: Clock) -> None:
        """Use `open`."""
        self.path = path
        self.writer = Writer(connection, path)
        self.reader = Reader(path)
        self.catalog = SqliteCatalog(self.writer, self.reader)
        self.alarms = SqliteAlarms(self.writer, self.reader)
        self.fleet = SqliteFleet(self.writer, self.reader)
        self.enrolments = SqliteEnrolments(self.writer, self.reader)
        self.operators = SqliteOperators(self.writer, self.reader)
        self.certificates = SqliteCertificates(self.writer, self.reader)
        self.audit = SqliteAudit(self.writer, self.reader)
        self.alerts = SqliteAlerts(self.writer, self.reader)
        self.history = SqliteHistory(self.reader)
        self.outbox = SqliteOutbox(self.writer, self.reader)
        self._lock = lock
        self._clock = clock

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> Self:
        """Own the database file, made or migrated where needed. Raises StorageUnusable, StorageFull, StorageFailed.

        Hosts that were connected to the coordinator before are not connected to this one, and their rows say so.
        """
        lock = claim(path)
        try:
            connection = await asyncio.to_thread(prepare, path)
        except BaseException:
            lock.close()
            raise
        store = cls(path, connection, lock, clock)
        with suppress(StorageFull, StorageFailed):  # a full disk is no reason not to start; then rows are right when the hosts come back
            await store.writer.run(lambda db, _: running.disconnect_everybody(db))
        return store

    def close(self) -> None:
        """Finish what is running and let go of the file."""
        self.reader.close()
        self.writer.close()
        self._lock.close()

    async def commit(self, changes: Changes) -> int:
        """Store everything in one transaction and return its number."""
        return await self._store(changes)

    async def rehearse(self, changes: Changes) -> None:
        """Store everything and take it back."""
        with suppress(_TakenBack):
            await self._store(changes, then=_take_back)

    async def _store(self, changes: Changes, then: Callable[[], None] = lambda: None) -> int:
        at = self._clock.now()

        def store(db: sqlite3.Connection, numbers: Numbers) -> int:
            number = Storing(db, numbers, changes, at).store()
            then()
            return number

        try:
            return await self.writer.run(store, "commit")
        except BUGS as error:
            raise StoreBroken(f"cannot store what was decided: {type(error).__name__}: {error}") from error

    async def last_commit(self) -> int:
        """The number of the last commit."""
        return await self.reader.run(running.last_commit)

    async def sessions(self) -> list[Session]:
        """Every known host, as stored."""
        return await self.reader.run(running.sessions)

    async def live_groups(self) -> list[GroupId]:
        """Groups whose newest deployment has not ended."""
        return await self.reader.run(running.live_groups)

    async def group(self, group_id: GroupId) -> Group:
        """A group as committed last."""
        return await self.reader.run(lambda db: running.group(db, group_id))

    async def behind(self, epochs: Mapping[tuple[GroupId, HostId], int]) -> list[GroupId]:
        """Groups that the store knows, and of which a host knows a higher target epoch than is stored for it."""
        return await self.reader.run(lambda db: running.behind(db, epochs))

    async def replayed(self, key: RequestKey) -> str | None:
        """The subject of the call that was done under `key`."""
        done = await self.reader.run(lambda db: calls.find(db, key)) if key.request_id else None
        return None if done is None else done.subject

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
        """What a deployment stands on, as it is at one moment."""
        names = (application_name, group_name)
        return await self.reader.run(lambda db: ground.read(db, names, revision_id, config_name, alarms))

    async def newcomers(self, hosts: Collection[HostId]) -> list[Awaiting]:
        """Groups that have newcomers among these hosts."""
        return await self.reader.run(lambda db: newcomers.read(db, hosts))

    async def standings(self, wanted: Wanted) -> list[Found]:
        """Who holds what, and which cohort they are."""
        return await self.reader.run(lambda db: cohorts.read(db, wanted))

    def shortage(self) -> str:
        """Why the next commits may find no room, in a sentence; empty when there is enough. Looks at the disk when it is asked."""
        free = room(self.path)
        if free >= ENOUGH_ROOM:
            return ""
        return f"cannot go on for long: the disk that holds {self.path} has {free} bytes free, fewer than {ENOUGH_ROOM}; make room there"

    def sizes(self) -> Sizes:
        """How large it is, how much room there is, and when it was backed up. Looks at the disk when it is asked."""
        wal, marker = _stat(self.path.with_name(f"{self.path.name}-wal")), _stat(self.path.with_name(BACKED_UP))
        database = _stat(self.path)
        return Sizes(
            database=database.st_size if database else 0,
            wal=wal.st_size if wal else 0,
            free=room(self.path),
            backed_up_at=marker.st_mtime if marker else None,
        )

    def time(self, told: Told) -> None:
        """Tell how long every transaction takes."""
        self.writer.told = self.reader.told = told

    async def standing(self) -> list[Standing]:
        """What was deployed last with success, of every group, the newest first."""
        return await self.reader.run(running.standing)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
