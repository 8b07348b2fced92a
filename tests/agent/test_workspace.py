"""The directories of deployments: names, pointers that are whole or not there, and what retention keeps."""

import os
from pathlib import Path

import pytest

from agent.workspace import InstalledRevision, Workspace, WorkspaceError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root_prefix=tmp_path)


def test_everything_lies_below_the_prefix_under_the_original_names(workspace: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "opt/hookline-agent/deployment-root"
    directory = workspace.deployment("g-1", "d-ABC")
    assert directory.path == root / "g-1/d-ABC"
    assert directory.bundle.name == "bundle.tar"
    assert directory.archive.name == "deployment-archive"
    assert directory.scripts_log == root / "g-1/d-ABC/logs/scripts.log"
    assert workspace.cleanup_list("g-1") == root / "deployment-instructions/g-1-cleanup"
    assert workspace.install_steps("g-1") == root / "deployment-instructions/g-1-install.json"
    assert workspace.deployments_log == root / "deployment-logs/codedeploy-agent-deployments.log"
    assert workspace.ongoing("d-ABC") == root / "ongoing-deployment/d-ABC"


@pytest.mark.parametrize("identifier", ["", ".", "..", "../x", "a/b", ".hidden", "a\n", "x" * 129, "-x"])
def test_an_id_that_is_no_name_is_refused(workspace: Workspace, identifier: str) -> None:
    with pytest.raises(WorkspaceError, match="cannot name a directory after"):
        workspace.deployment("g", identifier)
    with pytest.raises(WorkspaceError):
        workspace.cleanup_list(identifier)


def test_nothing_is_known_before_the_first_deployment(workspace: Workspace) -> None:
    assert workspace.last_successful("g") is None
    assert workspace.most_recent("g") is None
    assert workspace.installed_revision("g") is None
    assert workspace.cleanup("g") == ()


def test_the_end_of_install_is_remembered_per_group(workspace: Workspace) -> None:
    installed = InstalledRevision(revision="r-7", deployment_id="d-1")
    workspace.record_installed("g", installed, cleanup=["/a", "/a/b\r"], steps="{}")
    workspace.record_downloaded("g", workspace.deployment("g", "d-2"))
    assert workspace.installed_revision("g") == installed
    assert workspace.installed_revision("other") is None
    assert workspace.last_successful("g") == workspace.deployment("g", "d-1")
    assert workspace.most_recent("g") == workspace.deployment("g", "d-2")
    assert workspace.cleanup("g") == ("/a", "/a/b\r")
    pointer = workspace.instructions / "g_last_successful_install"
    assert pointer.read_text() == f"{workspace.deployment('g', 'd-1').path}\n"


def test_a_torn_last_line_of_the_cleanup_list_is_dropped(workspace: Workspace) -> None:
    workspace.instructions.mkdir(parents=True)
    workspace.cleanup_list("g").write_text("/a\n/b\n/et")
    assert workspace.cleanup("g") == ("/a", "/b")


def test_a_name_that_is_not_utf_8_survives_in_the_cleanup_list(workspace: Workspace) -> None:
    name = os.fsdecode(b"/a/\xff")
    workspace.record_installed("g", InstalledRevision(revision="r", deployment_id="d"), cleanup=[name], steps="{}")
    assert workspace.cleanup("g") == (name,)


def test_groups_and_their_deployments_are_found(workspace: Workspace) -> None:
    assert workspace.group_ids() == []
    for group_id, deployment_id in (("g", "d-1"), ("g", "d-2"), ("h", "d-3")):
        workspace.deployment(group_id, deployment_id).path.mkdir(parents=True)
    workspace.record_downloaded("g", workspace.deployment("g", "d-1"))
    workspace.deployments_log.parent.mkdir()
    (workspace.deployment_root / ".hidden").mkdir()
    (workspace.deployment_root / "link").symlink_to("g")
    assert sorted(workspace.group_ids()) == ["g", "h"]
    assert sorted(directory.deployment_id for directory in workspace.deployments("g")) == ["d-1", "d-2"]
    assert workspace.deployments("other") == []
