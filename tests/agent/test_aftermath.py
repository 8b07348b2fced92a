"""What follows an event's scripts: closing hooks learn how it ended, and a probe decides where nobody knows."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec, Script
from agent.clock import SystemClock
from agent.executor.aftermath import RERUN, Aftermath
from agent.executor.environment import Environment
from agent.executor.scripts import EventScripts
from agent.facts import Begin, Close, EventClosed, EventEnded, EventInterrupted, Recover
from agent.hooks import EventOutcome, EventRun
from agent.model import Diagnostics, ErrorCode, Installed, LifecycleEvent
from agent.policy import Guard, Memory, NoPolicy, PolicyFile
from agent.workspace import Workspace
from tests.agent.instructions import instruction
from tests.simulation.timeloop import VirtualLoop, run

AFTER = LifecycleEvent.AFTER_INSTALL
WELL = EventOutcome(error_code="Success", message="Succeeded", started_at=1, ended_at=9)
BADLY = EventOutcome(
    error_code="ScriptFailed", message="exit code 1", started_at=1, ended_at=9, script_name="a.sh", log_tail="oh\n", exit_code=1
)
INTERRUPTED = EventOutcome(
    error_code="UnknownError", message="cannot say how it ended (reboot)", started_at=1, ended_at=4, interrupted=True
)
WHY = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, message="exit code 1", script_name="a.sh", log_tail="oh\n")


def script(name: str, **words: str) -> Script:
    return Script(location=name, timeout=60, runas=words.get("runas"), sudo=False)


CLOSED = AppSpec(
    hooks={"AfterInstall": (script("a.sh"),)},
    always={"AfterInstall": (script("always.sh"),)},
    on_failure={"AfterInstall": (script("undo.sh"),)},
    env=(("A", "b"),),
)
PROBED = AppSpec(hooks={"AfterInstall": (script("a.sh"),)}, probed=("AfterInstall",), probe=script("probe.sh"))


@dataclass
class Scripts:
    """Hooks that note what they were asked to run; nobody waits for one that has no outcome."""

    outcome: EventOutcome | None = WELL
    asked: list[EventRun] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def start_ahead(self) -> None:
        """Starts nothing."""

    async def run(self, event: EventRun) -> EventOutcome:
        """Notes the event and ends it."""
        self.asked.append(event)
        never: asyncio.Future[EventOutcome] = asyncio.get_running_loop().create_future()
        return self.outcome or await never

    async def recover(self, instruction_id: str, attempt: int, lifecycle_event: str) -> EventOutcome | None:
        """Is never asked."""
        raise AssertionError

    async def cancel(self, instruction_id: str, attempt: int) -> None:
        """Notes it."""
        self.calls.append("cancel")

    async def finish(self, instruction_id: str) -> None:
        """Notes it."""
        self.calls.append("finish")

    def forget(self, instruction_id: str) -> None:
        """Forgets nothing."""


class Stage:
    """What follows the events of one deployment, on a real directory."""

    def __init__(self, folder: Path) -> None:
        self.hooks = Scripts()
        self.workspace = Workspace(root_prefix=folder)
        self.policy = folder / "policy.toml"
        self.environment = Environment(own={"PATH": "/bin"}, root_prefix=folder, host="h1")

    def aftermath(self, appspec: AppSpec | None = CLOSED, *, deployment: str = "d-1") -> Aftermath:
        """With this AppSpec; None: it is gone."""
        directory = self.workspace.deployment("g-1", deployment)
        directory.archive.mkdir(parents=True)
        if appspec is not None:
            directory.appspec.write_text(appspec.to_json())
        policy = PolicyFile(self.policy, is_needed=True) if self.policy.exists() else NoPolicy()
        memory = Memory(self.workspace.root_prefix / "releases.json")
        guard = Guard(policy=policy, memory=memory, workspace=self.workspace, clock=SystemClock())
        return Aftermath(hooks=self.hooks, scripts=EventScripts(workspace=self.workspace, environment=self.environment), guard=guard)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def begin(event: LifecycleEvent = AFTER, *, serving: Installed | None = None) -> Begin:
    return Begin(instruction(), event, 60, serving)


def close(diagnostics: Diagnostics | None = None) -> Close:
    return Close(instruction(), AFTER, None, 2, None, diagnostics)


@pytest.mark.parametrize("outcome, diagnostics", [(WELL, None), (BADLY, WHY)])
async def test_an_event_with_closing_hooks_is_to_be_closed(stage: Stage, outcome: EventOutcome, diagnostics: Diagnostics | None) -> None:
    ended = await stage.aftermath().of(begin(), outcome)
    assert ended == EventEnded(instruction().instruction_id, AFTER, diagnostics, 9, closing=True)


async def test_a_success_is_not_closed_by_what_follows_failures(stage: Stage) -> None:
    aftermath = stage.aftermath(replace(CLOSED, always={}))
    ended = [await aftermath.of(begin(), outcome) for outcome in (WELL, BADLY)]
    assert [isinstance(each, EventEnded) and each.closing for each in ended] == [False, True]


async def test_an_event_of_which_nothing_has_run_is_not_closed(stage: Stage) -> None:
    refused = EventOutcome(error_code="UnknownError", message="no room", started_at=0, ended_at=0)
    assert await stage.aftermath().of(begin(), refused) == EventEnded(
        instruction().instruction_id, AFTER, Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message="no room")
    )


async def test_other_events_are_not_closed(stage: Stage) -> None:
    ended = await stage.aftermath().of(begin(LifecycleEvent.APPLICATION_START), BADLY)
    assert isinstance(ended, EventEnded)
    assert not ended.closing


async def test_closing_hooks_of_a_success_are_told_so(stage: Stage) -> None:
    closed = await stage.aftermath().closed(close())
    assert closed == EventClosed(instruction().instruction_id, AFTER, None, 9)
    (asked,) = stage.hooks.asked
    assert [each.location for each in asked.scripts] == ["always.sh"]
    assert (asked.lifecycle_event, asked.closing, asked.timeout, asked.attempt) == ("AfterInstall (closing)", True, 120, 2)
    ours = {name: value for name, value in asked.environment.items() if name.startswith("HOOKLINE_EVENT")}
    assert ours == {"HOOKLINE_EVENT_STATUS": "Succeeded"}
    assert (asked.environment["LIFECYCLE_EVENT"], asked.scripts[0].env) == ("AfterInstall", (("A", "b"),))


async def test_closing_hooks_of_a_failure_are_told_what_failed_and_those_of_failures_come_first(stage: Stage) -> None:
    await stage.aftermath().closed(close(WHY))
    (asked,) = stage.hooks.asked
    assert [each.location for each in asked.scripts] == ["undo.sh", "always.sh"]
    ours = {name: value for name, value in asked.environment.items() if name.startswith("HOOKLINE_EVENT")}
    assert ours == {"HOOKLINE_EVENT_STATUS": "Failed", "HOOKLINE_EVENT_ERROR": "ScriptFailed", "HOOKLINE_EVENT_SCRIPT": "a.sh"}


async def test_a_closing_hook_that_fails_is_told_without_secrets(stage: Stage) -> None:
    secret = "https://me:hunter22@host/"
    stage.hooks.outcome = replace(BADLY, message=f"no {secret}")
    closed = await stage.aftermath().closed(close())
    assert closed.diagnostics is not None
    assert closed.diagnostics.error_code is ErrorCode.SCRIPT_FAILED
    assert "hunter22" not in closed.diagnostics.message


async def test_closing_hooks_that_are_gone_are_said_to_be(stage: Stage) -> None:
    closed = await stage.aftermath(None).closed(close())
    assert closed.diagnostics is not None
    assert closed.diagnostics.message == "cannot close AfterInstall: its AppSpec is gone; deploy again"
    assert stage.hooks.asked == []


async def test_application_stop_is_closed_by_the_old_revision(stage: Stage) -> None:
    stop = {"ApplicationStop": (script("old.sh"),)}
    aftermath = stage.aftermath(AppSpec(hooks=stop, always=stop), deployment="d-0")
    old = Installed(revision_id=instruction().revision_id, deployment_id=instruction("d-0").deployment_id)
    ended = await aftermath.of(begin(LifecycleEvent.APPLICATION_STOP, serving=old), WELL)
    assert isinstance(ended, EventEnded)
    assert ended.closing
    await aftermath.closed(Close(instruction(), LifecycleEvent.APPLICATION_STOP, old, 1, None, None))
    (asked,) = stage.hooks.asked
    assert "/d-0/" in asked.scripts[0].path


async def test_the_hosts_policy_holds_for_closing_hooks(stage: Stage) -> None:
    stage.policy.write_text('runas = ["www-data"]\nmax_event_seconds = 30\n')
    appspec = replace(CLOSED, always={"AfterInstall": (script("always.sh", runas="bob"),)})
    closed = await stage.aftermath(appspec).closed(close())
    assert closed.diagnostics is not None
    assert closed.diagnostics.message.startswith("cannot run the script always.sh as user bob: only www-data is allowed")
    assert stage.hooks.asked == []


async def test_the_hosts_policy_shortens_what_follows_an_event(stage: Stage) -> None:
    stage.policy.write_text("max_event_seconds = 30\n")
    await stage.aftermath().closed(close())
    assert [each.timeout for each in stage.hooks.asked] == [30]


def test_nobody_waits_for_ever_for_what_follows_an_event(stage: Stage) -> None:
    stage.hooks.outcome = None
    told: list[EventClosed] = []

    async def closes(loop: VirtualLoop) -> None:
        began = loop.time()
        told.append(await stage.aftermath().closed(close()))
        assert loop.time() - began == 150

    run(closes)
    (closed,) = told
    assert closed.diagnostics is not None
    assert closed.diagnostics.error_code is ErrorCode.INTERRUPTED
    assert "no word of it came within 150 s" in closed.diagnostics.message
    assert stage.hooks.calls == ["cancel"]


async def test_a_probe_that_ends_well_says_that_the_event_is_done(stage: Stage) -> None:
    appspec = replace(PROBED, always=CLOSED.always)
    ended = await stage.aftermath(appspec).of(Recover(instruction(), AFTER, 60, None, 2, instruction().revision_id), INTERRUPTED)
    assert ended == EventEnded(instruction().instruction_id, AFTER, None, 9, closing=True)
    (asked,) = stage.hooks.asked
    assert [each.location for each in asked.scripts] == ["probe.sh"]
    assert (asked.lifecycle_event, asked.closing, asked.timeout, asked.attempt) == ("AfterInstall (probe)", False, 60, 2)
    assert asked.environment["HOOKLINE_PREVIOUS_REVISION"] == "r1"
    assert stage.hooks.calls == []  # its supervisor may be asked for more, and its output goes on


async def test_a_probe_may_have_the_scripts_run_again(stage: Stage) -> None:
    stage.hooks.outcome = replace(BADLY, exit_code=RERUN)
    ended = await stage.aftermath(replace(PROBED, always=CLOSED.always)).of(begin(), INTERRUPTED)
    assert isinstance(ended, EventInterrupted)
    assert (ended.attempt, ended.closing) == (1, True)
    assert ended.diagnostics.error_code is ErrorCode.INTERRUPTED


@pytest.mark.parametrize("outcome", [BADLY, replace(INTERRUPTED, message="nobody knows"), replace(BADLY, exit_code=None, message="killed")])
async def test_a_probe_that_says_anything_else_leaves_the_event_interrupted(stage: Stage, outcome: EventOutcome) -> None:
    stage.hooks.outcome = outcome
    ended = await stage.aftermath(PROBED).of(begin(), INTERRUPTED)
    assert isinstance(ended, EventEnded)
    assert ended.diagnostics is not None
    assert ended.diagnostics.error_code is ErrorCode.INTERRUPTED
    assert ended.diagnostics.message == f"cannot say how it ended (reboot); its probe says: {outcome.message}"


async def test_a_probe_is_not_asked_about_what_is_known(stage: Stage) -> None:
    aftermath = stage.aftermath(PROBED)
    for outcome in (WELL, BADLY):
        await aftermath.of(begin(), outcome)
    await aftermath.of(begin(LifecycleEvent.APPLICATION_START), INTERRUPTED)
    assert stage.hooks.asked == []
