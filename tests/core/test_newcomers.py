"""Newcomers beside a deployment that somebody asked for: whose a host is, and what each of the two says to the other."""

import pytest

from coordinator.core.errors import DeploymentAlreadyCompleted, DeploymentLimitExceeded, InvalidOperation, NoInstances
from coordinator.core.foresight import explanation
from coordinator.core.lifecycle import DeploymentStatus, EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.machine import outstanding
from coordinator.core.model import Deployment, Queueing, RevisionId
from tests.core.rollout import Rollout, count, host_id

S = TargetStatus


@pytest.fixture
def rollout() -> Rollout:
    """r2 is brought to a and b, and what they had to c and d, who have come since: one after the other."""
    made = Rollout()
    made.given(["a", "b"])
    made.deploy("r2", ["a", "b"], count(1))
    made.bring_newcomers("r1", ["a", "b", "c", "d"], count(1))
    return made


def statuses(deployment: Deployment) -> dict[str, TargetStatus]:
    """Hosts by name."""
    return {one.host_name: one.status for one in deployment.targets.values()}


def both(rollout: Rollout) -> tuple[Deployment, Deployment]:
    """The two that are live."""
    asked, newcomers = rollout.group.deployment, rollout.group.newcomers
    assert asked is not None
    assert newcomers is not None
    return asked, newcomers


def test_the_two_share_no_host(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    assert asked.members == {host_id("a"), host_id("b")}
    assert newcomers.members == {host_id("c"), host_id("d")}
    assert statuses(asked) == {"a": S.InProgress, "b": S.Pending}
    assert statuses(newcomers) == {"c": S.InProgress, "d": S.Pending}


def test_a_welcome_repeats_what_a_host_has_of_either(rollout: Rollout) -> None:
    found = [outstanding(rollout.group, host_id(name))[0] for name in "abcd"]
    assert [one.plan.deployment_id if one is not None else None for one in found] == ["d-1", None, "d-2", None]


def test_whoever_stops_one_of_them_says_nothing_to_the_other(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    rollout.stop(newcomers.deployment_id)
    assert (asked.stopping, newcomers.stopping is not None) == (None, True)
    rollout.succeed("c")
    assert (newcomers.status, rollout.group.live) == (DeploymentStatus.Stopped, (asked,))
    rollout.stop(newcomers.deployment_id)
    assert isinstance(rollout.answer().error, DeploymentAlreadyCompleted)
    rollout.stop(asked.deployment_id)
    assert asked.stopping is not None


def test_a_host_that_serves_is_not_taken_beside_another_deployment() -> None:
    rollout = Rollout()
    rollout.given(["a", "b", "c"])
    rollout.member("c").missed = 1
    rollout.member("c").deployed = rollout.member("c").installed = RevisionId("r0")
    rollout.deploy("r2", ["a", "b"], count(1))
    rollout.bring_newcomers("r1", ["a", "b", "c"], count(1))
    assert isinstance(rollout.answer().error, NoInstances)
    rollout.succeed("a", "b")
    rollout.bring_newcomers("r2", ["a", "b", "c"], count(1))
    assert rollout.in_progress == ["c"]


def test_where_newcomers_came_first_their_floor_knows_what_the_other_takes_down() -> None:
    rollout = Rollout()
    rollout.given(["a", "b", "c", "d"])
    for name in "cd":
        rollout.member(name).missed = 1
        rollout.member(name).deployed = RevisionId("r0")
    rollout.bring_newcomers("r1", ["a", "b", "c", "d"], count(2))
    rollout.fail("c")
    rollout.deploy("r2", ["a", "b", "c"], count(1))
    asked, newcomers = both(rollout)
    assert statuses(newcomers) == {"c": S.Failed, "d": S.InProgress}
    assert (statuses(asked), asked.available, newcomers.available) == ({"c": S.InProgress, "a": S.InProgress, "b": S.Pending}, 1, 1)


def test_who_waits_for_what_succeeds_meanwhile_stands_elsewhere_in_line() -> None:
    rollout = Rollout()
    rollout.given(["a", "b", "c", "d"])
    for name in "bcd":
        rollout.member(name).missed = 1
    for name in "bc":
        rollout.member(name).deployed = rollout.member(name).installed = RevisionId("r2")
    rollout.member("d").deployed = RevisionId("r0")
    rollout.bring_newcomers("r1", ["a", "b", "c", "d"], count(3))
    rollout.deploy("r2", ["a"], count(0))
    rollout.succeed("a")  # r2 is the current revision now, and that of c
    assert rollout.group.deployment is None
    rollout.succeed("b")
    assert rollout.in_progress == ["d"]
    rollout.succeed("d")
    assert rollout.in_progress == ["c"]


def test_reports_of_a_host_that_belongs_to_the_other_by_now_are_of_the_deployment_that_they_name(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    rollout.succeed("a", "b")
    rollout.fail("c")
    rollout.deploy("r3", ["a", "b", "c", "d"], count(0))
    assert rollout.group.newcomers is None or not rollout.group.newcomers.awaits(host_id("c"))
    late = rollout.event("c", LifecycleEvent.ApplicationStop, EventStatus.Succeeded, of=newcomers.deployment_id)
    rollout.report("c", late)
    assert rollout.target("c").status is S.InProgress
    assert rollout.target("c").event is None


def test_a_newcomer_that_failed_is_not_tried_again_where_another_deployment_has_it() -> None:
    rollout = Rollout()
    rollout.given(["a"])
    rollout.bring_newcomers("r1", ["a", "b", "c"], count(0))
    rollout.fail("b")
    newcomers = rollout.group.newcomers
    assert newcomers is not None
    rollout.deploy("r2", ["a", "b", "c"], count(0))
    rollout.retry("b", of=newcomers.deployment_id)
    error = rollout.answer().error
    assert isinstance(error, InvalidOperation)
    assert str(error) == "cannot retry b: it is among the hosts of deployment d-2 by now"


def test_wishes_are_about_the_deployment_that_they_name(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    rollout.skip("d", of=newcomers.deployment_id)
    assert statuses(newcomers)["d"] is S.Skipped
    rollout.pause()
    rollout.succeed("a", "c")
    assert (statuses(asked)["b"], newcomers.status) == (S.Pending, DeploymentStatus.Succeeded)


def test_hosts_that_are_lost_and_return_are_waited_for_by_the_one_that_has_them(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    rollout.lose("c")
    rollout.lose("b")
    assert (newcomers.targets[host_id("c")].lost_at, asked.available) == (newcomers.clock, 0)
    rollout.welcome_back("b")
    rollout.welcome_back("c")
    assert (newcomers.targets[host_id("c")].lost_at, asked.available) == (None, 1)
    rollout.lose_journal("c")
    assert statuses(newcomers)["c"] is S.Failed
    assert asked.stopping is None


def test_the_deadlines_of_both_run(rollout: Rollout) -> None:
    asked, newcomers = both(rollout)
    rollout.wait(299_000)
    assert (asked.counts[S.InProgress], newcomers.counts[S.InProgress]) == (1, 1)
    rollout.wait(1_000)
    assert (statuses(asked)["a"], statuses(newcomers)["c"]) == (S.Failed, S.Failed)


def test_what_succeeds_on_a_part_of_the_group_leaves_nobody_behind(rollout: Rollout) -> None:
    rollout.succeed("c", "d", "a", "b")
    assert [rollout.member(name).missed for name in "abcd"] == [0, 0, 1, 1]
    rollout.bring_newcomers("r2", ["a", "b", "c", "d"])
    rollout.succeed("c", "d")
    rollout.deploy("r3", ["a", "b", "c", "d"], only=["a"])
    rollout.succeed("a")
    assert [rollout.member(name).missed for name in "abcd"] == [0, 0, 0, 0]


def test_whoever_names_a_newcomer_waits_for_it_if_the_group_queues(rollout: Rollout) -> None:
    rollout.succeed("a", "b")
    rollout.deploy("r3", ["a", "b", "c", "d"], only=["c"])
    error = rollout.answer().error
    assert isinstance(error, DeploymentLimitExceeded)
    assert "deployment d-2, which brings newcomers up to date, is still going on" in str(error)
    rollout.deploy("r3", ["a", "b", "c", "d"], only=["c"], queueing=Queueing.QUEUE)
    (waiting,) = rollout.group.waiting
    assert explanation.of_waiting(rollout.group, waiting).sentence == "d-4 waits for its turn: d-2 of its group comes before it"
    rollout.take_turn()
    assert rollout.group.waiting == [waiting], "they are brought up to date still"
    rollout.succeed("c", "d")
    assert rollout.called is not None
    rollout.take_turn()
    assert rollout.in_progress == ["c"]
