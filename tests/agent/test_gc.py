"""`hookline-agent gc` removes what the agent would, says what, and leaves alone what a running agent uses."""

import os
from pathlib import Path

import pytest

from agent.app import main
from agent.facts import Accepted
from agent.journal import FileJournal
from agent.workspace import InstalledRevision, Workspace
from tests.agent.instructions import instruction


class Host:
    """A host with deployments, each a second younger than the one before it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(root_prefix=root / "prefix")
        self.data_dir = root / "data"
        self.data_dir.mkdir()

    def deploy(self, *ids: str) -> None:
        for age, deployment_id in enumerate(ids, start=1):
            directory = self.workspace.deployment("g", deployment_id)
            directory.archive.mkdir(parents=True)
            (directory.archive / "content").write_bytes(b"x" * 1024**2)
            os.utime(directory.path, (age, age))

    def gc(self, *words: str) -> int:
        return main(["gc", "--data-dir", str(self.data_dir), "--root-prefix", str(self.workspace.root_prefix), *words])

    def left(self) -> list[str]:
        return sorted(directory.deployment_id for directory in self.workspace.deployments("g"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_may_go_is_removed_and_said(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.deploy("d-1", "d-2", "d-3")
    assert host.gc("--max-revisions", "1") == 0
    assert host.left() == ["d-3"]
    assert capsys.readouterr().out == "g d-2 1.0 MiB\ng d-1 1.0 MiB\n2 removed, 2.0 MiB; 1 stay, 1.0 MiB\n"


def test_a_dry_run_removes_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.deploy("d-1", "d-2", "d-3")
    assert host.gc("--max-revisions", "1", "--dry-run") == 0
    assert host.left() == ["d-1", "d-2", "d-3"]
    assert "2 would be removed" in capsys.readouterr().out


def test_a_deployment_that_runs_is_left_alone(host: Host) -> None:
    running = instruction()
    host.deploy(running.deployment_id, "d-b", "d-c")
    journal = FileJournal(host.data_dir / "journal")
    journal.append([Accepted(running)])
    assert host.gc("--max-revisions", "1") == 0
    assert host.left() == sorted([running.deployment_id, "d-c"])
    journal.close()


def test_what_is_needed_stays_and_is_said_to_be_too_much(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.deploy("d-1", "d-2")
    host.workspace.record_installed("g", InstalledRevision(revision="r", deployment_id="d-1"), cleanup=[], steps="{}")
    assert host.gc("--max-revision-bytes", "1000") == 0
    assert host.left() == ["d-1", "d-2"]
    assert "they take more than the 0.0 MiB that they may, and each of them is needed" in capsys.readouterr().out


def test_a_host_without_deployments_has_nothing_to_remove(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.gc() == 0
    assert capsys.readouterr().out == "0 removed, 0.0 MiB; 0 stay, 0.0 MiB\n"


def test_a_number_that_is_none_is_refused(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.gc("--max-revisions", "0") == 2
    assert "cannot use --max-revisions: '0' is no whole number of 1 or more" in capsys.readouterr().err
