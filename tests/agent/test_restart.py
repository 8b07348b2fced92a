"""Restarts of what is installed: whose scripts run, what closes them, what a host's policy and its disk make of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec, Script
from agent.bundle.locations import SourceSettings
from agent.executor import CoordinatorBundles, EventExecutor
from agent.executor.environment import Environment
from agent.executor.scripts import EventScripts
from agent.facts import Close, Connected, InstructionReceived
from agent.model import DeploymentId, Diagnostics, ErrorCode, Installed, Instruction, LifecycleEvent, RevisionId
from agent.policy import Guard, Memory, NoPolicy
from agent.stream import wire
from agent.workspace import InstalledRevision, Workspace
from agent.workspace.retention import Retention, collect
from coordinator.core.lifecycle import RESTART
from coordinator.wire import agents
from hookline.v1 import agent_pb2
from tests.agent.admission import admitted, refusal
from tests.agent.executing import Ears, Patience, Payloads, Scripts, Stage
from tests.agent.instructions import Told, instruction, sent, words
from tests.agent.releases import NOON, Host, begin, ordered, release
from tests.core.rollout import count, plan

STOP, START, VALIDATE = LifecycleEvent.APPLICATION_STOP, LifecycleEvent.APPLICATION_START, LifecycleEvent.VALIDATE_SERVICE
EVENTS = (STOP, START, VALIDATE)
INSTALLED = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    hooks, unpacker, workspace = Scripts(), Payloads(), Workspace(root_prefix=tmp_path)
    bundles = CoordinatorBundles(coordinator="127.0.0.1:1", host_id="1" * 32, settings=SourceSettings())
    clock = Patience()
    async with asyncio.TaskGroup() as tasks:
        executor = EventExecutor(
            tasks=tasks,
            hooks=hooks,
            unpacker=unpacker,
            scripts=scripts_of(workspace),
            guard=Guard(policy=NoPolicy(), memory=Memory(tmp_path / "releases.json"), workspace=workspace, clock=clock),
            source=bundles,
            clock=clock,
        )
        yield Stage(executor, hooks, unpacker, workspace, bundles, Ears(), clock)


def scripts_of(workspace: Workspace) -> EventScripts:
    return EventScripts(workspace=workspace, environment=Environment(own={}, root_prefix=workspace.root_prefix, host="h1"))


def restart() -> Instruction:
    return replace(instruction("d-2", epoch=2, events=EVENTS), restart=True)


async def test_every_script_runs_from_the_installed_bundle_and_writes_to_the_log_of_the_restart(stage: Stage) -> None:
    archive = stage.unpacked("d-1", *EVENTS)
    for event in EVENTS:
        assert (await stage.end_of(event, restart(), serving=INSTALLED)).diagnostics is None
    assert [run.scripts[0].path for run in stage.hooks.asked] == [str(archive / f"scripts/{event}.sh") for event in EVENTS]
    for run in stage.hooks.asked:
        assert (run.environment["HOOKLINE_BUNDLE_DIR"], run.environment["DEPLOYMENT_ID"]) == (str(archive), "d-2")
        assert run.scripts_log == str(stage.workspace.deployment("g-1", "d-2").scripts_log)
    assert stage.unpacker.asked == []


@pytest.mark.parametrize("event", EVENTS)
async def test_a_restart_fails_where_the_installed_bundle_is_gone_before_anything_is_stopped(stage: Stage, event: LifecycleEvent) -> None:
    diagnostics = (await stage.end_of(event, restart(), serving=INSTALLED)).diagnostics
    assert diagnostics is not None
    assert f"cannot run {event}: the bundle is not unpacked in " in diagnostics.message
    assert diagnostics.message.endswith("/d-1; deploy again")
    assert stage.hooks.asked == []


async def test_what_closes_an_event_of_a_restart_comes_from_the_installed_bundle_too(stage: Stage) -> None:
    archive = stage.unpacked("d-1")
    tidy = (Script(location="tidy.sh", timeout=7, runas=None, sudo=False),)
    closing = AppSpec(always={START.value: tidy})
    (archive.parent / "appspec.json").unlink(missing_ok=True)
    stage.workspace.deployment("g-1", "d-1").appspec.write_text(closing.to_json())
    failed = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, message="exit code 1", script_name="start.sh")
    run = scripts_of(stage.workspace).closing(Close(restart(), START, INSTALLED, 1, None, failed))
    assert run is not None
    assert run.scripts[0].path == str(archive / "tidy.sh")
    assert run.environment["HOOKLINE_EVENT_STATUS"] == "Failed"
    assert scripts_of(stage.workspace).closing(Close(restart(), STOP, INSTALLED, 1, None, failed)) is None


def test_a_statement_that_has_expired_does_not_keep_what_it_brought_from_being_restarted(tmp_path: Path) -> None:
    host, short = Host.at(tmp_path), release(42, not_after=NOON)
    host.deploy(short)
    host.clock.ms = NOON + 3_600_000
    again = ordered(short, deployment="d-2", events=EVENTS)
    assert not admitted(host, again)
    assert admitted(host, replace(again, restart=True))


def test_a_frozen_host_restarts_nothing(tmp_path: Path) -> None:
    host = Host.at(tmp_path)
    host.deploy(release())
    host.rule("freeze = true\n")
    again = replace(ordered(release(), deployment="d-2", events=EVENTS), restart=True)
    assert "this host is frozen" in refusal(lambda: host.guard().admit(begin(again)))


def test_an_agent_that_does_not_know_restarts_refuses_them_before_it_stops_anything() -> None:
    asked = replace(plan("d-2", "r1", count(0)), lifecycle_events=RESTART)
    message = agent_pb2.Instruction.FromString(agents.instruction_common(asked))
    assert [int(one.lifecycle_event) for one in message.restart_events] == [int(event) for event in RESTART]
    message.ClearField("restart_events")  # what is unknown is passed over
    message.instruction_id, message.target_epoch = "d-2/h/0/1", 2
    told = Told()
    told.tell(Connected(0))
    orders = told.tell(InstructionReceived(wire.instruction(message)))
    assert words(orders) == ["d-2 Refused"]
    diagnostics = sent(orders)[0][1].diagnostics
    assert diagnostics is not None
    assert "it lists no lifecycle event" in diagnostics.message


def test_many_restarts_leave_the_installed_bundle_where_it_is(tmp_path: Path) -> None:
    workspace = Workspace(root_prefix=tmp_path)
    installed = workspace.deployment("g-1", "d-1")
    installed.archive.mkdir(parents=True)
    workspace.record_installed("g-1", InstalledRevision(revision="r1", deployment_id="d-1"), cleanup=[], steps="{}")
    for number in range(2, 40):
        workspace.deployment("g-1", f"d-{number}").scripts_log.parent.mkdir(parents=True)
        collect(workspace, Retention(max_revisions=2, max_bytes=0))
    assert installed.archive.is_dir()
    assert len(list(workspace.deployments("g-1"))) == 2
