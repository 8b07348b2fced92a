"""What of the past a host keeps: so many revisions a group, so many bytes in all, and always what is needed again."""

import os
from pathlib import Path

import pytest

from agent.workspace import InstalledRevision, Workspace
from agent.workspace.retention import Retention, collect, deployments, remove, surplus

MIB = 1024 * 1024


class Host:
    """A host with deployments, each a second younger than the one before it."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root_prefix=root)
        self._age = 0

    def deploy(self, *ids: str, group_id: str = "g", size: int = 0) -> None:
        for deployment_id in ids:
            directory = self.workspace.deployment(group_id, deployment_id)
            directory.archive.mkdir(parents=True)
            directory.bundle_source.write_text("{}")
            (directory.archive / "content").write_bytes(b"x" * size)
            self._age += 1
            os.utime(directory.path, (self._age, self._age))

    def install(self, deployment_id: str, group_id: str = "g") -> None:
        installed = InstalledRevision(revision="r", deployment_id=deployment_id)
        self.workspace.record_installed(group_id, installed, cleanup=[], steps="{}")

    def left(self, group_id: str = "g") -> list[str]:
        return sorted(directory.deployment_id for directory in self.workspace.deployments(group_id))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_newest_of_each_group_stay(host: Host) -> None:
    host.deploy("d-1", "d-2", "d-3", "d-4")
    host.deploy("e-1", "e-2", group_id="h")
    gone = collect(host.workspace, Retention(max_revisions=2))
    assert [past.directory.deployment_id for past in gone] == ["d-2", "d-1"]
    assert (host.left(), host.left("h")) == (["d-3", "d-4"], ["e-1", "e-2"])


def test_what_is_installed_or_downloaded_last_stays_and_is_counted(host: Host) -> None:
    host.deploy("d-1", "d-2", "d-3", "d-4", "d-5")
    host.install("d-1")
    host.workspace.record_downloaded("g", host.workspace.deployment("g", "d-3"))
    collect(host.workspace, Retention(max_revisions=4))
    assert host.left() == ["d-1", "d-3", "d-4", "d-5"]
    collect(host.workspace, Retention(max_revisions=1))
    assert host.left() == ["d-1", "d-3", "d-5"]


def test_what_runs_stays(host: Host) -> None:
    host.deploy("d-1", "d-2", "d-3")
    collect(host.workspace, Retention(max_revisions=1, max_bytes=0), running=("d-2",))
    assert host.left() == ["d-2", "d-3"]


def test_the_oldest_of_all_groups_go_when_together_they_are_too_large(host: Host) -> None:
    host.deploy("d-1", size=MIB)
    host.deploy("e-1", group_id="h", size=MIB)
    host.deploy("d-2", size=MIB)
    host.deploy("e-2", group_id="h", size=MIB)
    collect(host.workspace, Retention(max_bytes=3 * MIB + MIB // 2))
    assert (host.left(), host.left("h")) == (["d-2"], ["e-1", "e-2"])
    collect(host.workspace, Retention(max_bytes=0))
    assert (host.left(), host.left("h")) == (["d-2"], ["e-2"])


def test_sizes_are_those_of_the_disk(host: Host) -> None:
    host.deploy("d-1", size=MIB)
    os.link(host.workspace.deployment("g", "d-1").archive / "content", host.workspace.deployment("g", "d-1").archive / "twin")
    (past,) = deployments(host.workspace)
    assert MIB <= past.size < MIB + 64 * 1024


def test_nothing_goes_where_nothing_is(host: Host) -> None:
    assert collect(host.workspace, Retention()) == []


def test_what_was_removed_meanwhile_is_passed_over(host: Host) -> None:
    host.deploy("d-1", "d-2")
    (going,) = surplus(deployments(host.workspace), Retention(max_revisions=1))
    remove(going.directory)
    remove(going.directory)
    assert host.left() == ["d-2"]
