"""Operators, their grants and their tokens."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from coordinator.core.errors import Conflict, Invalid
from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Grant, Operator, OperatorStatus, OperatorToken
from coordinator.engine.ports import Clock
from coordinator.service.access.callers import CERTIFICATE_PREFIX, PREFIX, Callers, digest_of
from coordinator.service.access.ports import Operators, Secrets
from coordinator.service.ports import Cursor, Page, Replayed
from coordinator.service.rules import check_description, check_name

TTL: Final = 30 * 86_400_000
"""Milliseconds that an operator's token is good, unless somebody says otherwise."""
TTL_AT_MOST: Final = 365 * 86_400_000
INVITED_FOR: Final = 15 * 60_000
"""Milliseconds in which a certificate is taken with a token for one, unless somebody says otherwise."""
INVITED_FOR_AT_MOST: Final = 86_400_000
CERTIFICATE_AT_MOST: Final = 90 * 86_400_000
"""Milliseconds that a certificate lasts: not longer than what has signed it, which is renewed with a third of its year left."""
GRANTS_AT_MOST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOperatorToken:
    """A token that a caller wants. What is 0 or empty takes the default."""

    operator: str
    ttl: int
    """Milliseconds."""
    grants: tuple[Grant, ...]
    description: str
    certificate_lifetime: int | None = None
    """Milliseconds; None: the token is to call with."""


class AccessService:
    """Makes operators, their grants and their tokens."""

    def __init__(self, operators: Operators, callers: Callers, *, secrets: Secrets, clock: Clock) -> None:
        """`operators` remembers; what is changed counts for `callers` at once."""
        self._operators = operators
        self._callers = callers
        self._secrets = secrets
        self._clock = clock

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
        self._callers.forget()
        return made

    async def ungrant(self, name: str, grant: Grant, key: RequestKey) -> Operator:
        """Take a grant back, and end what the operator has open: what they may see has to be asked again."""
        try:
            made = await self._operators.ungrant(name, grant, at=self._clock.now(), key=key)
        except Replayed:
            made = await self._operators.operator(name)
        self._callers.end(name)
        return made

    async def create_token(self, wanted: WantedOperatorToken, key: RequestKey) -> tuple[OperatorToken, str]:
        """Make a token; its text is said this once."""
        ttl = _ttl(wanted)
        check_description(wanted.description)
        now = self._clock.now()
        token_id, text = self._secrets.operator_token(PREFIX if wanted.certificate_lifetime is None else CERTIFICATE_PREFIX)
        token = OperatorToken(
            token_id=token_id,
            operator=wanted.operator,
            expires_at=now + ttl,
            grants=_checked(wanted.grants, field="grants"),
            description=wanted.description,
            created_at=now,
            created_by=key.principal,
            certificate_lifetime=wanted.certificate_lifetime,
        )
        try:
            await self._operators.add_token(token, digest_of(text), at=now, key=key)
        except Replayed:
            raise Conflict("cannot say the text of a token twice: this call was made before; make another token") from None
        return token, text

    async def tokens(self, operator: str, *, size: int, after: Cursor) -> Page[OperatorToken]:
        """Those that are still good, the newest first."""
        return await self._operators.tokens(operator, at=self._clock.now(), size=size, after=after)

    async def revoke_token(self, token_id: str, key: RequestKey) -> None:
        """Make a token useless; what its operator has open ends."""
        with suppress(Replayed):
            self._callers.end(await self._operators.revoke_token(token_id, at=self._clock.now(), key=key))

    async def _decide(self, name: str, status: OperatorStatus, reason: str, key: RequestKey) -> Operator:
        try:
            made = await self._operators.decide(name, status, reason, at=self._clock.now(), key=key)
        except Replayed:
            made = await self._operators.operator(name)
        if made.status is OperatorStatus.Suspended:
            self._callers.end(name)
        else:
            self._callers.forget()
        return made


def _ttl(wanted: WantedOperatorToken) -> int:
    """How long a token is good. Raises Invalid."""
    if wanted.certificate_lifetime is None:
        ttl, most, said = wanted.ttl or TTL, TTL_AT_MOST, "365 days is the most, and 30 days the default"
    else:
        ttl, most, said = wanted.ttl or INVITED_FOR, INVITED_FOR_AT_MOST, "24 h is the most for a certificate, and 15 min the default"
        if not 0 < wanted.certificate_lifetime <= CERTIFICATE_AT_MOST:
            raise Invalid("cannot make a certificate for that long: 90 days is the most", field="certificate_lifetime")
    if not 0 < ttl <= most:
        raise Invalid(f"cannot make a token for that long: {said}", field="ttl")
    return ttl


def _checked(grants: Sequence[Grant], *, field: str) -> tuple[Grant, ...]:
    if len(grants) > GRANTS_AT_MOST:
        raise Invalid(f"cannot accept {len(grants)} grants: {GRANTS_AT_MOST} is the most", field=field)
    for one in grants:
        if one.group and not one.application:
            raise Invalid(f"cannot grant {one}: a deployment group needs its application", field=field)
        for name in filter(None, (one.application, one.group)):
            check_name(name, field=field)
    return tuple(dict.fromkeys(grants))
