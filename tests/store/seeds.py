"""A SQLite store that knows the application, the groups and the revisions of `things`."""

import sqlite3
from pathlib import Path

from coordinator.engine.ports import Clock
from coordinator.store.connections.numbers import Numbers
from coordinator.store.rows.columns import place_columns
from coordinator.store.sqlite import SqliteStore
from tests.store.things import NAMES, R1, R2, FixedClock


async def opened(path: Path, clock: Clock | None = None) -> SqliteStore:
    """Open a store, and seed it when it is new."""
    store = await SqliteStore.open(path, clock or FixedClock())

    def seed(db: sqlite3.Connection, _numbers: Numbers) -> None:
        if db.execute("SELECT 1 FROM application").fetchone():
            return
        db.execute("INSERT INTO application (application_no, name, created_at) VALUES (1, 'shop', 0)")
        for number, (group_id, name) in enumerate(NAMES.items(), start=1):
            db.execute(
                """INSERT INTO deployment_group
                       (group_no, group_id, application_no, name, tag_filters, config_no, auto_rollback, created_at)
                   VALUES (?, ?, 1, ?, '[]', 1, 0, 0)""",
                (number, group_id, name),
            )
        for one in (R1, R2):
            row = (one.revision_id, *place_columns(one.place), int(one.bundle_type), one.sha256)
            db.execute(
                """INSERT INTO revision (application_no, revision_id, place_type, place, bundle_type, sha256, description, registered_at)
                   VALUES (1, ?, ?, ?, ?, ?, '', 0)""",
                row,
            )

    await store.writer.run(seed)
    return store
