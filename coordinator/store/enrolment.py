"""The services' Enrolments on SQLite. A token is used up in the transaction that makes the machine's row, so it cannot be used twice."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from coordinator.core.errors import InstanceDoesNotExist, InstanceNameAlreadyRegistered, JoinTokenDoesNotExist
from coordinator.core.facts import RequestKey
from coordinator.core.identity import enrolment as rules
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, Holder, JoinToken
from coordinator.core.model import HostId, HostStatus, Session
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.changes import INSERT_CURSOR, INSERT_HOST
from coordinator.store.connections.numbers import Numbers
from coordinator.store.connections.reader import Reader
from coordinator.store.connections.writer import Writer
from coordinator.store.paging import Paging
from coordinator.store.rows.columns import map_of, text_of
from coordinator.store.rows.hosts import host_columns

TOKENS: Final = """
    SELECT token_no, token_id, expires_at, uses_left, tags, auto_approve, trust_tags, name_pattern, created_at, n.name, revoked_at
    FROM join_token JOIN name n ON n.name_no = created_by_no"""
INSERT_TOKEN: Final = """
    INSERT INTO join_token
        (token_id, sha256, expires_at, uses_left, tags, auto_approve, trust_tags, name_pattern, created_at, created_by_no)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ENROLMENTS: Final = """
    SELECT enrolment_no, host_id, e.name, status, key, generation, e.expires_at, requested_at, address, t.token_id, e.tags, e.trust_tags,
        (SELECT o.host_id FROM enrolment o WHERE o.name = e.name AND o.status NOT IN (1, 3) AND e.status = 1)
    FROM enrolment e JOIN join_token t USING (token_no)"""
INSERT_ENROLMENT: Final = """
    INSERT INTO enrolment (host_id, name, status, key, generation, requested_at, address, token_no, tags, trust_tags)
    VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"""
HAS_IT_FIRST: Final = "status = 3, status = 1, enrolment_no DESC"
NEWEST: Final = (1 << 63) - 1
READMISSIONS: Final = {
    EnrolmentStatus.Approved: Entry.HostReadmitted,
    EnrolmentStatus.Away: Entry.HostAway,
    EnrolmentStatus.Locked: Entry.HostLocked,
}


class SqliteEnrolments:
    """Join tokens and the machines that came with them."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Writes go through the one writer."""
        self._writer = writer
        self._reader = reader

    async def add_token(self, token: JoinToken, sha256: bytes, *, at: int, key: RequestKey) -> None:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            row = (token.token_id, sha256, token.expires_at, token.uses_left, text_of(dict(token.tags)), token.auto_approve)
            db.execute(INSERT_TOKEN, (*row, token.trust_tags, token.name_pattern, token.created_at, numbers.names[token.created_by]))
            tell(db, numbers, Told(Entry.JoinTokenCreated, f"{token.token_id}, for {token.uses_left} hosts"), at=at, key=key)
            finish(db, numbers, token.token_id, at=at, key=key)

        await self._writer.run(change)

    async def tokens(self, *, at: int, size: int, after: Cursor) -> Page[JoinToken]:
        """See `service.enrolment.ports.Enrolments`."""
        paging = Paging("join tokens")

        def query(db: sqlite3.Connection) -> Page[JoinToken]:
            where = "WHERE revoked_at IS NULL AND uses_left > 0 AND expires_at > ? AND token_no < ? ORDER BY token_no DESC LIMIT ?"
            rows = db.execute(f"{TOKENS} {where}", (at, *paging.after(after, [NEWEST]), size + 1)).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], _token)

        return await self._reader.run(query)

    async def revoke_token(self, token_id: str, *, at: int, key: RequestKey) -> None:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> None:
            refuse_replay(db, key)
            if not db.execute("UPDATE join_token SET revoked_at = ? WHERE token_id = ?", (at, token_id)).rowcount:
                raise JoinTokenDoesNotExist(f"cannot find join token {token_id}; `hookline token list` shows them", field="join_token_id")
            tell(db, numbers, Told(Entry.JoinTokenRevoked, token_id), at=at, key=key)
            finish(db, numbers, token_id, at=at, key=key)

        await self._writer.run(change)

    async def enrol(self, wanted: Enrolment, sha256: bytes, *, at: int) -> Enrolment:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Enrolment:
            known = db.execute(f"{ENROLMENTS} WHERE key = ?", (wanted.key,)).fetchone()
            if known is not None:
                return _enrolment(known)
            row = db.execute(f"{TOKENS} WHERE sha256 = ?", (sha256,)).fetchone()
            token = rules.check_token(None if row is None else _token(row), wanted.name, at=at)
            taken = _owner(db, wanted.name)
            if taken is None or _rival(db, wanted.name) is not None:
                _check_name_free(db, wanted.name)
            # Nobody takes the place of another without an operator's word.
            status = EnrolmentStatus.Approved if token.auto_approve and taken is None else EnrolmentStatus.Pending
            db.execute("UPDATE join_token SET uses_left = uses_left - 1 WHERE token_no = ?", (row[0],))
            text = (wanted.host_id, wanted.name, status, wanted.key, wanted.requested_at, wanted.address)
            db.execute(INSERT_ENROLMENT, (*text, row[0], text_of(dict(token.tags)), token.trust_tags))
            said = f"{wanted.name} from {wanted.address} with join token {token.token_id}, {status.name}"
            tell(db, numbers, Told(Entry.HostEnrolled, said), at=at, key=_machine(wanted))
            return _enrolment(db.execute(f"{ENROLMENTS} WHERE key = ?", (wanted.key,)).fetchone())

        return await self._writer.run(change)

    async def certified(self, host_id: HostId, expires_at: int) -> None:
        """See `service.enrolment.ports.Enrolments`."""
        await self._writer.run(
            lambda db, _: db.execute("UPDATE enrolment SET expires_at = ? WHERE host_id = ?", (expires_at, host_id)).rowcount
        )

    async def renew(self, host_id: HostId, *, generation: int, key: str, expires_at: int, at: int) -> Enrolment:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Enrolment:
            known = _enrolment(_find(db, host_id))
            now = rules.renewed(known, generation=generation, key=key, expires_at=expires_at)
            _update(db, now)
            if now.status is EnrolmentStatus.Locked:
                said = f"{known.name}: a certificate of generation {generation} was to be renewed after {known.generation} renewals"
                tell(db, numbers, Told(Entry.HostLocked, said, host_no=numbers.hosts.known(host_id)), at=at, key=_machine(known))
            return now

        return await self._writer.run(change)

    async def readmit(
        self, shown: Holder, *, generation: int, key: str, expires_at: int, at: int, within: int, address: str
    ) -> tuple[Enrolment, bool]:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> tuple[Enrolment, bool]:
            known = _enrolment(_find(db, shown.host_id))
            now = rules.readmitted(known, shown, generation=generation, key=key, expires_at=expires_at, at=at, within=within)
            if now == known:
                return known, False
            _update(db, now)
            entry = READMISSIONS[now.status]
            said = f"{known.name} from {address}, with the certificate of generation {generation} after {known.generation} renewals"
            tell(db, numbers, Told(entry, said, host_no=numbers.hosts.known(known.host_id)), at=at, key=_machine(known, "Readmit"))
            return now, True

        return await self._writer.run(change)

    async def decide(self, host: str, status: EnrolmentStatus, reason: str, *, at: int, key: RequestKey) -> Enrolment:
        """See `service.enrolment.ports.Enrolments`."""
        entry = Entry.HostApproved if status is EnrolmentStatus.Approved else Entry.HostRevoked

        def change(db: sqlite3.Connection, numbers: Numbers) -> Enrolment:
            refuse_replay(db, key)
            known = _enrolment(_find(db, host))
            rules.check_decision(known, status, rival=_rival(db, known.name))
            db.execute("UPDATE enrolment SET status = ? WHERE host_id = ?", (status, known.host_id))
            said = f"{known.name}: {reason}" if reason else known.name
            tell(db, numbers, Told(entry, said, host_no=numbers.hosts.known(known.host_id)), at=at, key=key)
            finish(db, numbers, known.host_id, at=at, key=key)
            return _enrolment(_find(db, known.host_id))

        return await self._writer.run(change)

    async def adopt(self, host: str, machine: str, *, at: int, key: RequestKey) -> tuple[Enrolment, Enrolment]:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> tuple[Enrolment, Enrolment]:
            refuse_replay(db, key)
            known = _enrolment(_find(db, host))
            waiting = machine or _rival(db, known.name)
            if waiting is None:
                raise InstanceDoesNotExist(
                    f"cannot have {known.name} adopted: no machine waits for that name; let it join, or name the one that waits",
                    field="machine",
                )
            before, now = rules.adopted(known, _enrolment(_find(db, waiting)))
            for one in (before, now):
                row = (one.name, one.status, text_of(dict(one.tags)), one.trust_tags, one.host_id)
                db.execute("UPDATE enrolment SET name = ?, status = ?, tags = ?, trust_tags = ? WHERE host_id = ?", row)
            host_no = _inherit(db, numbers, before, now, at=at)
            said = f"{now.name}: host id {now.host_id} takes the place of {before.host_id}"
            tell(db, numbers, Told(Entry.HostAdopted, said, host_no=host_no), at=at, key=key)
            finish(db, numbers, now.host_id, at=at, key=key)
            return before, now

        return await self._writer.run(change)

    async def departed(self) -> list[HostId]:
        """See `service.enrolment.ports.Enrolments`."""
        query = "SELECT host_id FROM enrolment e JOIN host h USING (host_id) WHERE e.status = 3 AND h.removed_at IS NULL"
        return await self._reader.run(lambda db: [HostId(host_id) for (host_id,) in db.execute(query)])

    async def rename(self, host: str, name: str, *, at: int, key: RequestKey) -> Enrolment:
        """See `service.enrolment.ports.Enrolments`."""

        def change(db: sqlite3.Connection, numbers: Numbers) -> Enrolment:
            refuse_replay(db, key)
            known = _enrolment(_find(db, host))
            if name != known.name:
                _check_name_free(db, name)
                db.execute("UPDATE enrolment SET name = ? WHERE host_id = ?", (name, known.host_id))
            told = Told(Entry.HostRenamed, f"{known.name} is {name}", host_no=numbers.hosts.known(known.host_id))
            tell(db, numbers, told, at=at, key=key)
            finish(db, numbers, known.host_id, at=at, key=key)
            return _enrolment(_find(db, known.host_id))

        return await self._writer.run(change)

    async def enrolment(self, host: str) -> Enrolment:
        """See `service.enrolment.ports.Enrolments`."""
        return await self._reader.run(lambda db: _enrolment(_find(db, host)))

    async def enrolments(self, statuses: Sequence[EnrolmentStatus], *, size: int, after: Cursor) -> Page[Enrolment]:
        """See `service.enrolment.ports.Enrolments`."""
        wanted = sorted(set(statuses)) or list(EnrolmentStatus)
        paging = Paging("enrolments", [int(one) for one in wanted])

        def query(db: sqlite3.Connection) -> Page[Enrolment]:
            where = f"WHERE status IN ({', '.join('?' * len(wanted))}) AND enrolment_no < ? ORDER BY enrolment_no DESC LIMIT ?"
            rows = db.execute(f"{ENROLMENTS} {where}", (*wanted, *paging.after(after, [NEWEST]), size + 1)).fetchall()
            return paging.page(rows, size, lambda row: [row[0]], _enrolment)

        return await self._reader.run(query)

    async def everybody(self) -> list[Enrolment]:
        """See `service.enrolment.ports.Enrolments`."""
        where = f"WHERE status <> {EnrolmentStatus.Revoked.value}"
        return await self._reader.run(lambda db: [_enrolment(row) for row in db.execute(f"{ENROLMENTS} {where}")])


def _update(db: sqlite3.Connection, now: Enrolment) -> None:
    db.execute(
        "UPDATE enrolment SET status = ?, key = ?, generation = ?, expires_at = ? WHERE host_id = ?",
        (now.status, now.key, now.generation, now.expires_at, now.host_id),
    )


def _find(db: sqlite3.Connection, host: str) -> sqlite3.Row:
    """By id, else by name; a name that several have had, or want, is the one's that has it now."""
    row: sqlite3.Row | None = db.execute(f"{ENROLMENTS} WHERE host_id = ?", (host,)).fetchone()
    row = row or db.execute(f"{ENROLMENTS} WHERE e.name = ? ORDER BY {HAS_IT_FIRST} LIMIT 1", (host,)).fetchone()
    if row is None:
        raise InstanceDoesNotExist(f"cannot find host {host}: nobody of that name has enrolled; see `hookline hosts`", field="host")
    return row


def _owner(db: sqlite3.Connection, name: str) -> str | None:
    """The host that has a name."""
    row = db.execute("SELECT host_id FROM enrolment WHERE name = ? AND status NOT IN (1, 3)", (name,)).fetchone()
    return None if row is None else str(row[0])


def _rival(db: sqlite3.Connection, name: str) -> str | None:
    """The machine that waits to be let in under a name."""
    row = db.execute("SELECT host_id FROM enrolment WHERE name = ? AND status = 1", (name,)).fetchone()
    return None if row is None else str(row[0])


def _check_name_free(db: sqlite3.Connection, name: str) -> None:
    """Raise unless nobody has a name, and no machine waits for it."""
    if (waiting := _rival(db, name)) is not None:
        raise InstanceNameAlreadyRegistered(
            f"cannot give a host the name {name}: the machine {waiting} waits for it; decide about that one first (`hookline hosts`)",
            field="name",
        )
    if (owner := _owner(db, name)) is not None:
        raise InstanceNameAlreadyRegistered(
            f"cannot give a host the name {name}: host id {owner} has it; if that machine is gone, `hookline hosts revoke {name}` first",
            field="name",
        )


def _inherit(db: sqlite3.Connection, numbers: Numbers, before: Enrolment, now: Enrolment, *, at: int) -> int:
    """Have the row of a host that has never been here lie ready, with what operators set on the one before; its number."""
    found = db.execute("SELECT operator_tags, sources FROM host WHERE host_id = ? AND removed_at IS NULL", (before.host_id,)).fetchone()
    made = Session(host_id=now.host_id, name=now.name, registered_at=at, status=HostStatus.Unknown)
    host_no: int = db.execute(INSERT_HOST, (made.host_id, numbers.names[made.name], *host_columns(made))).fetchone()[0]
    numbers.hosts[made.host_id] = host_no
    db.execute(INSERT_CURSOR, (made.acked_seq, host_no))
    tags, sources = ("{}", "[]") if found is None else found
    db.execute("UPDATE host SET operator_tags = ?, sources = ?, removed_at = ? WHERE host_no = ?", (tags, sources, at, host_no))
    return host_no


def _machine(enrolment: Enrolment, method: str = "Enrol") -> RequestKey:
    """A machine speaks for itself."""
    return RequestKey(principal=f"agent:{enrolment.host_id}", method=method, request_id="", digest=b"")


def _token(row: sqlite3.Row) -> JoinToken:
    _, token_id, expires_at, uses_left, tags, auto_approve, trust_tags, pattern, created_at, created_by, revoked_at = row
    return JoinToken(
        token_id=token_id,
        expires_at=expires_at,
        uses_left=uses_left,
        tags=map_of(tags),
        auto_approve=bool(auto_approve),
        trust_tags=bool(trust_tags),
        name_pattern=pattern,
        created_at=created_at,
        created_by=created_by,
        revoked=revoked_at is not None,
    )


def _enrolment(row: sqlite3.Row) -> Enrolment:
    _, host_id, name, status, key, generation, expires_at, requested_at, address, token_id, tags, trust_tags, name_of = row
    return Enrolment(
        host_id=HostId(host_id),
        name=name,
        status=EnrolmentStatus(status),
        key=key,
        generation=generation,
        expires_at=expires_at,
        requested_at=requested_at,
        address=address,
        token_id=token_id,
        tags=map_of(tags),
        trust_tags=bool(trust_tags),
        name_of=name_of,
    )
