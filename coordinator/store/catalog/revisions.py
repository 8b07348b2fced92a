"""Revisions in SQLite."""

import sqlite3
from typing import Final

from coordinator.core.errors import RevisionDoesNotExist
from coordinator.core.facts import RequestKey
from coordinator.core.model import CoordinatorLocation, RevisionId
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import CatalogRevision
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.catalog.groups import existing_application_no
from coordinator.store.connections.numbers import Numbers
from coordinator.store.paging import Paging
from coordinator.store.rows import columns

REVISIONS: Final = f"""
    SELECT revision_no, {", ".join(columns.REVISION_COLUMNS)}, description, registered_at,
           (SELECT min(created_at) FROM deployment d WHERE d.revision_no = r.revision_no),
           (SELECT max(created_at) FROM deployment d WHERE d.revision_no = r.revision_no)
    FROM revision r WHERE application_no = ?"""
RevisionRow = tuple[int, str, int, str, int, bytes, str | None, str | None, str, int, int | None, int | None]
FIRST: Final = 1 << 62
"""Greater than any number of a row."""


def register(db: sqlite3.Connection, numbers: Numbers, wanted: CatalogRevision, *, at: int, key: RequestKey) -> CatalogRevision:
    """Store a revision, unless it is there."""
    refuse_replay(db, key)
    number = existing_application_no(db, wanted.application_name)
    one = wanted.revision
    made = db.execute(
        f"""INSERT INTO revision (application_no, {", ".join(columns.REVISION_COLUMNS)}, description, registered_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (application_no, revision_id) DO NOTHING""",
        (
            *(number, one.revision_id, *columns.place_columns(one.place), int(one.bundle_type), one.sha256),
            *(*columns.signature_columns(one.signature), wanted.description, at),
        ),
    )
    if made.rowcount:
        tell(db, numbers, Told(Entry.RevisionRegistered, one.revision_id, application_no=number), at=at, key=key)
    finish(db, numbers, one.revision_id, at=at, key=key)
    return get(db, wanted.application_name, one.revision_id)


def get(db: sqlite3.Connection, application_name: str, revision_id: RevisionId) -> CatalogRevision:
    """A revision. Raises ApplicationDoesNotExist, RevisionDoesNotExist."""
    row = db.execute(f"{REVISIONS} AND revision_id = ?", (existing_application_no(db, application_name), revision_id)).fetchone()
    if row is None:
        raise RevisionDoesNotExist(f"cannot find revision {revision_id} of application {application_name}", field="revision_id")
    return _revision(application_name, tuple(row))


def page(db: sqlite3.Connection, application_name: str, *, size: int, after: Cursor) -> Page[CatalogRevision]:
    """Revisions of an application, newest first."""
    paging = Paging("revisions", application_name)
    number = existing_application_no(db, application_name)
    found = db.execute(
        f"{REVISIONS} AND revision_no < ? ORDER BY revision_no DESC LIMIT ?", (number, *paging.after(after, [FIRST]), size + 1)
    ).fetchall()
    return paging.page(found, size, lambda row: [row[0]], lambda row: _revision(application_name, tuple(row)))


def pushed(db: sqlite3.Connection) -> set[bytes]:
    """The digests of the bundles that the coordinator keeps for revisions of applications that are not deleted."""
    kept = db.execute(
        "SELECT sha256 FROM revision JOIN application USING (application_no) WHERE deleted_at IS NULL AND place_type = ?",
        (columns.PLACE_NUMBERS[CoordinatorLocation],),
    )
    return {row[0] for row in kept}


def _revision(application_name: str, row: RevisionRow) -> CatalogRevision:
    (
        _,
        revision_id,
        place_type,
        place,
        bundle_type,
        sha256,
        statement,
        signature,
        description,
        registered_at,
        first_used_at,
        last_used_at,
    ) = row
    return CatalogRevision(
        application_name=application_name,
        revision=columns.revision(revision_id, place_type, place, bundle_type, sha256, statement, signature),
        description=description,
        registered_at=registered_at,
        first_used_at=first_used_at,
        last_used_at=last_used_at,
    )
