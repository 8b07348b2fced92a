"""When a failed deployment is rolled back, to what, and where."""

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Creator
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


def test_a_stopped_deployment_is_not_rolled_back() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, rollback=True)
    rollout.stop()
    rollout.fail("a")
    assert rollout.group.deployment is None
    assert rollout.deployment.status is DeploymentStatus.Stopped


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
    assert rollout.deployment.rollback_message == ""


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
