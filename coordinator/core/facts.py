"""What can happen to a deployment group, and to a host's session.

A fact carries `at` (UTC milliseconds; stored and shown, decides nothing) and `elapsed` (the coordinator's monotonic milliseconds;
deadlines are counted by it). Facts about groups go to `core/machine.py`, facts about sessions to `core/session.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleEvent
from coordinator.core.model import (
    AlarmStatus,
    DeploymentId,
    Diagnostics,
    ErrorInformation,
    GroupId,
    HostId,
    InstructionId,
    JournalId,
    Plan,
    Queueing,
    RevisionId,
    Snapshot,
)


class Report(NamedTuple):
    """One change of one instruction on one host, as its agent tells it. A tuple, because a rollout brings 140,000 of them."""

    seq: int
    instruction_id: InstructionId
    event: LifecycleEvent | None
    """None when the report is about the whole instruction."""
    status: EventStatus
    time: int
    """UTC milliseconds by the host's clock."""
    instruction_status: InstructionStatus = InstructionStatus.Event
    diagnostics: Diagnostics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that has happened."""

    at: int
    elapsed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """An operator's call that must be done once: stored with its effect, answered again from there."""

    principal: str
    method: str
    request_id: str
    """Empty: the caller gave none, nothing is remembered."""
    digest: bytes
    """Of the request without its request_id: the same id with another digest is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRequested(Fact):
    """Somebody wants a revision deployed. `hosts` are those that match the group now."""

    plan: Plan
    hosts: tuple[Snapshot, ...]
    queueing: Queueing = Queueing.REFUSE
    """What the group says about one that comes while another is under way."""
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCame(Fact):
    """Somebody has looked up which hosts the group of a deployment has whose turn has come. `hosts` are those that match it now."""

    deployment_id: DeploymentId
    hosts: tuple[Snapshot, ...]
    refused: ErrorInformation | None = None
    """Why it may not begin after all, by what has changed in the catalogue since it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Fact):
    """Somebody wants a deployment stopped."""

    deployment_id: DeploymentId
    requested_by: str
    reason: str
    auto_rollback_enabled: bool | None = None
    """Whether it is rolled back once it has stopped; None: as its own events say."""
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalGiven(Fact):
    """Somebody who may approves a deployment."""

    deployment_id: DeploymentId
    approved_by: str
    reason: str
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Fact):
    """Somebody wants something of a live deployment."""

    deployment_id: DeploymentId
    requested_by: str
    reason: str = ""
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested(Wish):
    """Nothing new is to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested(Wish):
    """It is to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRequested(Wish):
    """The present bake is to end now."""

    past_gate: bool = False
    """And the gate after it is passed, by somebody who may approve deployments of the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested(Wish):
    """Hosts that have failed are to be tried once more."""

    hosts: frozenset[HostId] | None = None
    """None: all that have failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRequested(Wish):
    """Hosts that have not begun are to be left out."""

    hosts: frozenset[HostId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Fact):
    """A host's agent reported; in order, new ones only, all of one group."""

    host_id: HostId
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLost(Fact):
    """A host has been silent for too long."""

    host_id: HostId


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReturned(Fact):
    """A lost host is back."""

    host_id: HostId


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRemoved(Fact):
    """A host was removed from the fleet."""

    host_id: HostId


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLost(Fact):
    """A host came back with another journal: what it was doing can no longer be known."""

    host_id: HostId


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSeen(Fact):
    """A host knows a higher fence than the group: the coordinator's history went back in time."""

    host_id: HostId
    target_epoch: int
    deployment_id: DeploymentId
    """The deployment that claimed the host under it, perhaps one that is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingSeen(Fact):
    """A host says which revisions of the group it holds; it may have gone on while nobody heard it."""

    host_id: HostId
    installed: RevisionId
    deployed: RevisionId


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSeen(Fact):
    """Somebody looked at an alarm that a group's live deployment watches. What was seen last time may be seen again."""

    group_id: GroupId
    alarm_name: str
    status: AlarmStatus
    sample: str
    """What was seen, in a few words: the value and its series, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken(Fact):
    """The time that a group asked to be woken at has come, or the coordinator has just started with the group live."""


GroupFact = (
    DeploymentRequested
    | TurnCame
    | StopRequested
    | ApprovalGiven
    | PauseRequested
    | ResumeRequested
    | PromotionRequested
    | RetryRequested
    | SkipRequested
    | Reported
    | HostLost
    | HostReturned
    | HostRemoved
    | JournalLost
    | EpochSeen
    | HoldingSeen
    | AlarmSeen
    | Woken
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Which revisions of a group a host holds; empty where it holds none."""

    group_id: GroupId
    installed: RevisionId
    deployed: RevisionId


class Fence(NamedTuple):
    """The highest epoch that a host has accepted for a group, and for which deployment."""

    target_epoch: int
    deployment_id: DeploymentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Fact):
    """An agent opened a stream. `stream` is the gateway's number for it, unique while the coordinator runs."""

    stream: int
    host_id: HostId
    name: str
    boot_id: str
    journal_id: JournalId
    last_seq: int
    acked_seq: int
    agent_version: str
    capabilities: tuple[str, ...]
    fences: Mapping[GroupId, Fence]
    tags: Mapping[str, str]
    facts: Mapping[str, str]
    holdings: tuple[Holding, ...]


class ReportsReceived(NamedTuple):
    """Reports arrived on a stream; `reports` are consecutive from the first one's `seq`."""

    at: int
    elapsed: int
    stream: int
    host_id: HostId
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRemovalRequested(Fact):
    """Somebody wants a host forgotten."""

    host_id: HostId
    requested_by: str
    shut_out: bool = False
    """It may not come in any more, so a stream that it still has is none."""
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnded(Fact):
    """A stream is gone."""

    stream: int
    host_id: HostId
    silent_since: int
    """The monotonic reading when something was last heard on it."""


LiveRequest = StopRequested | ApprovalGiven | PauseRequested | ResumeRequested | PromotionRequested | RetryRequested | SkipRequested
"""What operators want of a live deployment."""

Request = DeploymentRequested | TurnCame | LiveRequest | HostRemovalRequested
"""Facts behind which somebody waits for an answer."""
