"""A database file that nobody writes, looked at before it is trusted: is it whole, is it ours, does this program know its schema?"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from coordinator.core.errors import StorageUnusable
from coordinator.store.catalog.revisions import pushed
from coordinator.store.schema.migrations import MIGRATIONS


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database speaks of."""

    version: int
    """Of its schema."""
    deployments: int
    bundles: frozenset[bytes]
    """The digests of the bundles that have to lie beside it."""
    newest_entry: str
    """When the last thing happened that its history knows; empty when it knows of none."""


def contents(path: Path) -> Contents:
    """Check a whole database file. Raises StorageUnusable when it is damaged, of something else, or of a newer program."""
    with _refusing(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            damage = [row[0] for row in db.execute("PRAGMA integrity_check(1)")]
            if damage != ["ok"]:
                raise StorageUnusable(f"cannot use {path}: it is damaged ({damage[0]}); use another backup")
            version = MIGRATIONS.version(Database(db))
            if version == 0:
                raise StorageUnusable(f"cannot use {path}: it is a database of something else")
            if version > MIGRATIONS.newest:
                why = f"its schema has version {version}, this program knows versions up to {MIGRATIONS.newest}"
                raise StorageUnusable(f"cannot use {path}: {why}; use the program that the coordinator runs, or a newer one")
            if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise StorageUnusable(f"cannot use {path}: it is damaged (rows that belong to others are missing); use another backup")
            (deployments,) = db.execute("SELECT count(*) FROM deployment").fetchone()
            newest = db.execute("SELECT at FROM v_history ORDER BY history_id DESC LIMIT 1").fetchone()
            return Contents(version, deployments, frozenset(pushed(db)), newest[0] if newest else "")
        finally:
            db.close()


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageUnusable(f"cannot use {path}: {error}; use another backup") from error
