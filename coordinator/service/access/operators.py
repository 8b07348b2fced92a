"""Operators, their grants and their tokens; and who it is that calls with a token."""

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from coordinator.core.access import Grant, Operator, OperatorStatus, OperatorToken, Principal, principal
from coordinator.core.errors import Conflict, Invalid, Limit, NotFound, Unauthenticated
from coordinator.core.facts import RequestKey
from coordinator.engine.ports import Clock
from coordinator.service.access.attempts import Attempts
from coordinator.service.ports import Cursor, Page, Replayed
from coordinator.service.rules import check_description, check_name

TTL: Final = 30 * 86_400_000
"""Milliseconds that an operator's token is good, unless somebody says otherwise."""
TTL_AT_MOST: Final = 365 * 86_400_000
GRANTS_AT_MOST: Final = 100

KNOWN_FOR: Final = 1_000
"""Milliseconds for which a token is not looked up again; what is changed here counts at once."""
KNOWN_AT_MOST: Final = 10_000
LENGTH_AT_MOST: Final = 100
"""Characters of what may be a token."""
PREFIX: Final = "hlo_"
"""Of all tokens that are made here."""


class Secrets(Protocol):
    """Chance."""

    def operator_token(self) -> tuple[str, str]:
        """An id, and a text of 256 random bits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A token with its operator, as they are now; `sha256` is that of its text."""

    sha256: bytes
    token: OperatorToken
    operator: Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOperatorToken:
    """A token that a caller wants. What is 0 or empty takes the default."""

    operator: str
    ttl: int
    """Milliseconds."""
    grants: tuple[Grant, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """Whom an identity provider vouches for; UTC milliseconds."""

    name: str
    issued_at: int
    expires_at: int


class Provider(Protocol):
    """An identity provider. What its people may do is said here."""

    def verify(self, text: str) -> Voucher:
        """Whom a token is for. Raises Unauthenticated."""
        ...


class Operators(Protocol):
    """What is remembered of operators. `at` is UTC milliseconds."""

    async def create(self, operator: Operator, *, at: int, key: RequestKey) -> Operator:
        """Raises OperatorAlreadyExists, Replayed."""
        ...

    async def operator(self, name: str) -> Operator:
        """Raises OperatorDoesNotExist."""
        ...

    async def operators(self, *, size: int, after: Cursor) -> Page[Operator]:
        """By name."""
        ...

    async def decide(self, name: str, status: OperatorStatus, reason: str, *, at: int, key: RequestKey) -> Operator:
        """Suspend or resume. Raises OperatorDoesNotExist, Replayed."""
        ...

    async def grant(self, name: str, grant: Grant, *, at: int, key: RequestKey) -> Operator:
        """Add a grant. Raises OperatorDoesNotExist, Limit, Replayed."""
        ...

    async def ungrant(self, name: str, grant: Grant, *, at: int, key: RequestKey) -> Operator:
        """Take a grant back. Raises OperatorDoesNotExist, GrantDoesNotExist, Replayed."""
        ...

    async def add_token(self, token: OperatorToken, sha256: bytes, *, at: int, key: RequestKey) -> None:
        """Raises OperatorDoesNotExist, Replayed."""
        ...

    async def tokens(self, operator: str, *, at: int, size: int, after: Cursor) -> Page[OperatorToken]:
        """Those that are still good, the newest first; an empty name means all operators'."""
        ...

    async def revoke_token(self, token_id: str, *, at: int, key: RequestKey) -> str:
        """The operator whose it was. Raises OperatorTokenDoesNotExist, Replayed."""
        ...

    async def credential(self, sha256: bytes) -> Credential | None:
        """The token with that digest, ended or not; None if there is none."""
        ...


class Stay(Protocol):
    """A call that lasts, of an operator who may have to leave."""

    def end(self) -> None:
        """They may not stay."""
        ...


class AccessService:
    """Makes operators, grants, and says at any moment who calls."""

    def __init__(self, operators: Operators, *, secrets: Secrets, clock: Clock, provider: Provider | None = None) -> None:
        """`operators` remembers; `provider` vouches for operators who bring tokens of its own."""
        self._operators = operators
        self._provider = provider
        self._secrets = secrets
        self._clock = clock
        self._attempts = Attempts(clock)
        self._known: dict[bytes, tuple[int, Credential]] = {}
        self._stays: dict[str, set[Stay]] = {}
        self._changes = 0

    async def who(self, text: str, address: str) -> Principal:
        """Who calls from there with this token, what they may do now, and whether they are barred. Raises Unauthenticated for a token
        that nobody has, and Limit after too many of those from one address."""
        foreign = text if self._provider is not None and not text.startswith(PREFIX) else ""
        sha256 = _digest(foreign or text[:LENGTH_AT_MOST])
        kept = self._known.get(sha256)
        if kept is None or self._clock.elapsed() - kept[0] >= KNOWN_FOR:
            if kept is None and not self._attempts.allowed(address):
                raise Limit(f"cannot let anybody in from {address} just now: too many tokens were wrong; wait a minute")
            kept = await self._look_up(sha256, address, foreign)
        return principal(kept[1].token, kept[1].operator, at=self._clock.now(), address=address)

    def stay(self, caller: Principal, stay: Stay) -> None:
        """A call that lasts has begun: it is ended when its caller may not stay."""
        self._stays.setdefault(caller.name, set()).add(stay)

    def left(self, caller: Principal, stay: Stay) -> None:
        """A call that lasted has ended."""
        staying = self._stays.get(caller.name, set())
        staying.discard(stay)
        if not staying:
            self._stays.pop(caller.name, None)

    def remaining(self, caller: Principal) -> int | None:
        """Milliseconds for which a caller may stay; None: without an end."""
        return None if caller.expires_at is None else max(0, caller.expires_at - self._clock.now())

    def now(self) -> int:
        """The coordinator's time."""
        return self._clock.now()

    async def create(self, name: str, grants: Sequence[Grant], key: RequestKey) -> Operator:
        """Make an operator."""
        check_name(name, field="operator_name")
        now = self._clock.now()
        made = Operator(
            name=name,
            status=OperatorStatus.Active,
            grants=_checked(grants, field="grants"),
            created_at=now,
            created_by=key.principal,
        )
        try:
            return await self._operators.create(made, at=now, key=key)
        except Replayed:
            return await self._operators.operator(name)

    async def operators(self, *, size: int, after: Cursor) -> Page[Operator]:
        """List operators by name."""
        return await self._operators.operators(size=size, after=after)

    async def suspend(self, name: str, reason: str, key: RequestKey) -> Operator:
        """Keep an operator out, from now on and out of what they have open."""
        check_description(reason, field="reason")
        return await self._decide(name, OperatorStatus.Suspended, reason, key)

    async def resume(self, name: str, key: RequestKey) -> Operator:
        """Let an operator in again."""
        return await self._decide(name, OperatorStatus.Active, "", key)

    async def grant(self, name: str, grant: Grant, key: RequestKey) -> Operator:
        """Let an operator do more."""
        (checked,) = _checked([grant], field="grant")
        try:
            made = await self._operators.grant(name, checked, at=self._clock.now(), key=key)
        except Replayed:
            made = await self._operators.operator(name)
        self._forget()
        return made

    async def ungrant(self, name: str, grant: Grant, key: RequestKey) -> Operator:
        """Take a grant back, and end what the operator has open: what they may see has to be asked again."""
        try:
            made = await self._operators.ungrant(name, grant, at=self._clock.now(), key=key)
        except Replayed:
            made = await self._operators.operator(name)
        self._end(name)
        return made

    async def create_token(self, wanted: WantedOperatorToken, key: RequestKey) -> tuple[OperatorToken, str]:
        """Make a token; its text is said this once."""
        ttl = wanted.ttl or TTL
        if not 0 < ttl <= TTL_AT_MOST:
            raise Invalid("cannot make a token for that long: 365 days is the most, and 30 days the default", field="ttl")
        check_description(wanted.description)
        now = self._clock.now()
        token_id, text = self._secrets.operator_token()
        token = OperatorToken(
            token_id=token_id,
            operator=wanted.operator,
            expires_at=now + ttl,
            grants=_checked(wanted.grants, field="grants"),
            description=wanted.description,
            created_at=now,
            created_by=key.principal,
        )
        try:
            await self._operators.add_token(token, _digest(text), at=now, key=key)
        except Replayed:
            raise Conflict("cannot say the text of a token twice: this call was made before; make another token") from None
        return token, text

    async def tokens(self, operator: str, *, size: int, after: Cursor) -> Page[OperatorToken]:
        """Those that are still good, the newest first."""
        return await self._operators.tokens(operator, at=self._clock.now(), size=size, after=after)

    async def revoke_token(self, token_id: str, key: RequestKey) -> None:
        """Make a token useless; what its operator has open ends."""
        with suppress(Replayed):
            self._end(await self._operators.revoke_token(token_id, at=self._clock.now(), key=key))

    async def _look_up(self, sha256: bytes, address: str, foreign: str) -> tuple[int, Credential]:
        while True:
            asked, changes = self._clock.elapsed(), self._changes
            credential = await (self._vouched(sha256, address, foreign) if foreign else self._operators.credential(sha256))
            if changes != self._changes:  # what was read may be older than what has been told to somebody
                continue
            if credential is None or not hmac.compare_digest(credential.sha256, sha256):
                self._attempts.failed(address)
                raise Unauthenticated("cannot let you in: this token is unknown here; log in with one of this coordinator's")
            if len(self._known) >= KNOWN_AT_MOST:
                self._known.clear()
            kept = self._known[sha256] = (asked, credential)
            return kept

    async def _vouched(self, sha256: bytes, address: str, text: str) -> Credential | None:
        """What stands for a token of the provider, which is kept nowhere: its operator is one of those that are known here."""
        if self._provider is None:
            return None
        try:
            voucher = self._provider.verify(text)
        except Unauthenticated:
            self._attempts.failed(address)
            raise
        name = voucher.name
        try:
            operator = await self._operators.operator(name)
        except NotFound:
            self._attempts.failed(address)
            raise Unauthenticated(
                f"cannot let {name[:100]} in: the identity provider vouches for them, and there is no operator of that name here; an admin "
                "may `hookline operator create` one"
            ) from None
        token = OperatorToken(
            token_id="of the identity provider",
            operator=name,
            expires_at=voucher.expires_at,
            grants=(),
            description="",
            created_at=voucher.issued_at,
            created_by="identity provider",
        )
        return Credential(sha256=sha256, token=token, operator=operator)

    async def _decide(self, name: str, status: OperatorStatus, reason: str, key: RequestKey) -> Operator:
        try:
            made = await self._operators.decide(name, status, reason, at=self._clock.now(), key=key)
        except Replayed:
            made = await self._operators.operator(name)
        if made.status is OperatorStatus.Suspended:
            self._end(name)
        else:
            self._forget()
        return made

    def _end(self, name: str) -> None:
        self._forget()
        for stay in list(self._stays.get(name, ())):
            stay.end()

    def _forget(self) -> None:
        """Look everybody up again."""
        self._known.clear()
        self._changes += 1


def _checked(grants: Sequence[Grant], *, field: str) -> tuple[Grant, ...]:
    if len(grants) > GRANTS_AT_MOST:
        raise Invalid(f"cannot accept {len(grants)} grants: {GRANTS_AT_MOST} is the most", field=field)
    for one in grants:
        if one.group and not one.application:
            raise Invalid(f"cannot grant {one}: a deployment group needs its application", field=field)
        for name in filter(None, (one.application, one.group)):
            check_name(name, field=field)
    return tuple(dict.fromkeys(grants))


def _digest(text: str) -> bytes:
    """A token's text has 256 random bits: a plain hash is as good as a slow one."""
    return hashlib.sha256(text.encode()).digest()
