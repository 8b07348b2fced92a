"""What the services about operators need of the world, and the words in which it is asked."""

from dataclasses import dataclass
from typing import Protocol

from coordinator.core.access import Grant, Operator, OperatorStatus, OperatorToken
from coordinator.core.facts import RequestKey
from coordinator.service.ports import Cursor, Page


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
