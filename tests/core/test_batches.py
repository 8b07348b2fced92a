"""The arithmetic of minimum healthy hosts: CodeDeploy's documented values, and what they leave open."""

import pytest

from coordinator.core.deployment import batches
from coordinator.core.errors import HealthConstraintsInvalid
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import InstanceHealth, MinimumHealthyHosts
from coordinator.core.orders import HoldingChange
from tests.core.rollout import ALL_AT_ONCE, GROUP, HALF_AT_A_TIME, ONE_AT_A_TIME, Rollout, count, host_id, percent

SUCCEEDED, FAILED = DeploymentStatus.Succeeded, DeploymentStatus.Failed


def names(hosts: int) -> list[str]:
    return [f"h{number:02}" for number in range(1, hosts + 1)]


def deployed(hosts: int, minimum: MinimumHealthyHosts, *, healthy: int | None = None) -> Rollout:
    """A deployment to so many hosts, of which the first so many are healthy (all, unless told otherwise)."""
    rollout = Rollout()
    rollout.given(names(hosts)[: hosts if healthy is None else healthy])
    rollout.deploy("r2", names(hosts), minimum)
    return rollout


def end_in_turn(rollout: Rollout, failures: set[int]) -> Rollout:
    """Hosts end one after the other in the order in which they began; the failing ones are given by their turn, from 1."""
    turn = 0
    while rollout.group.deployment is not None:
        turn += 1
        targets = rollout.group.deployment.targets.values()
        first = next(one for one in targets if one.status is TargetStatus.InProgress)
        if turn in failures:
            rollout.fail(first.host_name)
        else:
            rollout.succeed(first.host_name)
    return rollout


# fmt: off
@pytest.mark.parametrize("hosts, minimum, kept, at_once", [
    (9,  HALF_AT_A_TIME, 5, 4),
    (9,  count(6),       6, 3),
    (9,  percent(40),    4, 5),
    (10, percent(85),    9, 1),
    (10, count(9),       9, 1),
    (10, count(8),       8, 2),
    (10, ALL_AT_ONCE,    0, 10),
    (10, ONE_AT_A_TIME,  9, 1),
    (2,  HALF_AT_A_TIME, 1, 1),
    (3,  HALF_AT_A_TIME, 2, 1),
    (1,  ONE_AT_A_TIME,  0, 1),
    (1,  HALF_AT_A_TIME, 1, 1),
    (1,  ALL_AT_ONCE,    0, 1),
    (1,  count(3),       3, 1),
])
# fmt: on
def test_as_many_begin_at_once_as_keep_the_minimum_healthy(hosts: int, minimum: MinimumHealthyHosts, kept: int, at_once: int) -> None:
    rollout = deployed(hosts, minimum)
    assert batches.minimum(rollout.deployment) == kept
    assert rollout.in_progress == names(hosts)[:at_once]


@pytest.mark.parametrize("minimum", [count(10), count(11), percent(91), percent(95), percent(99)])
def test_a_minimum_that_leaves_no_host_is_refused_with_its_numbers(minimum: MinimumHealthyHosts) -> None:
    rollout = deployed(10, minimum)
    error = rollout.answer().error
    assert isinstance(error, HealthConstraintsInvalid)
    assert f"keeps {minimum.of(10)} of 10 hosts healthy" in error.message
    assert rollout.group.deployment is None
    assert not rollout.changes


# fmt: off
@pytest.mark.parametrize("hosts, minimum, failures, status, skipped", [
    (9,  HALF_AT_A_TIME, set(),        SUCCEEDED, 0),
    (9,  HALF_AT_A_TIME, {1, 2, 3},    SUCCEEDED, 0),      # five or more hosts have been updated
    (9,  HALF_AT_A_TIME, {1, 2, 3, 4}, FAILED,    5),
    (9,  HALF_AT_A_TIME, {5, 6, 7, 8}, FAILED,    1),
    (9,  HALF_AT_A_TIME, {5, 6, 7, 9}, SUCCEEDED, 0),      # the fourth is the very last
    (9,  count(6),       {1, 2},       SUCCEEDED, 0),
    (9,  count(6),       {1, 2, 3},    FAILED,    6),
    (9,  count(6),       {1, 2, 9},    SUCCEEDED, 0),
    (9,  percent(40),    {1, 2, 3, 4}, SUCCEEDED, 0),
    (9,  percent(40),    {1, 2, 3, 4, 5}, FAILED, 4),
    (10, percent(85),    {1},          FAILED,    9),
    (10, percent(85),    {9},          FAILED,    1),
    (10, percent(85),    {10},         SUCCEEDED, 0),
    (10, count(9),       {5},          FAILED,    5),
    (10, count(9),       {10},         SUCCEEDED, 0),
    (10, ONE_AT_A_TIME,  {10},         SUCCEEDED, 0),
    (10, ONE_AT_A_TIME,  {1},          FAILED,    9),
    (10, count(8),       {3},          SUCCEEDED, 0),
    (10, count(8),       {3, 4},       FAILED,    6),
    (10, count(8),       {3, 9},       FAILED,    1),
    (10, count(8),       {3, 10},      SUCCEEDED, 0),
    (10, count(8),       {9, 10},      SUCCEEDED, 0),
    (10, ALL_AT_ONCE,    {*range(1, 10)}, SUCCEEDED, 0),
    (10, ALL_AT_ONCE,    {*range(1, 11)}, FAILED, 0),
    (2,  ONE_AT_A_TIME,  {1},          FAILED,    1),
    (2,  ONE_AT_A_TIME,  {2},          SUCCEEDED, 0),
    (1,  ONE_AT_A_TIME,  {1},          FAILED,    0),      # a single host must succeed, whatever the config
    (1,  HALF_AT_A_TIME, {1},          FAILED,    0),
    (1,  ALL_AT_ONCE,    {1},          FAILED,    0),
    (1,  count(5),       {1},          FAILED,    0),
    (1,  count(5),       set(),        SUCCEEDED, 0),
])
# fmt: on
@pytest.mark.parametrize("first", [False, True], ids=["a later deployment", "a first deployment"])
def test_failures_decide_how_a_deployment_ends(
    hosts: int, minimum: MinimumHealthyHosts, failures: set[int], status: DeploymentStatus, skipped: int, first: bool
) -> None:
    rollout = end_in_turn(deployed(hosts, minimum, healthy=0 if first else hosts), failures)
    assert rollout.deployment.status is status
    assert len(rollout.names(TargetStatus.Skipped)) == skipped
    if status is FAILED:
        assert rollout.deployment.error is not None
        assert rollout.deployment.error.code is DeploymentErrorCode.HEALTH_CONSTRAINTS


def test_a_first_deployment_goes_one_at_a_time_when_told_so() -> None:
    rollout = deployed(3, ONE_AT_A_TIME, healthy=0)
    assert rollout.in_progress == ["h01"]
    rollout.succeed("h01")
    assert rollout.in_progress == ["h02"]


def test_unhealthy_hosts_go_first_and_then_by_name() -> None:
    rollout = Rollout()
    rollout.given(["a", "c"])
    rollout.given(["d", "b"], health=InstanceHealth.Unhealthy)
    rollout.deploy("r2", ["a", "d", "b", "c", "e"], ONE_AT_A_TIME)
    assert [one.host_name for one in rollout.deployment.targets.values()] == ["b", "d", "e", "a", "c"]


@pytest.mark.parametrize("healthy, at_once", [(5, ["h01", "h02"]), (4, ["h05", "h01"]), (3, ["h04", "h05"]), (2, ["h03", "h04"])])
def test_healthy_hosts_begin_only_while_enough_others_stay_up(healthy: int, at_once: list[str]) -> None:
    assert sorted(deployed(5, count(3), healthy=healthy).instructed()) == sorted(at_once)


def test_a_group_below_its_minimum_may_go_on_but_lose_nobody() -> None:
    rollout = deployed(5, count(3), healthy=1)
    assert rollout.deployment.floor == 1
    rollout.succeed("h02", "h03", "h04")
    assert rollout.in_progress == ["h01", "h05"]


def test_a_group_below_its_minimum_stops_when_only_healthy_hosts_are_left_and_none_may_go_down() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b", "c", "d"], count(2))
    assert rollout.in_progress == ["c", "d"]
    rollout.fail("c", "d")
    assert rollout.deployment.status is DeploymentStatus.Failed
    assert rollout.names(TargetStatus.Skipped) == ["a", "b"]


def test_healthy_hosts_wait_while_others_are_lost_and_only_the_lost_may_be_tried() -> None:
    rollout = deployed(5, count(3))
    assert rollout.in_progress == ["h01", "h02"]
    rollout.lose("h04")
    rollout.lose("h05")
    rollout.succeed("h01")
    assert rollout.in_progress == ["h02"]
    rollout.succeed("h02")
    assert rollout.in_progress == ["h04"]
    rollout.welcome_back("h05")
    assert rollout.in_progress == ["h03", "h04"]


def test_a_rollback_of_one_touched_host_keeps_the_minimum_of_the_whole_group() -> None:
    rollout = Rollout()
    rollout.given(names(10))
    rollout.deploy("r2", names(10), ONE_AT_A_TIME, rollback=True)
    rollout.fail("h01")
    back = rollout.group.deployment
    assert back is not None
    assert back.plan.rolls_back == "d-1"
    assert list(back.targets) == ["id-of-h01"]
    assert (len(back.members), batches.minimum(back), batches.window(back)) == (10, 9, 1)
    rollout.succeed("h01")
    assert rollout.ended[-1].status is DeploymentStatus.Succeeded


def test_a_rollback_of_one_touched_host_fails_when_that_host_does() -> None:
    rollout = Rollout()
    rollout.given(names(10))
    rollout.deploy("r2", names(10), ONE_AT_A_TIME, rollback=True)
    rollout.fail("h01")
    rollout.fail("h01")
    assert rollout.group.deployment is None
    assert [one.status for one in rollout.ended] == [DeploymentStatus.Failed, DeploymentStatus.Failed]


def test_hosts_with_another_revision_go_before_those_that_have_the_last_good_one() -> None:
    rollout = Rollout()
    rollout.given(["b", "d"], on="r0")
    rollout.given(["a", "c"], on="r1")
    rollout.deploy("r2", ["a", "b", "c", "d"], ONE_AT_A_TIME)
    assert [one.host_name for one in rollout.deployment.targets.values()] == ["b", "d", "a", "c"]


def test_a_host_of_which_nobody_knows_what_it_has_goes_before_those_with_an_old_revision() -> None:
    rollout = Rollout()
    rollout.given(["a"], on="r0")
    rollout.given(["b"], on="")
    rollout.given(["c"], on="r1")
    rollout.deploy("r2", ["a", "b", "c"], ONE_AT_A_TIME)
    assert [batches.standing(rollout.group, rollout.member(name)).name for name in "bac"] == ["Unknown", "Old", "Current"]
    assert [one.host_name for one in rollout.deployment.targets.values()] == ["b", "a", "c"]


def test_what_a_host_says_of_itself_moves_it_in_the_line() -> None:
    rollout = Rollout()
    rollout.given(["a", "b", "c", "d"])
    rollout.deploy("r2", ["a", "b", "c", "d"], ONE_AT_A_TIME)
    rollout.see_holding("d", "r0", "r0")
    rollout.see_holding("b", "r2", "r1")
    rollout.succeed("a")
    assert rollout.in_progress == ["b"]
    rollout.succeed("b")
    assert rollout.in_progress == ["d"]


def test_a_host_that_fails_its_first_deployment_is_known_to_hold_nothing() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a"])
    rollout.fail("a", at=LifecycleEvent.BeforeInstall)
    assert rollout.changes.holdings == {(GROUP, host_id("a")): HoldingChange(None, None)}
