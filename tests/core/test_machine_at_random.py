"""Random facts in random order, against an independent account of what may be.

The oracle knows hosts by what was reported of them and by the orders it has seen; it never looks at the machine's counters.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.core.facts import (
    ApprovalGiven,
    EpochSeen,
    GroupFact,
    HoldingSeen,
    HostLost,
    HostReturned,
    JournalLost,
    StopRequested,
    Woken,
)
from coordinator.core.lifecycle import IN_PLACE, EventStatus, InstructionStatus, LifecycleEvent, TargetStatus
from coordinator.core.machine import restore, step
from coordinator.core.model import (
    AlarmStatus,
    AutoRollbackEvent,
    Canaries,
    Creator,
    Deployment,
    DeploymentId,
    Gate,
    Group,
    HostId,
    InstanceHealth,
    OfflineAction,
    OfflinePolicy,
    Pause,
    RevisionId,
    Shape,
    Step,
    Waiting,
    ZonalConfig,
)
from coordinator.core.orders import Changes, Instruct, Order, Settled
from coordinator.core.stages.pauses import held
from tests.core.rollout import GROUP, Rollout, count, deployment_rows, host_id, rows, stored

HOSTS = [f"h{number}" for number in range(8)]
HOST_IDS = [host_id(name) for name in HOSTS]
ENDED = (EventStatus.Succeeded, EventStatus.Failed)
policies = st.builds(
    OfflinePolicy,
    action=st.sampled_from(OfflineAction),
    wait=st.sampled_from([60_000, 300_000, 900_000]),
    budget=st.sampled_from([None, 0, 1, 2]),
)


pauses = st.builds(
    Pause,
    bake=st.sampled_from([0, 0, 30_000]),
    gate=st.sampled_from([None, None, Gate(approvers=("eve",), timeout=900_000), Gate(timeout=900_000)]),
)
steps = st.lists(st.builds(Step, value=st.integers(1, 4), pause=pauses), unique_by=lambda one: one.value, max_size=3)
shapes = st.one_of(
    st.just(Shape()),
    st.builds(
        Shape,
        canaries=st.one_of(st.none(), st.builds(Canaries, hosts=st.just(("h0", "h3")), pause=pauses)),
        steps=steps.map(lambda found: tuple(sorted(found, key=lambda one: one.value))),
    ),
    st.builds(
        Shape, zonal=st.builds(ZonalConfig, first_monitor=st.sampled_from([0, 30_000]), minimum=st.sampled_from([count(0), count(1)]))
    ),
)
ZONES = {name: "ab"[number % 2] for number, name in enumerate(HOSTS[:6])}


class Account:
    """What a live deployment may do."""

    def __init__(self, hosts: set[HostId], minimum: int, serving: set[HostId], alarms: Sequence[str] = (), *, blind: bool = False) -> None:
        """It is about to begin; `serving`: those of its hosts that are healthy and in nobody's hands."""
        self.hosts, self.minimum = hosts, minimum
        self.busy: set[HostId] = set()
        self.healthy_at_creation = len(serving)
        self.unseen = set(alarms)
        """Its alarms that are not known to be OK."""
        self.blind = blind
        """It goes on when nobody sees its alarms for a minute."""
        self.paused = False
        """Nothing new may begin."""
        self.zonal = 0
        """So many hosts of each zone of more than one must stay healthy, or as many as did at creation."""
        self.zone_healthy = {zone: len(serving & self.zone(zone)) for zone in ("a", "b", "")}

    def zone(self, zone: str) -> set[HostId]:
        """Its hosts of a zone."""
        return {host_id(name) for name in HOSTS if ZONES.get(name, "") == zone} & self.hosts


class Oracle:
    """What everybody can see from outside: facts go in, orders come out."""

    def __init__(self) -> None:
        """Nothing was ever deployed."""
        self.healthy: set[HostId] = set()
        self.lost: set[HostId] = set()
        self.asked = Account(set(), 0, set())
        """Of the deployment that somebody has asked for, and of its rollback."""
        self.newcomers = Account(set(), 0, set())
        """Of the one that brings newcomers up to date."""

    @property
    def busy(self) -> set[HostId]:
        """Hosts in anybody's hands."""
        return self.asked.busy | self.newcomers.busy

    def account(self, hosts: set[HostId], minimum: int, alarms: Sequence[str] = (), *, blind: bool = False) -> Account:
        """A deployment is about to begin."""
        return Account(hosts, minimum, (self.healthy & hosts) - self.lost - self.busy, alarms, blind=blind)

    def obey(self, orders: Sequence[Order], asked: Deployment | None) -> None:
        """Orders, one by one: each must be allowed at the moment at which it is given. `asked`: what is live once all are given."""
        for order in orders:
            if isinstance(order, Settled):
                self.asked.busy.discard(order.host_id)
                self.newcomers.busy.discard(order.host_id)
            elif isinstance(order, Instruct):
                host, plan = order.instruction.host_id, order.instruction.plan
                assert host not in self.busy, f"{host} is instructed twice"
                by_itself = plan.creator is Creator.CodeDeployAutoUpdate
                assert not by_itself or asked is None or host not in asked.members, f"{host} belongs to two deployments"
                self._begin(self.newcomers if by_itself else self.asked, host, back=asked if plan.rolls_back else None)

    def _begin(self, mine: Account, host: HostId, *, back: Deployment | None) -> None:
        assert not mine.paused or back, f"{host} begins while everything is paused"
        assert mine.blind or not mine.unseen or back, f"{host} begins while nobody sees {mine.unseen}"
        if back and not mine.busy:
            mine.hosts |= back.members  # also those that came since
            mine.healthy_at_creation = max(0, min(mine.healthy_at_creation, len((self.healthy & mine.hosts) - self.lost)))
        mine.busy.add(host)
        window = max(1, len(mine.hosts) - mine.minimum)
        assert len(mine.busy) <= window, f"{len(mine.busy)} hosts are in progress, {window} may be"
        serving = (self.healthy & mine.hosts) - self.lost - self.busy
        costs = host in self.healthy and host not in self.lost and len(mine.hosts) > 1
        assert not costs or len(serving) >= min(mine.minimum, mine.healthy_at_creation), "too few hosts stay healthy"
        zone = ZONES.get(host.removeprefix("id-of-"), "")
        near = mine.zone(zone)
        zonal = 0 if back or len(near) == 1 else mine.zonal
        assert not costs or len(serving & near) >= min(zonal, mine.zone_healthy[zone]), "too few hosts of a zone stay healthy"


class Deployments(RuleBasedStateMachine):
    """One group, eight hosts, and everything that can happen to them."""

    def __init__(self) -> None:
        """Before the first deployment."""
        super().__init__()
        self.rollout = Rollout()
        self.oracle = Oracle()
        self.seen: dict[tuple[DeploymentId, HostId], tuple[int, TargetStatus, bool]] = {}
        """Attempt and status of each target when somebody last looked, and whether that attempt had begun."""

    @initialize(healthy=st.sets(st.sampled_from(HOSTS)))
    def some_hosts_are_healthy(self, healthy: set[str]) -> None:
        """The group's past."""
        self.rollout.given(sorted(healthy))
        self.oracle.healthy = {host_id(name) for name in healthy}

    @precondition(lambda self: self.rollout.group.deployment is None)
    @rule(
        names=st.sets(st.sampled_from(HOSTS), min_size=1),
        minimum=st.integers(0, 8),
        events=st.sets(st.sampled_from(AutoRollbackEvent)),
        part=st.sampled_from(["all", "all", "outdated", "named", "approved", "anew"]),
        alarms=st.sampled_from([(), (), ("A",), ("A", "B")]),
        blind=st.booleans(),
        bake=st.sampled_from([0, 0, 30_000]),
        watch=st.sampled_from([0, 0, 90_000]),
        offline=policies,
        shape=shapes,
    )
    def deploy(
        self,
        names: set[str],
        minimum: int,
        events: set[AutoRollbackEvent],
        part: str,
        alarms: tuple[str, ...],
        blind: bool,
        bake: int,
        watch: int,
        offline: OfflinePolicy,
        shape: Shape,
    ) -> None:
        """Somebody deploys to a group, or to a part of it."""
        lost = [name for name in names if host_id(name) in self.oracle.lost]
        if len(names) > 1:
            minimum = min(minimum, len(names) - 1)
        brought = self.rollout.group.newcomers
        hosts = {host for host in map(host_id, names) if brought is None or not brought.awaits(host)}
        self.oracle.asked = self.oracle.account(hosts, minimum, alarms, blind=blind)
        revision = f"r{len(self.rollout.ended) % 3}"
        self.oracle.asked.zonal = shape.zonal.minimum.value if shape.zonal is not None else 0
        only = sorted(names)[::2] if part == "named" else None
        outdated, approval, anew = part == "outdated", part == "approved", part == "anew"
        if anew:
            last = self.rollout.group.last_successful
            assert last is not None
            revision = last.revision.revision_id
        self.rollout.deploy(
            revision,
            sorted(names),
            count(minimum),
            events=events,
            lost=lost,
            only=only,
            outdated=outdated,
            approval=approval,
            anew=anew,
            alarms=alarms,
            blind=blind,
            bake=bake,
            watch=watch,
            offline=offline,
            shape=shape,
            zones=ZONES,
        )
        self._obey()

    @precondition(lambda self: self.rollout.group.newcomers is None)
    @rule(names=st.sets(st.sampled_from(HOSTS), min_size=1), minimum=st.integers(0, 8))
    def bring_newcomers(self, names: set[str], minimum: int) -> None:
        """It is found that hosts lack what succeeded last; perhaps while something is deployed."""
        last, live = self.rollout.group.last_successful, self.rollout.group.deployment
        assert last is not None
        lost = [name for name in names if host_id(name) in self.oracle.lost]
        minimum = min(minimum, len(names) - 1)
        hosts = {host for host in map(host_id, names) if live is None or host not in live.members}
        self.oracle.newcomers = self.oracle.account(hosts, minimum)
        self.rollout.bring_newcomers(last.revision.revision_id, sorted(names), count(minimum), lost=lost)
        self._obey()

    @precondition(lambda self: self.rollout.group.newcomers is not None)
    @rule()
    def stop_newcomers(self) -> None:
        """Somebody stops that."""
        live = self.rollout.group.newcomers
        assert live is not None
        self._let(lambda: self.rollout.stop(live.deployment_id))

    @precondition(lambda self: bool(self._busy()))
    @rule(pick=st.integers(0, 7), until=st.sampled_from(IN_PLACE), last=st.sampled_from([EventStatus.InProgress, *ENDED]))
    def report(self, pick: int, until: LifecycleEvent, last: EventStatus) -> None:
        """A busy host reports up to some event."""
        self._walk(self._busy_host(pick), until, last)

    @precondition(lambda self: bool(self._busy()))
    @rule(pick=st.integers(0, 7))
    def succeed(self, pick: int) -> None:
        """A busy host finishes well."""
        self._walk(self._busy_host(pick), IN_PLACE[-1], EventStatus.Succeeded)

    @precondition(lambda self: bool(self._busy()))
    @rule(
        pick=st.integers(0, 7), status=st.sampled_from([InstructionStatus.Waiting, InstructionStatus.Refused, InstructionStatus.Cancelled])
    )
    def report_of_the_whole(self, pick: int, status: InstructionStatus) -> None:
        """A busy host waits, refuses, or was cancelled."""
        name = self._busy_host(pick)
        target = self.rollout.target(name)
        skipped = bool(target.cancelled) and target.event is None
        if status is not InstructionStatus.Waiting and not skipped:
            self.oracle.healthy.discard(host_id(name))
        self.rollout.report(name, self.rollout.whole(name, status))
        self._obey()

    @precondition(lambda self: self.rollout.group.live)
    @rule(name=st.sampled_from(HOSTS))
    def strange_report(self, name: str) -> None:
        """A host reports of an instruction that ended, or was never given."""
        before = len(self.rollout.history)
        if host_id(name) not in self.oracle.busy:
            self.rollout.report(name, self.rollout.event(name, LifecycleEvent.ValidateService, EventStatus.Succeeded))
            assert len(self.rollout.history) == before

    @precondition(lambda self: self.rollout.group.deployment is not None or self.rollout.group.watched is not None)
    @rule(name=st.sampled_from("AB"), status=st.sampled_from([AlarmStatus.OK, *AlarmStatus]))
    def see(self, name: str, status: AlarmStatus) -> None:
        """Somebody has looked at an alarm."""
        self._see(name, status)

    @rule(name=st.sampled_from(HOSTS))
    def lose(self, name: str) -> None:
        """A host falls silent."""
        self.oracle.lost |= {host_id(name)} & set(self.rollout.group.members)
        self._let(lambda: self.rollout.lose(name))

    @rule(name=st.sampled_from(HOSTS))
    def welcome_back(self, name: str) -> None:
        """It returns."""
        self.oracle.lost.discard(host_id(name))
        self._let(lambda: self.rollout.welcome_back(name))

    @rule(name=st.sampled_from(HOSTS))
    def lose_journal(self, name: str) -> None:
        """It returns with another journal."""
        if host_id(name) in self.oracle.busy:
            self.oracle.healthy.discard(host_id(name))
        self._let(lambda: self.rollout.lose_journal(name))

    @rule(name=st.sampled_from(HOSTS), epoch=st.integers(1, 30))
    def see_epoch(self, name: str, epoch: int) -> None:
        """It knows a fence."""
        self._let(lambda: self.rollout.see_epoch(name, epoch))

    @precondition(lambda self: self.rollout.group.live)
    @rule(roll_back=st.sampled_from([None, True, False]))
    def stop(self, roll_back: bool | None) -> None:
        """Somebody stops the deployment, and may say whether it is to be rolled back."""
        self._let(lambda: self.rollout.stop(roll_back=roll_back))

    @precondition(lambda self: self.rollout.group.live)
    @rule(by=st.sampled_from(["ann", "eve"]))
    def approve(self, by: str) -> None:
        """Somebody approves it: perhaps who made it, or once more."""
        self._let(lambda: self.rollout.approve(by))

    @precondition(lambda self: self.rollout.group.live)
    @rule(on=st.booleans())
    def pause(self, on: bool) -> None:
        """Somebody pauses it, or resumes it; perhaps once more."""
        live = self.rollout.deployment
        by_itself = live.plan.creator is Creator.CodeDeployAutoUpdate
        (self.oracle.newcomers if by_itself else self.oracle.asked).paused = on and live.stopping is None
        self._let(self.rollout.pause if on else self.rollout.resume)

    @precondition(lambda self: self.rollout.group.live)
    @rule(by=st.sampled_from(["ann", "eve"]), past_gate=st.booleans())
    def promote(self, by: str, past_gate: bool) -> None:
        """Somebody cuts a bake short, and perhaps passes the gate after it."""
        self._let(lambda: self.rollout.promote(by, past_gate=past_gate))

    @precondition(lambda self: self.rollout.group.live)
    @rule(names=st.sets(st.sampled_from(HOSTS), max_size=2))
    def retry(self, names: set[str]) -> None:
        """Somebody has hosts tried again: any, or all that have failed."""
        self._let(lambda: self.rollout.retry(*sorted(names)))

    @precondition(lambda self: self.rollout.group.live)
    @rule(names=st.sets(st.sampled_from(HOSTS), min_size=1, max_size=2))
    def skip(self, names: set[str]) -> None:
        """Somebody leaves hosts out."""
        self._let(lambda: self.rollout.skip(*sorted(names)))

    @invariant()
    def nobody_begins_before_a_second_person_has_agreed(self) -> None:
        """Unless the history went back: who has an instruction has it."""
        live = self.rollout.group.deployment
        if live is not None and live.plan.require_approval and not live.approved_by and not self.rollout.went_back:
            assert all(one.started_at is None for one in live.targets.values())
        assert live is None or live.approved_by != live.plan.created_by

    @rule(seconds=st.sampled_from([1, 9, 10, 60, 290, 300]))
    def wait(self, seconds: int) -> None:
        """Time passes; deadlines do."""
        self._let(lambda: self.rollout.wait(seconds * 1000))

    @precondition(lambda self: self.rollout.group.live)
    @rule()
    def restart(self) -> None:
        """The coordinator dies; what it reads back is what it had."""
        running = self.rollout.group
        self.oracle.asked.unseen = {one.name for one in running.deployment.plan.alarms} if running.deployment is not None else set()
        before = running.live
        self._let(self.rollout.restart)
        back = self.rollout.group
        over = any(isinstance(order, Settled) for order in self.rollout.orders)  # who is lost is waited for until the next look at it
        assert before
        if [one.deployment_id for one in back.live] == [one.deployment_id for one in before] and not over:
            assert [one.counts for one in back.live] == [one.counts for one in running.live]
            assert [list(one.targets) for one in back.live] == [list(one.targets) for one in running.live]
            assert [one.available for one in back.live] == [one.available for one in running.live]
            assert rows(back) == rows(running)

    @invariant()
    def statuses_only_move_forward(self) -> None:
        """And what has ended stays as it ended, until it is tried again: a host that never began has its first attempt before it still."""
        for deployment in [*self.rollout.ended, *self.rollout.group.live]:
            for host, target in deployment.targets.items():
                attempt, before, began = self.seen.get((deployment.deployment_id, host), (1, TargetStatus.Pending, False))
                again = target.attempt > attempt or (before.terminal and not began)
                assert target.attempt >= attempt
                assert again or target.status == before or (target.status > before and not before.terminal)
                self.seen[deployment.deployment_id, host] = target.attempt, target.status, target.started_at is not None

    @invariant()
    def whoever_is_in_progress_was_instructed_and_is_not_settled(self) -> None:
        """The engine's account of who is busy is the group's."""
        asked, newcomers = self.rollout.group.deployment, self.rollout.group.newcomers
        assert {host for host in HOST_IDS if asked is not None and asked.is_at(host)} == self.oracle.asked.busy
        assert {host for host in HOST_IDS if newcomers is not None and newcomers.is_at(host)} == self.oracle.newcomers.busy

    @invariant()
    def a_restart_goes_to_those_that_have_it_and_leaves_them_what_they_have(self) -> None:
        """And the revision that succeeded last stays what it was, though newcomers may get it meanwhile."""
        live, group = self.rollout.group.deployment, self.rollout.group
        if live is not None and live.plan.restarts and not self.rollout.went_back:
            assert {group.members[one].installed for one in live.targets} == {live.plan.revision.revision_id}
            assert group.last_successful is not None
            assert live.plan.last_successful is not None
            assert group.last_successful.revision == live.plan.last_successful.revision
        assert all(one.rollback_deployment_id is None for one in self.rollout.ended if one.plan.restarts)

    @invariant()
    def health_is_what_was_seen(self) -> None:
        """Of every member."""
        members = self.rollout.group.members.values()
        assert {one.host_id for one in members if one.health is InstanceHealth.Healthy} == self.oracle.healthy

    def teardown(self) -> None:
        """Once every host has answered, or is lost for good, everything has ended."""
        for turn in range(150):
            if not self.rollout.group.live:
                break
            if self.rollout.deployment.progress.paused is not None and self.rollout.deployment.stopping is None:
                self.pause(on=False)
                continue
            if self._asks_for_a_word():
                self.approve("eve")
                continue
            for name in "AB":
                self._see(name, AlarmStatus.OK)
            if not self._busy():
                self.wait(30)
                continue
            name = self._busy_host(turn)
            if host_id(name) in self.oracle.lost:
                self.wait(300)
            else:
                self._walk(name, IN_PLACE[-1], ENDED[turn % 3 == 0])
            self.statuses_only_move_forward()
        assert not self.rollout.group.live, "the deployment does not end"
        assert not self.oracle.busy

    def _asks_for_a_word(self) -> bool:
        live = self.rollout.deployment
        hold = held(live.plan, live.progress, live.clock)
        return live.waits_for_approval or (hold is not None and hold.waiting is Waiting.Gate and live.stopping is None)

    def _see(self, name: str, status: AlarmStatus) -> None:
        live = self.rollout.group.deployment
        if live is not None and name in {one.name for one in live.plan.alarms}:
            unseen = self.oracle.asked.unseen
            (unseen.discard if status is AlarmStatus.OK else unseen.add)(name)
        self._let(lambda: self.rollout.see(name, status))

    def _busy_host(self, pick: int) -> str:
        names = self._busy()
        return names[pick % len(names)]

    def _busy(self) -> list[str]:
        return [name for name in HOSTS if self.rollout.group.at_work_on(host_id(name)) is not None]

    def _obey(self) -> None:
        self.oracle.obey(self.rollout.orders, self.rollout.group.deployment)

    def _walk(self, name: str, until: LifecycleEvent, last: EventStatus) -> None:
        target, until = self.rollout.target(name), self.rollout.planned(until)
        reached = target.event or 0
        if last is EventStatus.Failed and (until > reached or (until == reached and target.event_status < last)):
            self.oracle.healthy.discard(host_id(name))
        if last is EventStatus.Succeeded and until is IN_PLACE[-1]:
            self.oracle.healthy.add(host_id(name))
        self.rollout.report(name, *self.rollout.walk(name, until=until, last=last))
        self._obey()

    def _let(self, happen: Callable[[], object]) -> None:
        """Something happens that may end targets without a report: those hosts are unhealthy from now on."""
        live, ended = self.rollout.group.live, len(self.rollout.ended)
        before = {one.deployment_id: set(filter(one.awaits, one.targets)) for one in live}
        happen()
        for deployment in [*live, *self.rollout.group.live, *self.rollout.ended[ended:]]:
            given_up = (TargetStatus.Failed, TargetStatus.Unknown)
            gone = {host for host, one in deployment.targets.items() if one.status in given_up and one.started_at is not None}
            self.oracle.healthy -= gone & before.get(deployment.deployment_id, gone)
        self._obey()


TestDeployments = Deployments.TestCase
TestDeployments.settings = settings(max_examples=400, stateful_step_count=40)


# ------------------------------------------------------------------------------------------- one by one, or all in one commit


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rollout, list[GroupFact]]:
    """A group with a deployment that has just begun, and what happens next."""
    rollout = Rollout()
    names = HOSTS[: draw(st.integers(1, 6))]
    rollout.given(draw(st.lists(st.sampled_from(names), unique=True)))
    minimum = draw(st.integers(0, max(0, len(names) - 1)))
    events, ignore, approval = draw(st.sets(st.sampled_from(AutoRollbackEvent))), draw(st.booleans()), draw(st.booleans())
    rollout.deploy("r2", names, count(minimum), events=events, ignore=ignore, approval=approval, offline=draw(policies))
    facts: list[GroupFact] = []
    for _ in range(draw(st.integers(1, 25))):
        rollout.elapsed += draw(st.sampled_from([0, 1, 5_000, 100_000, 300_000]))
        facts.append(_fact(draw, rollout, draw(st.sampled_from(names))))
    return rollout, facts


def _fact(draw: st.DrawFn, rollout: Rollout, name: str) -> GroupFact:
    at, elapsed, host = rollout.at, rollout.elapsed, host_id(name)
    of = DeploymentId(draw(st.sampled_from(["d-1", "d-1", "d-1-back"])))
    event = draw(st.sampled_from([*IN_PLACE, *[IN_PLACE[-1]] * 7]))
    report = rollout.event(name, event, draw(st.sampled_from([EventStatus.InProgress, *ENDED, *[EventStatus.Succeeded] * 2])), of=of)
    deployed = RevisionId(draw(st.sampled_from(["r1", "r2"])))
    happens: list[GroupFact] = [
        rollout.reported(name, report),
        rollout.reported(name, report),
        rollout.reported(name, report),
        HostLost(at=at, elapsed=elapsed, host_id=host),
        HostReturned(at=at, elapsed=elapsed, host_id=host),
        JournalLost(at=at, elapsed=elapsed, host_id=host),
        EpochSeen(at=at, elapsed=elapsed, host_id=host, target_epoch=7, deployment_id=of),
        HoldingSeen(at=at, elapsed=elapsed, host_id=host, installed=RevisionId("r2"), deployed=deployed),
        ApprovalGiven(at=at, elapsed=elapsed, deployment_id=of, approved_by=draw(st.sampled_from(["ann", "eve"])), reason=""),
        StopRequested(
            at=at,
            elapsed=elapsed,
            deployment_id=of,
            requested_by="bob",
            reason="",
            auto_rollback_enabled=draw(st.sampled_from([None, True, False])),
        ),
        Woken(at=at, elapsed=elapsed),
    ]
    return draw(st.sampled_from(happens))


@pytest.mark.slow
@given(world=worlds(), sizes=st.lists(st.integers(1, 6), min_size=25, max_size=25))
@settings(max_examples=300)
def test_how_facts_are_put_together_into_commits_changes_no_row(world: tuple[Rollout, list[GroupFact]], sizes: list[int]) -> None:
    rollout, facts = world
    alone, together = rollout.group, deepcopy(rollout.group)
    one_by_one, at_once = Ledger(alone), Ledger(together)
    for fact in facts:
        one_by_one.commit([fact])
    left = list(facts)
    for size in sizes:
        at_once.commit(left[:size])
        left = left[size:]
    assert at_once.told == one_by_one.told
    assert rows(together) == rows(alone)
    assert at_once.rows() == one_by_one.rows()


class Ledger:
    """What a store holds after each commit: the newest row of everything."""

    def __init__(self, group: Group) -> None:
        """Of one group."""
        self.group = group
        self.deployments: dict[DeploymentId, Deployment] = {}
        if group.deployment is not None:
            self.deployments[group.deployment.deployment_id] = group.deployment
        self.events: dict[tuple[HostId, DeploymentId, LifecycleEvent, int], tuple[EventStatus, int | None]] = {}
        self.told: list[object] = []

    def commit(self, facts: Sequence[GroupFact]) -> None:
        """Step, and store."""
        changes = Changes()
        self.told += [order for order in step(self.group, facts, changes) if isinstance(order, (Instruct, Settled))]
        self.deployments |= changes.deployments
        for (target, event, attempt), change in changes.events.items():
            self.events[target.host_id, target.deployment_id, event, attempt] = (change.status, change.ended_at)

    def rows(self) -> object:
        """Everything, in a form that can be compared."""
        return {key: deployment_rows(one) for key, one in self.deployments.items()}, self.events


@pytest.mark.slow
@given(world=worlds())
@settings(max_examples=200)
def test_every_changed_row_is_stored(world: tuple[Rollout, list[GroupFact]]) -> None:
    rollout, facts = world
    group = rollout.group
    for fact in facts:
        before = _rows_by_key(stored(group))
        changes = Changes()
        step(group, [fact], changes)
        after = _rows_by_key(stored(group))
        changed = {key for key, row in after.items() if before.get(key) != row}
        kept: set[object] = {("target", one.deployment_id, one.host_id) for one in changes.targets}
        kept |= {("target", one.deployment_id, host) for one in changes.created.values() for host in one.targets}
        kept |= {("deployment", one) for one in changes.deployments}
        kept |= {("member", host) for _, host in changes.members}
        kept |= {("holding", host) for _, host in changes.holdings}
        kept |= {("group",)} if GROUP in changes.groups else set()
        assert changed <= kept, f"changed and not stored: {changed - kept}"


def _rows_by_key(group: Group) -> dict[object, object]:
    told: dict[object, object] = {("group",): group.last_successful}
    told |= {("member", host): (one.health, one.target_epoch, one.missed) for host, one in group.members.items()}
    told |= {("holding", host): (one.installed, one.deployed) for host, one in group.members.items()}
    if group.deployment is not None:
        row = deployment_rows(group.deployment)
        targets = row.pop("targets")
        assert isinstance(targets, list)
        told["deployment", group.deployment.deployment_id] = (row, group.deployment.clock)
        told |= {("target", one["deployment_id"], one["host_id"]): one for one in targets}
    return told


@pytest.mark.slow
@given(world=worlds(), cut=st.integers(0, 25))
@settings(max_examples=200)
def test_a_coordinator_that_dies_and_returns_decides_as_one_that_never_did(world: tuple[Rollout, list[GroupFact]], cut: int) -> None:
    rollout, facts = world
    running = rollout.group
    step(running, facts[:cut], Changes())
    lost = {one.host_id for one in running.members.values() if one.lost}
    if running.deployment is not None:
        running.deployment.checkpoint = running.deployment.clock  # so that neither has forgotten anything
    back = stored(running)
    restore(back, lost, facts[cut - 1].elapsed if 0 < cut <= len(facts) else running.deployment.clock_at if running.deployment else 0)
    for fact in facts[cut:]:
        went_on, returned = (_by_host(step(group, [fact], Changes())) for group in (running, back))
        assert went_on == returned
        assert rows(running) == rows(back)


def _by_host(orders: Sequence[Order]) -> list[str]:
    """Deadlines of the same millisecond may be carried out in any order."""
    return sorted(str(order) for order in orders if isinstance(order, (Instruct, Settled)))
