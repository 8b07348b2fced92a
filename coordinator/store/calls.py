"""Operator calls that were done: each has a key, and a second call under the same key is answered from here.

A call that changes the catalogue or the fleet ends with `tell` and `finish`: its entry in the history and its key are stored in
the transaction of the change itself.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from coordinator.core.errors import RequestIdReused
from coordinator.core.facts import RequestKey
from coordinator.core.orders import Entry
from coordinator.service.ports import Replayed
from coordinator.store.connections.numbers import Numbers

KEPT_FOR: Final = 48 * 3_600_000
"""Milliseconds after which a call may be forgotten; at least 24 hours are promised."""

PRUNE: Final = "DELETE FROM request WHERE done_at < ?"
INSERT: Final = """
    INSERT INTO request (principal_no, method, request_id, digest, subject, done_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (principal_no, method, request_id) DO NOTHING"""
FIND: Final = """
    SELECT digest, subject, done_at FROM request JOIN name ON name_no = principal_no WHERE name = ? AND method = ? AND request_id = ?"""


class Done(NamedTuple):
    """A call that was done."""

    subject: str
    at: int


def find(db: sqlite3.Connection, key: RequestKey) -> Done | None:
    """The call that was done under `key`, None if there was none. Raises RequestIdReused."""
    if not key.request_id:
        return None
    row = db.execute(FIND, (key.principal, key.method, key.request_id)).fetchone()
    if row is None:
        return None
    digest, subject, at = row
    if digest != key.digest:
        raise RequestIdReused(
            f"cannot do this: request_id {key.request_id} was used for another {key.method}; use a new one", field="request_id"
        )
    return Done(subject, at)


def refuse_replay(db: sqlite3.Connection, key: RequestKey) -> None:
    """Raises Replayed, or RequestIdReused, when a call under `key` was done before."""
    done = find(db, key)
    if done is not None:
        raise Replayed(done.subject, done.at)


def remember(db: sqlite3.Connection, numbers: Numbers, requests: Iterable[tuple[RequestKey, str]], *, at: int) -> None:
    """Note calls that were done, and forget those that are old. Two of the same that came at once stand here once."""
    rows = [
        (numbers.names[key.principal], key.method, key.request_id, key.digest, subject, at) for key, subject in requests if key.request_id
    ]
    if rows:
        db.executemany(INSERT, rows)
        db.execute(PRUNE, (at - KEPT_FOR,))


class Told(NamedTuple):
    """What the history will say."""

    entry: Entry
    message: str
    application_no: int | None = None
    group_no: int | None = None
    host_no: int | None = None


def tell(db: sqlite3.Connection, numbers: Numbers, told: Told, *, at: int, key: RequestKey) -> None:
    """Append to the history, in the caller's name."""
    db.execute(
        """INSERT INTO history (history_id, at, entry_no, because, application_no, group_no, host_no, message, principal_no)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(numbers.history(1).start, at, numbers.names[told.entry], key.method),
            *(told.application_no, told.group_no, told.host_no, told.message or None, numbers.names[key.principal]),
        ),
    )


def finish(db: sqlite3.Connection, numbers: Numbers, subject: str, *, at: int, key: RequestKey) -> None:
    """Remember that the call was done."""
    remember(db, numbers, [(key, subject)], at=at)
