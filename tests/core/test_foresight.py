"""What is foreseen is what happens: a plan, against a rollout that somebody else drives; and the world in which things go wrong."""

from dataclasses import replace
from heapq import heappop, heappush

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from coordinator.core.facts import DeploymentRequested
from coordinator.core.foresight.durations import Durations, quantiles
from coordinator.core.foresight.run import Run
from coordinator.core.foresight.story import ENTRIES, Story
from coordinator.core.foresight.world import World
from coordinator.core.lifecycle import IN_PLACE, DeploymentStatus, EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    AlarmStatus,
    AutoRollbackEvent,
    Canaries,
    Gate,
    HostId,
    InstanceHealth,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Pause,
    Plan,
    RollbackConfig,
    Shape,
    Snapshot,
    Step,
    ZonalConfig,
)
from coordinator.core.orders import Entry, HistoryEntry, Instruct
from tests.core.rollout import HALF_AT_A_TIME, ONE_AT_A_TIME, Rollout, alarm, host_id, plan, stored

NAMES = [f"h{number:02}" for number in range(12)]
ZONES = dict(zip(NAMES, "baabbacaab", strict=False))
"""Of most of them."""
minimums = st.builds(MinimumHealthyHosts, type=st.sampled_from(MinimumHealthyHostsType), value=st.integers(0, 12))
policies = st.builds(
    OfflinePolicy, action=st.sampled_from(OfflineAction), wait=st.sampled_from([60_000, 900_000]), budget=st.sampled_from([None, 0, 2])
)
pauses = st.builds(Pause, bake=st.sampled_from([0, 20_000]), gate=st.sampled_from([None, Gate()]))
canaries = st.none() | st.builds(Canaries, hosts=st.just(("h00",)), pause=pauses)
steps = st.builds(
    lambda value, one, two: (Step(value=value, pause=one), Step(value=100, percent=True, pause=two)), st.integers(1, 3), pauses, pauses
)
zonal = st.builds(
    ZonalConfig,
    first_monitor=st.sampled_from([0, 20_000]),
    monitor=st.sampled_from([0, 5_000]),
    minimum=st.builds(MinimumHealthyHosts, type=st.just(MinimumHealthyHostsType.FLEET_PERCENT), value=st.sampled_from([0, 30, 60])),
)
shapes = st.just(Shape()) | st.builds(Shape, canaries=canaries, steps=steps) | st.builds(Shape, canaries=canaries, zonal=zonal)
backs = st.none() | st.builds(RollbackConfig, name=st.just("fast"), minimum_healthy_hosts=minimums)
lengths = st.lists(st.sampled_from([0, 1, 700, 5_000, 90_000]), min_size=len(IN_PLACE), max_size=len(IN_PLACE))


def wanted(rollout: Rollout, of: Plan, names: list[str], *, lost: set[str], only: set[str] | None = None) -> DeploymentRequested:
    first = of.shape.canaries.hosts if of.shape.canaries is not None else ()
    hosts = tuple(
        Snapshot(host_id=host_id(name), name=name, lost=name in lost, canary=name in first, zone=ZONES.get(name, "")) for name in names
    )
    chosen = None if only is None else frozenset(map(host_id, only))
    asked = replace(of, created_at=rollout.at, chosen=chosen)
    return DeploymentRequested(at=rollout.at, elapsed=rollout.elapsed, plan=asked, hosts=hosts)


def foreseen(rollout: Rollout, fact: DeploymentRequested, world: World) -> Run:
    """The rollout's group is left as it is."""
    run = Run(stored(rollout.group), fact, world)
    while run.go_on(7):
        pass
    return run


class Driver:
    """Hosts that walk their events, each of which takes its time, and report each of its ends by itself. Looks at nothing but orders."""

    def __init__(self, rollout: Rollout, takes: dict[LifecycleEvent, int], lost: set[str]) -> None:
        self.rollout, self.takes, self.lost = rollout, takes, lost
        self.start = rollout.elapsed
        self.begun: list[tuple[int, str, list[str]]] = []
        self.healthy: dict[int, int] = {}
        self.counted: list[int] = []
        self.ends: list[tuple[int, int, str, int]] = []
        self.many = 0

    def look(self) -> None:
        """Obey what was ordered last, and count who is healthy."""
        rollout, now = self.rollout, self.rollout.elapsed - self.start
        for order in rollout.orders:
            if isinstance(order, Instruct):
                name, stages = order.instruction.host_id.removeprefix("id-of-"), order.instruction.plan.stages
                stage = stages[rollout.target(name).stage].name if stages else ""
                if not self.begun or self.begun[-1][:2] != (now, stage):
                    self.begun.append((now, stage, []))
                self.begun[-1][2].append(name)
                if name not in self.lost:
                    self.many += 1
                    heappush(self.ends, (now + self.takes[IN_PLACE[0]], self.many, name, 0))
        rollout.orders = []
        if (live := rollout.group.deployment) is not None:
            busy = {one.host_id for one in live.targets.values() if one.status is TargetStatus.InProgress}
            members = [rollout.group.members[host] for host in live.members]
            count = sum(1 for one in members if one.health is InstanceHealth.Healthy and not one.lost and one.host_id not in busy)
            self.healthy[now] = count
            self.counted.append(count)
        elif not self.counted:
            self.healthy[now] = sum(1 for one in rollout.deployment.members if rollout.group.members[one].serves)
            self.counted.append(self.healthy[now])

    def timeline(self) -> list[tuple[int, int]]:
        """How many were healthy, at each instant at which that changed."""
        found = list(self.healthy.items())
        return [one for before, one in zip([(0, -1), *found], found, strict=False) if one[1] != before[1]]

    def run(self) -> int:
        """To the end; when that is."""
        rollout = self.rollout
        self.look()
        while rollout.group.deployment is not None:
            blind = [one.name for one in rollout.deployment.plan.alarms if rollout.deployment.sight.get(one.name) is not AlarmStatus.OK]
            if rollout.deployment.waits_for_approval or self.at_a_gate():
                rollout.approve("somebody else", reason="foreseen")
                self.look()
            elif blind:
                rollout.see(blind[0], AlarmStatus.OK, "foreseen")
                self.look()
            else:
                self.go_on()
        return rollout.elapsed - self.start

    def at_a_gate(self) -> bool:
        """Whether the history has told last of a gate that waits."""
        return self.rollout.history[-1].entry is Entry.GateAwaited

    def go_on(self) -> None:
        """The next event ends, or time passes."""
        rollout = self.rollout
        due = self.ends[0][0] + self.start if self.ends else None
        if due is None or (rollout.wake_at is not None and rollout.wake_at < due):
            assert rollout.wake_at is not None
            rollout.wait(max(0, rollout.wake_at - rollout.elapsed))
        else:
            rollout.elapsed = due
            _, _, name, index = heappop(self.ends)
            event = IN_PLACE[index]
            rollout.report(name, rollout.event(name, event, EventStatus.InProgress))
            rollout.report(name, rollout.event(name, event, EventStatus.Succeeded))
            if index + 1 < len(IN_PLACE):
                self.many += 1
                heappush(self.ends, (due - self.start + self.takes[IN_PLACE[index + 1]], self.many, name, index + 1))
        self.look()


def told(entries: list[HistoryEntry], start: int) -> list[tuple[int, str, str, HostId | None, str]]:
    """The history, but for the numbers of reports."""
    return [(one.at - start, one.entry, one.because.partition(" ")[0], one.host_id, one.message) for one in entries]


@pytest.mark.slow
@given(
    hosts=st.integers(1, len(NAMES)),
    healthy=st.sets(st.sampled_from(NAMES)),
    unhealthy=st.sets(st.sampled_from(NAMES)),
    lost=st.sets(st.sampled_from(NAMES), max_size=3),
    only=st.none() | st.sets(st.sampled_from(NAMES), min_size=1),
    minimum=minimums,
    offline=policies,
    took=lengths,
    more=st.fixed_dictionaries(
        {
            "outdated_only": st.booleans(),
            "require_approval": st.booleans(),
            "shape": shapes,
            "rollback_config": backs,
            "alarms": st.sampled_from([(), (alarm("A"),)]),
            "bake_time": st.sampled_from([0, 45_000]),
            "auto_rollback": st.frozensets(st.sampled_from(AutoRollbackEvent)),
        }
    ),
)
@settings(max_examples=300)
def test_a_plan_and_what_then_happens_agree(
    hosts: int,
    healthy: set[str],
    unhealthy: set[str],
    lost: set[str],
    only: set[str] | None,
    minimum: MinimumHealthyHosts,
    offline: OfflinePolicy,
    took: list[int],
    more: dict[str, object],
) -> None:
    rollout, names = Rollout(), NAMES[:hosts]
    rollout.given(sorted(healthy))
    rollout.given(sorted(unhealthy - healthy), health=InstanceHealth.Unhealthy)
    of = replace(plan("d-1", "r2", minimum), offline=offline, **more)  # type: ignore[arg-type]  # each is what its field wants
    fact = wanted(rollout, of, names, lost=lost, only=None if only is None else only & set(names) or None)
    takes = dict(zip(IN_PLACE, took, strict=True))
    durations = Durations(quantiles={event: quantiles([took]) for event, took in takes.items()})
    start = rollout.at
    before = stored(rollout.group)
    rollout.step([fact])
    if rollout.answer().error is not None:
        return
    happened = Driver(rollout, takes, lost)
    end = happened.run()
    rollout.group, happens = before, rollout
    run = foreseen(rollout, fact, World(durations=durations))
    story = run.story
    assert [(one.at, one.stage, one.hosts) for one in story.waves] == happened.begun
    assert told(story.entries, start) == told(happens.history, start)
    assert story.ended_at == end
    assert [one.status for one in story.deployments] == [one.status for one in happens.ended]
    assert not story.floor_broken
    assert [(one.at, one.hosts) for one in story.healthy] == happened.timeline()
    assert story.smallest == min(happened.counted)


def one_by_one(hosts: int, world: World, **more: object) -> Run:
    rollout = Rollout()
    rollout.given(NAMES[:hosts])
    of = replace(plan("d-1", "r2", ONE_AT_A_TIME), **more)  # type: ignore[arg-type]  # each is what its field wants
    return foreseen(rollout, wanted(rollout, of, NAMES[:hosts], lost=set()), world)


def statuses(story: Story) -> list[DeploymentStatus]:
    return [one.status for one in story.deployments]


ALL = frozenset(AutoRollbackEvent)
FAILED, STOPPED, SUCCEEDED = DeploymentStatus.Failed, DeploymentStatus.Stopped, DeploymentStatus.Succeeded


def test_a_host_that_fails_ends_a_deployment_one_at_a_time_and_its_rollback_succeeds() -> None:
    story = one_by_one(3, World(failing={host_id("h00"): LifecycleEvent.Install}), auto_rollback=ALL).story
    assert statuses(story) == [FAILED, SUCCEEDED]
    assert [one.hosts for one in story.waves] == [["h00"], ["h00"]]
    assert story.ended_at == 4 * 5_000 + 35_000


def test_a_host_that_is_lost_and_back_in_time_is_told_to_have_been_interrupted() -> None:
    story = one_by_one(2, World(lost={host_id("h00"): None}, back_after=60_000)).story
    assert statuses(story) == [FAILED]
    said = [(one.entry, one.message) for one in story.entries if one.host_id == host_id("h00")]
    assert [entry for entry, _ in said] == ["InProgress", "HostLost", "HostConnected", "Failed"]
    assert "foreseen to be interrupted" in said[-1][1]


def test_a_host_that_is_lost_for_good_is_given_up_and_the_floor_held() -> None:
    story = one_by_one(3, World(lost={host_id("h00"): None})).story
    assert statuses(story) == [FAILED]
    assert "h00 was lost" in next(one.message for one in story.entries if one.entry == "Unknown")
    assert (story.smallest, story.floor_broken) == (2, [])


def test_an_alarm_after_the_success_rolls_back_what_is_watched_still() -> None:
    world = World(alarms={"A": 200_000})
    story = one_by_one(3, world, alarms=(alarm("A"),), watch_after_success=600_000, auto_rollback=ALL).story
    assert statuses(story)[1] is SUCCEEDED
    assert [one.at for one in story.waves] == [0, 35_000, 70_000, 200_000, 235_000, 270_000]
    assert story.ended_at == 305_000


def test_an_alarm_after_all_has_ended_changes_nothing() -> None:
    assert statuses(one_by_one(3, World(alarms={"A": 10**9}), alarms=(alarm("A"),)).story) == [SUCCEEDED]


def test_a_stop_cancels_what_runs() -> None:
    story = one_by_one(3, World(stop_at=36_000), auto_rollback=ALL).story
    assert statuses(story) == [STOPPED, SUCCEEDED]
    assert [one.hosts for one in story.waves] == [["h00"], ["h01"], ["h01"], ["h00"]]


def test_chance_is_drawn_by_name() -> None:
    world = World(seed=3, failing_share=0.5)
    of = plan("d-1", "r2", HALF_AT_A_TIME)
    fails = {name: world.fails_at(of, host_id(name)) for name in NAMES}
    assert {name: world.fails_at(of, host_id(name)) for name in reversed(NAMES)} == fails
    assert 0 < sum(1 for event in fails.values() if event is not None) < len(NAMES)
    assert {name: World(seed=4, failing_share=0.5).fails_at(of, host_id(name)) for name in NAMES} != fails
    assert all(0 <= World(seed=seed).chance("x") < 1 for seed in range(100))


def test_a_story_keeps_what_concerns_the_deployment() -> None:
    rollout, names = Rollout(), [f"h{number:04}" for number in range(2_000)]
    rollout.given(names)
    story = foreseen(rollout, wanted(rollout, plan("d-1", "r2", HALF_AT_A_TIME), names, lost=set()), World()).story
    assert len(story.entries) == ENTRIES // 2 + 1
    assert (story.entries[-1].entry, story.entries[-1].host_id) == ("Succeeded", None)
    assert story.left_out == 2_000 * 2 + 4 - len(story.entries)
    assert [len(one.hosts) for one in story.waves] == [1_000, 1_000]
