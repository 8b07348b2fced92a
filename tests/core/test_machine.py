"""What one fact changes, stores and orders."""

from dataclasses import replace

import pytest

from coordinator.core.errors import DeploymentAlreadyCompleted, DeploymentLimitExceeded, NoInstances
from coordinator.core.facts import DeploymentRequested, JournalLost, RequestKey, RetryRequested, Woken
from coordinator.core.lifecycle import (
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    InstructionStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.machine import outstanding, restore, step
from coordinator.core.model import DeploymentId, Group, GroupId, InstanceHealth
from coordinator.core.orders import Changes, Entry, Instruct, SendCancel, Settled, WakeAt
from tests.core.rollout import ALL_AT_ONCE, GROUP, ONE_AT_A_TIME, Rollout, host_id, plan, rows, stored

INSTALL, STOP, VALIDATE = LifecycleEvent.Install, LifecycleEvent.ApplicationStop, LifecycleEvent.ValidateService
IN_PROGRESS, SUCCEEDED, FAILED = EventStatus.InProgress, EventStatus.Succeeded, EventStatus.Failed
KEY = RequestKey(principal="ann", method="CreateDeployment", request_id="7", digest=b"x")


@pytest.fixture
def rollout() -> Rollout:
    """r2 is on its way to three hosts that carry r1, one at a time; a has begun."""
    rollout = Rollout()
    rollout.given(["a", "b", "c"])
    rollout.deploy("r2", ["a", "b", "c"], ONE_AT_A_TIME)
    return rollout


# ------------------------------------------------------------------------------------------------------------- creation


def test_a_deployment_is_stored_whole_and_its_targets_not_a_second_time(rollout: Rollout) -> None:
    assert set(rollout.changes.created) == set(rollout.changes.deployments) == {"d-1"}
    assert not rollout.changes.targets
    assert rollout.deployment.status is DeploymentStatus.InProgress
    assert rollout.deployment.started_at == rollout.at


def test_every_status_of_a_new_deployment_is_in_the_history_with_the_one_who_asked(rollout: Rollout) -> None:
    told = [(entry.entry, entry.because, entry.principal, entry.host_id) for entry in rollout.history]
    assert told == [
        (Entry.Created, "CreateDeployment", "ann", None),
        (Entry.Queued, "CreateDeployment", "ann", None),
        (Entry.InProgress, "CreateDeployment", "ann", None),
        (Entry.InProgress, "CreateDeployment", "ann", host_id("a")),
    ]


def test_what_a_rollback_would_go_back_to_is_frozen_at_creation(rollout: Rollout) -> None:
    frozen = rollout.deployment.plan
    assert frozen.last_successful is not None
    assert (frozen.last_successful.deployment_id, frozen.last_successful.revision.revision_id) == ("d-0", "r1")


def test_the_instruction_is_derived_from_deployment_and_host(rollout: Rollout) -> None:
    (order,) = (order for order in rollout.orders if isinstance(order, Instruct))
    assert order.instruction.instruction_id == "d-1/id-of-a/0/1"
    assert order.instruction.target_epoch == rollout.target("a").target_epoch == rollout.member("a").target_epoch == 2
    assert rollout.member("b").target_epoch == 1


def test_hosts_that_are_new_to_the_group_are_remembered_as_unhealthy() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"], ONE_AT_A_TIME)
    assert {key[1] for key in rollout.changes.members} == {host_id("a"), host_id("b")}
    assert rollout.member("b").health is InstanceHealth.Unhealthy


def test_a_second_deployment_is_refused_and_the_first_is_named(rollout: Rollout) -> None:
    before = rows(rollout.group)
    rollout.deploy("r3", ["a"])
    error = rollout.answer().error
    assert isinstance(error, DeploymentLimitExceeded)
    assert "deployment d-1 is still going on" in error.message
    assert rows(rollout.group) == before
    assert not rollout.changes


def test_a_deployment_to_nobody_is_refused() -> None:
    rollout = Rollout()
    rollout.deploy("r1", [])
    assert isinstance(rollout.answer().error, NoInstances)
    assert rollout.group.deployment is None


def test_a_call_that_was_done_is_remembered_and_a_refused_one_is_not() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a"], request=KEY)
    assert rollout.changes.requests == [(KEY, "d-1")]
    rollout.deploy("r2", ["a"], request=KEY)
    assert rollout.changes.requests == []
    rollout.stop(request=replace(KEY, request_id=""))
    assert rollout.changes.requests == []


# -------------------------------------------------------------------------------------------------------------- reports


def test_each_report_becomes_a_lifecycle_event(rollout: Rollout) -> None:
    begun = rollout.event("a", STOP, IN_PROGRESS)
    rollout.report("a", begun)
    ((key, change),) = rollout.changes.events.items()
    assert key == (rollout.target("a"), STOP, 1)
    assert (change.status, change.started_at, change.ended_at, change.seq) == (IN_PROGRESS, begun.time, None, begun.seq)
    rollout.report("a", rollout.event("a", STOP, SUCCEEDED))
    (change,) = rollout.changes.events.values()
    assert (change.status, change.started_at, change.ended_at) == (SUCCEEDED, None, rollout.at)


def test_begin_and_end_in_one_commit_become_one_row_with_both_times(rollout: Rollout) -> None:
    begun = rollout.event("a", STOP, IN_PROGRESS)
    rollout.elapsed += 5
    rollout.report("a", begun, rollout.event("a", STOP, SUCCEEDED))
    (change,) = rollout.changes.events.values()
    assert (change.started_at, change.ended_at) == (begun.time, begun.time + 5)


def test_progress_changes_the_target_and_nothing_else(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS))
    assert list(rollout.changes.targets) == [rollout.target("a")]
    assert not rollout.changes.deployments
    assert not rollout.changes.members
    assert not rollout.changes.history
    assert rollout.target("a").accepted
    assert not [order for order in rollout.orders if not isinstance(order, WakeAt)]


def test_the_last_event_ends_the_target_and_frees_its_place(rollout: Rollout) -> None:
    rollout.succeed("a")
    assert rollout.target("a").status is TargetStatus.Succeeded
    assert rollout.target("a").ended_at == rollout.at
    assert rollout.member("a").health is InstanceHealth.Healthy
    assert Settled(host_id("a"), rollout.instruction("a")) in rollout.orders
    assert rollout.instructed() == ["b"]
    assert {host for _, host in rollout.changes.members} == {host_id("a"), host_id("b")}
    assert list(rollout.changes.targets) == [rollout.target("a"), rollout.target("b")]


def test_nothing_follows_the_report_that_ended_a_target(rollout: Rollout) -> None:
    failed = rollout.event("a", INSTALL, FAILED, message="disk full")
    rollout.report("a", failed, rollout.whole("a", InstructionStatus.Waiting, "late"), rollout.event("a", VALIDATE, SUCCEEDED))
    assert rollout.target("a").status is TargetStatus.Failed
    assert rollout.history[4].because == f"report {failed.seq}"


def test_a_host_goes_on_when_a_failure_of_the_old_revision_is_ignored() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, ignore=True)
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS), rollout.event("a", STOP, FAILED, message="exit status 1"))
    target = rollout.target("a")
    assert target.status is TargetStatus.InProgress
    stopped = rollout.changes.events[target, STOP, 1]
    assert (stopped.status, stopped.diagnostics is None) == (FAILED, False)
    rollout.succeed("a")
    assert rollout.target("a").status is TargetStatus.Succeeded
    rollout.fail("b", at=INSTALL)
    assert rollout.target("b").status is TargetStatus.Failed


def test_a_rollback_ignores_what_its_deployment_ignored() -> None:
    rollout = Rollout()
    rollout.given(["a", "b"])
    rollout.deploy("r2", ["a", "b"], ONE_AT_A_TIME, ignore=True, rollback=True)
    rollout.fail("a", at=INSTALL)
    assert rollout.deployment.plan.rolls_back == "d-1"
    rollout.fail("a", at=STOP)
    assert rollout.target("a").status is TargetStatus.InProgress


def test_a_failed_event_ends_the_target_with_its_diagnostics(rollout: Rollout) -> None:
    rollout.fail("a", at=INSTALL)
    target = rollout.target("a")
    assert target.status is TargetStatus.Failed
    assert target.message == ""  # its lifecycle event says it
    assert rollout.member("a").health is InstanceHealth.Unhealthy
    diagnostics = rollout.changes.events[target, INSTALL, 1].diagnostics
    assert diagnostics is not None
    assert diagnostics.message == "exit status 1"
    assert rollout.history[-5].message == "Install failed: exit status 1"


def test_what_the_host_holds_follows_install_and_the_last_event(rollout: Rollout) -> None:
    rollout.report("a", *rollout.walk("a", until=INSTALL, last=SUCCEEDED))
    ((installed, deployed),) = rollout.changes.holdings.values()
    assert (installed, deployed) == ("r2", "r1")
    rollout.report("a", rollout.event("a", VALIDATE, SUCCEEDED))
    ((installed, deployed),) = rollout.changes.holdings.values()
    assert (installed, deployed) == ("r2", "r2")


def test_duplicates_and_late_arrivals_change_nothing(rollout: Rollout) -> None:
    rollout.report("a", *rollout.walk("a", until=INSTALL, last=SUCCEEDED))
    before = rows(rollout.group)
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS), rollout.event("a", STOP, FAILED, message="late"))
    assert rows(rollout.group) == before
    assert not rollout.changes.events


def test_reports_about_other_deployments_and_other_hosts_are_ignored(rollout: Rollout) -> None:
    before = rows(rollout.group)
    rollout.report("a", rollout.event("a", VALIDATE, SUCCEEDED, of=DeploymentId("d-9")))
    rollout.report("stranger", rollout.event("stranger", VALIDATE, SUCCEEDED))
    rollout.report("b", rollout.event("b", VALIDATE, SUCCEEDED))  # nobody has told it to begin
    assert rows(rollout.group) == before
    assert not rollout.changes.events


def test_what_a_host_reports_after_its_target_has_ended_is_written_down_and_changes_nothing() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"])
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    rollout.report("b", rollout.event("b", INSTALL, IN_PROGRESS))
    rollout.lose("a")
    rollout.wait(300_000)
    assert rollout.target("a").status is TargetStatus.Unknown
    history = len(rollout.history)
    rollout.report("a", rollout.event("a", INSTALL, SUCCEEDED), rollout.event("a", VALIDATE, SUCCEEDED))
    assert [event for _, event, _ in rollout.changes.events] == [INSTALL, VALIDATE]
    assert rollout.target("a").status is TargetStatus.Unknown
    assert rollout.member("a").health is InstanceHealth.Unhealthy
    assert len(rollout.history) == history
    assert not rollout.changes.holdings


def test_a_host_that_waits_for_its_turn_counts_as_in_progress_and_has_accepted(rollout: Rollout) -> None:
    rollout.report("a", rollout.whole("a", InstructionStatus.Waiting, "d-7 of shop/batch runs here"))
    assert rollout.target("a").message == "d-7 of shop/batch runs here"
    rollout.wait(3_600_000)
    assert rollout.in_progress == ["a"]
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS))
    assert rollout.target("a").message == ""


def test_an_event_that_begins_again_has_all_its_time_again_and_is_said_to(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS))
    rollout.wait(3_600_000)
    rollout.report("a", rollout.whole("a", InstructionStatus.Waiting, "ApplicationStop begins again, as attempt 2 of 3: reboot"))
    assert rollout.target("a").message == "ApplicationStop begins again, as attempt 2 of 3: reboot"
    rollout.wait(3_600_000)
    assert rollout.in_progress == ["a"]
    rollout.report("a", rollout.event("a", STOP, SUCCEEDED))
    assert rollout.target("a").message == ""


def test_a_refused_instruction_fails_its_target(rollout: Rollout) -> None:
    rollout.report("a", rollout.whole("a", InstructionStatus.Refused, "stale epoch"))
    assert rollout.target("a").status is TargetStatus.Failed
    assert rollout.target("a").message == "a refused the instruction: stale epoch"


def test_reports_name_the_one_that_ended_the_target(rollout: Rollout) -> None:
    reports = rollout.walk("a")
    rollout.report("a", *reports)
    assert rollout.history[4].because == f"report {reports[-1].seq}"


# ----------------------------------------------------------------------------------------------------------------- stop


def test_a_stop_cancels_what_is_in_progress_and_skips_what_waits(rollout: Rollout) -> None:
    rollout.stop(reason="wrong one")
    assert rollout.target("a").cancelled == "stopped by bob: wrong one"
    assert [order.cancel.reason for order in rollout.orders if isinstance(order, SendCancel)] == ["stopped by bob: wrong one"]
    assert rollout.names(TargetStatus.Skipped) == ["b", "c"]
    assert rollout.deployment.status is DeploymentStatus.InProgress
    assert rollout.history[-3].principal == "bob"


@pytest.mark.parametrize("status", [InstructionStatus.Cancelled, InstructionStatus.Refused])
def test_a_cancelled_host_is_skipped_when_nothing_had_begun(rollout: Rollout, status: InstructionStatus) -> None:
    rollout.stop()
    rollout.report("a", rollout.whole("a", status))
    assert rollout.target("a").status is TargetStatus.Skipped
    assert rollout.member("a").health is InstanceHealth.Healthy
    assert rollout.deployment.status is DeploymentStatus.Stopped
    assert rollout.deployment.error is not None
    assert rollout.deployment.error.code is DeploymentErrorCode.MANUAL_STOP


def test_a_cancelled_host_has_failed_when_something_had_begun(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", STOP, SUCCEEDED))
    rollout.stop()
    rollout.report("a", rollout.whole("a", InstructionStatus.Cancelled))
    assert rollout.target("a").status is TargetStatus.Failed
    assert rollout.member("a").health is InstanceHealth.Unhealthy


def test_a_host_that_gives_up_by_itself_has_failed(rollout: Rollout) -> None:
    rollout.report("a", rollout.whole("a", InstructionStatus.Cancelled, "shutting down"))
    assert rollout.target("a").status is TargetStatus.Failed


def test_a_stop_is_answered_twice_and_told_once(rollout: Rollout) -> None:
    rollout.stop()
    history = len(rollout.history)
    rollout.stop()
    assert rollout.answer().error is None
    assert len(rollout.history) == history
    rollout.succeed("a")
    rollout.stop()
    assert isinstance(rollout.answer().error, DeploymentAlreadyCompleted)


def test_an_unknown_deployment_cannot_be_stopped(rollout: Rollout) -> None:
    rollout.stop(DeploymentId("d-9"))
    assert isinstance(rollout.answer().error, DeploymentAlreadyCompleted)
    assert rollout.deployment.stopping is None


# ------------------------------------------------------------------------------------------------- lost hosts, deadlines


def test_a_host_that_never_answers_fails_after_five_minutes_and_is_told_not_to_begin(rollout: Rollout) -> None:
    rollout.wait(299_999)
    assert rollout.in_progress == ["a"]
    orders = rollout.wait(1)
    assert rollout.target("a").message.startswith("AGENT_ISSUE: the agent on a did not accept")
    assert [type(order) for order in orders if not isinstance(order, WakeAt)] == [SendCancel, Settled]
    assert rollout.deployment.error is not None
    assert rollout.deployment.error.code is DeploymentErrorCode.AGENT_ISSUE


def test_one_failed_hook_among_silent_agents_is_about_the_hosts_health() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"])
    rollout.fail("a")
    rollout.wait(300_000)
    assert rollout.deployment.error is not None
    assert rollout.deployment.error.code is DeploymentErrorCode.HEALTH_CONSTRAINTS


def test_a_lost_host_ends_unknown_after_five_minutes(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    rollout.wait(60_000)
    rollout.lose("a")
    rollout.wait(299_999)
    assert rollout.in_progress == ["a"]
    rollout.wait(1)
    assert rollout.target("a").status is TargetStatus.Unknown
    assert rollout.deployment.status is DeploymentStatus.Failed


def test_a_host_whose_first_word_comes_when_it_is_lost_has_five_minutes_from_then(rollout: Rollout) -> None:
    rollout.lose("a")
    rollout.wait(60_000)
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    returned = stored(rollout.group)
    restore(returned, {host_id("a")}, rollout.elapsed)
    rollout.wait(299_999)
    assert rollout.in_progress == ["a"]
    rollout.wait(1)
    assert rollout.target("a").status is TargetStatus.Unknown
    step(returned, [Woken(at=rollout.at, elapsed=rollout.elapsed)], Changes())
    assert rows(returned) == rows(rollout.group)


def test_a_host_that_returns_has_its_five_minutes_anew(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    rollout.lose("a")
    rollout.wait(200_000)
    rollout.welcome_back("a")
    rollout.wait(200_000)
    rollout.lose("a")
    rollout.wait(299_999)
    assert rollout.in_progress == ["a"]


def test_a_deployment_that_stops_does_not_wait_for_lost_hosts() -> None:
    rollout = Rollout()
    rollout.deploy("r1", ["a", "b"])
    rollout.lose("a")
    rollout.stop()
    assert rollout.target("a").status is TargetStatus.Unknown
    rollout.lose("b")
    assert rollout.target("b").status is TargetStatus.Unknown
    assert rollout.deployment.status is DeploymentStatus.Stopped


def test_a_wall_clock_that_jumps_changes_no_deadline(rollout: Rollout) -> None:
    asked = DeploymentRequested(at=10**15, elapsed=rollout.elapsed, plan=plan("d-2", "r3", ALL_AT_ONCE), hosts=())
    rollout.step([asked])
    rollout.wait(299_999)
    assert rollout.in_progress == ["a"]


def test_the_clock_is_stored_every_ten_seconds_while_a_deadline_runs(rollout: Rollout) -> None:
    clocks = []
    for _ in range(4):
        rollout.wait(10_000)
        clocks.append(rollout.deployment.checkpoint)
        assert rollout.deployment.deployment_id in rollout.changes.deployments
    assert clocks == [10_000, 20_000, 30_000, 40_000]


def test_nobody_is_woken_when_nothing_runs(rollout: Rollout) -> None:
    rollout.succeed("a", "b", "c")
    assert rollout.wait(86_400_000) == []


def test_a_fact_that_is_stepped_late_does_not_turn_the_clock_back(rollout: Rollout) -> None:
    rollout.wait(100_000)
    rollout.elapsed -= 50_000
    rollout.see_epoch("b", 1)
    assert rollout.deployment.clock == 100_000
    rollout.elapsed += 50_000
    rollout.wait(199_999)
    assert rollout.in_progress == ["a"]
    rollout.wait(1)
    assert rollout.names(TargetStatus.Failed) == ["a"]


def test_a_loss_is_stored_with_the_clock_that_it_was_told_by(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS))
    rollout.wait(5_000)  # no deadline runs, so nothing of this time is stored
    rollout.lose("a")
    rollout.restart()
    rollout.wait(300_000)
    assert rollout.target("a").status is TargetStatus.Unknown


def test_the_time_of_a_dead_coordinator_does_not_count(rollout: Rollout) -> None:
    rollout.wait(200_000)
    rollout.restart(away=3_600_000)
    rollout.wait(99_999)
    assert rollout.in_progress == ["a"]
    rollout.wait(1)
    assert rollout.names(TargetStatus.Failed) == ["a"]


def test_a_lost_journal_interrupts_what_was_running(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    rollout.lose_journal("a")
    target = rollout.target("a")
    assert target.status is TargetStatus.Failed
    assert target.message.startswith("INTERRUPTED (journal lost)")
    change = rollout.changes.events[target, INSTALL, 1]
    assert change.diagnostics is not None
    assert change.diagnostics.error_code is LifecycleErrorCode.Interrupted


def test_an_attempt_keeps_its_events_when_the_next_one_begins_in_the_same_commit() -> None:
    rollout = Rollout()
    rollout.deploy("r2", ["a", "b"], ALL_AT_ONCE)
    rollout.report("a", rollout.event("a", INSTALL, IN_PROGRESS))
    asked = RetryRequested(at=rollout.at, elapsed=rollout.elapsed, deployment_id=rollout.deployment.deployment_id, requested_by="bob")
    rollout.step([JournalLost(at=rollout.at, elapsed=rollout.elapsed, host_id=host_id("a")), asked])
    target = rollout.target("a")
    assert (target.attempt, target.status, target.event) == (2, TargetStatus.InProgress, None)
    assert list(rollout.changes.events) == [(target, INSTALL, 1)]


def test_a_lost_journal_of_an_idle_host_changes_nothing(rollout: Rollout) -> None:
    rollout.lose_journal("b")
    assert not rollout.changes


def test_a_higher_fence_on_a_host_is_taken_over_and_told(rollout: Rollout) -> None:
    rollout.see_epoch("b", 9)
    assert rollout.member("b").target_epoch == 9
    assert rollout.history[-1].entry is Entry.HistoryWentBack
    rollout.see_epoch("b", 8)
    assert not rollout.changes
    rollout.succeed("a")
    assert rollout.target("b").target_epoch == 10


def test_a_host_that_the_group_does_not_know_may_know_a_fence_of_it() -> None:
    rollout = Rollout()
    rollout.see_epoch("a", 3)
    rollout.deploy("r1", ["a"])
    assert rollout.target("a").target_epoch == 4


# ------------------------------------------------------------------------------------------------------ end and restart


def test_success_makes_the_revision_the_last_successful_one(rollout: Rollout) -> None:
    rollout.succeed("a", "b", "c")
    assert rollout.deployment.status is DeploymentStatus.Succeeded
    assert rollout.group.last_successful is not None
    assert rollout.group.last_successful.deployment_id == "d-1"
    assert set(rollout.changes.groups) == {GROUP}
    assert rollout.group.deployment is None


def test_the_same_facts_in_one_commit_end_in_the_same_rows(rollout: Rollout) -> None:
    alone, together = rollout, Rollout()
    together.given(["a", "b", "c"])
    together.deploy("r2", ["a", "b", "c"], ONE_AT_A_TIME)
    walks = [alone.reported(name, *alone.walk(name)) for name in "ab"]
    for fact in walks:
        alone.step([fact])
    together.step(walks)
    assert rows(alone.group) == rows(together.group)
    assert alone.history == together.history


def test_a_welcome_repeats_the_instruction_and_its_cancel_until_the_target_has_ended(rollout: Rollout) -> None:
    instruction, cancel = outstanding(rollout.group, host_id("a"))
    assert instruction is not None
    assert cancel is None
    assert outstanding(rollout.group, host_id("b")) == (None, None)
    rollout.stop()
    again, cancel = outstanding(rollout.group, host_id("a"))
    assert again == instruction
    assert cancel is not None
    assert cancel.instruction_id == instruction.instruction_id
    rollout.succeed("a")
    assert outstanding(rollout.group, host_id("a")) == (None, None)


def test_a_restarted_coordinator_repeats_the_same_instruction(rollout: Rollout) -> None:
    before = outstanding(rollout.group, host_id("a"))
    rollout.restart()
    assert outstanding(rollout.group, host_id("a")) == before


def test_a_host_that_was_lost_while_the_coordinator_was_away_has_five_minutes_from_now(rollout: Rollout) -> None:
    rollout.report("a", rollout.event("a", STOP, IN_PROGRESS))
    rollout.group = stored(rollout.group)
    restore(rollout.group, {host_id("a")}, rollout.elapsed)
    assert rollout.target("a").lost_at == rollout.deployment.clock
    restore(rollout.group, set(), rollout.elapsed)
    assert rollout.target("a").lost_at is None


def test_a_group_without_a_deployment_is_restored() -> None:
    group = Group(group_id=GroupId("g-2"))
    restore(group, set(), 0)
    assert group.live == ()
