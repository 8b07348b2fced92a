"""Who it is that calls with a token or a certificate, at any moment; and what they have open, which ends when they may not stay."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from coordinator.core.errors import Limit, NotFound, Unauthenticated
from coordinator.core.identity.access import OperatorToken, Principal, principal
from coordinator.engine.ports import Clock
from coordinator.service.access.attempts import Attempts
from coordinator.service.access.ports import Certificates, Credential, Operators, Provider, Stay

KNOWN_FOR: Final = 1_000
"""Milliseconds for which a token or a certificate is not looked up again; what is changed here counts at once."""
KNOWN_AT_MOST: Final = 10_000
LENGTH_AT_MOST: Final = 100
"""Characters of what may be a token."""
PREFIX: Final = "hlo_"
"""Of tokens to call with."""
CERTIFICATE_PREFIX: Final = "hlc_"
"""Of tokens that are each good for one certificate."""

Find = Callable[[], Awaitable[Credential | None]]


class Callers:
    """Knows operators by what they show, and what each has open."""

    def __init__(self, operators: Operators, certificates: Certificates, *, clock: Clock, provider: Provider | None = None) -> None:
        """`operators` and `certificates` remember; `provider` vouches for operators who bring tokens of its own."""
        self._operators = operators
        self._certificates = certificates
        self._provider = provider
        self._clock = clock
        self._attempts = Attempts(clock)
        self._known: dict[bytes, tuple[int, Credential]] = {}
        self._stays: dict[str, set[Stay]] = {}
        self._changes = 0

    async def who(self, text: str, address: str) -> Principal:
        """Who calls from there with this token, what they may do now, and whether they are barred. Raises Unauthenticated for a token
        that nobody has, and Limit after too many of those from one address."""
        foreign = self._provider is not None and not text.startswith((PREFIX, CERTIFICATE_PREFIX))
        sha256 = digest_of(text if foreign else text[:LENGTH_AT_MOST])
        find = partial(self._vouched, sha256, address, text) if foreign else partial(self._operators.credential, sha256)
        return await self._principal(sha256, address, find)

    async def certified(self, name: str, certificate_id: str, sha256: bytes, address: str) -> Principal:
        """The same of somebody who shows a certificate of ours: whose it says to be, the id in it, and its digest."""
        return await self._principal(sha256, address, partial(self._issued, name, certificate_id, sha256))

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

    def end(self, name: str) -> None:
        """What an operator may do was changed: what they have open ends."""
        self.forget()
        for stay in list(self._stays.get(name, ())):
            stay.end()

    def forget(self) -> None:
        """Look everybody up again."""
        self._known.clear()
        self._changes += 1

    async def _principal(self, sha256: bytes, address: str, find: Find) -> Principal:
        kept = self._known.get(sha256)
        if kept is None or self._clock.elapsed() - kept[0] >= KNOWN_FOR:
            if kept is None and not self._attempts.allowed(address):
                raise Limit(f"cannot let anybody in from {address} just now: too many tokens were wrong; wait a minute")
            kept = await self._look_up(sha256, address, find)
        found = kept[1]
        return principal(found.shown, found.operator, expires_at=found.expires_at, at=self._clock.now(), address=address)

    async def _look_up(self, sha256: bytes, address: str, find: Find) -> tuple[int, Credential]:
        while True:
            asked, changes = self._clock.elapsed(), self._changes
            credential = await find()
            if changes != self._changes:  # what was read may be older than what has been told to somebody
                continue
            if credential is None or not hmac.compare_digest(credential.sha256, sha256):
                self._attempts.failed(address)
                raise Unauthenticated("cannot let you in: this token is unknown here; log in with one of this coordinator's")
            if len(self._known) >= KNOWN_AT_MOST:
                self._known.clear()
            kept = self._known[sha256] = (asked, credential)
            return kept

    async def _issued(self, name: str, certificate_id: str, sha256: bytes) -> Credential:
        found = await self._certificates.find(certificate_id)
        if found is None or found[1].name != name:
            raise Unauthenticated(f"cannot let {name[:100]} in: the certificate {certificate_id[:100]} is unknown here; log in anew")
        certificate, operator = found
        leaf = certificate.leaf(sha256)
        if leaf is None:
            raise Unauthenticated(
                f"cannot let {name} in: the {certificate.named} was renewed since; if that was not you, somebody has a copy: have "
                f"`hookline operator certificate revoke {certificate_id}` run, and log in anew"
            )
        return Credential(sha256=sha256, shown=certificate, operator=operator, expires_at=leaf.expires_at)

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
        return Credential(sha256=sha256, shown=token, operator=operator, expires_at=token.expires_at)


def digest_of(text: str) -> bytes:
    """A token's text has 256 random bits: a plain hash is as good as a slow one."""
    return hashlib.sha256(text.encode()).digest()
