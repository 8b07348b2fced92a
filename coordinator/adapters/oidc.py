"""Tokens of an identity provider (OpenID Connect): who they are for, once their signature, issuer, audience and times have been looked at.

The provider's keys are read from a file, a JWKS, and again when it has changed; nothing is fetched.
"""

import json
import os
import tomllib
from pathlib import Path
from typing import Final

import jwt

from coordinator.core.errors import Unauthenticated
from coordinator.engine.ports import Clock
from coordinator.service.access.ports import Voucher

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has; never a secret that is shared."""

SKEW: Final = 60_000
"""Milliseconds by which a token may come from the future: clocks differ. One that has ended has ended."""

LIFE_AT_MOST: Final = 24 * 3_600_000
"""Milliseconds: a token cannot be revoked by itself."""


class Unreadable(OSError):
    """A file of keys that cannot be used, in a sentence."""


class Provider:
    """One issuer, whose tokens are for this coordinator when they name its audience."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """The TOML file says issuer, audience, keys (a file, beside it unless its path is absolute) and claim, which names the operator.
        Raises Unreadable."""
        try:
            said = tomllib.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot read {file}: {error}") from error
        needed = {"issuer", "audience", "keys"}
        texts = all(isinstance(value, str) and value for value in said.values())
        if not texts or not needed <= said.keys() <= needed | {"claim"}:
            raise Unreadable(
                f"cannot use {file}: it says issuer, audience, keys and, if it is not email, claim; each a text, and nothing else"
            )
        self._issuer: str = said["issuer"]
        self._audience: str = said["audience"]
        self._path = file.parent / said["keys"]
        self._claim: str = said.get("claim", "email")
        self._clock = clock
        self._seen, self._keys = self._read()

    def verify(self, text: str) -> Voucher:
        """Whom the provider vouches for. Raises Unauthenticated."""
        try:
            if self._stamp() != self._seen:
                self._seen, self._keys = self._read()
        except Unreadable as error:
            raise Unauthenticated(f"cannot look at this token: {error}") from error
        try:
            key = self._keys[jwt.get_unverified_header(text).get("kid", "")]
            said = jwt.decode(
                text,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "aud", "iss"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            begins = max(_time(said["iat"]), _time(said.get("nbf", said["iat"])))
            issued_at, expires_at, name = _time(said["iat"]), _time(said["exp"]), said.get(self._claim)
        except KeyError:
            raise _no("it is signed with a key that is not among those of the identity provider; is the file of keys up to date?") from None
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError) as error:
            raise _no(str(error)) from error
        now = self._clock.now()
        if expires_at <= now:
            raise _no("it has ended; get another from the identity provider")
        if begins > now + SKEW:
            raise _no("it begins later; is the clock right?")
        if expires_at - issued_at > LIFE_AT_MOST:
            raise _no("it is good for longer than 24 h, and could not be revoked")
        if not isinstance(name, str) or not name:
            raise _no(f"it does not say who it is for: its claim {self._claim} is missing")
        if self._claim == "email" and said.get("email_verified") is not True:
            raise _no("the identity provider has not verified its email address")
        return Voucher(name=name, issued_at=issued_at, expires_at=expires_at)

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise self._unreadable(error) from error
        return found.st_mtime_ns, found.st_size

    def _read(self) -> tuple[tuple[int, int], jwt.PyJWKSet]:
        seen = self._stamp()
        try:
            return seen, jwt.PyJWKSet.from_dict(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, AttributeError, KeyError, jwt.PyJWTError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Unreadable:
        return Unreadable(f"cannot read {self._path}, the keys of the identity provider: {error}")


def _time(seconds: float) -> int:
    return round(float(seconds) * 1000)


def _no(why: str) -> Unauthenticated:
    return Unauthenticated(f"cannot let you in with this token: {why}")
