"""Deployments and their groups: by which rules, and how far they have come.

Values are frozen. `Group`, `Deployment`, `Target` and `Member` are the running group: a step of `core/machine.py` alone changes
them in place, because copying ten thousand targets for each fact is too dear.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from coordinator.core.lifecycle import (
    IN_PLACE,
    RESTART,
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model.alarms import Alarm, AlarmStatus
from coordinator.core.model.hosts import Member
from coordinator.core.model.minimum import MinimumHealthyHosts
from coordinator.core.model.names import DeploymentId, GroupId, HostId
from coordinator.core.model.revisions import FileExistsBehavior, Revision, Success
from coordinator.core.model.stages import Pause, Progress, Shape, Stage, Tally, Zone

PlaceInLine = tuple[int, int, str, HostId]
"""A target's place in the line: by its stage, by the health of its host, then by name; `batches.place` makes it."""

Look = tuple[int, HostId]
"""When, by the deployment's own clock, a host is looked at whose word is awaited; `deadlines` makes it."""


class AutoRollbackEvent(StrEnum):
    """What makes a deployment be rolled back by itself."""

    DEPLOYMENT_FAILURE = "DEPLOYMENT_FAILURE"
    DEPLOYMENT_STOP_ON_ALARM = "DEPLOYMENT_STOP_ON_ALARM"
    DEPLOYMENT_STOP_ON_REQUEST = "DEPLOYMENT_STOP_ON_REQUEST"


class Creator(IntEnum):
    """Who made a deployment; CodeDeploy's names (spec 3.4)."""

    user = 1
    codeDeployRollback = 2
    CodeDeployAutoUpdate = 3


class OutdatedInstancesStrategy(IntEnum):
    """What becomes of hosts that were not there when their group was deployed to (spec 3.3)."""

    UPDATE = 1
    """They get the group's last successful revision as soon as they come."""
    IGNORE = 2
    """They wait for the next deployment."""


class Queueing(IntEnum):
    """What becomes of a deployment that is asked for while another one of its group is under way."""

    REFUSE = 1
    """It is refused, as CodeDeploy does it."""
    QUEUE = 2
    """It waits, and begins by itself when those before it have ended."""
    SUPERSEDE = 3
    """It waits too, and replaces those that wait already: only the newest is wanted."""


class OfflineAction(IntEnum):
    """What a deployment does about hosts that are offline."""

    WAIT = 1
    """They begin last, and have some time to come back."""
    SKIP = 2
    """Those that are still offline when all others have ended are left out."""
    FAIL = 3
    """They fail before anybody begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflinePolicy:
    """What a group does about hosts that are offline when their turn comes."""

    action: OfflineAction = OfflineAction.WAIT
    wait: int = 300_000
    """Milliseconds that an offline host has to come back once it has its instruction (WAIT)."""
    budget: int | None = 0
    """How many offline hosts a deployment may go without: they are Skipped, and those beyond fail. None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackConfig:
    """The config by which a deployment is rolled back, where that is another one than its own."""

    name: str
    minimum_healthy_hosts: MinimumHealthyHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is frozen when a deployment is created."""

    deployment_id: DeploymentId
    group_id: GroupId
    application_name: str
    group_name: str
    revision: Revision
    config_name: str
    minimum_healthy_hosts: MinimumHealthyHosts
    auto_rollback: frozenset[AutoRollbackEvent]
    file_exists_behavior: FileExistsBehavior
    creator: Creator
    created_by: str
    description: str
    created_at: int
    """UTC milliseconds; shown, decides nothing."""
    rollback_id: DeploymentId
    """The id that a rollback of this deployment gets, should there be one."""
    last_successful: Success | None = None
    """The group's newest Succeeded deployment at creation: what a rollback goes back to. Filled in by the core."""
    rolls_back: DeploymentId | None = None
    """The deployment that this one rolls back."""
    lifecycle_events: tuple[LifecycleEvent, ...] = IN_PLACE
    event_timeout: int = 3_600_000
    """Milliseconds that each event may take on a host (CodeDeploy: 3600 s, spec 5); kept by the agent."""
    ignore_application_stop_failures: bool = False
    """A host goes on when an event fails whose scripts are those of the revision that is on it already."""
    alarms: tuple[Alarm, ...] = ()
    """What is watched from creation to the end; any of them in ALARM stops the deployment."""
    ignore_poll_alarm_failure: bool = False
    """Go on when nobody has been able to say for a while whether an alarm is active."""
    bake_time: int = 0
    """Milliseconds for which the alarms are watched once the last host has ended."""
    watch_after_success: int = 0
    """Milliseconds for which the alarms are watched once it has succeeded, while the group is free for others."""
    outdated_only: bool = False
    """Only hosts that do not have the revision become targets."""
    offline: OfflinePolicy = OfflinePolicy()
    require_approval: bool = False
    """Nobody begins before somebody other than `created_by` has approved it."""
    stages: tuple[Stage, ...] = ()
    """In which parts it goes, one after the other; none: all hosts are one part. Filled in by the core."""
    shape: Shape = Shape()
    """By which those are made when its hosts are known. Stored while it waits for its turn."""
    rollback_config: RollbackConfig | None = None
    """How fast its rollback goes, and which floor that keeps; None: as it does itself."""
    start_at: int | None = None
    """UTC milliseconds before which it does not begin; None: as soon as it can."""
    chosen: frozenset[HostId] | None = None
    """Only these of the group's hosts become targets; None: nobody was named. Stored while it waits for its turn."""

    @property
    def restarts(self) -> bool:
        """Whether it runs what is installed anew, and changes nothing else."""
        return self.lifecycle_events == RESTART

    def pause_after(self, stage: int) -> Pause:
        """What is waited for when a stage has ended. Once the last one has, the alarms are watched for the bake time at least."""
        if not self.stages:
            return Pause(bake=self.bake_time)
        pause = self.stages[stage].pause
        if stage < self.last_stage:
            return pause
        return replace(pause, bake=max(pause.bake, self.bake_time))

    @property
    def last_stage(self) -> int:
        """The index of the last stage."""
        return max(0, len(self.stages) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Why and how a lifecycle event failed (spec 2.5)."""

    error_code: LifecycleErrorCode
    script_name: str = ""
    message: str = ""
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInformation:
    """Why a deployment ended badly."""

    code: DeploymentErrorCode
    message: str


@dataclass(slots=True, kw_only=True, eq=False)
class Target:
    """One host's part in one deployment."""

    deployment_id: DeploymentId
    host_id: HostId
    host_name: str
    status: TargetStatus = TargetStatus.Pending
    target_epoch: int = 0
    """The fence of its instruction; 0 before there is one."""
    stage: int = 0
    """The index of its stage."""
    attempt: int = 1
    event: LifecycleEvent | None = None
    """The last event reported."""
    event_status: EventStatus = EventStatus.Pending
    """What was reported of it."""
    accepted: bool = False
    """The agent has answered the instruction with any report."""
    cancelled: str = ""
    """Why a Cancel was stored for it; empty when there is none."""
    awaited_since: int = 0
    """The deployment's own clock when its host was instructed, reported last, or was cancelled while nothing ran."""
    lost_at: int | None = None
    """The deployment's own clock when its host was lost; None while it is not."""
    started_at: int | None = None
    """UTC milliseconds of the coordinator when the instruction was ordered."""
    ended_at: int | None = None
    """UTC milliseconds of the coordinator when it became terminal."""
    message: str = ""
    """Why it failed or waits, where no lifecycle event says it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Deployment:
    """A live deployment and all its targets. Counters are kept beside them so that no fact needs a scan."""

    plan: Plan
    status: DeploymentStatus
    targets: dict[HostId, Target]
    members: frozenset[HostId]
    """The group's hosts as frozen at creation: N counts these, whichever of them are targets."""
    pending: list[PlaceInLine] = field(default_factory=list)
    """A heap of targets that wait, in the order in which they begin. Targets that wait no more are passed over. Not stored."""
    pending_lost: list[PlaceInLine] = field(default_factory=list)
    """The same for those whose hosts are lost: they begin when nobody else can. Not stored."""
    counts: dict[TargetStatus, int] = field(default_factory=dict)
    """Targets by status. Not stored."""
    awaited: list[Look] = field(default_factory=list)
    """A heap with an entry for each target in progress, and for some that are not any more: those are passed over. Not stored."""
    lost: deque[tuple[int, Target]] = field(default_factory=deque)
    """Targets in progress on lost hosts with their `lost_at`, oldest first; those of hosts that returned are passed over. Not stored."""
    available: int = 0
    """Members that are Healthy, not lost, and in progress in no deployment of the group. Not stored."""
    floor: int = 0
    """min(M, healthy members at creation): what must stay healthy and not in progress."""
    stopping: ErrorInformation | None = None
    """Set as soon as no further host may begin; the deployment ends when nothing is in progress."""
    roll_back: bool | None = None
    """The word of whoever stopped it, whether it is rolled back; None: nobody has said, the plan's events decide."""
    watched_from: int | None = None
    """The deployment's own clock when it had succeeded and was watched on; None before, and for those that never are."""
    joined: dict[HostId, str] = field(default_factory=dict)
    """Hosts that were given its revision as newcomers while it was watched, with their names. Not stored: read from those deployments."""
    progress: Progress = Progress()
    """Which stage it is in, and how far the pause after that has come."""
    tally: list[Tally] = field(default_factory=lambda: [Tally()])
    """How far each stage has come. Not stored."""
    zones: tuple[Zone, ...] = ()
    """Parts of the group with a floor of their own."""
    zone_of: dict[HostId, int] = field(default_factory=dict)
    """The zones of its members, by index; empty where zones have no floor."""
    zone_available: list[int] = field(default_factory=list)
    """Members that serve and are not in progress, by zone. Not stored."""
    zone_held: list[int] = field(default_factory=list)
    """Targets that are in progress or have failed, by zone. Not stored."""
    sight: dict[str, AlarmStatus] = field(default_factory=dict)
    """What was seen last of each alarm, by name; an alarm that was not seen yet is UNKNOWN. Not stored."""
    blind_since: int | None = None
    """The deployment's own clock when one of its alarms became UNKNOWN; None while none is. Not stored."""
    approved_by: str = ""
    """Who has approved it; empty: nobody."""
    due_at: int | None = None
    """Of one that had to wait for its turn: UTC milliseconds that give it its place in the queue. None: it began when it was asked for."""
    turn_at: int | None = None
    """UTC milliseconds when its turn came and its hosts were selected; None before, and of one that never had to wait."""
    error: ErrorInformation | None = None
    rollback_deployment_id: DeploymentId | None = None
    rollback_message: str = ""
    started_at: int | None = None
    completed_at: int | None = None
    clock: int = 0
    """Milliseconds it has been live under a running coordinator: the deployment's own clock, by which its deadlines run.
    Stored with progress at least every 10 s, so that a restart resumes what was left and a jumping wall clock changes nothing."""
    clock_at: int = 0
    """The coordinator's monotonic reading when `clock` was right. Not stored."""
    checkpoint: int = 0
    """`clock` as it was stored last. Not stored by itself."""

    @property
    def deployment_id(self) -> DeploymentId:
        """The id, from the plan."""
        return self.plan.deployment_id

    @property
    def waits_for_approval(self) -> bool:
        """Whether nobody may begin yet."""
        return self.plan.require_approval and not (self.approved_by or self.stopping or self.status.terminal)

    @property
    def waits_for_turn(self) -> bool:
        """Whether it stands in its group's queue, without hosts yet."""
        return self.due_at is not None and self.turn_at is None and not self.status.terminal

    def is_at(self, host_id: HostId) -> bool:
        """Whether a host is in progress in it."""
        target = self.targets.get(host_id)
        return target is not None and target.status is TargetStatus.InProgress

    def awaits(self, host_id: HostId) -> bool:
        """Whether it has not done with a host."""
        target = self.targets.get(host_id)
        return target is not None and not target.status.terminal

    @property
    def live_since(self) -> int:
        """UTC milliseconds since which it can be what its alarms are about."""
        return self.plan.created_at if self.turn_at is None else self.turn_at


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """A deployment group as the core decides about it: its live deployment, its past, its hosts."""

    group_id: GroupId
    deployment: Deployment | None = None
    """The live deployment that somebody asked for, or its rollback; None when nothing runs."""
    newcomers: Deployment | None = None
    """The live deployment that brings newcomers up to date. What it has not done with belongs to no other: the hosts that it awaits are
    no members of `deployment`, which neither goes to them nor counts them."""
    watched: Deployment | None = None
    """The one that has succeeded and whose alarms are watched still. `stopping` says that it has regressed and is to be rolled back."""
    waiting: list[Deployment] = field(default_factory=list)
    """Deployments that wait for their turn, in the order in which they begin. None of them has hosts yet."""
    called: tuple[DeploymentId, int] | None = None
    """Whose turn has come, and the monotonic reading when its hosts were asked for. Not stored."""
    last_successful: Success | None = None
    """The newest Succeeded deployment, rollbacks included."""
    members: dict[HostId, Member] = field(default_factory=dict)
    """Every host that was ever a target of the group or is one now."""

    @property
    def live(self) -> tuple[Deployment, ...]:
        """The deployments that are live: one that somebody asked for, and one for newcomers, at most."""
        if self.newcomers is None:
            return () if self.deployment is None else (self.deployment,)
        return (self.newcomers,) if self.deployment is None else (self.deployment, self.newcomers)

    @property
    def goes_back(self) -> Deployment | None:
        """The one that has regressed after its success and whose rollback is the next to be live, once newcomers get it no more."""
        return self.watched if self.watched is not None and self.watched.stopping is not None else None

    def find_live(self, deployment_id: DeploymentId) -> Deployment | None:
        """The live deployment with an id."""
        return next((one for one in self.live if one.deployment_id == deployment_id), None)

    def at_work_on(self, host_id: HostId) -> Deployment | None:
        """The live deployment in which a host is in progress; there is one at most."""
        return next((one for one in self.live if one.is_at(host_id)), None)
