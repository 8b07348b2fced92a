"""What the services about operators need of the world, and the words in which it is asked."""

from dataclasses import dataclass
from typing import Protocol

from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Grant, Leaf, Operator, OperatorCertificate, OperatorStatus, OperatorToken
from coordinator.service.ports import Cursor, Page


class Secrets(Protocol):
    """Chance."""

    def operator_token(self, prefix: str) -> tuple[str, str]:
        """An id, and a text of 256 random bits that begins so."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A token or a certificate with its operator, as they are now; `sha256` is that of a token's text, or of the certificate itself."""

    sha256: bytes
    shown: OperatorToken | OperatorCertificate
    operator: Operator
    expires_at: int


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

    async def token(self, token_id: str) -> OperatorToken:
        """Raises OperatorTokenDoesNotExist."""
        ...

    async def credential(self, sha256: bytes) -> Credential | None:
        """The token with that digest, ended or not; None if there is none."""
        ...


class Certificates(Protocol):
    """What is remembered of operators' certificates. `at` is UTC milliseconds."""

    async def issue(self, wanted: OperatorCertificate, token_id: str, *, at: int, key: RequestKey) -> OperatorCertificate:
        """The certificate of a token, which is used up: as wanted, or with the newest leaf of `wanted` when the token was used for the
        same key before. Raises Denied for a token that was used for another, or cannot be used any more."""
        ...

    async def renew(self, certificate_id: str, shown: bytes, new: Leaf, *, digest: str, at: int, key: RequestKey) -> OperatorCertificate:
        """As `core.access.renewed` decides; `digest` is that of the new key. Raises OperatorCertificateDoesNotExist, Invalid."""
        ...

    async def certificates(self, operator: str, *, at: int, size: int, after: Cursor) -> Page[OperatorCertificate]:
        """Those that are still good, the newest first; an empty name means all operators'."""
        ...

    async def revoke(self, certificate_id: str, *, at: int, key: RequestKey) -> str:
        """The operator whose it was. Raises OperatorCertificateDoesNotExist, Replayed."""
        ...

    async def find(self, certificate_id: str) -> tuple[OperatorCertificate, Operator] | None:
        """The certificate with that id, ended or not, and whose it is; None if there is none."""
        ...


class Authority(Protocol):
    """Who signs."""

    @property
    def trust(self) -> bytes:
        """The roots, PEM."""
        ...

    def key_of(self, request: bytes) -> str:
        """The digest of the key of a request. Raises Invalid when whoever sent it does not hold that key."""
        ...

    def certify_operator(self, name: str, certificate_id: str, request: bytes, *, lifetime: int) -> tuple[bytes, Leaf]:
        """A certificate with the one above it, PEM, and by what it is known again."""
        ...


class Stay(Protocol):
    """A call that lasts, of an operator who may have to leave."""

    def end(self) -> None:
        """They may not stay."""
        ...
