"""The audit on SQLite: append-only, and whatever is altered behind the coordinator's back is found."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.core.errors import Invalid
from coordinator.service.access.audit import AuditService, Head, Verdict, chained
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, FixedClock, audit_call

ROWS = 4
COLUMNS = ("audit_no", "at", "principal", "address", "method", "request", "reason", "code", "subject", "previous", "hash")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """One with an audit of a few rows."""
    made = await opened(tmp_path / "hookline.db")
    for number in range(1, ROWS + 1):
        await made.audit.append(audit_call(at=NOW + number, subject=f"d-{number}"))
    yield made
    made.close()


async def verified(store: SqliteStore, noted: Head | None = None) -> Verdict:
    return await AuditService(store.audit, FixedClock()).verify(noted)


def tamper(store: SqliteStore, *statements: str) -> None:
    """As whoever has the file."""
    with closing(sqlite3.connect(store.path)) as db:
        for verb in ("update", "delete"):
            db.execute(f"DROP TRIGGER audit_no_{verb}")
        for statement in statements:
            db.execute(statement)
        db.commit()


async def test_an_audit_that_nobody_touched_is_whole(store: SqliteStore) -> None:
    verdict = await verified(store)
    assert (verdict.entries, verdict.problem) == (ROWS, "")
    assert verdict.head == await store.audit.head()


@pytest.mark.parametrize("row", range(1, ROWS + 1))
@pytest.mark.parametrize("column", COLUMNS)
async def test_a_column_of_a_row_that_was_altered_is_found(store: SqliteStore, column: str, row: int) -> None:
    other = {"audit_no": "100 + audit_no", "at": "at + 1", "previous": "zeroblob(31)", "hash": "zeroblob(31)"}
    value = other.get(column, f"{column} || '!'")
    tamper(store, f"UPDATE audit SET {column} = {value} WHERE audit_no = {row}")
    verdict = await verified(store)
    assert verdict.broken in (row, row + 1)
    assert verdict.problem


@pytest.mark.parametrize("row", range(1, ROWS + 1))
async def test_a_row_that_was_deleted_is_found(store: SqliteStore, row: int) -> None:
    tamper(store, f"DELETE FROM audit WHERE audit_no = {row}")
    verdict = await verified(store)
    assert verdict.broken == row
    assert "gone" in verdict.problem


async def test_a_row_that_was_put_in_is_found(store: SqliteStore) -> None:
    tamper(
        store,
        "INSERT INTO audit SELECT 0, at, principal, address, method, request, reason, code, subject, previous, hash FROM audit LIMIT 1",
    )
    assert (await verified(store)).problem


async def test_a_chain_that_was_made_anew_differs_from_what_was_noted(store: SqliteStore) -> None:
    noted = await store.audit.head()
    forged = [audit_call(at=NOW + number, principal="operator:bert") for number in range(1, ROWS + 1)]
    head, rows = bytes(32), []
    for number, call in enumerate(forged, start=1):
        head = chained(head, number, call)
        rows.append(f"UPDATE audit SET at = {call.at}, principal = '{call.principal}', subject = 'd-1' WHERE audit_no = {number}")
        rows.append(f"UPDATE audit SET hash = x'{head.hex()}' WHERE audit_no = {number}")
        rows.append(f"UPDATE audit SET previous = x'{head.hex()}' WHERE audit_no = {number + 1}")
    tamper(store, *rows, f"UPDATE audit_head SET hash = x'{head.hex()}'")
    assert not (await verified(store)).problem
    assert "made anew" in (await verified(store, noted)).problem


async def test_rows_that_are_gone_with_the_head_differ_from_what_was_noted(store: SqliteStore) -> None:
    noted = await store.audit.head()
    tamper(
        store,
        f"DELETE FROM audit WHERE audit_no = {ROWS}",
        f"UPDATE audit_head SET audit_no = {ROWS - 1}, hash = (SELECT hash FROM audit WHERE audit_no = {ROWS - 1})",
    )
    assert not (await verified(store)).problem
    assert "was noted" in (await verified(store, noted)).problem


async def test_what_cannot_have_been_noted_is_refused(store: SqliteStore) -> None:
    with pytest.raises(Invalid, match="32 bytes"):
        await verified(store, Head(number=1, hash=b"short"))


@pytest.mark.parametrize("statement", ["UPDATE audit SET code = 'OK'", "DELETE FROM audit", "DELETE FROM audit WHERE audit_no = 4"])
async def test_the_database_itself_refuses_to_change_a_row(store: SqliteStore, statement: str) -> None:
    with closing(sqlite3.connect(store.path)) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)


async def test_rows_that_come_at_once_stand_in_one_chain(store: SqliteStore) -> None:
    await asyncio.gather(*(store.audit.append(audit_call(subject=f"d-{number}")) for number in range(50)))
    verdict = await verified(store)
    assert (verdict.entries, verdict.problem) == (ROWS + 50, "")


async def test_pages_go_either_way(store: SqliteStore) -> None:
    await store.audit.append(audit_call(principal="local"))
    newest = await store.audit.entries("", oldest_first=False, size=2, after="")
    rest = await store.audit.entries("", oldest_first=False, size=9, after=newest.next)
    assert [entry.number for entry in (*newest.items, *rest.items)] == [5, 4, 3, 2, 1]
    oldest = await store.audit.entries("operator:anna", oldest_first=True, size=9, after="")
    assert [entry.number for entry in oldest.items] == [1, 2, 3, 4]
    with pytest.raises(Invalid):
        await store.audit.entries("local", oldest_first=False, size=2, after=newest.next)
