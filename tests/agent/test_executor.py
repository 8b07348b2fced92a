"""Events become scripts with the right place and environment, downloads and installations, and end as facts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.appspec import AppSpec, Script
from agent.bundle import CoordinatorSource, DownloadRequest, InstallRequest, PayloadError, PayloadErrorCode, UrlSource
from agent.bundle.locations import SourceSettings
from agent.bundle.requests import GitHubSource, Lender, S3Source, Source
from agent.executor import CoordinatorBundles, EventExecutor
from agent.executor.environment import Environment
from agent.executor.scripts import EventScripts
from agent.facts import Begin, EventEnded, EventInterrupted, EventNeverBegan, Recover
from agent.hooks import EventOutcome
from agent.model import (
    BundleType,
    DeploymentId,
    ErrorCode,
    FileExistsBehavior,
    Installed,
    LifecycleEvent,
    Location,
    Place,
    RevisionId,
)
from agent.policy import Guard, Memory, NoPolicy
from agent.workspace import Workspace
from tests.agent.executing import Ears, Patience, Payloads, Scripts, Stage
from tests.agent.instructions import instruction

EXTENDED = AppSpec(
    hooks={"AfterInstall": (Script(location="a.sh", timeout=1, runas=None, sudo=False, args=("-v",), env=(("A", "script"),)),)},
    env=(("A", "file"), ("B", "file")),
    warnings=("line 3: odd", "line 4: odder"),
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    hooks, unpacker, workspace = Scripts(), Payloads(), Workspace(root_prefix=tmp_path)
    settings = SourceSettings(s3_endpoint="http://store:9000", s3_region="here", github_token_file="/etc/token")
    bundles = CoordinatorBundles(coordinator="127.0.0.1:8443", host_id="1" * 32, settings=settings)
    environment = Environment(own={"PATH": "/bin", "DEPLOYMENT_ID": "inherited"}, root_prefix=tmp_path, host="h1")
    async with asyncio.TaskGroup() as tasks:
        clock = Patience()
        executor = EventExecutor(
            tasks=tasks,
            hooks=hooks,
            unpacker=unpacker,
            scripts=EventScripts(workspace=workspace, environment=environment),
            guard=Guard(policy=NoPolicy(), memory=Memory(tmp_path / "releases.json"), workspace=workspace, clock=clock),
            source=bundles,
            clock=clock,
        )
        yield Stage(executor, hooks, unpacker, workspace, bundles, Ears(), clock)


async def test_scripts_run_from_the_new_bundle_with_its_environment(stage: Stage, tmp_path: Path) -> None:
    archive = stage.unpacked("d-1", LifecycleEvent.AFTER_INSTALL)
    ended = await stage.end_of(LifecycleEvent.AFTER_INSTALL, instruction())
    assert (ended.diagnostics, ended.at) == (None, 2)
    (run,) = stage.hooks.asked
    (script,) = run.scripts
    assert (script.path, script.timeout, script.runas) == (str(archive / "scripts/AfterInstall.sh"), 7, "bob")
    assert (run.cwd, run.timeout, run.scripts_log) == ("/", 60, str(archive.parent / "logs/scripts.log"))
    assert run.inherited == {"PATH": "/bin", "DEPLOYMENT_ID": "inherited"}, "the deployment's own lie over it"
    assert run.environment == {
        "LIFECYCLE_EVENT": "AfterInstall",
        "DEPLOYMENT_ID": "d-1",
        "APPLICATION_NAME": "shop",
        "DEPLOYMENT_GROUP_NAME": "group g-1",
        "DEPLOYMENT_GROUP_ID": "g-1",
        "HOOKLINE_ROOT_PREFIX": str(tmp_path),
        "HOOKLINE_BUNDLE_DIR": str(archive),
        "HOOKLINE_HOST": "h1",
    }


@pytest.mark.parametrize(
    "location, expected",
    [
        (
            Location(place=Place.S3, words=(("bucket", "b"), ("key", "k"), ("e_tag", "e"))),
            {"BUNDLE_BUCKET": "b", "BUNDLE_KEY": "k", "BUNDLE_ETAG": "e"},
        ),
        (Location(place=Place.GITHUB, words=(("repository", "a/b"), ("commit_id", "c0ffee"))), {"BUNDLE_COMMIT": "c0ffee"}),
    ],
)
async def test_scripts_are_told_where_the_bundle_came_from(stage: Stage, location: Location, expected: dict[str, str]) -> None:
    stage.unpacked("d-1", LifecycleEvent.BEFORE_INSTALL)
    await stage.end_of(LifecycleEvent.BEFORE_INSTALL, replace(instruction(), location=location))
    environment = stage.hooks.asked[0].environment
    assert {name: value for name, value in environment.items() if name.startswith("BUNDLE_")} == expected


async def test_application_stop_runs_the_old_scripts_for_the_new_deployment(stage: Stage) -> None:
    old = stage.unpacked("d-1", LifecycleEvent.APPLICATION_STOP)
    serving = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))
    await stage.end_of(LifecycleEvent.APPLICATION_STOP, instruction("d-2"), serving=serving)
    (run,) = stage.hooks.asked
    assert run.scripts[0].path == str(old / "scripts/ApplicationStop.sh")
    assert (run.environment["DEPLOYMENT_ID"], run.environment["HOOKLINE_BUNDLE_DIR"]) == ("d-2", str(old))
    assert run.environment["HOOKLINE_PREVIOUS_REVISION"] == "r1"
    assert "/d-2/logs/" in run.scripts_log


async def test_application_stop_succeeds_where_nothing_was_installed_or_the_disk_was_cleaned(stage: Stage) -> None:
    gone = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-gone"))
    for serving in (None, gone):
        assert (await stage.end_of(LifecycleEvent.APPLICATION_STOP, instruction(), serving=serving)).diagnostics is None
    assert stage.hooks.asked == []


async def test_an_event_without_scripts_succeeds_and_asks_nobody(stage: Stage) -> None:
    stage.unpacked("d-1", LifecycleEvent.AFTER_INSTALL)
    assert (await stage.end_of(LifecycleEvent.BEFORE_INSTALL, instruction())).diagnostics is None
    assert stage.hooks.asked == []


async def test_an_event_of_a_bundle_that_is_not_there_fails(stage: Stage) -> None:
    diagnostics = (await stage.end_of(LifecycleEvent.AFTER_INSTALL, instruction())).diagnostics
    assert diagnostics is not None
    assert "the bundle is not unpacked" in diagnostics.message


async def test_a_failed_script_is_told_as_it_is(stage: Stage) -> None:
    stage.unpacked("d-1", LifecycleEvent.AFTER_INSTALL)
    stage.hooks.outcome = EventOutcome(
        error_code="ScriptFailed", message="exit code 3", started_at=1, ended_at=9, script_name="a.sh", log_tail="oh\n"
    )
    ended = await stage.end_of(LifecycleEvent.AFTER_INSTALL, instruction())
    assert ended.diagnostics is not None
    assert (ended.diagnostics.error_code, ended.diagnostics.script_name) == (ErrorCode.SCRIPT_FAILED, "a.sh")
    assert (ended.diagnostics.message, ended.diagnostics.log_tail, ended.at) == ("exit code 3", "oh\n", 9)


async def test_a_bug_fails_the_event_not_the_agent(stage: Stage) -> None:
    stage.unpacked("d-1", LifecycleEvent.AFTER_INSTALL)
    stage.hooks.outcome = ZeroDivisionError("division by zero")
    diagnostics = (await stage.end_of(LifecycleEvent.AFTER_INSTALL, instruction())).diagnostics
    assert diagnostics is not None
    assert diagnostics.message == "cannot carry out AfterInstall: ZeroDivisionError: division by zero"


async def test_a_recovered_event_is_told_with_its_own_end(stage: Stage) -> None:
    stage.hooks.outcome = EventOutcome(
        error_code="UnknownError", message="it was interrupted (reboot)", started_at=1, ended_at=5, interrupted=True, cause="reboot"
    )
    stage.executor.recover(Recover(instruction(), LifecycleEvent.AFTER_INSTALL, 60, None), stage.ears)
    ended = await stage.ears.heard.get()
    assert isinstance(ended, EventEnded)
    assert ended.diagnostics is not None
    assert (ended.diagnostics.error_code, ended.at) == (ErrorCode.INTERRUPTED, 5)


async def test_an_interrupted_event_may_run_again_when_its_author_says_so(stage: Stage) -> None:
    directory = stage.unpacked("d-1").parent
    (directory / "appspec.json").write_text(AppSpec(repeatable=("AfterInstall",)).to_json())
    stage.hooks.outcome = EventOutcome(error_code="UnknownError", message="reboot", started_at=1, ended_at=5, interrupted=True)
    for event, expected in ((LifecycleEvent.AFTER_INSTALL, EventInterrupted), (LifecycleEvent.APPLICATION_START, EventEnded)):
        stage.executor.recover(Recover(instruction(), event, 60, None, 2), stage.ears)
        told = await stage.ears.heard.get()
        assert type(told) is expected
        assert not isinstance(told, EventInterrupted) or (told.attempt, told.at) == (2, 5)


async def test_another_attempt_is_run_as_such(stage: Stage) -> None:
    stage.unpacked("d-1", LifecycleEvent.AFTER_INSTALL)
    stage.executor.begin(Begin(instruction(), LifecycleEvent.AFTER_INSTALL, 60, None, 2), stage.ears)
    await stage.ears.heard.get()
    assert [run.attempt for run in stage.hooks.asked] == [2]


async def test_an_event_that_never_began_is_told_as_such(stage: Stage) -> None:
    stage.hooks.outcome = None
    order = Recover(instruction(), LifecycleEvent.AFTER_INSTALL, 60, None)
    stage.executor.recover(order, stage.ears)
    assert await stage.ears.heard.get() == EventNeverBegan(order.instruction.instruction_id, order.event)


async def test_a_bundle_of_the_coordinator_is_fetched_from_where_welcome_says(stage: Stage) -> None:
    stage.executor.begin(Begin(instruction(), LifecycleEvent.DOWNLOAD_BUNDLE, 60, None), stage.ears)
    stage.bundles.serve_from(":9001")
    await stage.ears.heard.get()
    (request,) = stage.unpacker.asked
    assert isinstance(request, DownloadRequest)
    assert request.source == CoordinatorSource(address="127.0.0.1:9001", metadata=(("hookline-host-id", "1" * 32),))
    assert (request.group_id, request.deployment_id, request.revision, request.sha256) == ("g-1", "d-1", "r1", "ab" * 32)


async def test_a_download_without_any_welcome_ends_at_its_deadline(stage: Stage) -> None:
    diagnostics = (await stage.end_of(LifecycleEvent.DOWNLOAD_BUNDLE, instruction(), timeout=0.01)).diagnostics
    assert diagnostics is not None
    assert "did not say in time" in diagnostics.message


async def test_arguments_and_variables_of_the_appspec_reach_the_scripts(stage: Stage) -> None:
    directory = stage.unpacked("d-1").parent
    (directory / "appspec.json").write_text(EXTENDED.to_json())
    await stage.end_of(LifecycleEvent.AFTER_INSTALL, instruction())
    (run,) = stage.hooks.asked
    assert run.environment["DEPLOYMENT_ID"] == "d-1"
    assert (run.scripts[0].args, dict(run.scripts[0].env)) == (("-v",), {"A": "script", "B": "file"})


async def test_what_is_odd_about_an_appspec_is_logged_when_it_arrives(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    directory = stage.unpacked("d-1").parent
    (directory / "appspec.json").write_text(EXTENDED.to_json())
    stage.bundles.serve_from(":1")
    assert (await stage.end_of(LifecycleEvent.DOWNLOAD_BUNDLE, instruction())).diagnostics is None
    assert caplog.messages == ["appspec deployment=d-1 warning='line 3: odd'", "appspec deployment=d-1 warning='line 4: odder'"]


async def test_a_bundle_on_the_host_lies_below_the_prefix(stage: Stage, tmp_path: Path) -> None:
    local = replace(instruction(), location=Location(place=Place.FILE, words=(("path", "/srv/a b.tar"),)))
    await stage.end_of(LifecycleEvent.DOWNLOAD_BUNDLE, local)
    (request,) = stage.unpacker.asked
    assert isinstance(request, DownloadRequest)
    assert request.source == UrlSource(url=f"file://{tmp_path}/srv/a%20b.tar")


LENDER = Lender(address="127.0.0.1:8443", instruction_id=instruction().instruction_id, metadata=(("hookline-host-id", "1" * 32),))


@pytest.mark.parametrize(
    "location, source",
    [
        (
            Location(place=Place.S3, words=(("bucket", "b"), ("key", "k"), ("version", "v")), bundle_type=BundleType.ZIP),
            S3Source(bucket="b", key="k", version="v", endpoint="http://store:9000", region="here", lender=LENDER),
        ),
        (
            Location(place=Place.GITHUB, words=(("repository", "a/b"), ("commit_id", "c0ffee"))),
            GitHubSource(repository="a/b", commit_id="c0ffee", token_file="/etc/token", lender=LENDER),
        ),
        (
            Location(place=Place.HTTP, words=(("url", "https://h/b.tgz"),)),
            UrlSource(url="https://h/b.tgz", lender=LENDER),
        ),
    ],
)
async def test_a_bundle_elsewhere_is_fetched_as_the_operator_has_set(stage: Stage, location: Location, source: Source) -> None:
    await stage.end_of(LifecycleEvent.DOWNLOAD_BUNDLE, replace(instruction(), location=location))
    (request,) = stage.unpacker.asked
    assert isinstance(request, DownloadRequest)
    assert request.source == source
    assert request.bundle_type is location.bundle_type


async def test_a_refused_bundle_fails_the_event_with_its_sentence(stage: Stage) -> None:
    stage.bundles.serve_from("")
    stage.unpacker.error = PayloadError(PayloadErrorCode.WRONG_DIGEST, "cannot use the bundle: its digest is wrong")
    diagnostics = (await stage.end_of(LifecycleEvent.DOWNLOAD_BUNDLE, instruction())).diagnostics
    assert diagnostics is not None
    assert (diagnostics.error_code, diagnostics.message) == (ErrorCode.UNKNOWN_ERROR, "cannot use the bundle: its digest is wrong")


async def test_install_passes_the_deployments_word_on(stage: Stage) -> None:
    await stage.end_of(LifecycleEvent.INSTALL, instruction())
    await stage.end_of(LifecycleEvent.INSTALL, replace(instruction(), file_exists_behavior=FileExistsBehavior.RETAIN))
    assert [request.file_exists_behavior for request in stage.unpacker.asked if isinstance(request, InstallRequest)] == [None, "RETAIN"]


async def test_what_is_kept_of_forgotten_instructions_is_removed(stage: Stage) -> None:
    stage.executor.forget((instruction().instruction_id, instruction("d-2").instruction_id))
    assert stage.hooks.calls == ["forget d-1/h/1/1", "forget d-2/h/1/1"]


async def test_the_end_of_an_instruction_lets_its_processes_go_and_starts_the_next_once_all_is_quiet(stage: Stage) -> None:
    stage.executor.finish(instruction().instruction_id)
    sleeping = await stage.clock.asleep.get()
    assert stage.hooks.calls == []
    stage.clock.asleep.put_nowait(sleeping)
    await stage.clock.wake()
    assert stage.hooks.calls == ["finish d-1/h/1/1", "start ahead"]


async def test_nothing_is_started_ahead_when_another_instruction_has_begun(stage: Stage) -> None:
    stage.executor.finish(instruction().instruction_id)
    await stage.end_of(LifecycleEvent.APPLICATION_STOP, instruction("d-2"))
    await stage.clock.wake()
    assert stage.hooks.calls == ["finish d-1/h/1/1"]


async def test_a_later_download_is_prepared_beside_the_script_before_it(stage: Stage) -> None:
    stage.bundles.serve_from("127.0.0.1:9000")
    stage.unpacked("d-1", LifecycleEvent.APPLICATION_STOP, LifecycleEvent.BEFORE_INSTALL)
    serving = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))
    for event in (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.BEFORE_INSTALL):
        await stage.end_of(event, instruction(), serving=serving)
    assert stage.unpacker.prepared == stage.unpacker.asked[:1]
    elsewhere = replace(instruction("d-2"), location=Location(place=Place.FILE, words=(("path", "/srv/may-change"),)))
    await stage.end_of(LifecycleEvent.APPLICATION_STOP, elsewhere, serving=serving)
    assert len(stage.unpacker.prepared) == 1
