"""When a failed deployment is rolled back, to what, and where."""

import pytest

from coordinator.core.lifecycle import DeploymentStatus, InstructionStatus
from coordinator.core.model import AutoRollbackEvent, Creator
from coordinator.core.orders import Entry, Instruct
from tests.core.rollout import ONE_AT_A_TIME, Rollout, count


def failed(*, rollback: bool = True) -> Rollout:
    """Three hosts on r1; r2 went well on a and failed on b."""
    rollout = Rollout()
    rollout.given(["a", "b", "c"])
    rollout.deploy("r2", ["a", "b", "c"], ONE_AT_A_TIME, rollback=rollback)
    rollout.succeed("a")
    rollout.fail("b")
    return rollout


def test_a_rollback_deploys_the_last_successful_revision_to_the_touched_hosts() -> None:
    rollout = failed()
    back = rollout.group.deployment
    assert back is not None
    assert back.plan.deployment_id == "d-1-back"
    assert back.plan.revision.revision_id == "r1"
    assert (back.plan.creator, back.plan.created_by) == (Creator.codeDeployRollback, "coordinator")
    assert sorted(back.targets) == ["id-of-a", "id-of-b"]
    assert back.members == {"id-of-a", "id-of-b", "id-of-c"}


def test_both_deployments_name_each_other_and_are_stored_together() -> None:
    rollout = failed()
    first, back = rollout.ended[0], rollout.deployment
    assert first.rollback_deployment_id == back.deployment_id
    assert first.rollback_message == "d-1-back rolls back to revision r1"
    assert back.plan.rolls_back == first.deployment_id
    assert set(rollout.changes.deployments) == {"d-1", "d-1-back"}
    assert set(rollout.changes.created) == {"d-1-back"}
    assert all(target.deployment_id == "d-1" for target in rollout.changes.targets)


def test_a_rollback_claims_its_hosts_under_a_higher_fence() -> None:
    rollout = failed()
    (order,) = (order for order in rollout.orders if isinstance(order, Instruct))
    assert order.instruction.target_epoch == 3
    assert order.instruction.instruction_id == "d-1-back/id-of-b/0/1"


def test_nothing_is_rolled_back_unless_the_group_asks_for_it() -> None:
    rollout = failed(rollback=False)
    assert rollout.group.deployment is None
    assert rollout.deployment.rollback_message == ""
    assert Entry.RollbackSkipped not in {entry.entry for entry in rollout.history}


def stopped(*events: AutoRollbackEvent, roll_back: bool | None = None) -> Rollout:
    """Two hosts on r1; somebody stopped r2 while a was busy, and a failed."""
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, events=events)
    rollout.stop(roll_back=roll_back)
    rollout.fail("a")
    return rollout


def test_a_stopped_deployment_is_not_rolled_back_because_failures_are() -> None:
    rollout = stopped(AutoRollbackEvent.DEPLOYMENT_FAILURE)
    assert rollout.group.deployment is None
    assert rollout.deployment.status is DeploymentStatus.Stopped
    assert rollout.deployment.rollback_message == ""


def test_a_stopped_deployment_is_rolled_back_when_its_events_say_so() -> None:
    rollout = stopped(AutoRollbackEvent.DEPLOYMENT_STOP_ON_REQUEST)
    assert rollout.ended[0].status is DeploymentStatus.Stopped
    assert rollout.deployment.plan.rolls_back == "d-1"
    assert sorted(rollout.deployment.targets) == ["id-of-a"]


@pytest.mark.parametrize("roll_back", [True, False])
def test_who_stops_a_deployment_decides_whatever_its_events_say(roll_back: bool) -> None:
    events = [] if roll_back else [AutoRollbackEvent.DEPLOYMENT_STOP_ON_REQUEST]
    rollout = stopped(*events, roll_back=roll_back)
    assert (rollout.group.deployment is not None) is roll_back


def test_the_last_word_on_a_rollback_counts_and_survives_a_restart() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME)
    rollout.stop(roll_back=False)
    rollout.stop()
    rollout.stop(roll_back=True)
    assert rollout.history[-1].message == "bob wants it rolled back"
    assert set(rollout.changes.deployments) == {"d-1"}
    rollout.restart()
    rollout.fail("a")
    assert rollout.deployment.plan.rolls_back == "d-1"


def test_a_host_that_was_stopped_before_its_first_event_is_not_rolled_back() -> None:
    rollout = Rollout()
    rollout.given(["a", "b", "c"])
    rollout.deploy("r2", ["a", "b", "c"], count(1))
    rollout.stop(roll_back=True)
    rollout.report("a", rollout.whole("a", InstructionStatus.Cancelled))
    rollout.fail("b")
    assert sorted(rollout.deployment.targets) == ["id-of-b"]


def test_where_nothing_had_begun_there_is_nothing_to_roll_back() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME)
    rollout.stop(roll_back=True)
    rollout.report("a", rollout.whole("a", InstructionStatus.Cancelled))
    assert rollout.group.deployment is None
    assert rollout.deployment.rollback_message == "cannot roll back: nothing had begun on any host, so all of them have what they had"


def test_a_rollback_that_is_stopped_is_not_rolled_back_and_says_why_when_asked() -> None:
    rollout = failed()
    rollout.stop(roll_back=True)
    rollout.fail("b")
    assert rollout.group.deployment is None
    assert rollout.deployment.status is DeploymentStatus.Stopped
    assert rollout.deployment.rollback_message == "cannot roll back: d-1-back is itself the rollback of d-1; deploy a revision that works"


def test_without_a_successful_revision_the_failed_deployment_says_so() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"], ONE_AT_A_TIME, rollback=True)
    rollout.fail("a")
    assert rollout.group.deployment is None
    assert rollout.deployment.rollback_message.startswith("cannot roll back: no deployment of this group had succeeded before")
    assert rollout.history[-1].entry is Entry.RollbackSkipped


def test_the_same_revision_is_not_rolled_back_to_itself() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"], on="r2")
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, rollback=True)
    rollout.fail("a")
    assert rollout.group.deployment is None
    assert "revision r2 is also the one that succeeded last" in rollout.deployment.rollback_message


def test_a_failed_rollback_is_not_rolled_back() -> None:
    rollout = failed()
    rollout.fail("b")
    assert rollout.group.deployment is None
    assert rollout.deployment.plan.rolls_back == "d-1"
    assert rollout.deployment.rollback_message.startswith("cannot roll back: d-1-back is itself the rollback of d-1")


def test_a_successful_rollback_makes_its_revision_the_last_successful_one() -> None:
    rollout = failed()
    rollout.succeed("b", "a")
    assert rollout.group.last_successful is not None
    assert rollout.group.last_successful.deployment_id == "d-1-back"
    assert rollout.group.last_successful.revision.revision_id == "r1"


def test_a_rollback_goes_back_to_what_was_successful_when_the_deployment_was_created() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"], on="r1")
    rollout.deploy("r2", ["a", "b"], count(0))
    rollout.succeed("a", "b")
    rollout.deploy("r3", ["a", "b"], ONE_AT_A_TIME, rollback=True)
    rollout.fail("a")
    assert rollout.deployment.plan.revision.revision_id == "r2"
    assert rollout.deployment.plan.last_successful is not None
    assert rollout.deployment.plan.last_successful.deployment_id == "d-1"
