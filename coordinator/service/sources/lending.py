"""Lends a host a way to read the bundle that it was instructed to deploy, where that lies elsewhere: an address that is good for minutes.

Only for an instruction of its own that is outstanding, and only where its instance profile lets it read that source at this moment.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coordinator.core.errors import Denied, NotFound, Unavailable
from coordinator.core.model import HostId, InstructionId, Revision
from coordinator.core.model.revisions import Place
from coordinator.core.model.roles import reads, source_of

log = logging.getLogger(__name__)


class NoCredential(NotFound):
    """The coordinator has none for a source."""

    code = "NoCredentialException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A way to read one bundle, for so many seconds."""

    url: str = field(repr=False)
    lasts: int


class Credentials(Protocol):
    """What the coordinator's administrator has given it to read sources with."""

    async def lend(self, place: Place) -> Lent | None:
        """A way to read what lies there; None: there is no credential for it. Raises Unavailable."""
        ...


class Profiles(Protocol):
    """Which sources hosts may read."""

    async def profiles(self) -> Mapping[HostId, tuple[str, ...]]:
        """The instance profiles of all hosts that have one, as they are now."""
        ...


class LendingService:
    """Who may be lent what."""

    def __init__(self, credentials: Credentials, profiles: Profiles) -> None:
        """Nobody needs anything yet."""
        self._credentials = credentials
        self._profiles = profiles
        self._needed: dict[HostId, dict[InstructionId, Revision]] = {}

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        """The host was instructed to deploy this one."""
        self._needed.setdefault(host_id, {})[instruction_id] = revision

    def settle(self, host_id: HostId) -> None:
        """Nothing is outstanding for it any more."""
        self._needed.pop(host_id, None)

    async def lend(self, host_id: HostId, instruction_id: InstructionId) -> Lent:
        """A way to read the bundle of an instruction. Raises Denied, NoCredential, and Unavailable before the host was welcomed."""
        needed = self._needed.get(host_id)
        if needed is None:
            raise Unavailable(
                "cannot lend anything to this host: nothing is known to be outstanding for it; come back after the next Welcome"
            )
        revision = needed.get(instruction_id)
        if revision is None:
            raise Denied(f"cannot lend anything for instruction {instruction_id}: it is not outstanding for this host")
        source = source_of(revision.place)
        check(host_id, (await self._profiles.profiles()).get(host_id, ()), source)
        lent = await self._credentials.lend(revision.place)
        if lent is None:
            raise NoCredential(f"cannot lend anything for {source}: the coordinator has no credential for it; the host's own is to be used")
        log.info("credential lent host=%s instruction=%s source=%s lasts_s=%s", host_id, instruction_id, source, lent.lasts)
        return lent


def check(host_id: HostId, profile: Sequence[str], source: str) -> None:
    """Raise Denied unless the instance profile lets the host read it."""
    if not reads(profile, source):
        log.warning("host may not read the bundle of its instruction host=%s source=%s", host_id, source)
        raise Denied(
            f"cannot let this host read {source}: its instance profile allows {', '.join(profile)}; have that changed "
            "(hookline host profile), and deploy again"
        )
