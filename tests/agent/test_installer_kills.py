"""An Install that is killed at any point is undone or finished by the next run, and one that fails leaves the host as it was."""

import os
from pathlib import Path

import pytest

from agent.payload import PayloadError
from tests.agent.installations import PERMISSIONS, Files, Host, write

OLD: Files = {"app/keep": "same", "app/change": "old", "app/gone/x": "old", "app/kind": "a file", "app/link": "-> keep"}
NEW: Files = {"app/keep": "same", "app/change": "new", "app/fresh/deep/y": "new", "app/kind/now": "a directory", "app/link": "-> change"}
SPEC = PERMISSIONS + "  - {object: /srv/app, pattern: '*', mode: 750}\n"


class Killed(BaseException):
    """The process was killed here: nothing is tidied up."""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def points_of(host: Host, deployment_id: str) -> list[str]:
    points: list[str] = []
    host.install(deployment_id, passed=points.append)
    return points


def kill_at(host: Host, deployment_id: str, at: int) -> None:
    """Install until the point of that number, and no further."""
    points: list[str] = []

    def passed(point: str) -> None:
        points.append(point)
        if len(points) > at:
            raise Killed

    with pytest.raises(Killed):
        host.install(deployment_id, passed=passed)


def prepared(root: Path) -> tuple[Host, str]:
    root.mkdir()
    host = Host(root)
    host.install(host.bring(OLD))
    write(host.root, {"srv/app/gone/mine": "user"})
    return host, host.bring(NEW, SPEC)


def test_a_kill_at_any_point_is_made_good_by_the_same_deployment(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    assert count > 15
    expected, expected_list = host.files(modes=True), host.cleanup()
    for at in range(count):
        host, second = prepared(tmp_path / str(at))
        kill_at(host, second, at)
        host.install(second)
        assert host.files(modes=True) == expected
        assert host.cleanup() == expected_list
        assert not any(name.endswith(".new") for name in os.listdir(host.workspace.instructions))


def test_a_kill_at_any_point_leaves_the_old_revision_or_all_of_the_new_one_to_the_next_deployment(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    host.install(host.bring(OLD))
    expected, expected_list = host.files(modes=True), host.cleanup()
    for at in range(count):
        host, second = prepared(tmp_path / str(at))
        kill_at(host, second, at)
        host.install(host.bring(OLD))  # Undone or finished first: only then may the directory with the user's file be out of the list.
        assert host.files(modes=True) == expected
        assert set(host.cleanup()) - {"srv/app/gone"} == set(expected_list) - {"srv/app/gone"}


def test_a_kill_during_the_recovery_from_a_kill_is_made_good_too(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    count = len(points_of(host, second))
    expected = host.files(modes=True)
    for first in range(0, count, 3):
        host, second = prepared(tmp_path / str(first))
        kill_at(host, second, first)
        kill_at(host, second, 1)
        host.install(second)
        assert host.files(modes=True) == expected


def test_before_the_commit_nothing_that_was_there_has_changed(tmp_path: Path) -> None:
    host, second = prepared(tmp_path / "whole")
    committed = points_of(host, second).index("the commit record is written")
    for at in range(committed):
        host, second = prepared(tmp_path / str(at))
        before = host.files(modes=True)
        kill_at(host, second, at)
        assert {name: text for name, text in host.files(modes=True).items() if ".hookline-" not in name} == before


@pytest.mark.parametrize("written", ["", '{"revision": "r-2", "ren', "\0" * 40])
def test_a_pending_record_that_was_never_finished_undoes_nothing(host: Host, written: str) -> None:
    host.install(host.bring({"app/a": "old"}))
    host.workspace.pending("g").write_text(written)
    host.install(host.bring({"app/a": "new"}))
    assert host.files()["srv/app/a"] == "new"
    assert not host.workspace.pending("g").exists()


def test_a_failure_while_staging_is_undone_at_once(host: Host) -> None:
    host.install(host.bring({"app/a": "old"}))
    second = host.bring({"app/a": "new", "app/b": "new", "app/d/c": "new"})
    before = host.files()
    source = host.workspace.deployment("g", second).archive / "app/b"

    def passed(point: str) -> None:
        if point.endswith("-0 is staged"):
            source.unlink()

    with pytest.raises(PayloadError, match=r"cannot install .*/app/b: no such file or directory; nothing was changed"):
        host.install(second, passed=passed)
    assert host.files() == before
    assert not host.workspace.pending("g").exists()
