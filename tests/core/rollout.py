"""A deployment group in a test: facts go in by verbs, every step is checked, and what it wrote and ordered is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Final, TypedDict

from coordinator.core.facts import (
    AlarmSeen,
    ApprovalGiven,
    DeploymentRequested,
    EpochSeen,
    GroupFact,
    HoldingSeen,
    HostLost,
    HostReturned,
    JournalLost,
    PauseRequested,
    PromotionRequested,
    Report,
    Reported,
    RequestKey,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
    StopRequested,
    TurnCame,
    Woken,
)
from coordinator.core.hosts import FORGOTTEN
from coordinator.core.invariants import check
from coordinator.core.lifecycle import IN_PLACE, RESTART, EventStatus, InstructionStatus, LifecycleErrorCode, LifecycleEvent, TargetStatus
from coordinator.core.machine import restore, step
from coordinator.core.model import (
    Alarm,
    AlarmStatus,
    AlertmanagerAlert,
    AutoRollbackEvent,
    BundleType,
    Comparison,
    Creator,
    Deployment,
    DeploymentId,
    Diagnostics,
    ErrorInformation,
    Expression,
    FileExistsBehavior,
    Group,
    GroupId,
    HostId,
    HttpLocation,
    InstanceHealth,
    InstructionId,
    Member,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflinePolicy,
    Plan,
    Queueing,
    Revision,
    RevisionId,
    RollbackConfig,
    Shape,
    Snapshot,
    Success,
    Target,
)
from coordinator.core.orders import Answer, CallUp, Changes, HistoryEntry, Instruct, Order, WakeAt

GROUP: Final = GroupId("g-1")
ALL_AT_ONCE: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=0)
HALF_AT_A_TIME: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=50)
ONE_AT_A_TIME: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.MOST_CONCURRENCY, value=1)
WAITS: Final = OfflinePolicy()
NO_SHAPE: Final = Shape()
NO_ZONES: Final[Mapping[str, str]] = MappingProxyType({})
COUNTED: Final = ("counts", "tally", "zone_available", "zone_held")
NOT_STORED: Final = (
    "pending",
    "pending_lost",
    "available",
    "counts",
    "awaited",
    "lost",
    "clock_at",
    "checkpoint",
    "sight",
    "blind_since",
    "joined",
    *COUNTED,
)


def count(value: int) -> MinimumHealthyHosts:
    """A minimum of so many hosts."""
    return MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=value)


def percent(value: int) -> MinimumHealthyHosts:
    """A minimum of so many hosts in a hundred."""
    return MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=value)


def revision(name: str) -> Revision:
    """A revision that nobody fetches."""
    return Revision(revision_id=RevisionId(name), place=HttpLocation(url=f"http://bundles/{name}"), bundle_type=BundleType.zip, sha256=b"")


def alarm(name: str) -> Alarm:
    """An alarm that somebody else looks at; one whose name begins with Canary is about the canary."""
    if name.startswith("Canary"):
        return Alarm(name=name, source=Expression(expression="x", comparison=Comparison.GREATER, threshold=0, of_canary=True))
    return Alarm(name=name, source=AlertmanagerAlert(labels={"alertname": name}))


def host_id(name: str) -> HostId:
    """Ids that cannot be mistaken for names."""
    return HostId(f"id-of-{name}")


def plan(deployment_id: str, of: str, minimum: MinimumHealthyHosts, *, events: Iterable[AutoRollbackEvent] = ()) -> Plan:
    """What an operator asks for."""
    return Plan(
        deployment_id=DeploymentId(deployment_id),
        group_id=GROUP,
        application_name="shop",
        group_name="web",
        revision=revision(of),
        config_name="custom",
        minimum_healthy_hosts=minimum,
        auto_rollback=frozenset(events),
        file_exists_behavior=FileExistsBehavior.DISALLOW,
        creator=Creator.user,
        created_by="ann",
        description="",
        created_at=0,
        rollback_id=DeploymentId(f"{deployment_id}-back"),
    )


class Wished(TypedDict):
    """What every wish says."""

    at: int
    elapsed: int
    deployment_id: DeploymentId
    requested_by: str
    reason: str


class Rollout:
    """A deployment group, its hosts, and a clock."""

    def __init__(self) -> None:
        """An empty group; nothing was ever deployed."""
        self.group = Group(group_id=GROUP)
        self.elapsed = 1_000_000
        self.history: list[HistoryEntry] = []
        self.orders: list[Order] = []
        self.changes = Changes()
        """Of the last step."""
        self.ended: list[Deployment] = []
        self.went_back = False
        """A host was found to have begun in a history that is forgotten."""
        self.wake_at: int | None = None
        self.called: Plan | None = None
        """Whose turn has come, for as long as nobody has said which hosts the group has."""
        self.hosts: tuple[Snapshot, ...] = ()
        """The group's hosts, as somebody looked them up last."""
        self._made = 0
        self._seqs: dict[HostId, int] = {}

    # what may be asked of it ------------------------------------------------------------------------------------------

    @property
    def deployment(self) -> Deployment:
        """The live deployment that somebody asked for, else the one for newcomers, else the one that ended last."""
        return next(iter(self.group.live), None) or self.ended[-1]

    def target(self, name: str) -> Target:
        """A host's part in it, or in the live deployment that awaits the host."""
        return self._of(name).targets[host_id(name)]

    def _of(self, name: str) -> Deployment:
        return next((one for one in self.group.live if one.awaits(host_id(name))), self.deployment)

    def member(self, name: str) -> Member:
        """What the group knows of a host."""
        return self.group.members[host_id(name)]

    def names(self, status: TargetStatus) -> list[str]:
        """The hosts whose targets have a status, by name."""
        return sorted(one.host_name for one in self.deployment.targets.values() if one.status is status)

    @property
    def in_progress(self) -> list[str]:
        """The hosts that are being deployed to."""
        return self.names(TargetStatus.InProgress)

    def instructed(self) -> list[str]:
        """The hosts that the last step sent an instruction to, in order."""
        parts = [one for deployment in (self.deployment, *self.group.live) for one in deployment.targets.values()]
        names = {one.host_id: one.host_name for one in parts}
        return [names[order.instruction.host_id] for order in self.orders if isinstance(order, Instruct)]

    def answer(self) -> Answer:
        """The answer that the last step gave to an operator."""
        (answer,) = (order for order in self.orders if isinstance(order, Answer))
        return answer

    # what can happen --------------------------------------------------------------------------------------------------

    def given(self, names: Iterable[str], *, on: str = "r1", health: InstanceHealth = InstanceHealth.Healthy) -> None:
        """These hosts carry a revision that succeeded before."""
        self.group.last_successful = Success(
            deployment_id=DeploymentId("d-0"), revision=revision(on), file_exists_behavior=FileExistsBehavior.DISALLOW
        )
        for name in names:
            member = Member(host_id=host_id(name), health=health, target_epoch=1, installed=RevisionId(on), deployed=RevisionId(on))
            self.group.members[host_id(name)] = member

    def step(self, facts: Sequence[GroupFact]) -> None:
        """One commit."""
        before = self.group.live
        self.changes = Changes()
        self.orders = step(self.group, facts, self.changes)
        self.went_back |= any(entry.because == FORGOTTEN for entry in self.changes.history)
        check(self.group, went_back=self.went_back)
        self.history += self.changes.history
        self.ended += [one for one in before if one.status.terminal]
        self.ended += [one for one in self.changes.created.values() if one.status.terminal]
        self.ended += [one for one in self.changes.deployments.values() if one.due_at and one.status.terminal and not one.targets]
        self.called = next((order.plan for order in self.orders if isinstance(order, CallUp)), self.called)
        wakes = [order.elapsed for order in self.orders if isinstance(order, WakeAt)]
        self.wake_at = wakes[-1] if wakes else None

    def deploy(
        self,
        of: str,
        names: Sequence[str],
        minimum: MinimumHealthyHosts = ALL_AT_ONCE,
        *,
        rollback: bool = False,
        events: Iterable[AutoRollbackEvent] = (),
        lost: Sequence[str] = (),
        exists: FileExistsBehavior = FileExistsBehavior.DISALLOW,
        ignore: bool = False,
        offline: OfflinePolicy = WAITS,
        only: Sequence[str] | None = None,
        outdated: bool = False,
        anew: bool = False,
        alarms: Sequence[str] = (),
        blind: bool = False,
        bake: int = 0,
        watch: int = 0,
        approval: bool = False,
        shape: Shape = NO_SHAPE,
        zones: Mapping[str, str] = NO_ZONES,
        queueing: Queueing = Queueing.REFUSE,
        start_in: int | None = None,
        back: MinimumHealthyHosts | None = None,
        request: RequestKey | None = None,
    ) -> None:
        """Somebody wants a revision deployed: to all of these hosts, to those named in `only`, or to the outdated ones.

        `back`: what its rollback keeps instead. `start_in`: milliseconds from now, before which it does not begin.
        `blind`: it goes on when an alarm stays unknown; `bake`: milliseconds for which the alarms are watched at the end;
        `watch`: and after its success.
        """
        events = [AutoRollbackEvent.DEPLOYMENT_FAILURE] if rollback else events
        self._made += 1
        asked = replace(plan(f"d-{self._made}", of, minimum, events=events), file_exists_behavior=exists)
        asked = replace(asked, ignore_application_stop_failures=ignore, outdated_only=outdated, offline=offline)
        watched = tuple(alarm(name) for name in alarms)
        asked = replace(asked, alarms=watched, ignore_poll_alarm_failure=blind, bake_time=bake, watch_after_success=watch)
        asked = replace(asked, require_approval=approval, chosen=None if only is None else frozenset(map(host_id, only)), shape=shape)
        asked = replace(asked, start_at=None if start_in is None else self.at + start_in)
        asked = replace(asked, lifecycle_events=RESTART if anew else asked.lifecycle_events)
        lane = None if back is None else RollbackConfig(name="fast", minimum_healthy_hosts=back)
        asked = replace(asked, rollback_config=lane)
        canaries = shape.canaries.hosts if shape.canaries is not None else ()
        self.hosts = tuple(
            Snapshot(host_id=host_id(name), name=name, lost=name in lost, zone=zones.get(name, ""), canary=name in canaries)
            for name in names
        )
        fact = DeploymentRequested(at=self.at, elapsed=self.elapsed, plan=asked, hosts=self.hosts, queueing=queueing, request=request)
        self.step([fact])

    def take_turn(self, *, refused: ErrorInformation | None = None) -> None:
        """Somebody has looked up the group's hosts for the deployment whose turn has come."""
        assert self.called is not None
        called, self.called = self.called, None
        members = self.group.members
        hosts = tuple(replace(one, lost=members[one.host_id].lost) if one.host_id in members else one for one in self.hosts)
        self.step([TurnCame(at=self.at, elapsed=self.elapsed, deployment_id=called.deployment_id, hosts=hosts, refused=refused)])

    def bring_newcomers(
        self, of: str, names: Sequence[str], minimum: MinimumHealthyHosts = ALL_AT_ONCE, *, lost: Sequence[str] = ()
    ) -> None:
        """It is found that hosts of the group may lack a revision."""
        self._made += 1
        asked = replace(plan(f"d-{self._made}", of, minimum), creator=Creator.CodeDeployAutoUpdate, created_by="coordinator")
        hosts = tuple(Snapshot(host_id=host_id(name), name=name, lost=name in lost) for name in names)
        self.step([DeploymentRequested(at=self.at, elapsed=self.elapsed, plan=asked, hosts=hosts)])

    @property
    def at(self) -> int:
        """The wall clock, which stands where it likes."""
        return 1_700_000_000_000 + self.elapsed

    def report(self, name: str, *reports: Report) -> None:
        """A host reports."""
        self.step([self.reported(name, *reports)])

    def reported(self, name: str, *reports: Report) -> Reported:
        """The fact that a host reports."""
        return Reported(at=self.at, elapsed=self.elapsed, host_id=host_id(name), reports=reports)

    def event(self, name: str, event: LifecycleEvent, status: EventStatus, *, message: str = "", of: DeploymentId | None = None) -> Report:
        """One report about a lifecycle event."""
        code = LifecycleErrorCode.ScriptFailed if status is EventStatus.Failed else LifecycleErrorCode.Success
        diagnostics = Diagnostics(error_code=code, message=message) if message else None
        return Report(self._seq(name), self.instruction(name, of), event, status, self.at, diagnostics=diagnostics)

    def whole(self, name: str, status: InstructionStatus, message: str = "") -> Report:
        """One report about a whole instruction."""
        diagnostics = Diagnostics(error_code=LifecycleErrorCode.UnknownError, message=message) if message else None
        return Report(self._seq(name), self.instruction(name), None, EventStatus.Pending, self.at, status, diagnostics)

    def planned(self, event: LifecycleEvent) -> LifecycleEvent:
        """The event itself, or the last one before it that the deployment has."""
        events = self.deployment.plan.lifecycle_events
        return max((one for one in events if one <= event), default=events[0])

    def walk(
        self, name: str, *, until: LifecycleEvent = IN_PLACE[-1], last: EventStatus = EventStatus.Succeeded, message: str = ""
    ) -> list[Report]:
        """The reports of a host that walks its events until one, which ends as told."""
        reports, until = [], self.planned(until)
        for event in self.deployment.plan.lifecycle_events:
            reports.append(self.event(name, event, EventStatus.InProgress))
            if event is until:
                break
            reports.append(self.event(name, event, EventStatus.Succeeded))
        if last is not EventStatus.InProgress:
            reports.append(self.event(name, until, last, message=message))
        return reports

    def succeed(self, *names: str) -> None:
        """Hosts finish well, one after the other."""
        for name in names:
            self.report(name, *self.walk(name))

    def fail(self, *names: str, at: LifecycleEvent = LifecycleEvent.ValidateService) -> None:
        """Hosts fail, one after the other."""
        for name in names:
            self.report(name, *self.walk(name, until=at, last=EventStatus.Failed, message="exit status 1"))

    def lose(self, name: str) -> None:
        """A host falls silent."""
        self.step([HostLost(at=self.at, elapsed=self.elapsed, host_id=host_id(name))])

    def welcome_back(self, name: str) -> None:
        """It returns."""
        self.step([HostReturned(at=self.at, elapsed=self.elapsed, host_id=host_id(name))])

    def lose_journal(self, name: str) -> None:
        """It returns with another journal."""
        self.step([JournalLost(at=self.at, elapsed=self.elapsed, host_id=host_id(name))])

    def see_epoch(self, name: str, target_epoch: int, *, of: str = "d-forgotten") -> None:
        """It knows a fence, which it has of a deployment."""
        fence = DeploymentId(of)
        self.step([EpochSeen(at=self.at, elapsed=self.elapsed, host_id=host_id(name), target_epoch=target_epoch, deployment_id=fence)])

    def see_holding(self, name: str, installed: str, deployed: str) -> None:
        """It says what it holds."""
        said = HoldingSeen(
            at=self.at, elapsed=self.elapsed, host_id=host_id(name), installed=RevisionId(installed), deployed=RevisionId(deployed)
        )
        self.step([said])

    def stop(
        self,
        deployment_id: DeploymentId | None = None,
        *,
        reason: str = "",
        roll_back: bool | None = None,
        request: RequestKey | None = None,
    ) -> None:
        """Somebody wants the live deployment stopped."""
        asked = deployment_id or self.deployment.deployment_id
        fact = StopRequested(at=self.at, elapsed=self.elapsed, deployment_id=asked, requested_by="bob", reason=reason, request=request)
        self.step([replace(fact, auto_rollback_enabled=roll_back)])

    def see(self, name: str, status: AlarmStatus, sample: str = "") -> None:
        """Somebody has looked at an alarm."""
        self.step([AlarmSeen(at=self.at, elapsed=self.elapsed, group_id=GROUP, alarm_name=name, status=status, sample=sample)])

    def approve(self, by: str, *, of: str = "", reason: str = "") -> None:
        """Somebody approves the live deployment, or the one that they name."""
        asked = DeploymentId(of) if of else self.deployment.deployment_id
        self.step([ApprovalGiven(at=self.at, elapsed=self.elapsed, deployment_id=asked, approved_by=by, reason=reason)])

    def pause(self, *, reason: str = "") -> None:
        """Somebody pauses the live deployment."""
        self.step([PauseRequested(**self._wish("bob", reason))])

    def resume(self, *, reason: str = "") -> None:
        """Somebody resumes it."""
        self.step([ResumeRequested(**self._wish("bob", reason))])

    def promote(self, by: str = "bob", *, past_gate: bool = False, reason: str = "") -> None:
        """Somebody cuts a bake short."""
        self.step([PromotionRequested(**self._wish(by, reason), past_gate=past_gate)])

    def retry(self, *names: str, of: str = "") -> None:
        """Somebody has hosts tried again; none named: all that have failed."""
        self.step([RetryRequested(**self._wish("bob", "", of), hosts=frozenset(map(host_id, names)) or None)])

    def skip(self, *names: str, of: str = "", reason: str = "") -> None:
        """Somebody leaves hosts out."""
        self.step([SkipRequested(**self._wish("bob", reason, of), hosts=frozenset(map(host_id, names)))])

    def _wish(self, by: str, reason: str, of: str = "") -> Wished:
        deployment_id = DeploymentId(of) if of else self.deployment.deployment_id
        return {"at": self.at, "elapsed": self.elapsed, "deployment_id": deployment_id, "requested_by": by, "reason": reason}

    def wait(self, milliseconds: int) -> list[Order]:
        """Time passes, and the group is woken whenever it asked for it. All orders of that time."""
        until, orders = self.elapsed + milliseconds, list[Order]()
        while self.wake_at is not None and self.wake_at <= until:
            self.elapsed = max(self.elapsed, self.wake_at)
            self.step([Woken(at=self.at, elapsed=self.elapsed)])
            orders += self.orders
        self.elapsed = until
        self.orders = orders
        return orders

    def restart(self, *, away: int = 3_600_000) -> None:
        """The coordinator is killed and started again: only what was stored is left."""
        self.elapsed += away
        self.called = None
        self.group = stored(self.group)
        restore(self.group, {one.host_id for one in self.group.members.values() if one.lost}, self.elapsed)
        check(self.group, went_back=self.went_back)
        self.step([Woken(at=self.at, elapsed=self.elapsed)])

    def instruction(self, name: str, of: DeploymentId | None = None) -> InstructionId:
        """The id of a host's last instruction."""
        deployment = self._of(name)
        target = deployment.targets.get(host_id(name)) if of is None else None
        attempt = 1 if target is None else target.attempt
        return InstructionId(f"{of or deployment.deployment_id}/{host_id(name)}/0/{attempt}")

    def _seq(self, name: str) -> int:
        self._seqs[host_id(name)] = seq = self._seqs.get(host_id(name), 0) + 1
        return seq


def stored(group: Group) -> Group:
    """What is left of a group after a crash: copies of its rows, without what is not stored."""
    members = {host: replace(member) for host, member in group.members.items()}
    kept = Group(group_id=group.group_id, last_successful=group.last_successful, members=members)
    kept.deployment = None if group.deployment is None else _stored(group.deployment)
    kept.newcomers = None if group.newcomers is None else _stored(group.newcomers)
    if group.watched is not None:
        kept.watched = _stored(group.watched)
        kept.watched.joined = dict(group.watched.joined)
    kept.waiting = [_stored(one) for one in group.waiting]
    return kept


def _stored(deployment: Deployment) -> Deployment:
    values = {one.name: getattr(deployment, one.name) for one in fields(deployment) if one.name not in NOT_STORED}
    values["targets"] = {host: replace(target) for host, target in deployment.targets.items()}
    values["clock"] = deployment.checkpoint
    return Deployment(**values)


def rows(group: Group) -> dict[str, object]:
    """Everything that is stored of a group, in a form that can be compared."""
    told: dict[str, object] = {
        "last_successful": group.last_successful,
        "members": {host: (one.target_epoch, one.health, one.missed, one.installed, one.deployed) for host, one in group.members.items()},
    }
    if group.deployment is not None:
        told |= deployment_rows(group.deployment)
    if group.newcomers is not None:
        told["newcomers"] = deployment_rows(group.newcomers)
    if group.waiting:
        told["waiting"] = [deployment_rows(one) for one in group.waiting]
    return told


def deployment_rows(deployment: Deployment) -> dict[str, object]:
    """Everything that is stored of a deployment, in a form that can be compared."""
    left_out = (*NOT_STORED, "targets", "clock")
    told: dict[str, object] = {one.name: getattr(deployment, one.name) for one in fields(deployment) if one.name not in left_out}
    told["progress"] = replace(deployment.progress, waits_until=None)  # told anew after a start
    told["targets"] = [{one.name: getattr(target, one.name) for one in fields(target)} for target in deployment.targets.values()]
    return told
