"""The one write connection, on its own thread: every change is one transaction there, whole or not at all."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.store.connections.numbers import Numbers

T = TypeVar("T")
Told = Callable[[str, float], None]
"""Is told what kind of transaction has ended, and how many seconds it took, the wait for its turn included."""

Change = Callable[[sqlite3.Connection, Numbers], T]
"""What is done in a transaction."""

PRIMARY: Final = 0xFF
OF_THE_FILE: Final = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOTADB),
    }
)
"""Troubles of the file and the machine: the same change may be stored later. All others are those of the change itself: bugs."""

ROOM: Final = 1 << 20
"""With fewer bytes left on the disk than this, an I/O error is taken for a full disk."""

CACHE_KIB: Final = 32_768
CHECKPOINT_PAGES: Final = 4_000
"""About 16 MB of WAL; only this connection ever checkpoints (readers are read-only)."""

WAL_BYTES: Final = 64 << 20
"""What the WAL file is cut back to after a checkpoint."""


def told_nobody(op: str, seconds: float) -> None:
    """Nobody asks how long transactions take."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that commits nothing by itself; nothing is written yet."""
    return sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5, cached_statements=256)


def set_up(db: sqlite3.Connection) -> None:
    """Make it the write connection: a commit survives a power cut, and foreign keys are checked."""
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {WAL_BYTES}",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}")


def passing(error: sqlite3.Error) -> bool:
    """Whether the same may go well another time."""
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY in OF_THE_FILE


def storage_error(error: sqlite3.Error, path: Path) -> StorageFull | StorageFailed:
    """What a refusal of SQLite that may pass means for whoever asked."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and room(path) < ROOM):
        return StorageFull(f"cannot store this: the disk that holds {path} is full ({error}); make room there, nothing else is needed")
    return StorageFailed(f"cannot use {path}: {error}; try again")


def room(path: Path) -> int:
    """Bytes that are free for us on the disk that holds a file."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


class Writer:
    """Runs changes one after the other."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        """`db` belongs to the writer from now on."""
        self._db = db
        self._path = path
        self._numbers = Numbers(db)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self.told: Told = told_nobody

    async def run(self, change: Change[T], op: str = "write") -> T:
        """Carry out a change in one transaction; when this returns it is durable. Raises StorageFull or StorageFailed when that
        passes; what SQLite says of a bug is raised as it is."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        made = await loop.run_in_executor(self._thread, self._transact, change)
        self.told(op, loop.time() - began)
        return made

    def close(self) -> None:
        """Wait for the running change and let go of the database."""
        self._thread.shutdown()
        self._db.close()

    def _transact(self, change: Change[T]) -> T:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            made = change(db, self._numbers)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if passing(error):
                raise storage_error(error, self._path) from error
            raise
        except BaseException:
            self._roll_back()
            raise
        return made

    def _roll_back(self) -> None:
        self._numbers.forget()
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:  # SQLite has rolled back by itself, as after some I/O errors
                if self._db.in_transaction:
                    raise
