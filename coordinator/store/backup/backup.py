"""A backup: a copy of a data directory as it was at one moment, made while its coordinator runs and goes on committing.

It holds the database, the bundles that its revisions refer to, and the authority's keys; not what hooks printed.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from coordinator.core.errors import StorageUnusable
from coordinator.store.backup import files
from coordinator.store.backup.checked import Contents, contents
from coordinator.store.sqlite import BACKED_UP, FILE_NAME


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    contents: Contents
    keys: int
    """Files of the authority."""
    left_out: tuple[str, ...]
    """A sentence for each bundle that was not there or damaged."""


def back_up(data_dir: Path, to: Path) -> Copied:
    """Copy a data directory to one that is not there yet, and check the copy. What was broken off never has that name.

    The coordinator tells in its metrics when that was, where the data directory may be written to.

    Raises StorageUnusable.
    """
    database = data_dir / FILE_NAME
    if not database.is_file():
        raise StorageUnusable(f"cannot back up {data_dir}: there is no {FILE_NAME} in it; name the coordinator's --data-dir")
    if os.path.lexists(to):
        raise StorageUnusable(f"cannot back up to {to}: it is there already; name a directory that is not")
    try:
        making = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.absolute().parent))
    except OSError as error:
        raise files.refusal(f"cannot back up to {to}", error) from error
    try:
        _copy_database(database, making / FILE_NAME)
        copied = copy_beside(contents(making / FILE_NAME), data_dir, making)
        files.sync(making)
        making.rename(to)
        files.sync(to.absolute().parent)
        files.touch(data_dir / BACKED_UP)
    except OSError as error:
        raise files.refusal(f"cannot back up {data_dir} to {to}", error) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return copied


def copy_beside(told: Contents, source: Path, target: Path) -> Copied:
    """Copy what belongs to a database, after it: a bundle is there before a revision of it is stored."""
    left_out = files.copy_bundles(source / "bundles", target / "bundles", told.bundles)
    return Copied(told, files.copy_keys(source / "pki", target / "pki"), tuple(left_out))


def _copy_database(database: Path, target: Path) -> None:
    """The database as it is at one moment: commits go on, only the write-ahead log is not emptied meanwhile."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file that is whole without a write-ahead log beside it
    except sqlite3.Error as error:
        raise StorageUnusable(f"cannot back up {database}: {error}") from error
    with target.open("rb") as written:
        os.fsync(written.fileno())
