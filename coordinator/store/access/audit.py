"""The services' AuditRows on SQLite: appended and never changed, which triggers see to."""

import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from coordinator.service.access.audit import FIRST, AuditCall, AuditEntry, Head, chained
from coordinator.service.ports import Cursor, Page
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging

ROWS: Final = "SELECT audit_no, at, principal, address, method, request, reason, code, subject, previous, hash FROM audit"
INSERT: Final = """
    INSERT INTO audit (audit_no, at, principal, address, method, request, reason, code, subject, previous, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
HEAD: Final = """
    INSERT INTO audit_head (one, audit_no, hash) VALUES (1, ?, ?)
    ON CONFLICT (one) DO UPDATE SET audit_no = excluded.audit_no, hash = excluded.hash"""
NEWEST: Final = (1 << 63) - 1
AT_ONCE: Final = 1_000
"""Rows read in one go while the chain is computed."""


class SqliteAudit:
    """Calls, in their chain."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def append(self, call: AuditCall) -> AuditEntry:
        """See `service.access.audit.AuditRows`."""

        def change(db: sqlite3.Connection, _: Numbers) -> AuditEntry:
            head = _head(db)
            number = head.number + 1
            entry = AuditEntry(number=number, call=call, previous=head.hash, hash=chained(head.hash, number, call))
            db.execute(INSERT, _row(entry))
            db.execute(HEAD, (number, entry.hash))
            return entry

        return await self._writer.run(change)

    async def entries(self, principal: str, *, oldest_first: bool, size: int, after: Cursor) -> Page[AuditEntry]:
        """See `service.access.audit.AuditRows`."""
        paging = Paging("audit", principal, oldest_first)
        beyond, order, first = (">", "ASC", 0) if oldest_first else ("<", "DESC", NEWEST)
        whose = "principal = ? AND" if principal else ""

        def query(db: sqlite3.Connection) -> Page[AuditEntry]:
            values = (*([principal] if principal else []), *paging.after(after, [first]), size + 1)
            rows = db.execute(f"{ROWS} WHERE {whose} audit_no {beyond} ? ORDER BY audit_no {order} LIMIT ?", values).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], _entry)

        return await self._reader.run(query)

    async def chain(self) -> AsyncIterator[list[AuditEntry]]:
        """See `service.access.audit.AuditRows`."""
        last = -NEWEST
        while True:
            rows = await self._reader.run(partial(_after, last))
            if not rows:
                return
            yield rows
            last = rows[-1].number

    async def head(self) -> Head:
        """See `service.access.audit.AuditRows`."""
        return await self._reader.run(_head)


def _after(last: int, db: sqlite3.Connection) -> list[AuditEntry]:
    return [_entry(row) for row in db.execute(f"{ROWS} WHERE audit_no > ? ORDER BY audit_no LIMIT ?", (last, AT_ONCE))]


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT audit_no, hash FROM audit_head").fetchone()
    return Head(number=0, hash=FIRST) if row is None else Head(number=row[0], hash=bytes(row[1]))


def _row(entry: AuditEntry) -> tuple[int | str | bytes, ...]:
    call = entry.call
    told = (call.at, call.principal, call.address, call.method, call.request, call.reason, call.code, call.subject)
    return (entry.number, *told, entry.previous, entry.hash)


def _entry(row: sqlite3.Row) -> AuditEntry:
    number, at, principal, address, method, request, reason, code, subject, previous, hash = row
    call = AuditCall(
        at=at if isinstance(at, int) else -1,
        principal=_text(principal),
        address=_text(address),
        method=_text(method),
        request=_text(request),
        reason=_text(reason),
        code=_text(code),
        subject=_text(subject),
    )
    return AuditEntry(number=number, call=call, previous=_octets(previous), hash=_octets(hash))


def _text(value: object) -> str:
    """What stands where a text belongs: whoever alters the file may put anything there."""
    return value if isinstance(value, str) else repr(value)


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
