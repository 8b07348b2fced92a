"""Why a deployment or a host is where it is: by the rules that decide, whatever has happened."""

import pytest

from coordinator.core.deployment import batches
from coordinator.core.foresight.explanation import Explanation, of_deployment, of_target, of_waiting
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    AlarmStatus,
    Canaries,
    Comparison,
    Gate,
    OfflineAction,
    OfflinePolicy,
    Pause,
    Queueing,
    Shape,
    ZonalConfig,
)
from coordinator.core.model.analysis import Analysis, Condition, Measurement, Metric
from tests.core.rollout import ALL_AT_ONCE, ONE_AT_A_TIME, Rollout, count, host_id
from tests.simulation.rollouts import World

INSTALL = LifecycleEvent.Install


def whole(rollout: Rollout) -> Explanation:
    return of_deployment(rollout.group, rollout.deployment)


def part(rollout: Rollout, name: str) -> Explanation:
    return of_target(rollout.group, rollout.deployment, rollout.target(name))


def rolling(*names: str, healthy: bool = True) -> Rollout:
    rollout = Rollout()
    if healthy:
        rollout.given(names)
    return rollout


def test_who_waits_for_a_place_is_told_of_those_who_have_it() -> None:
    rollout = rolling("a", "b", "c", "d")
    rollout.deploy("r2", ["a", "b", "c", "d"], count(2))
    rollout.fail("a")
    assert part(rollout, "d") == Explanation("d waits: 1 in progress and 1 failed take every place there is (2)", "WindowFull")
    assert whole(rollout).sentence == "d-1 deploys to b; 2 wait: 1 in progress and 1 failed take every place there is (2)"
    assert part(rollout, "a").sentence == "a has ended Failed in d-1"


def test_who_is_healthy_may_have_to_stay_so() -> None:
    rollout = rolling("a", "b", "c")
    rollout.deploy("r2", ["a", "b", "c", "d", "e"], count(2), lost=["d"])
    rollout.lose("b")
    found = {name: part(rollout, name).reason for name in rollout.names(TargetStatus.Pending)}
    assert "Floor" in found.values()
    sentence = next(part(rollout, name).sentence for name, reason in found.items() if reason == "Floor")
    assert sentence.endswith("hosts that are healthy and not being deployed to 2 have to stay")


def test_an_approval_is_waited_for_until_a_day_is_over() -> None:
    rollout = rolling("a")
    rollout.deploy("r2", ["a"], approval=True)
    assert whole(rollout) == Explanation("d-1 waits for approval by somebody other than ann", "Approval", 86_400_000)
    assert part(rollout, "a").sentence == "a waits: d-1 waits for approval by somebody other than ann"


def test_who_sees_nothing_says_of_which_alarm_and_since_when() -> None:
    rollout = rolling("a", "b")
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, alarms=["A", "B"])
    rollout.see("A", AlarmStatus.OK)
    rollout.wait(30_000)
    assert whole(rollout) == Explanation(
        "d-1 lets no host begin and does not end: for 30 s nobody can say whether B is active", "Blind", 60_000
    )
    assert part(rollout, "b").reason == "Blind"


def test_a_bake_and_a_stop_say_until_when() -> None:
    rollout = rolling("a", "b")
    rollout.deploy("r2", ["a", "b"], ALL_AT_ONCE, alarms=["A"], bake=600_000)
    rollout.see("A", AlarmStatus.OK)
    rollout.succeed("a", "b")
    assert whole(rollout) == Explanation("d-1 bakes: every host of it has ended, and the alarms are watched", "Bake", 600_000)
    rollout = rolling("a", "b")
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME)
    rollout.report("a", rollout.event("a", INSTALL, EventStatus.InProgress))
    rollout.stop(reason="wrong")
    assert whole(rollout).sentence == "d-1 stops (stopped by bob: wrong): it waits until a has ended or is given up"
    assert part(rollout, "a")[:2] == ("a was cancelled (stopped by bob: wrong) and finishes Install", "Cancelled")


def test_a_host_that_is_away_says_how_long_it_is_given() -> None:
    rollout = rolling("a", "b")
    policy = OfflinePolicy(action=OfflineAction.WAIT, wait=900_000)
    rollout.deploy("r2", ["a", "b"], ALL_AT_ONCE, lost=["b"], offline=policy)
    rollout.report("a", rollout.event("a", INSTALL, EventStatus.InProgress))
    rollout.wait(10_000)
    rollout.lose("a")
    assert part(rollout, "a") == Explanation("a was lost while it ran Install: it is given time to come back", "Lost", 310_000)
    assert part(rollout, "b") == Explanation("b is offline: it has its turn, and is given time to come back", "Offline", 900_000)


def test_who_waits_for_a_turn_is_told_of_those_before() -> None:
    rollout = rolling("a")
    for revision in ("r2", "r3", "r4"):
        rollout.deploy(revision, ["a"], queueing=Queueing.QUEUE)
    said = [of_waiting(rollout.group, one) for one in rollout.group.waiting]
    assert said == [
        Explanation("d-2 waits for its turn: d-1 of its group comes before it", "Queue"),
        Explanation("d-3 waits for its turn: d-1 and 1 more of its group come before it", "Queue"),
    ]


def test_a_host_that_waits_for_another_group_says_what_its_agent_said() -> None:
    rollout = rolling("a")
    rollout.deploy("r2", ["a"])
    rollout.report("a", rollout.whole("a", InstructionStatus.Waiting, "waits for d-9 of shop/db"))
    assert part(rollout, "a")[:2] == ("a waits: waits for d-9 of shop/db", "Host")


def test_who_waits_for_a_time_is_told_so() -> None:
    rollout = rolling("a")
    rollout.deploy("r2", ["a"], start_in=3_600_000)
    said = of_waiting(rollout.group, rollout.group.waiting[0])
    assert said == Explanation("d-1 waits for the time at which it is to start", "Schedule")


def test_a_pause_is_told_with_who_and_why() -> None:
    rollout = rolling("a", "b", "c")
    rollout.deploy("r2", ["a", "b", "c"], ONE_AT_A_TIME)
    rollout.pause(reason="lunch")
    assert whole(rollout) == Explanation("d-1 is paused by bob: lunch", "Paused", 7 * 86_400_000)
    assert part(rollout, "b")[:2] == ("b waits: d-1 is paused by bob: lunch", "Paused")
    assert part(rollout, "a").reason == "Accept"


def staged(pause: Pause) -> Rollout:
    """The canary has succeeded."""
    rollout = rolling("a", "b")
    rollout.deploy("r2", ["a", "b"], ALL_AT_ONCE, shape=Shape(canaries=Canaries(hosts=("a",), pause=pause)))
    assert part(rollout, "b") == Explanation('b waits: stage "the rest" comes after stage "canaries"', "Stage")
    rollout.succeed("a")
    return rollout


def test_a_gate_says_whose_word_it_waits_for() -> None:
    rollout = staged(Pause(gate=Gate(approvers=("eve", "ann"), timeout=7_200_000)))
    said = 'd-1 waits at a gate: eve or ann has to approve stage "canaries" within 2 h'
    assert whole(rollout) == Explanation(said, "Gate", 7_200_000)
    assert part(rollout, "b") == Explanation('b waits: stage "the rest" comes after stage "canaries"', "Stage", 7_200_000)


def test_a_bake_between_stages_says_after_which() -> None:
    rollout = staged(Pause(bake=60_000))
    said = 'd-1 bakes stage "canaries": every host of it has ended, and the alarms are watched'
    assert whole(rollout) == Explanation(said, "Bake", 60_000)


def test_an_analysis_says_after_which_stage() -> None:
    metric = Metric(measurement=Measurement(name="errors", expression="x", success=Condition(Comparison.LESS, 1)), count=2)
    rollout = staged(Pause(analysis=Analysis(metrics=(metric,))))
    said = 'd-1 analyses stage "canaries": what is measured does not say yet that it may go on'
    assert whole(rollout)[:2] == (said, "Analysis")


def test_a_zone_that_is_full_is_named() -> None:
    rollout = rolling("a", "b", "c")
    zonal = ZonalConfig(minimum=count(2))
    rollout.deploy("r2", ["a", "b", "c"], ALL_AT_ONCE, shape=Shape(zonal=zonal), zones=dict.fromkeys("abc", "north"))
    assert part(rollout, "b") == Explanation("b waits: zone north has as many hosts in progress or failed as may be", "ZoneFull")


def test_who_is_offline_is_last_in_line() -> None:
    rollout = rolling("a", "b", "c", "d")
    rollout.deploy("r2", ["a", "b", "c", "d"], count(2), lost=["b"], offline=OfflinePolicy(action=OfflineAction.SKIP))
    rollout.succeed("a")
    assert part(rollout, "b")[:2] == ("b waits: it is offline, so it is last in line", "Offline")


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_there_is_a_reason_and_it_is_the_rule_that_decides(seed: int) -> None:
    world = World(seed)
    for _ in range(40):
        live = world.rollout.group.deployment
        if live is None:
            return
        said = of_deployment(world.rollout.group, live)
        assert said.sentence.startswith(live.deployment_id)
        assert said.reason, said
        assert said.until is None or said.until >= live.clock, said
        for target in live.targets.values():
            one = of_target(world.rollout.group, live, target)
            assert target.host_name in one.sentence
            assert (one.reason == "") is target.status.terminal, one
            if one.reason in set(batches.Obstacle):
                assert batches.obstacle(world.rollout.group, live, target) == one.reason
        world.turn()


def test_hosts_are_named_by_name_and_never_by_id() -> None:
    rollout = rolling("a")
    rollout.deploy("r2", ["a"])
    assert host_id("a") not in whole(rollout).sentence
