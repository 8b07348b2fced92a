"""Hosts: as they speak with the coordinator, and as a group knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from coordinator.core.model.names import HostId, JournalId, RevisionId


class InstanceHealth(IntEnum):
    """Whether the last deployment of a group to a host went well (spec 4.1)."""

    Healthy = 1
    Unhealthy = 2


class RevisionHealth(IntEnum):
    """Which of a group's revisions a host has (spec 4.1)."""

    Current = 1
    """That of the group's last successful deployment."""
    Old = 2
    """Another one, or what was begun over it did not end well."""
    Unknown = 3
    """No deployment of the group has ever ended well there."""


def revision_health(installed: RevisionId, deployed: RevisionId, current: RevisionId) -> RevisionHealth:
    """What a host's revisions are to a group whose last successful one is `current`; each may be empty."""
    if not deployed:
        return RevisionHealth.Unknown
    return RevisionHealth.Current if installed == deployed == current else RevisionHealth.Old


class HostStatus(IntEnum):
    """Whether the coordinator can speak with a host now."""

    Unknown = 1
    Connected = 2
    Suspect = 3
    Lost = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A host as the fleet knew it when a deployment was requested."""

    host_id: HostId
    name: str
    lost: bool = False
    zone: str = ""
    """Where it stands, for a rollout that goes zone by zone; empty when nobody has said."""
    canary: bool = False
    """It goes before all others."""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What the coordinator knows of one host's agent and of its present or last stream."""

    host_id: HostId
    name: str
    session_epoch: int = 0
    """Grows by one with each accepted Hello."""
    journal_id: JournalId = JournalId("")
    acked_seq: int = 0
    """Reports of this journal up to here are committed."""
    boot_id: str = ""
    status: HostStatus = HostStatus.Unknown
    agent_version: str = ""
    capabilities: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    """As the agent declares them."""
    facts: Mapping[str, str] = field(default_factory=dict)
    registered_at: int = 0
    connected_at: int = 0
    stream: int | None = None
    """The gateway's number of the stream it speaks on; None while there is none. Not stored."""
    resumed: bool = False
    """Reports have come on this stream. Not stored."""
    silent_since: int = 0
    """The coordinator's monotonic reading when it was heard last, once its stream has ended. Not stored."""


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """What a group knows of one of its hosts across deployments."""

    host_id: HostId
    target_epoch: int = 0
    """The highest fence under which the host was claimed; only grows."""
    health: InstanceHealth = InstanceHealth.Unhealthy
    """Never deployed counts as Unhealthy (spec 4.1)."""
    installed: RevisionId = RevisionId("")
    """The revision whose Install finished last; empty where none did. Stored as the host's holding."""
    deployed: RevisionId = RevisionId("")
    """The revision of the last deployment that ended well there; empty where none did. Stored as the host's holding."""
    missed: int = 0
    """0 when it was there when the last deployment to it ended and none has succeeded without it since, else 1, and 1 more for each time
    that the coordinator brought it up to date by itself and it was lost in that."""
    lost: bool = False
    """Nobody can say that a lost host serves: it counts as unhealthy. Not stored; told by the fleet."""

    @property
    def serves(self) -> bool:
        """Whether it counts as healthy. Nobody can say that a lost host serves."""
        return self.health is InstanceHealth.Healthy and not self.lost

    def has(self, revision_id: RevisionId) -> bool:
        """Whether a deployment of a revision ended well there, and nothing was begun over it or went wrong since."""
        return self.health is InstanceHealth.Healthy and self.installed == self.deployed == revision_id
