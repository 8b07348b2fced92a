"""The database file before anybody uses it: who owns it, which version it has, what it was before it was migrated."""

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, TextIO

from sqlite_utils import Database

from coordinator.core.errors import StorageFailed, StorageUnusable
from coordinator.store.connections.writer import connect, set_up, storage_error
from coordinator.store.schema.migrations import MIGRATIONS, VersionedMigrations, migrate

OLDEST_SQLITE: Final = (3, 35)


def claim(path: Path) -> TextIO:
    """Own the database until the file that is returned is closed. Raises StorageUnusable, naming the process that owns it."""
    try:
        lock = path.with_suffix(".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StorageUnusable(f"cannot use {path}: {error.strerror}; name another --data-dir or make this one writable") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StorageUnusable(
            f"cannot use {path}: another coordinator uses it (process {owner}); stop that one or name another --data-dir"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def prepare(path: Path, migrations: VersionedMigrations = MIGRATIONS) -> sqlite3.Connection:
    """Open the database with the newest schema; an older one is copied to a file beside it first.

    Raises StorageUnusable when the file is no database of ours or has a newer schema, StorageFull and StorageFailed.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StorageUnusable(f"cannot use SQLite {sqlite3.sqlite_version}: 3.35 or newer is needed; use a newer Python build")
    try:
        connection = connect(path)
    except sqlite3.DatabaseError as error:
        raise _refusal(error, path) from error
    try:
        db = Database(connection)
        version = migrations.version(db)
        _check(path, version, migrations.newest, foreign=bool(db.table_names()) and version == 0)
        set_up(connection)
        if version < migrations.newest:
            if version:
                _back_up(connection, path.with_name(f"{path.name}.version-{version}"))
            migrate(db, migrations)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _refusal(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path, version: int, newest: int, *, foreign: bool) -> None:
    if version > newest:
        raise StorageUnusable(
            f"cannot use {path}: its schema has version {version}, this program knows versions up to {newest}; start a newer program, "
            "or restore the copy that was made before the schema was migrated"
        )
    if foreign:
        raise StorageUnusable(f"cannot use {path}: it is a database of something else; name another --data-dir")


def _refusal(error: sqlite3.DatabaseError, path: Path) -> StorageFailed | StorageUnusable | Exception:
    if isinstance(error, sqlite3.OperationalError):
        return storage_error(error, path)
    return StorageUnusable(f"cannot use {path}: {error}; restore it from a backup")


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)
