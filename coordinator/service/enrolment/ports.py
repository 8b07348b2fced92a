"""What enrolment needs of the world, and the words in which it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coordinator.core.facts import RequestKey
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, Holder, JoinToken
from coordinator.core.model import HostId
from coordinator.service.ports import Cursor, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a host shows, PEM, and when it ends."""

    chain: bytes
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedToken:
    """A join token that a caller wants. What is 0 or empty takes the default."""

    ttl: int = 0
    """Milliseconds."""
    uses: int = 0
    tags: Mapping[str, str]
    auto_approve: bool = False
    trust_tags: bool = False
    name_pattern: str = ""
    application_name: str = ""
    group_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """A machine that asks to become a host; `request` is a certificate request, PEM."""

    name: str
    token: str
    request: bytes
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning:
    """A host whose certificate may have ended, and that asks for the next one: `request` and its old `chain` are PEM."""

    chain: bytes
    generation: int
    request: bytes
    signature: bytes
    """By the key of the old certificate, over what `protos/hookline/v1/fleet.proto` says."""
    address: str


class Authority(Protocol):
    """Who signs."""

    @property
    def trust(self) -> bytes:
        """The roots, PEM."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the newest root."""
        ...

    def key_of(self, request: bytes) -> str:
        """The digest of the key of a request. Raises Invalid when whoever sent it does not hold that key."""
        ...

    def certify(self, host_id: HostId, request: bytes) -> Certificate:
        """A host's certificate."""
        ...

    def holder(self, returning: Returning) -> Holder:
        """Whose certificate it is that a host shows, though it may have ended. Raises Denied when this authority never gave it, or who
        shows it does not hold its key."""
        ...


class Doors(Protocol):
    """Where hosts come in; says nothing to those that are not there."""

    def let_in(self, host_id: HostId) -> None:
        """It may come in from now on."""
        ...

    def shut_out(self, host_id: HostId) -> None:
        """It may come in no more, and is out at once."""
        ...

    def inside(self, host_id: HostId) -> bool:
        """Whether it is connected."""
        ...


class Secrets(Protocol):
    """Chance."""

    def host_id(self) -> HostId:
        """32 hexadecimal digits."""
        ...

    def join_token(self) -> tuple[str, str]:
        """An id, and a text of 256 random bits."""
        ...


class Enrolments(Protocol):
    """What is remembered of tokens and machines. `at` is UTC milliseconds; `sha256` that of a token's text."""

    async def add_token(self, token: JoinToken, sha256: bytes, *, at: int, key: RequestKey) -> None:
        """Raises Replayed."""
        ...

    async def tokens(self, *, at: int, size: int, after: Cursor) -> Page[JoinToken]:
        """Those that can still be used, the newest first."""
        ...

    async def revoke_token(self, token_id: str, *, at: int, key: RequestKey) -> None:
        """Raises JoinTokenDoesNotExist, Replayed."""
        ...

    async def enrol(self, wanted: Enrolment, sha256: bytes, *, at: int) -> Enrolment:
        """The machine with the key of `wanted`: as it is known, or made now at the cost of one use of the token. Raises Denied for the
        token, InstanceNameAlreadyRegistered for the name."""
        ...

    async def certified(self, host_id: HostId, expires_at: int) -> None:
        """Its first certificate was issued."""
        ...

    async def renew(self, host_id: HostId, *, generation: int, key: str, expires_at: int, at: int) -> Enrolment:
        """As `core.enrolment.renewed` decides. Raises Denied, InstanceDoesNotExist."""
        ...

    async def readmit(
        self, shown: Holder, *, generation: int, key: str, expires_at: int, at: int, within: int, address: str
    ) -> tuple[Enrolment, bool]:
        """As `core.enrolment.readmitted` decides, and whether that is news. Raises Denied, InstanceDoesNotExist."""
        ...

    async def decide(self, host: str, status: EnrolmentStatus, reason: str, *, at: int, key: RequestKey) -> Enrolment:
        """Approve or revoke, by id or name. Raises InstanceDoesNotExist, Conflict as `core.enrolment.check_decision` says, Replayed."""
        ...

    async def adopt(self, host: str, machine: str, *, at: int, key: RequestKey) -> tuple[Enrolment, Enrolment]:
        """As `core.enrolment.adopted` decides, with the tags that operators set on the host. An empty `machine` is the one that waits for
        its name. Raises InstanceDoesNotExist, Conflict, Replayed."""
        ...

    async def departed(self) -> list[HostId]:
        """Hosts that were shut out for ever and are not forgotten yet."""
        ...

    async def rename(self, host: str, name: str, *, at: int, key: RequestKey) -> Enrolment:
        """Raises InstanceDoesNotExist, InstanceNameAlreadyRegistered, Replayed."""
        ...

    async def enrolment(self, host: str) -> Enrolment:
        """By id or name. Raises InstanceDoesNotExist."""
        ...

    async def enrolments(self, statuses: Sequence[EnrolmentStatus], *, size: int, after: Cursor) -> Page[Enrolment]:
        """The newest first; no statuses mean all."""
        ...

    async def everybody(self) -> list[Enrolment]:
        """All that are not revoked."""
        ...
