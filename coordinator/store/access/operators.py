"""The services' Operators on SQLite. Each change is one transaction with its entry in the history."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from coordinator.core.errors import GrantDoesNotExist, Limit, OperatorAlreadyExists, OperatorDoesNotExist, OperatorTokenDoesNotExist
from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Grant, Operator, OperatorStatus, OperatorToken, Permission, Role, permits
from coordinator.core.orders import Entry
from coordinator.service.access.operators import GRANTS_AT_MOST
from coordinator.service.access.ports import Credential
from coordinator.service.ports import Cursor, Page
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging

OPERATORS: Final = "SELECT name, status, grants, created_at, created_by FROM operator"
INSERT_OPERATOR: Final = "INSERT INTO operator (name, status, grants, created_at, created_by) VALUES (?, ?, ?, ?, ?)"
TOKENS: Final = """
    SELECT token_no, token_id, o.name, expires_at, t.grants, description, t.created_at, t.created_by, revoked_at, certificate_lifetime
    FROM operator_token t JOIN operator o USING (operator_no)"""
INSERT_TOKEN: Final = """
    INSERT INTO operator_token (token_id, sha256, operator_no, expires_at, grants, description, created_at, created_by,
                                certificate_lifetime)
    VALUES (?, ?, (SELECT operator_no FROM operator WHERE name = ?), ?, ?, ?, ?, ?, ?)"""
GOOD: Final = """
    WHERE revoked_at IS NULL AND used_at IS NULL AND expires_at > ? AND (? = '' OR o.name = ?) AND token_no < ?
    ORDER BY token_no DESC LIMIT ?"""
NEWEST: Final = (1 << 63) - 1


class SqliteOperators:
    """Operators and their tokens."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def create(self, operator: Operator, *, at: int, key: RequestKey) -> Operator:
        """See `service.access.ports.Operators`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Operator:
            refuse_replay(db, key)
            if db.execute("SELECT 1 FROM operator WHERE name = ?", (operator.name,)).fetchone():
                raise OperatorAlreadyExists(f"cannot create operator {operator.name}: there is one of that name", field="operator_name")
            row = (operator.name, operator.status, text_of(operator.grants), operator.created_at, operator.created_by)
            db.execute(INSERT_OPERATOR, row)
            tell(db, numbers, Told(Entry.OperatorCreated, f"{operator.name}: {_said(operator.grants)}"), at=at, key=key)
            finish(db, numbers, operator.name, at=at, key=key)
            return operator

        return await self._writer.run(change)

    async def operator(self, name: str) -> Operator:
        """See `service.access.ports.Operators`."""
        return await self._reader.run(lambda db: find_operator(db, name))

    async def operators(self, *, size: int, after: Cursor) -> Page[Operator]:
        """See `service.access.ports.Operators`."""
        paging = Paging("operators")

        def query(db: sqlite3.Connection) -> Page[Operator]:
            rows = db.execute(f"{OPERATORS} WHERE name > ? ORDER BY name LIMIT ?", (*paging.after(after, [""]), size + 1)).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], _operator)

        return await self._reader.run(query)

    async def decide(self, name: str, status: OperatorStatus, reason: str, *, at: int, key: RequestKey) -> Operator:
        """See `service.access.ports.Operators`."""
        entry = Entry.OperatorSuspended if status is OperatorStatus.Suspended else Entry.OperatorResumed
        said = f"{name}: {reason}" if reason else name
        return await self._change(name, lambda known: replace(known, status=status), Told(entry, said), at=at, key=key)

    async def grant(self, name: str, grant: Grant, *, at: int, key: RequestKey) -> Operator:
        """See `service.access.ports.Operators`."""

        def granted(known: Operator) -> Operator:
            if len(known.grants) >= GRANTS_AT_MOST:
                raise Limit(f"cannot grant {name} more: {GRANTS_AT_MOST} grants are the most", field="grant")
            return replace(known, grants=tuple(dict.fromkeys((*known.grants, grant))))

        return await self._change(name, granted, Told(Entry.RoleGranted, f"{name}: {grant}"), at=at, key=key)

    async def ungrant(self, name: str, grant: Grant, *, at: int, key: RequestKey) -> Operator:
        """See `service.access.ports.Operators`."""

        def taken_back(known: Operator) -> Operator:
            if grant not in known.grants:
                raise GrantDoesNotExist(f"cannot take {grant} back from {name}: the grants are {_said(known.grants)}", field="grant")
            return replace(known, grants=tuple(one for one in known.grants if one != grant))

        return await self._change(name, taken_back, Told(Entry.GrantRevoked, f"{name}: {grant}"), at=at, key=key)

    async def add_token(self, token: OperatorToken, sha256: bytes, *, at: int, key: RequestKey) -> None:
        """See `service.access.ports.Operators`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            find_operator(db, token.operator)
            row = (token.token_id, sha256, token.operator, token.expires_at, text_of(token.grants), token.description)
            db.execute(INSERT_TOKEN, (*row, token.created_at, token.created_by, token.certificate_lifetime))
            what = "" if token.certificate_lifetime is None else ", for a certificate"
            tell(db, numbers, Told(Entry.OperatorTokenCreated, f"{token.token_id} for {token.operator}{what}"), at=at, key=key)
            finish(db, numbers, token.token_id, at=at, key=key)

        await self._writer.run(change)

    async def tokens(self, operator: str, *, at: int, size: int, after: Cursor) -> Page[OperatorToken]:
        """See `service.access.ports.Operators`."""
        paging = Paging("operator tokens", operator)

        def query(db: sqlite3.Connection) -> Page[OperatorToken]:
            values = (at, operator, operator, *paging.after(after, [NEWEST]), size + 1)
            return paging.page(db.execute(f"{TOKENS} {GOOD}", values).fetchall(), size, lambda row: [row[0]], _token)

        return await self._reader.run(query)

    async def revoke_token(self, token_id: str, *, at: int, key: RequestKey) -> str:
        """See `service.access.ports.Operators`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> str:
            refuse_replay(db, key)
            owner = find_token(db, token_id).operator
            db.execute("UPDATE operator_token SET revoked_at = ? WHERE token_id = ? AND revoked_at IS NULL", (at, token_id))
            tell(db, numbers, Told(Entry.OperatorTokenRevoked, f"{token_id} of {owner}"), at=at, key=key)
            finish(db, numbers, token_id, at=at, key=key)
            return owner

        return await self._writer.run(change)

    async def token(self, token_id: str) -> OperatorToken:
        """See `service.access.ports.Operators`."""
        return await self._reader.run(lambda db: find_token(db, token_id))

    async def credential(self, sha256: bytes) -> Credential | None:
        """See `service.access.ports.Operators`."""

        def query(db: sqlite3.Connection) -> Credential | None:
            row = db.execute(f"{TOKENS} WHERE sha256 = ?", (sha256,)).fetchone()
            if row is None:
                return None
            token = _token(row)
            return Credential(sha256=sha256, shown=token, operator=find_operator(db, token.operator), expires_at=token.expires_at)

        return await self._reader.run(query)

    async def _change(self, name: str, changed: Callable[[Operator], Operator], told: Told, *, at: int, key: RequestKey) -> Operator:
        def change(db: sqlite3.Connection, numbers: Numbers) -> Operator:
            refuse_replay(db, key)
            now = changed(find_operator(db, name))
            db.execute("UPDATE operator SET status = ?, grants = ? WHERE name = ?", (now.status, text_of(now.grants), name))
            tell(db, numbers, told, at=at, key=key)
            finish(db, numbers, name, at=at, key=key)
            return now

        return await self._writer.run(change)


def approvers(db: sqlite3.Connection, application_name: str, group_name: str) -> list[str]:
    """The names of those who may approve deployments of a group now."""
    found = map(_operator, db.execute(f"{OPERATORS} WHERE status = {OperatorStatus.Active.value} ORDER BY name"))
    return [one.name for one in found if permits(one.grants, Permission.Release, application_name, group_name)]


def find_token(db: sqlite3.Connection, token_id: str) -> OperatorToken:
    """Raises OperatorTokenDoesNotExist."""
    row = db.execute(f"{TOKENS} WHERE token_id = ?", (token_id,)).fetchone()
    if row is None:
        raise OperatorTokenDoesNotExist(f"cannot find token {token_id}", field="operator_token_id")
    return _token(row)


def find_operator(db: sqlite3.Connection, name: str) -> Operator:
    """Raises OperatorDoesNotExist."""
    row = db.execute(f"{OPERATORS} WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise OperatorDoesNotExist(f"cannot find operator {name}", field="operator_name")
    return _operator(row)


def _operator(row: sqlite3.Row) -> Operator:
    name, status, grants, created_at, created_by = row
    return Operator(name=name, status=OperatorStatus(status), grants=grants_in(grants), created_at=created_at, created_by=created_by)


def _token(row: sqlite3.Row) -> OperatorToken:
    _, token_id, operator, expires_at, grants, description, created_at, created_by, revoked_at, certificate_lifetime = row
    return OperatorToken(
        token_id=token_id,
        operator=operator,
        expires_at=expires_at,
        grants=grants_in(grants),
        description=description,
        created_at=created_at,
        created_by=created_by,
        revoked=revoked_at is not None,
        certificate_lifetime=certificate_lifetime,
    )


def text_of(grants: tuple[Grant, ...]) -> str:
    """Grants as they are stored."""
    return json.dumps([[one.role.value, one.application, one.group] for one in grants], separators=(",", ":"))


def grants_in(text: str) -> tuple[Grant, ...]:
    """And read again."""
    return tuple(Grant(Role(role), application, group) for role, application, group in json.loads(text))


def _said(grants: tuple[Grant, ...]) -> str:
    return ", ".join(map(str, grants)) or "none"
