"""The audit: each call that changes something, or was to, in a chain of hashes.

A row's hash is made over the hash before it and the row itself, so a row that is altered, taken out or put in breaks the chain at that
place. Whoever can write the database can make the whole chain anew: against that the newest hash is written to the log every hour, and
may be compared later.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from coordinator.core.errors import Invalid
from coordinator.engine.ports import Clock
from coordinator.service.ports import Cursor, Page

FIRST: Final = bytes(32)
"""What stands before the first row."""

HOUR: Final = 3_600_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCall:
    """A call as it was answered."""

    at: int
    principal: str
    address: str
    method: str
    request: str
    """JSON, without secrets."""
    reason: str
    code: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A row: a call in its place in the chain."""

    number: int
    call: AuditCall
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest row, as remembered beside the rows; number 0 while there is none."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the chain stands."""

    entries: int
    head: Head
    broken: int = 0
    problem: str = ""


class AuditRows(Protocol):
    """What is remembered of calls."""

    async def append(self, call: AuditCall) -> AuditEntry:
        """Add a row to the chain; durable when this returns."""
        ...

    async def entries(self, principal: str, *, oldest_first: bool, size: int, after: Cursor) -> Page[AuditEntry]:
        """Those of a principal; empty means all."""
        ...

    def chain(self) -> AsyncIterator[list[AuditEntry]]:
        """All rows, the oldest first, some at a time."""
        ...

    async def head(self) -> Head:
        """The newest."""
        ...


def chained(previous: bytes, number: int, call: AuditCall) -> bytes:
    """The hash of a row after the one with that hash."""
    row = [number, call.at, call.principal, call.address, call.method, call.request, call.reason, call.code, call.subject]
    return hashlib.sha256(previous + json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode()).digest()


class AuditService:
    """Writes the audit, shows it, and says whether it is whole."""

    def __init__(self, rows: AuditRows, clock: Clock) -> None:
        """`rows` remembers."""
        self._rows = rows
        self._clock = clock

    async def record(self, call: AuditCall) -> None:
        """Write down how a call was answered. Raises StorageFull or StorageFailed when it cannot be."""
        await self._rows.append(call)

    async def entries(self, principal: str, *, oldest_first: bool, size: int, after: Cursor) -> Page[AuditEntry]:
        """List calls."""
        return await self._rows.entries(principal, oldest_first=oldest_first, size=size, after=after)

    async def verify(self, noted: Head | None = None) -> Verdict:
        """Compute the chain anew, and compare it with what somebody has noted."""
        if noted is not None and len(noted.hash) != len(FIRST):
            raise Invalid("cannot compare with this hash: it must have 32 bytes", field="noted_hash")
        head, last = await self._rows.head(), Head(number=0, hash=FIRST)
        async for entries in self._rows.chain():
            last, problem = await asyncio.to_thread(_followed, last, entries, noted)
            if problem:
                return Verdict(entries=last.number, head=last, broken=last.number + 1, problem=problem)
        if last.number < head.number or (last.number == head.number and last.hash != head.hash):
            problem = f"the audit ends with row {last.number}, and {head.number} were written: rows at the end are gone"
            return Verdict(entries=last.number, head=last, broken=last.number + 1, problem=problem)
        if noted is not None and noted.number > last.number:
            problem = f"row {noted.number} was noted, and the audit ends with row {last.number}: rows at the end are gone"
            return Verdict(entries=last.number, head=last, broken=last.number + 1, problem=problem)
        return Verdict(entries=last.number, head=last)

    async def run(self) -> None:
        """Write the newest hash to the log every hour, until cancelled."""
        while True:
            await self.tell_head()
            await self._clock.sleep(HOUR)

    async def tell_head(self) -> None:
        """Write the newest hash to the log."""
        head = await self._rows.head()
        log.info("audit head audit_no=%d hash=%s", head.number, head.hash.hex())


def _followed(last: Head, entries: Sequence[AuditEntry], noted: Head | None) -> tuple[Head, str]:
    """The last of the rows that are as they were written, and what is wrong with the next; empty when nothing is."""
    for entry in entries:
        problem = _problem(last, entry, noted)
        if problem:
            return last, problem
        last = Head(number=entry.number, hash=entry.hash)
    return last, ""


def _problem(last: Head, entry: AuditEntry, noted: Head | None) -> str:
    """What is wrong with a row, after the row before it; empty when nothing is."""
    if entry.number != last.number + 1:
        return f"row {last.number + 1} is gone: row {entry.number} follows row {last.number}"
    if entry.previous != last.hash:
        return f"row {entry.number} does not follow the row before it: one of the two was altered"
    if entry.hash != chained(last.hash, entry.number, entry.call):
        return f"row {entry.number} is not as it was written"
    if noted is not None and noted.number == entry.number and noted.hash != entry.hash:
        return f"row {entry.number} is not the one that was noted: the audit was made anew, up to here at least"
    return ""
