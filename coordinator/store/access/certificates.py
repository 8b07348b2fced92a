"""The services' Certificates on SQLite: one row for each, through all its renewals."""

import sqlite3
from typing import Final

from coordinator.core.errors import Denied, OperatorCertificateDoesNotExist
from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Leaf, Operator, OperatorCertificate, renewed
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.store.access.operators import NEWEST, find_operator, grants_in, text_of
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging

CERTIFICATES: Final = """
    SELECT certificate_no, certificate_id, o.name, sha256, expires_at, previous_sha256, previous_expires_at, key_digest, lifetime,
           c.grants, description, c.created_at, c.created_by, renewed_at, revoked_at
    FROM operator_certificate c JOIN operator o USING (operator_no)"""
USE_TOKEN: Final = """
    UPDATE operator_token SET used_at = ? WHERE token_id = ? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?"""
INSERT: Final = """
    INSERT INTO operator_certificate (certificate_id, operator_no, sha256, expires_at, key_digest, lifetime, grants, description,
                                      created_at, created_by)
    VALUES (?, (SELECT operator_no FROM operator WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?)"""
UPDATE: Final = """
    UPDATE operator_certificate SET sha256 = ?, expires_at = ?, previous_sha256 = ?, previous_expires_at = ?, key_digest = ?, renewed_at = ?
    WHERE certificate_id = ?"""
REVOKE: Final = "UPDATE operator_certificate SET revoked_at = ? WHERE certificate_id = ? AND revoked_at IS NULL"
GOOD: Final = """
    WHERE revoked_at IS NULL AND expires_at > ? AND (? = '' OR o.name = ?) AND certificate_no < ? ORDER BY certificate_no DESC LIMIT ?"""


class SqliteCertificates:
    """Operators' certificates."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def issue(self, wanted: OperatorCertificate, token_id: str, *, at: int, key: RequestKey) -> OperatorCertificate:
        """See `service.access.ports.Certificates`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> OperatorCertificate:
            if db.execute(USE_TOKEN, (at, token_id, at)).rowcount:
                row = (wanted.certificate_id, wanted.operator, *wanted.newest, wanted.key, wanted.lifetime)
                db.execute(INSERT, (*row, text_of(wanted.grants), wanted.description, wanted.created_at, wanted.created_by))
                said = f"{wanted.certificate_id} for {wanted.operator}"
                tell(db, numbers, Told(Entry.OperatorCertificateIssued, said), at=at, key=key)
                return wanted
            row = db.execute(f"{CERTIFICATES} WHERE certificate_id = ?", (wanted.certificate_id,)).fetchone()
            known = None if row is None else _certificate(row)
            if known is None or known.key != wanted.key or known.previous is not None or known.revoked:
                raise Denied(
                    f"cannot issue a certificate for token {token_id}: it was used already, or is not good any more; have another made"
                )
            db.execute(UPDATE, (*wanted.newest, None, None, known.key, None, known.certificate_id))
            return wanted

        return await self._writer.run(change)

    async def renew(self, certificate_id: str, shown: bytes, new: Leaf, *, digest: str, at: int, key: RequestKey) -> OperatorCertificate:
        """See `service.access.ports.Certificates`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> OperatorCertificate:
            known = _find(db, certificate_id)
            if known.revoked:
                raise Denied(f"cannot renew the {known.named}: it was revoked")
            now = renewed(known, shown=shown, new=new, key=digest, at=at)
            if now.revoked:
                db.execute(REVOKE, (at, certificate_id))
                said = f"{certificate_id} of {known.operator}: two have renewed it"
                tell(db, numbers, Told(Entry.OperatorCertificateRevoked, said), at=at, key=key)
            else:
                db.execute(UPDATE, (*now.newest, *(now.previous or (None, None)), now.key, now.renewed_at, certificate_id))
            return now

        return await self._writer.run(change)

    async def certificates(self, operator: str, *, at: int, size: int, after: Cursor) -> Page[OperatorCertificate]:
        """See `service.access.ports.Certificates`."""
        paging = Paging("operator certificates", operator)

        def query(db: sqlite3.Connection) -> Page[OperatorCertificate]:
            values = (at, operator, operator, *paging.after(after, [NEWEST]), size + 1)
            return paging.page(db.execute(f"{CERTIFICATES} {GOOD}", values).fetchall(), size, lambda row: [row[0]], _certificate)

        return await self._reader.run(query)

    async def revoke(self, certificate_id: str, *, at: int, key: RequestKey) -> str:
        """See `service.access.ports.Certificates`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> str:
            refuse_replay(db, key)
            owner = _find(db, certificate_id).operator
            db.execute(REVOKE, (at, certificate_id))
            tell(db, numbers, Told(Entry.OperatorCertificateRevoked, f"{certificate_id} of {owner}"), at=at, key=key)
            finish(db, numbers, certificate_id, at=at, key=key)
            return owner

        return await self._writer.run(change)

    async def find(self, certificate_id: str) -> tuple[OperatorCertificate, Operator] | None:
        """See `service.access.ports.Certificates`."""

        def query(db: sqlite3.Connection) -> tuple[OperatorCertificate, Operator] | None:
            row = db.execute(f"{CERTIFICATES} WHERE certificate_id = ?", (certificate_id,)).fetchone()
            if row is None:
                return None
            found = _certificate(row)
            return found, find_operator(db, found.operator)

        return await self._reader.run(query)


def _find(db: sqlite3.Connection, certificate_id: str) -> OperatorCertificate:
    row = db.execute(f"{CERTIFICATES} WHERE certificate_id = ?", (certificate_id,)).fetchone()
    if row is None:
        raise OperatorCertificateDoesNotExist(f"cannot find certificate {certificate_id}", field="operator_certificate_id")
    return _certificate(row)


def _certificate(row: sqlite3.Row) -> OperatorCertificate:
    _, certificate_id, operator, sha256, expires_at, previous, previous_expires_at, key, lifetime, grants, description, *rest = row
    created_at, created_by, renewed_at, revoked_at = rest
    return OperatorCertificate(
        certificate_id=certificate_id,
        operator=operator,
        newest=Leaf(bytes(sha256), expires_at),
        previous=None if previous is None else Leaf(bytes(previous), previous_expires_at),
        key=key,
        lifetime=lifetime,
        grants=grants_in(grants),
        description=description,
        created_at=created_at,
        created_by=created_by,
        renewed_at=renewed_at,
        revoked=revoked_at is not None,
    )
