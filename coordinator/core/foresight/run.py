"""Runs one deployment of a group before anybody makes it: the production `step`, hosts that are made up, and a clock that jumps from one
thing to the next.

    request → step → orders → hosts that are instructed walk → their reports, what goes wrong, Woken → step → ... → it has ended

What a person would have to do (an approval, a gate) is done at once, and said. The group is the caller's own copy, and is changed.
Nothing is decided here: only what happens to the hosts.
"""

from dataclasses import replace
from heapq import heappop, heappush
from typing import Final, NamedTuple, assert_never

from coordinator.core.deployment import rollback
from coordinator.core.evidence.analysis import SIGN
from coordinator.core.facts import (
    AlarmSeen,
    ApprovalGiven,
    DeploymentRequested,
    GroupFact,
    HostLost,
    HostReturned,
    Report,
    Reported,
    StopRequested,
    Woken,
)
from coordinator.core.foresight.story import Story
from coordinator.core.foresight.walk import Walk
from coordinator.core.foresight.world import World
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.machine import outstanding, step
from coordinator.core.model import Alarm, AlarmStatus, Deployment, Group, HostId, Measurement, Plan, Waiting
from coordinator.core.orders import (
    Answer,
    CallUp,
    Changes,
    Entry,
    HistoryEntry,
    Instruct,
    Instruction,
    Order,
    SendCancel,
    Settled,
    WakeAt,
    WatchAlarms,
)
from coordinator.core.stages import gates, pauses

FACTS: Final = 500_000
"""So many facts are looked at, which is more than a rollout to 10,000 hosts and its rollback take. Nobody looks further."""

SOMEBODY: Final = "somebody else"
"""Who approves and promotes in what is foreseen."""


class EventEnds(NamedTuple):
    """The running event of a host ends."""

    walk: Walk
    instruction: Instruction


class FallsSilent(NamedTuple):
    """A host is lost: the coordinator has noticed that it is silent."""

    host_id: HostId


class ComesBack(NamedTuple):
    """A lost host returns."""

    host_id: HostId


class Fires(NamedTuple):
    """An alarm becomes active."""

    alarm_name: str


class Stops(NamedTuple):
    """Somebody stops the deployment."""


Happening = EventEnds | FallsSilent | ComesBack | Fires | Stops | GroupFact


class Run:
    """One deployment, from the call that makes it to its end or its rollback's."""

    def __init__(self, group: Group, fact: DeploymentRequested, world: World) -> None:
        """`group` as the store has it, restored at 0; `fact` as CreateDeployment would make it."""
        self.story = Story()
        self.rollback: Plan | str | None = None
        """What a rollback would do once the first host has begun, or why there could be none; None when no host begins."""
        self._group = group
        self._world = world
        self._plan = fact.plan
        self._agenda: list[tuple[int, int, Happening]] = []
        self._numbers = 0
        self._wake: int | None = None
        self._walks: dict[HostId, Walk] = {}
        self._active: set[str] = set()
        """Alarms that have fired."""
        self._now = 0
        for host_id, when in world.lost.items():
            if when is not None:
                self._plan_for(when, FallsSilent(host_id))
        for name, when in world.alarms.items():
            self._plan_for(when, Fires(name))
        if world.stop_at is not None:
            self._plan_for(world.stop_at, Stops())
        self._step(replace(fact, at=self._at, elapsed=0, request=None))
        if not self.story.healthy:  # it ends in the instant in which it begins
            members = (group.members[host_id] for one in self.story.deployments for host_id in one.members)
            self.story.count(0, sum(1 for one in members if one.serves))

    def go_on(self, facts: int) -> bool:
        """Let so many things happen; whether there is more to see."""
        for _ in range(facts):
            if self._ended or self.story.facts >= FACTS:
                break
            self._take(self._next())
        if self._ended:
            self.story.ended_at = max((one.completed_at or 0) for one in self.story.deployments) - self._plan.created_at
        return not self._ended and self.story.facts < FACTS

    @property
    def _ended(self) -> bool:
        """Whether nothing is live, and nothing that has succeeded is watched any more."""
        return self._group.deployment is None and self._group.watched is None

    @property
    def _at(self) -> int:
        return self._plan.created_at + self._now

    def _plan_for(self, when: int, what: Happening) -> None:
        self._numbers += 1
        heappush(self._agenda, (when, self._numbers, what))

    def _next(self) -> Happening:
        due = self._agenda[0][0] if self._agenda else None
        if self._wake is not None and (due is None or self._wake < due):
            self._now, self._wake = max(self._now, self._wake), None
            return Woken(at=self._at, elapsed=self._now)
        assert self._agenda, "a live deployment waits for nothing"
        when, _, what = heappop(self._agenda)
        self._now = max(self._now, when)
        return what

    def _take(self, what: Happening) -> None:
        self.story.facts += 1
        match what:
            case EventEnds(walk, instruction):
                self._end_event(walk, instruction)
            case FallsSilent(host_id):
                self._lose(host_id)
            case ComesBack(host_id):
                self._bring_back(host_id)
            case Fires(name):
                self._active.add(name)
                self._see(name, AlarmStatus.ALARM)
            case Stops():
                live = self._group.deployment
                if live is not None and live.plan.rolls_back is None:
                    who = self._plan.created_by
                    stop = StopRequested(
                        at=self._at, elapsed=self._now, deployment_id=live.deployment_id, requested_by=who, reason="foreseen"
                    )
                    self._step(stop)
            case _:
                self._step(what)

    def _step(self, fact: GroupFact) -> None:
        changes, self._wake = Changes(), None
        orders = step(self._group, [fact], changes)
        self.story.deployments += changes.created.values()
        self.story.tell(changes.history)
        for order in orders:
            self._carry_out(order)
        live = self._group.deployment
        if live is not None:
            self.story.count(self._now, live.available)
            self._pass_gates(live)

    def _carry_out(self, order: Order) -> None:
        match order:
            case Instruct(instruction):
                self._instruct(instruction)
            case SendCancel(cancel):
                walk = self._walks.get(cancel.host_id)
                if walk is not None and walk.instruction.instruction_id == cancel.instruction_id:
                    walk.cancelled = cancel.reason
            case WakeAt(_, elapsed):
                self._wake = elapsed
            case WatchAlarms(_, alarms, _):
                self._watch(alarms)
            case Settled() | Answer() | CallUp():
                pass
            case _:
                assert_never(order)

    def _instruct(self, instruction: Instruction) -> None:
        """A host begins, if it is there."""
        group, host_id = self._group, instruction.host_id
        deployment, member = group.deployment, group.members[host_id]
        assert deployment is not None
        name = deployment.targets[host_id].host_name
        if member.serves and deployment.available < deployment.floor and len(deployment.members) > 1:
            self.story.floor_broken.append(name)
        if self.rollback is None:
            self.rollback = rollback.plan(deployment, self._at)
        stages, stage = deployment.plan.stages, deployment.targets[host_id].stage
        self.story.begin(self._now, deployment.deployment_id, name, stages[stage].name if stages else "")
        self._walks[host_id] = walk = Walk(instruction, self._world)
        walk.silent = member.lost
        if not walk.silent:
            self._begin(walk)

    def _begin(self, walk: Walk) -> None:
        self._plan_for(self._now, self._reported(walk, walk.begin(self._at)))
        self._plan_end(walk)

    def _plan_end(self, walk: Walk) -> None:
        """What comes next on a host: the end of its running event, or nothing more."""
        if walk.event is None:
            return
        takes = walk.takes
        if walk.is_lost_now:
            self._plan_for(self._now + takes // 2, FallsSilent(walk.host_id))
        self._plan_for(self._now + takes, EventEnds(walk, walk.instruction))

    def _end_event(self, walk: Walk, instruction: Instruction) -> None:
        if self._walks.get(walk.host_id) is walk and not walk.silent and walk.instruction is instruction:
            self._step(self._reported(walk, walk.go_on(self._at)))
            self._plan_end(walk)

    def _lose(self, host_id: HostId) -> None:
        member = self._group.members.get(host_id)
        if member is None or member.lost:
            return
        if host_id in self._walks:
            self._walks[host_id].silent = True
        self.story.tell([HistoryEntry(self._at, Entry.HostLost, "foreseen", host_id=host_id)])
        self._step(HostLost(at=self._at, elapsed=self._now, host_id=host_id))
        if self._world.back_after is not None:
            self._plan_for(self._now + self._world.back_after, ComesBack(host_id))

    def _bring_back(self, host_id: HostId) -> None:
        """The host hears again what is outstanding for it; what ran there when it fell silent is interrupted."""
        self.story.tell([HistoryEntry(self._at, Entry.HostConnected, "foreseen", host_id=host_id, message="it had been lost")])
        self._step(HostReturned(at=self._at, elapsed=self._now, host_id=host_id))
        instruction, cancel = outstanding(self._group, host_id)
        walk = self._walks.get(host_id)
        if instruction is None or walk is None:
            return
        walk.silent = False
        walk.cancelled = "" if cancel is None else cancel.reason
        if walk.event is None:
            self._begin(walk)
        else:
            self._step(self._reported(walk, walk.interrupted(self._at)))

    def _reported(self, walk: Walk, reports: tuple[Report, ...]) -> Reported:
        return Reported(at=self._at, elapsed=self._now, host_id=walk.host_id, reports=reports)

    def _watch(self, alarms: tuple[Alarm | Measurement, ...]) -> None:
        """Alarms are quiet but for those that fire, and every measurement is a success."""
        for alarm in alarms:
            if isinstance(alarm, Measurement):
                self._measure(alarm)
                continue
            status = AlarmStatus.ALARM if alarm.name in self._active else AlarmStatus.OK
            self._plan_for(self._now, self._seen(alarm.name, status))

    def _measure(self, one: Measurement) -> None:
        live = self._group.deployment
        analysis = None if live is None else live.plan.pause_after(live.progress.stage).analysis
        if analysis is None:
            return
        metric = next(each for each in analysis.metrics if each.measurement.name == one.name.partition(SIGN)[2])
        for number in range(metric.count):
            at = self._now + analysis.initial_delay + number * one.interval
            self._plan_for(at, replace(self._seen(one.name, AlarmStatus.OK), elapsed=at))

    def _see(self, alarm_name: str, status: AlarmStatus) -> None:
        self._step(self._seen(alarm_name, status))

    def _seen(self, alarm_name: str, status: AlarmStatus) -> AlarmSeen:
        return AlarmSeen(
            at=self._at, elapsed=self._now, group_id=self._group.group_id, alarm_name=alarm_name, status=status, sample="foreseen"
        )

    def _pass_gates(self, live: Deployment) -> None:
        """Do at once what a person would have to do."""
        by, why, plan, stage = "", "", live.plan, live.progress.stage
        hold = pauses.due(live)
        if live.waits_for_approval and live.counts[TargetStatus.Pending] > 0:
            by, why = SOMEBODY, f"waits for approval by somebody other than {plan.created_by}"
        elif hold is not None and hold.waiting is Waiting.Gate:
            by, why = gates.somebody(plan, stage) or SOMEBODY, gates.awaited(plan, stage)
        if by and why not in self.story.gates:
            self.story.gates.append(why)
            given = ApprovalGiven(at=self._at, elapsed=self._now, deployment_id=live.deployment_id, approved_by=by, reason="foreseen")
            self._step(given)
