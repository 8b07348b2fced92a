"""`hookline-agent deploy-local` as an operator uses it: real processes, real scripts, no coordinator."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from agent.facts import Accepted
from agent.journal import FileJournal
from agent.local.deployment.instruction import location
from agent.model import DeploymentId, EventPlan, GroupId, Instruction, InstructionId, LifecycleEvent, RevisionId

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).parent / "hookline-agent"
APPSPEC = """
version: 0.0
os: linux
files: [{source: /, destination: /srv/app}]
hooks:
  ApplicationStop: [{location: hook.sh}]
  AfterInstall: [{location: hook.sh, timeout: 30}]
  ValidateService: [{location: hook.sh}]
"""
SCRIPT = """#!/bin/sh
echo "$LIFECYCLE_EVENT in $DEPLOYMENT_GROUP_NAME" | tee -a "$HOOKLINE_ROOT_PREFIX/ran"
if [ $LIFECYCLE_EVENT = AfterInstall ]; then read answer < "$HOOKLINE_ROOT_PREFIX/gate"; exit $answer; fi
"""


class Machine:
    """A directory that stands for a host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "root"
        self.bundle = path / "bundle"
        self.programs: list[Popen[str]] = []
        self.bundle.mkdir()
        self.root.mkdir()
        (self.bundle / "appspec.yml").write_text(APPSPEC)
        (self.bundle / "hook.sh").write_text(SCRIPT)
        os.mkfifo(self.root / "gate")

    def deploy(self, *options: str) -> Popen[str]:
        """Starts a local deployment."""
        where = ("-l", self.bundle, "--data-dir", self.path / "agent", "--root-prefix", self.root)
        self.programs.append(Popen([PROGRAM, "deploy-local", *where, *options], stdout=PIPE, stderr=STDOUT, text=True))
        return self.programs[-1]

    def let_the_hook_end(self, code: int = 0) -> None:
        """Lets AfterInstall end; waits until it runs."""
        (self.root / "gate").write_text(f"{code}\n")

    def ran(self) -> list[str]:
        """What scripts say they were."""
        return [line.split()[0] for line in (self.root / "ran").read_text().splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for program in machine.programs:
        with program:
            if program.poll() is None:
                program.kill()


def until(program: Popen[str], words: str) -> str:
    """What a program says, up to the line with these words."""
    assert program.stdout is not None
    said = ""
    for line in program.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} was not said: {said}")


def test_a_bundle_is_deployed_and_its_events_and_output_are_shown_as_they_happen(machine: Machine) -> None:
    program = machine.deploy("-d", "Here")
    said = until(program, "AfterInstall in Here")
    assert "Install: Succeeded" in said
    machine.let_the_hook_end()
    rest, _ = program.communicate()
    assert program.returncode == 0, rest
    assert "[stdout]ValidateService in Here" in rest
    assert rest.splitlines()[-1] == "The AppSpec file is valid and the local deployment succeeded"
    assert machine.ran() == ["AfterInstall", "ValidateService"]
    root = machine.root / "opt/hookline-agent/deployment-root"
    assert (machine.root / "srv/app/hook.sh").exists()
    assert len(list(root.glob("default-local-deployment-group/d-*-local/logs/scripts.log"))) == 1
    installed = json.loads((root / "deployment-instructions/default-local-deployment-group-installed.json").read_text())
    assert installed["revision"] == machine.bundle.as_uri()


def test_a_deployment_goes_on_when_nobody_reads_it_any_more(machine: Machine) -> None:
    program = machine.deploy()
    until(program, "DownloadBundle: Succeeded")
    assert program.stdout is not None
    program.stdout.close()
    machine.let_the_hook_end()
    assert program.wait(timeout=60) == 0
    assert machine.ran()[-1].startswith("ValidateService")


def test_a_failed_hook_ends_it_with_its_reason_and_exit_code_1(machine: Machine) -> None:
    program = machine.deploy()
    machine.let_the_hook_end(3)
    said, _ = program.communicate()
    assert program.returncode == 1
    assert "ScriptFailed: script at hook.sh failed with exit code 3" in said
    assert machine.ran() == ["AfterInstall"]


def test_the_second_deployment_stops_the_application_with_the_scripts_of_the_first(machine: Machine) -> None:
    first = machine.deploy("-e", "ApplicationStop")
    assert first.wait() == 0
    assert machine.ran() == ["ApplicationStop"]  # listed after the download, it is the new bundle's
    (machine.bundle / "hook.sh").write_text("#!/bin/sh\nexit 1\n")
    second = machine.deploy("-e", "ApplicationStop,DownloadBundle,Install", "-a", "shop")
    assert second.wait() == 0
    assert machine.ran() == ["ApplicationStop", "ApplicationStop"]


def test_another_appspec_file_and_a_broken_one(machine: Machine) -> None:
    (machine.bundle / "appspec.yml").rename(machine.bundle / "other.yml")
    (machine.bundle / "bad.yml").write_text("version: 1\n")
    assert machine.deploy("-e", "ValidateService", "-A", "other.yml").wait() == 0
    assert machine.ran() == ["ValidateService"]
    program = machine.deploy("-A", "bad.yml")
    said, _ = program.communicate()
    assert program.returncode == 1
    assert "DownloadBundle: Failed" in said


def test_two_at_once_are_refused(machine: Machine) -> None:
    first = machine.deploy()
    until(first, "AfterInstall in LocalFleet")
    second = machine.deploy()
    said, _ = second.communicate()
    assert second.returncode == 2
    assert f"cannot deploy: another local deployment (pid {first.pid}) runs on this host" in said
    machine.let_the_hook_end()
    first.communicate()
    assert first.returncode == 0


def test_an_interrupt_ends_the_running_script_and_skips_the_rest(machine: Machine) -> None:
    program = machine.deploy()
    until(program, "AfterInstall in LocalFleet")
    program.send_signal(signal.SIGINT)
    said, _ = program.communicate()
    assert program.returncode == 130
    assert said.splitlines()[-1] == "The local deployment was interrupted"
    assert "Traceback" not in said
    assert machine.ran() == ["AfterInstall"]


def test_after_kill_9_the_next_deployment_waits_for_the_hook_that_runs_still(machine: Machine) -> None:
    first = machine.deploy()
    until(first, "AfterInstall in LocalFleet")
    first.kill()
    first.communicate()
    second = machine.deploy("-e", "ValidateService")
    said = until(second, "Waiting: waits for deployment d-")
    assert "Succeeded" not in said
    machine.let_the_hook_end()
    said, _ = second.communicate()
    assert second.returncode == 0, said
    assert machine.ran() == ["AfterInstall", "ValidateService"]


def test_a_group_of_the_coordinator_is_not_deployed_to_behind_its_back(machine: Machine) -> None:
    (machine.path / "agent").mkdir()
    journal = FileJournal(machine.path / "agent" / "journal")
    journal.append([Accepted(_instruction("g-1"))])
    journal.close()
    program = machine.deploy("-g", "g-1")
    said, _ = program.communicate()
    assert program.returncode == 2
    assert "the coordinator deploys to this group; name another --deployment-group" in said


def _instruction(group_id: str) -> Instruction:
    return Instruction(
        instruction_id=InstructionId("d-1/h/1/1"),
        digest="1",
        target_epoch=1,
        deployment_id=DeploymentId("d-1"),
        group_id=GroupId(group_id),
        group_name="web",
        application_name="shop",
        revision_id=RevisionId("r1"),
        location=location("/"),
        events=(EventPlan(event=LifecycleEvent.INSTALL, timeout_seconds=60),),
    )
