"""What the services tell of: the catalogue, the fleet and the history, as they are stored. Times are UTC milliseconds."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from coordinator.core.lifecycle import DeploymentStatus, EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    Alarm,
    AlarmConfiguration,
    AutoRollbackEvent,
    DeploymentId,
    Diagnostics,
    ErrorInformation,
    GroupId,
    HostId,
    HostStatus,
    InstanceHealth,
    MinimumHealthyHosts,
    OfflinePolicy,
    OutdatedInstancesStrategy,
    Plan,
    Progress,
    Queueing,
    Revision,
    RevisionHealth,
    RevisionId,
    ServiceRole,
    Shape,
    Snapshot,
    Trigger,
)
from coordinator.core.model.roles import reads, source_of
from coordinator.core.tags import TagFilter, TagSets


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Something that is deployed."""

    name: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDeployment:
    """A deployment as its group remembers it."""

    deployment_id: DeploymentId
    status: DeploymentStatus
    revision_id: RevisionId
    created_at: int
    completed_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentGroup:
    """Which hosts get an application, and by which rules."""

    group_id: GroupId
    application_name: str
    name: str
    tag_filters: tuple[TagFilter, ...]
    config_name: str
    auto_rollback: frozenset[AutoRollbackEvent]
    created_at: int
    require_signature: bool = False
    offline: OfflinePolicy = OfflinePolicy()
    require_approval: bool = False
    alarms: AlarmConfiguration = AlarmConfiguration()
    outdated_strategy: OutdatedInstancesStrategy = OutdatedInstancesStrategy.UPDATE
    queueing: Queueing = Queueing.REFUSE
    rollback_config_name: str = ""
    """By which its deployments are rolled back; empty: each by its own."""
    service_role: ServiceRole = ServiceRole()
    triggers: tuple[Trigger, ...] = ()
    tag_sets: TagSets = ()
    """Instead of tag_filters; one of the two is empty."""
    last_successful: LastDeployment | None = None
    last_attempted: LastDeployment | None = None

    @property
    def etag(self) -> str:
        """Another whenever something else can be changed of it by its rules."""
        rules = replace(self, auto_rollback=frozenset(), last_successful=None, last_attempted=None)
        return hashlib.sha256(repr((rules, sorted(self.auto_rollback))).encode()).hexdigest()[:16]

    @property
    def selection(self) -> TagSets:
        """By what its hosts are found, however it was said."""
        return self.tag_sets or (self.tag_filters,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentConfig:
    """How fast a deployment goes. A predefined one is created at 0."""

    name: str
    minimum_healthy_hosts: MinimumHealthyHosts
    predefined: bool
    created_at: int
    shape: Shape = Shape()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRevision:
    """A revision with what the catalogue knows of it."""

    application_name: str
    revision: Revision
    description: str
    registered_at: int
    first_used_at: int | None = None
    last_used_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogAlarm:
    """An alarm with what the catalogue knows of it."""

    alarm: Alarm
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHolding:
    """What a host holds of one deployment group; empty where nothing."""

    application_name: str
    group_name: str
    installed: RevisionId
    deployed: RevisionId
    health: InstanceHealth
    revision_health: RevisionHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine with an agent."""

    host_id: HostId
    name: str
    status: HostStatus
    tags: Mapping[str, str]
    """Those that count: the agent's own, overlaid by the operators'."""
    operator_tags: Mapping[str, str]
    sources: tuple[str, ...]
    """Its instance profile: where the bundles may come from that it reads; none: anywhere."""
    facts: Mapping[str, str]
    agent_version: str
    connected_at: int
    registered_at: int
    holdings: tuple[HostHolding, ...]


class Awaiting(NamedTuple):
    """A deployment group with hosts that have come and do not have its last successful revision, or are about not to have it."""

    application_name: str
    group_name: str
    revision_id: RevisionId
    """The last successful one; empty while there is none."""
    hosts: tuple[HostId, ...]
    """Newcomers that can get it now."""
    later: tuple[HostId, ...] = ()
    """Hosts of which it will be clear later what they get: a live deployment counts them or goes to them, or goes to all but them."""
    live: bool = False
    """A deployment that somebody has asked for is live: whoever gets nothing now is looked at again when it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a deployment freezes when it is created."""

    group: DeploymentGroup
    revision: Revision
    config: DeploymentConfig
    hosts: tuple[tuple[HostId, str], ...]
    """Ids and names of all hosts that match any of the group's filters, by name."""
    rollback_config: DeploymentConfig | None = None
    """The group's for rollbacks, if it has one."""
    alarms: tuple[Alarm, ...] = ()
    """Those that were asked for by name, or that the group watches."""
    profiles: Mapping[HostId, tuple[str, ...]] = field(default_factory=dict)
    """The sources that hosts may read, where they have an instance profile."""
    tags: Mapping[HostId, Mapping[str, str]] = field(default_factory=dict)
    """The tags that count of each host."""
    approvers: tuple[str, ...] = ()
    """The names of the operators who may approve deployments of the group."""

    def snapshots(self, lost: Callable[[HostId], bool]) -> tuple[Snapshot, ...]:
        """All those hosts, with whether they are lost."""
        return tuple(Snapshot(host_id=host_id, name=name, lost=lost(host_id)) for host_id, name in self.hosts)

    def barred(self, wanted: Collection[str]) -> list[str]:
        """Names of the hosts that may not read the revision; of those that are wanted, by id or name, or of all where none is."""
        source = source_of(self.revision.place)
        return [
            name
            for host_id, name in self.hosts
            if host_id in self.profiles
            and (not wanted or host_id in wanted or name in wanted)
            and not reads(self.profiles[host_id], source)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a deployment stands that waits for its turn."""

    position: int
    """1 begins next."""
    behind: DeploymentId | None
    """Which of its group begins before it, or is live; None: it waits for nothing but its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """A deployment, live or past, as committed."""

    plan: Plan
    status: DeploymentStatus
    counts: Mapping[TargetStatus, int]
    error: ErrorInformation | None
    stopping: ErrorInformation | None
    approved_by: str
    watched: bool
    """Its alarms are watched after its success."""
    rollback_deployment_id: DeploymentId | None
    rollback_message: str
    started_at: int | None
    completed_at: int | None
    commit: int
    """The number of the commit that changed it or one of its targets last."""
    progress: Progress = Progress()
    clock: int = 0
    """Its own clock, as stored last."""
    stages: Mapping[int, Mapping[TargetStatus, int]] = field(default_factory=dict)
    """Targets of each stage by status."""
    queue: QueuePlace | None = None
    """Where it stands while it waits for its turn; None: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """A lifecycle event of a target; every event of the plan has one, reported or not."""

    event: LifecycleEvent
    status: EventStatus
    started_at: int | None
    ended_at: int | None
    diagnostics: Diagnostics | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """One host's part in one deployment, as committed."""

    deployment_id: DeploymentId
    host_id: HostId
    host_name: str
    status: TargetStatus
    message: str
    events: tuple[EventRecord, ...]
    started_at: int | None
    ended_at: int | None
    health: InstanceHealth
    """Of the host in the group, as it is now."""
    revision_health: RevisionHealth
    stage: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRecord:
    """One thing that happened."""

    history_id: int
    at: int
    application_name: str
    group_name: str
    deployment_id: str
    host_name: str
    entry: str
    because: str
    message: str
    principal: str
