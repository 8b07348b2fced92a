"""What the core wants done now, and what it wants stored first.

Every order says who carries it out and what a repeat does; the fact that ends it is named where there is one.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from coordinator.core.errors import DeployError
from coordinator.core.facts import Report, Request, RequestKey
from coordinator.core.lifecycle import EventStatus, LifecycleEvent
from coordinator.core.model import (
    Alarm,
    Deployment,
    DeploymentId,
    Diagnostics,
    Group,
    GroupId,
    HostId,
    InstructionId,
    Measurement,
    Member,
    Plan,
    RevisionId,
    Session,
    Target,
)


class Instruction(NamedTuple):
    """A run of lifecycle events for one host. Derived from plan and target, so the same one can be made again at any time."""

    instruction_id: InstructionId
    host_id: HostId
    target_epoch: int
    plan: Plan


class Cancel(NamedTuple):
    """The end of an instruction before its time."""

    instruction_id: InstructionId
    host_id: HostId
    target_epoch: int
    group_id: GroupId
    reason: str


class Instruct(NamedTuple):
    """Put an instruction on a host's stream, if it has one; else its next Welcome brings it.

    Carried out by the gateway. Ended by the report that makes the target terminal. A repeat is answered from the agent's journal.
    """

    instruction: Instruction


class SendCancel(NamedTuple):
    """Put a Cancel on a host's stream, if it has one; else its next Welcome brings it.

    Carried out by the gateway. Ended as the instruction is. A repeat changes nothing.
    """

    cancel: Cancel


class Settled(NamedTuple):
    """An instruction will not be repeated any more: its target is terminal. Carried out by the engine's index of what is outstanding."""

    host_id: HostId
    instruction_id: InstructionId


class WakeAt(NamedTuple):
    """Tell the group `Woken` at a monotonic time. Carried out by the engine; a newer one replaces the older; a repeat is harmless."""

    group_id: GroupId
    elapsed: int


class WatchAlarms(NamedTuple):
    """Look at these alarms, and take these measurements, and tell the group `AlarmSeen`; at nothing else of it any more.

    Carried out by the alarms' adapter. A repeat is harmless. What fired between `since` and the first look counts as seen.
    """

    group_id: GroupId
    alarms: tuple[Alarm | Measurement, ...]
    since: int
    """UTC milliseconds."""


class CallUp(NamedTuple):
    """Look up which hosts a group has now, and whether a deployment that has waited may still begin; tell the group `TurnCame`.

    Carried out by the service. Ended by that fact. Given again every minute until it comes; a repeat is harmless.
    """

    plan: Plan


class Answer(NamedTuple):
    """Answer the operator's call behind a fact: done (error is None), or refused. Carried out by the engine, once."""

    fact: Request
    error: DeployError | None


Order = Instruct | SendCancel | Settled | WakeAt | WatchAlarms | CallUp | Answer


class Entry(StrEnum):
    """What a row of the history says. Deployment and target statuses are entries under their own names."""

    Created = "Created"
    ApprovalAwaited = "ApprovalAwaited"
    Approved = "Approved"
    Queued = "Queued"
    Waiting = "Waiting"
    TurnCame = "TurnCame"
    InProgress = "InProgress"
    Succeeded = "Succeeded"
    Failed = "Failed"
    Stopped = "Stopped"
    Skipped = "Skipped"
    Unknown = "Unknown"
    Stopping = "Stopping"
    RollbackSkipped = "RollbackSkipped"
    AlarmStatus = "AlarmStatus"
    Blind = "Blind"
    StageBegan = "StageBegan"
    Baking = "Baking"
    GateAwaited = "GateAwaited"
    GatePassed = "GatePassed"
    Promoted = "Promoted"
    Paused = "Paused"
    Resumed = "Resumed"
    Retried = "Retried"
    Analysing = "Analysing"
    Measured = "Measured"
    Analysed = "Analysed"
    Watching = "Watching"
    Watched = "Watched"
    Regressed = "Regressed"
    HistoryWentBack = "HistoryWentBack"
    HostRegistered = "HostRegistered"
    HostConnected = "HostConnected"
    HostLost = "HostLost"
    HostRemoved = "HostRemoved"
    TagsAdded = "TagsAdded"
    TagsRemoved = "TagsRemoved"
    ApplicationCreated = "ApplicationCreated"
    ApplicationDeleted = "ApplicationDeleted"
    DeploymentGroupCreated = "DeploymentGroupCreated"
    DeploymentGroupUpdated = "DeploymentGroupUpdated"
    DeploymentGroupDeleted = "DeploymentGroupDeleted"
    DeploymentConfigCreated = "DeploymentConfigCreated"
    DeploymentConfigDeleted = "DeploymentConfigDeleted"
    RevisionRegistered = "RevisionRegistered"
    AlarmCreated = "AlarmCreated"
    AlarmUpdated = "AlarmUpdated"
    AlarmDeleted = "AlarmDeleted"
    JoinTokenCreated = "JoinTokenCreated"
    JoinTokenRevoked = "JoinTokenRevoked"
    HostEnrolled = "HostEnrolled"
    HostApproved = "HostApproved"
    HostRevoked = "HostRevoked"
    HostLocked = "HostLocked"
    HostAdopted = "HostAdopted"
    InstanceProfileChanged = "InstanceProfileChanged"
    HostAway = "HostAway"
    HostReadmitted = "HostReadmitted"
    HostRenamed = "HostRenamed"
    OperatorCreated = "OperatorCreated"
    OperatorSuspended = "OperatorSuspended"
    OperatorResumed = "OperatorResumed"
    RoleGranted = "RoleGranted"
    GrantRevoked = "GrantRevoked"
    OperatorTokenCreated = "OperatorTokenCreated"
    OperatorTokenRevoked = "OperatorTokenRevoked"
    OperatorCertificateIssued = "OperatorCertificateIssued"
    OperatorCertificateRevoked = "OperatorCertificateRevoked"
    NotificationsGivenUp = "NotificationsGivenUp"


class HistoryEntry(NamedTuple):
    """One thing that happened, with the fact that caused it. Append-only."""

    at: int
    entry: Entry
    because: str
    """The fact, in a few words: "CreateDeployment", "report 17", "host lost"."""
    group_id: GroupId | None = None
    deployment_id: DeploymentId | None = None
    host_id: HostId | None = None
    message: str = ""
    principal: str = "coordinator"


class EventChange(NamedTuple):
    """A lifecycle event of a target, as far as it is known now."""

    status: EventStatus
    started_at: int | None
    """UTC milliseconds by the host's clock; None: as stored."""
    ended_at: int | None
    seq: int
    """The report that said so."""
    diagnostics: Diagnostics | None


class HoldingChange(NamedTuple):
    """What a host holds of a group; None: as stored."""

    installed: RevisionId | None
    deployed: RevisionId | None


EventOf = tuple[Target, LifecycleEvent, int]
"""A lifecycle event of an attempt: another attempt may begin in the commit in which one ends."""


@dataclass(slots=True)
class Changes:
    """Rows that must be stored before any order is carried out. Collected over all facts of one commit; each row stands once.

    Rows are the running objects themselves: nothing is stepped while they are being stored.
    """

    deployments: dict[DeploymentId, Deployment] = field(default_factory=dict)
    created: dict[DeploymentId, Deployment] = field(default_factory=dict)
    """Deployments of which every target is new; they stand in `deployments` too, their targets not in `targets`."""
    begun: dict[DeploymentId, Deployment] = field(default_factory=dict)
    """Deployments that had waited for their turn: every target is new, and the plan says by now what it rolls back to. They stand in
    `deployments` too, their targets not in `targets`."""
    targets: dict[Target, None] = field(default_factory=dict)
    events: dict[EventOf, EventChange] = field(default_factory=dict)
    groups: dict[GroupId, Group] = field(default_factory=dict)
    """Groups of which last_successful or watched changed."""
    members: dict[tuple[GroupId, HostId], Member] = field(default_factory=dict)
    holdings: dict[tuple[GroupId, HostId], HoldingChange] = field(default_factory=dict)
    removed: list[HostId] = field(default_factory=list)
    """Hosts to forget; their history stays."""
    hosts: dict[HostId, Session] = field(default_factory=dict)
    """Sessions of which anything but the cursor changed."""
    cursors: dict[HostId, int] = field(default_factory=dict)
    """Hosts of which only the report cursor changed, and its value."""
    late: list[tuple[HostId, Report]] = field(default_factory=list)
    """Reports of deployments that have ended, as of a host that was lost meanwhile: their lifecycle events are stored where the
    target is known, and change nothing else."""
    requests: list[tuple[RequestKey, str]] = field(default_factory=list)
    """Operator calls that were done, with the id of what they made or changed."""
    history: list[HistoryEntry] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to store."""
        return bool(
            self.deployments
            or self.targets
            or self.events
            or self.groups
            or self.members
            or self.holdings
            or self.removed
            or self.hosts
            or self.cursors
            or self.late
            or self.requests
            or self.history
        )

    @property
    def rows(self) -> int:
        """About how many rows there are to store."""
        kept = (
            sum(len(one.targets) for made in (self.created, self.begun) for one in made.values())
            + len(self.deployments)
            + len(self.targets)
            + len(self.events)
        )
        hosts = len(self.hosts) + len(self.cursors) + len(self.removed) + len(self.members) + len(self.holdings)
        return kept + hosts + len(self.groups) + len(self.late) + len(self.requests) + len(self.history)

    def merge(self, other: "Changes") -> None:
        """Add what another step of the same commit decided."""
        self.deployments.update(other.deployments)
        self.created.update(other.created)
        self.begun.update(other.begun)
        self.targets.update(other.targets)
        self.events.update(other.events)
        self.groups.update(other.groups)
        self.members.update(other.members)
        self.holdings.update(other.holdings)
        self.removed += other.removed
        self.hosts.update(other.hosts)
        self.cursors.update(other.cursors)
        self.late += other.late
        self.requests += other.requests
        self.history += other.history
