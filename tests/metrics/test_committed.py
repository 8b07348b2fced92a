"""What is committed is counted: deployments, hooks, rollbacks, and how long each of them takes."""

from typing import get_args

import pytest

from agent.policy.rules import refused
from agent.policy.terms import Policy
from coordinator.core.lifecycle import DeploymentErrorCode, EventStatus, LifecycleErrorCode, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    AlarmStatus,
    Analysis,
    AutoRollbackEvent,
    Comparison,
    Condition,
    Creator,
    DeploymentId,
    Measurement,
    Metric,
    Pause,
    Place,
    Queueing,
    Shape,
    Step,
)
from coordinator.metrics.hooks import SOURCES
from coordinator.metrics.live import HOSTS
from coordinator.metrics.outcomes import BATCHES, REASONS, TRIGGERS, VERDICTS, reason, trigger
from tests.metrics.running import SCRIPT, running
from tests.store.memory import MemoryStore
from tests.store.things import ALARMS, R2

FAILURE = frozenset({AutoRollbackEvent.DEPLOYMENT_FAILURE})
ON_ALARM = frozenset({AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM})
WHERE = {"application": "shop", "group": "web"}


def test_everything_that_there_is_has_a_word() -> None:
    assert {reason(code) for code in DeploymentErrorCode} == set(REASONS)
    assert {trigger(creator) for creator in Creator} == set(TRIGGERS)
    assert set(SOURCES) == set(get_args(Place))
    assert len(HOSTS) == len(TargetStatus)


async def test_a_deployment_is_counted_from_its_start_to_its_end() -> None:
    async with running() as it:
        await it.deploy("d-1", hosts=3)
        assert it.value("deployments_started_total", trigger="operator") == 1
        assert it.value("deployments_finished_total", outcome="succeeded") == 0
        assert it.value("batch_size_sum") == 3
        it.clock.at += 40_000
        for host in ("h0", "h1", "h2"):
            await it.succeed("d-1", host)
        assert it.value("deployments_finished_total", outcome="succeeded") == 1
        assert it.value("deployment_duration_seconds_sum", outcome="succeeded") == 40
        assert it.value("deployment_active_duration_seconds_sum", outcome="succeeded") == 40
        assert it.value("deployment_manual_wait_duration_seconds_count", outcome="succeeded") == 0
        assert it.value("last_success_timestamp_seconds") == it.clock.at / 1_000
        assert it.value("history_entries_total", type="Succeeded") == 4
        assert it.metrics.committed.live == {}


async def test_the_time_that_it_waits_for_people_is_told_from_the_time_that_it_works() -> None:
    async with running() as it:
        await it.deploy("d-1", require_approval=True)
        it.clock.at += 60_000
        await it.approve("d-1")
        it.clock.at += 5_000
        await it.succeed("d-1")
        assert it.value("deployment_duration_seconds_sum", outcome="succeeded") == 65
        assert it.value("deployment_active_duration_seconds_sum", outcome="succeeded") == 5
        assert it.value("deployment_manual_wait_duration_seconds_sum", outcome="succeeded") == 60


async def test_the_time_for_which_somebody_has_paused_it_is_told_from_the_time_that_it_works() -> None:
    store = MemoryStore()
    async with running(store) as it:
        await it.deploy("d-1")
        it.clock.at += 10_000
        await it.pause("d-1")
        it.metrics.look()
        assert it.value("deployments_in_progress", status="paused") == 1
        it.clock.at += 60_000
        await it.pause("d-1", resume=True)
        await it.succeed("d-1")
        assert it.value("deployment_active_duration_seconds_sum", outcome="succeeded") == 10
        assert it.value("deployment_manual_wait_duration_seconds_sum", outcome="succeeded") == 60


async def test_lifecycle_events_are_counted_with_the_time_that_their_host_says_they_took() -> None:
    async with running() as it:
        await it.deploy("d-1", hosts=2)
        await it.succeed("d-1", seconds=2.5)
        await it.fail("d-1", "h1", LifecycleErrorCode.ScriptTimedOut)
        good, bad = {"event": SCRIPT.name, "outcome": "succeeded"}, {"event": SCRIPT.name, "outcome": "failed"}
        assert it.value("hook_executions_total", **good) == it.value("hook_executions_total", **bad) == 1
        assert it.value("hook_duration_seconds_sum", **good) == 2.5
        assert it.value("hook_duration_seconds_sum", **bad) == 2
        assert it.value("hook_timeouts_total", event=SCRIPT.name) == 1
        assert it.value("artifact_fetch_duration_seconds_sum", source="coordinator") == 2.5
        assert it.value("artifact_bytes_total", source="coordinator") == 12
        assert it.value("hook_executions_total", event="AllowTraffic", outcome="failed") == 0


async def test_an_event_that_began_before_the_coordinator_did_is_counted_without_a_duration() -> None:
    store = MemoryStore()
    async with running(store) as it:
        await it.deploy("d-1")
        await it.report("d-1", "h0", SCRIPT, EventStatus.InProgress, 5_000_000)
    async with running(store) as it:
        await it.hello("h0")
        await it.report("d-1", "h0", SCRIPT, EventStatus.Succeeded, 5_002_000)
        assert it.value("hook_executions_total", event=SCRIPT.name, outcome="succeeded") == 1
        assert it.value("hook_duration_seconds_count", event=SCRIPT.name, outcome="succeeded") == 0
        assert it.value("deployments_finished_total", outcome="succeeded") == 1


async def test_a_clock_that_went_back_meanwhile_makes_no_negative_duration() -> None:
    async with running() as it:
        await it.deploy("d-1")
        await it.report("d-1", "h0", SCRIPT, EventStatus.InProgress, 5_000_000)
        await it.report("d-1", "h0", SCRIPT, EventStatus.Succeeded, 4_000_000)
        assert it.value("hook_duration_seconds_sum", event=SCRIPT.name, outcome="succeeded") == 0
        assert it.value("hook_duration_seconds_count", event=SCRIPT.name, outcome="succeeded") == 1


async def test_a_rollback_is_counted_with_its_reason_and_its_duration() -> None:
    async with running(names=True) as it:
        await it.deploy("d-1")
        await it.succeed("d-1")
        await it.deploy("d-2", revision=R2, auto_rollback=FAILURE)
        await it.fail("d-2")
        assert it.value("deployments_finished_total", outcome="rolled_back", **WHERE) == 1
        assert it.value("deployments_finished_total", outcome="failed", **WHERE) == 0
        assert it.value("rollbacks_total", reason="hook_failure", **WHERE) == 1
        assert it.value("rollbacks_total", reason="alarm", **WHERE) == 0
        assert it.value("deployments_started_total", trigger="rollback", **WHERE) == 1
        it.clock.at += 7_000
        await it.succeed("d-2-rollback")
        assert it.value("rollback_duration_seconds_sum", outcome="succeeded") == 7
        assert it.value("alarm_to_rollback_seconds_count") == 0


async def test_the_time_from_an_alarm_to_the_first_host_that_goes_back_is_measured() -> None:
    async with running() as it:
        await it.deploy("d-1")
        await it.succeed("d-1")
        made = await it.deploy("d-2", revision=R2, auto_rollback=ON_ALARM, alarms=ALARMS[:1])
        await it.see(ALARMS[0].name, AlarmStatus.OK, made)
        await it.report("d-2", "h0", SCRIPT, EventStatus.InProgress, 5_000_000)
        await it.see(ALARMS[0].name, AlarmStatus.ALARM, made)
        it.clock.at += 3_000
        assert it.value("alarm_to_rollback_seconds_count") == 0
        await it.report("d-2", "h0", SCRIPT, EventStatus.Succeeded, 5_003_000)
        assert it.value("alarm_to_rollback_seconds_count") == 1
        assert it.value("alarm_to_rollback_seconds_sum") == 3
        assert it.value("rollbacks_total", reason="alarm") == 1


async def test_a_success_that_regresses_is_a_rollback_because_of_its_alarm() -> None:
    async with running(names=True) as it:
        await it.deploy("d-1")
        await it.succeed("d-1")
        made = await it.deploy("d-2", revision=R2, auto_rollback=ON_ALARM, alarms=ALARMS[:1], watch_after_success=3_600_000, bake_time=0)
        await it.see(ALARMS[0].name, AlarmStatus.OK, made)
        await it.succeed("d-2")
        assert it.value("current_revision_info", revision="r2", **WHERE) == 1
        it.clock.at += 600_000
        await it.see(ALARMS[0].name, AlarmStatus.ALARM, made)
        assert it.value("deployments_finished_total", outcome="succeeded", **WHERE) == 2
        assert it.value("rollbacks_total", reason="alarm", **WHERE) == 1
        assert it.value("alarm_to_rollback_seconds_count") == 1
        assert it.value("alarm_to_rollback_seconds_sum") == 0
        await it.succeed("d-2-rollback")
        assert it.value("current_revision_info", revision="r1", **WHERE) == 1
        assert it.value("current_revision_info", revision="r2", **WHERE) is None
        assert it.metrics.committed.live == {}


ERRORS = Measurement(name="errors", expression="e", failure=Condition(Comparison.GREATER, 0.5), interval=5_000)
ONE_THEN_ALL = Shape(steps=(Step(value=1, pause=Pause(analysis=Analysis(metrics=(Metric(measurement=ERRORS, count=1),)))),))


async def test_stages_are_counted_as_they_end_also_by_a_coordinator_that_comes_in_between() -> None:
    store = MemoryStore()
    async with running(store, names=True) as it:
        made = await it.deploy("d-1", hosts=2, shape=ONE_THEN_ALL)
        await it.succeed("d-1", "h0")
        await it.see("0/errors", AlarmStatus.OK, made)
        assert it.value("batches_finished_total", outcome="succeeded", **WHERE) == 1
        assert it.value("analysis_runs_total", verdict="successful", **WHERE) == 1
        assert it.value("analysis_measurements_total", outcome="success") == 1
    async with running(store, names=True) as it:
        for host in ("h0", "h1"):
            await it.hello(host)
        await it.fail("d-1", "h1")
        assert {one: it.value("batches_finished_total", outcome=one, **WHERE) for one in BATCHES} == {
            "succeeded": 1,
            "failed": 0,
            "stopped": 0,
        }


@pytest.mark.parametrize(
    "status, outcome, verdict",
    [(AlarmStatus.ALARM, "failure", "failed"), (AlarmStatus.UNKNOWN, "inconclusive", "inconclusive")],
)
async def test_an_analysis_that_does_not_go_well_is_counted_by_its_verdict(status: AlarmStatus, outcome: str, verdict: str) -> None:
    async with running() as it:
        made = await it.deploy("d-1", hosts=2, shape=ONE_THEN_ALL)
        await it.succeed("d-1", "h0")
        await it.see("0/errors", status, made)
        assert {one: it.value("analysis_runs_total", verdict=one) for one in VERDICTS} == {one: float(one == verdict) for one in VERDICTS}
        assert it.value("analysis_measurements_total", outcome=outcome) == 1
        assert it.value("batches_finished_total", outcome="stopped") == float(verdict == "failed")


async def test_what_never_began_had_no_batch() -> None:
    async with running() as it:
        made = await it.deploy("d-1", alarms=ALARMS[:1])
        await it.see(ALARMS[0].name, AlarmStatus.ALARM, made)
        assert it.value("deployments_finished_total", outcome="stopped") == 1
        assert {it.value("batches_finished_total", outcome=one) for one in BATCHES} == {0}


async def test_deployment_ids_are_exemplars_and_never_labels() -> None:
    async with running() as it:
        await it.deploy("d-1")
        await it.succeed("d-1")
        text, _ = await it.metrics.exposition("application/openmetrics-text; version=1.0.0")
        assert b'hookline_deployments_finished_total{outcome="succeeded"} 1.0 # {deployment_id="d-1"} 1.0' in text
        assert b'hookline_deployment_duration_seconds_bucket{le="5.0",outcome="succeeded"} 1.0 # {deployment_id="d-1"}' in text
        plain, _ = await it.metrics.exposition("")
        assert b"d-1" not in plain


async def test_a_signature_that_an_agent_refuses_is_counted_by_the_rule_of_its_policy() -> None:
    async with running() as it:
        await it.deploy("d-1", hosts=2)
        said = refused(Policy(file="/etc/hookline/agent-policy.toml"), "signing_keys", "deploy revision r1", "it is signed with key 7")
        await it.fail("d-1", "h0", why=str(said))
        await it.fail("d-1", "h1", why="make: *** (no such thing in Makefile)")
        assert it.value("signature_failures_total", reason="signing_keys") == 1
        assert it.value("signature_failures_total", reason="require_signature") == 0


async def test_the_revision_of_a_group_is_one_series_that_follows_it() -> None:
    async with running(names=True) as it:
        await it.deploy("d-1")
        await it.succeed("d-1")
        assert it.value("current_revision_info", revision="r1", **WHERE) == 1
        await it.deploy("d-2", revision=R2)
        await it.succeed("d-2")
        assert it.value("current_revision_info", revision="r2", **WHERE) == 1
        assert it.value("current_revision_info", revision="r1", **WHERE) is None


async def test_what_goes_on_is_looked_at_when_somebody_asks() -> None:
    async with running(names=True) as it:
        await it.deploy("d-1", hosts=4)
        await it.succeed("d-1", "h2")
        it.clock.at += 9_000
        it.metrics.look()
        assert it.value("deployments_in_progress", status="in_progress", **WHERE) == 1
        assert it.value("deployments_in_progress", status="stopping", **WHERE) == 0
        assert it.value("hosts", status="in_progress", **WHERE) == 3
        assert it.value("hosts", status="succeeded", **WHERE) == 1
        assert it.value("healthy_hosts", **WHERE) == 1
        assert it.value("deployments_below_minimum", **WHERE) == 0
        assert it.value("deployment_progress_timestamp_seconds", **WHERE) == (it.clock.at - 9_000) / 1_000
        assert it.value("agents_known", status="connected") == 4
        assert it.value("agents_connected_by_version", agent_version="0.1.0") == 4
        for host in ("h0", "h1", "h3"):
            await it.succeed("d-1", host)
        it.metrics.look()
        assert it.value("deployments_in_progress", status="in_progress", **WHERE) is None


async def test_a_deployment_that_waits_for_its_turn_is_one_of_its_group() -> None:
    async with running() as it:
        await it.deploy("d-1")
        await it.deploy("d-2", revision=R2, queueing=Queueing.SUPERSEDE)
        it.metrics.look()
        assert it.value("deployments_in_progress", status="in_progress") == 1
        assert it.value("deployments_in_progress", status="waiting_for_turn") == 1
        assert it.value("hosts", status="in_progress") == 1
        await it.deploy("d-3", revision=R2, queueing=Queueing.SUPERSEDE)
        assert it.value("deployments_finished_total", outcome="superseded") == 1
        assert it.value("deployments_finished_total", outcome="stopped") == 0


async def test_nobody_is_expected_to_move_while_a_deployment_waits_for_people() -> None:
    async with running() as it:
        await it.deploy("d-1", require_approval=True)
        it.metrics.look()
        assert it.value("deployments_in_progress", status="waiting_for_approval") == 1
        assert it.value("deployment_progress_timestamp_seconds") is None
        await it.approve("d-1")
        it.metrics.look()
        assert it.value("deployments_in_progress", status="in_progress") == 1
        assert it.value("deployment_progress_timestamp_seconds") == it.clock.at / 1_000


async def test_a_deployment_that_another_run_began_goes_on_being_counted() -> None:
    store = MemoryStore()
    async with running(store) as it:
        await it.deploy("d-1")
    async with running(store) as it:
        it.metrics.look()
        assert it.value("deployments_in_progress", status="in_progress") == 1
        assert it.value("deployments_started_total", trigger="operator") == 0
        assert it.metrics.committed.live[DeploymentId("d-1")].bundle_bytes == 12
        assert it.value("hook_duration_seconds_count", event=LifecycleEvent.Install.name, outcome="succeeded") == 0
