"""The database was restored from an older copy: what hosts tell of the time that is forgotten is taken as it is."""

from coordinator.core.facts import Report
from coordinator.core.hosts import FORGOTTEN
from coordinator.core.lifecycle import EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import InstructionId
from tests.core.rollout import ONE_AT_A_TIME, Rollout, host_id


def deployed() -> Rollout:
    """Two hosts, one at a time: a is in progress, b waits."""
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"], minimum=ONE_AT_A_TIME)
    assert rollout.in_progress == ["a"]
    return rollout


def test_a_host_that_has_its_instruction_already_is_in_progress_under_the_fence_that_it_knows() -> None:
    rollout = deployed()
    rollout.see_epoch("b", 3, of=rollout.deployment.deployment_id)
    assert rollout.in_progress == ["a", "b"]
    assert rollout.target("b").target_epoch == rollout.member("b").target_epoch == 3
    assert FORGOTTEN in [entry.because for entry in rollout.changes.history]


def test_the_fence_of_another_deployment_begins_nothing() -> None:
    rollout = deployed()
    rollout.see_epoch("b", 3)
    assert rollout.in_progress == ["a"]
    assert rollout.member("b").target_epoch == 3


def test_what_a_host_that_waits_reports_is_written_down_and_begins_nothing() -> None:
    rollout = deployed()
    rollout.report("b", rollout.event("b", LifecycleEvent.ApplicationStop, EventStatus.Succeeded))
    assert [report.event for _, report in rollout.changes.late] == [LifecycleEvent.ApplicationStop]
    assert rollout.names(TargetStatus.Pending) == ["b"]


def test_what_a_forgotten_attempt_reports_is_written_down_though_the_deployment_ends_a_fact_before() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a"])
    failed = rollout.event("a", LifecycleEvent.ApplicationStop, EventStatus.Failed)
    forgotten = InstructionId(f"{rollout.instruction('a').rpartition('/')[0]}/2")
    begun = Report(failed.seq + 1, forgotten, LifecycleEvent.ApplicationStop, EventStatus.Succeeded, rollout.at)
    rollout.step([rollout.reported("a", failed), rollout.reported("a", begun)])
    assert rollout.group.deployment is None
    assert rollout.changes.late == [(host_id("a"), begun)]
