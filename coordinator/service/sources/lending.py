"""Lends a host a way to read the bundle that it was instructed to deploy, where that lies elsewhere: an address or a token that ends soon.

Only for an instruction of its own that is outstanding, and only where its instance profile lets it read that source at this moment. Both
what is lent and what is refused stand in the audit, once for each instruction.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from coordinator.core.errors import Denied, NotFound, Unavailable
from coordinator.core.identity.access import Kind, Principal
from coordinator.core.model import HostId, InstructionId, Revision
from coordinator.core.model.roles import reads, source_of
from coordinator.engine.ports import Clock
from coordinator.service.access.audit import AuditCall

METHOD: Final = "/hookline.v1.AgentService/LendSource"
"""As the audit names it."""

log = logging.getLogger(__name__)


class NoCredential(NotFound):
    """The coordinator has none for a source."""

    code = "NoCredentialException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A way to read one bundle, for so many seconds: an address, or a bearer for the server that the bundle's own address names."""

    url: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    lasts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComeBack:
    """Whoever could say is asked too often just now; the host may ask again after so many milliseconds."""

    after: int


class Credentials(Protocol):
    """What the coordinator's administrator has given it to read sources with."""

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        """A way to read its bundle; None: there is no credential for it. Raises NoCredential where one opens nothing, Unavailable."""
        ...


class Profiles(Protocol):
    """Which sources hosts may read."""

    async def profiles(self) -> Mapping[HostId, tuple[str, ...]]:
        """The instance profiles of all hosts that have one, as they are now."""
        ...


class Book(Protocol):
    """Where what was lent is written down: `service.access.audit.AuditService`."""

    async def record(self, call: AuditCall) -> None:
        """Write it down, durably. Raises StorageFull or StorageFailed when it cannot be."""
        ...


class LendingService:
    """Who may be lent what."""

    def __init__(self, credentials: Credentials, profiles: Profiles, book: Book, clock: Clock) -> None:
        """Nobody needs anything yet."""
        self._credentials = credentials
        self._profiles = profiles
        self._book = book
        self._clock = clock
        self._needed: dict[HostId, dict[InstructionId, Revision]] = {}
        self._noted: dict[HostId, set[tuple[InstructionId, str]]] = {}

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        """The host was instructed to deploy this one."""
        self._needed.setdefault(host_id, {})[instruction_id] = revision

    def settle(self, host_id: HostId) -> None:
        """Nothing is outstanding for it any more."""
        self._needed.pop(host_id, None)
        self._noted.pop(host_id, None)

    async def lend(self, host_id: HostId, instruction_id: InstructionId, *, address: str = "") -> Lent | ComeBack:
        """A way to read the bundle of an instruction, for the host that asks from `address`.

        Raises Denied, NoCredential, and Unavailable before the host was welcomed.
        """
        needed = self._needed.get(host_id)
        if needed is None:
            raise Unavailable(
                "cannot lend anything to this host: nothing is known to be outstanding for it; come back after the next Welcome"
            )
        revision = needed.get(instruction_id)
        if revision is None:
            raise Denied(f"cannot lend anything for instruction {instruction_id}: it is not outstanding for this host")
        source = source_of(revision.place)
        try:
            check(host_id, (await self._profiles.profiles()).get(host_id, ()), source)
        except Denied:
            await self._note(host_id, instruction_id, source, "PERMISSION_DENIED", address)
            raise
        lent = await self._credentials.lend(revision)
        if lent is None:
            raise NoCredential(f"cannot lend anything for {source}: the coordinator has no credential for it; the host's own is to be used")
        if isinstance(lent, Lent):
            await self._note(host_id, instruction_id, source, "OK", address)
            log.info("credential lent host=%s instruction=%s source=%s lasts_s=%s", host_id, instruction_id, source, lent.lasts)
        return lent

    async def _note(self, host_id: HostId, instruction_id: InstructionId, source: str, code: str, address: str) -> None:
        """Write it down before it is answered. A host that asks again and again does not fill the audit."""
        noted = self._noted.setdefault(host_id, set())
        if (instruction_id, code) in noted:
            return
        await self._book.record(
            AuditCall(
                at=self._clock.now(),
                principal=str(Principal(Kind.Agent, name=host_id)),
                address=address,
                method=METHOD,
                request=json.dumps({"instruction_id": instruction_id, "source": source.partition("?")[0]}),
                reason="",
                code=code,
                subject=host_id,
            )
        )
        noted.add((instruction_id, code))


def check(host_id: HostId, profile: Sequence[str], source: str) -> None:
    """Raise Denied unless the instance profile lets the host read it."""
    if not reads(profile, source):
        log.warning("host may not read the bundle of its instruction host=%s source=%s", host_id, source)
        raise Denied(
            f"cannot let this host read {source}: its instance profile allows {', '.join(profile)}; have that changed "
            "(hookline host profile), and deploy again"
        )
