"""The services' AlertRows on SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from coordinator.service.alarms.alerts import Alert
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.rows.columns import map_of, text_of
from coordinator.store.schema.tables import Table

ALERT: Final = Table(
    "alert",
    """fingerprint TEXT NOT NULL PRIMARY KEY,
       labels TEXT NOT NULL,
       starts_at TEXT NOT NULL,
       ended_at BIGINT""",
)


class SqliteAlerts:
    """What Alertmanager has told."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def alerts(self) -> list[Alert]:
        """See `service.alerts.AlertRows`."""

        def query(db: sqlite3.Connection) -> list[Alert]:
            rows = db.execute("SELECT fingerprint, labels, starts_at, ended_at FROM alert")
            return [Alert(fingerprint=row[0], labels=map_of(row[1]), starts_at=row[2], ended_at=row[3]) for row in rows]

        return await self._reader.run(query)

    async def keep(self, alerts: Sequence[Alert], *, forget_before: int) -> None:
        """See `service.alerts.AlertRows`."""
        rows = [(one.fingerprint, text_of(dict(one.labels)), one.starts_at, one.ended_at) for one in alerts]

        def change(db: sqlite3.Connection, _numbers: Numbers) -> None:
            db.execute("DELETE FROM alert WHERE ended_at < ?", (forget_before,))
            db.executemany(
                """INSERT INTO alert (fingerprint, labels, starts_at, ended_at) VALUES (?, ?, ?, ?) ON CONFLICT (fingerprint)
                   DO UPDATE SET labels = excluded.labels, starts_at = excluded.starts_at, ended_at = excluded.ended_at""",
                rows,
            )

        await self._writer.run(change)
