"""Which user a script runs as, when the agent is not root."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.supervisor.script import Refused, Script, Streams, start

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Takes root's rights away for a while, where there are any."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def script(folder: Path, *, runas: str = "", sudo: bool = False) -> Script:
    path = folder / "it's.sh"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return Script(location="its.sh", path=str(path), timeout=1, runas=runas, sudo=sudo)


def printed(asked: Script, path: str) -> str:
    """What a script prints that somebody who is not root starts with this PATH."""
    output, end = os.pipe()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    with unprivileged():
        pid = start(asked, {"PATH": path}, Streams(stdin=nowhere, stdout=end, stderr=end))
    os.close(end)
    os.close(nowhere)
    with os.fdopen(output) as file:
        text = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


@pytest.fixture
def path_with_sudo(folder: Path) -> str:
    sudo = folder / "sudo"
    sudo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    sudo.chmod(0o755)
    return f"/nowhere:{folder}"


def test_another_user_is_refused_by_name_when_the_agent_is_not_root(folder: Path) -> None:
    asked = script(folder, runas="daemon")
    with unprivileged(), pytest.raises(Refused, match="the agent is not root and cannot become user daemon") as refused:
        start(asked, {}, Streams(stdin=0, stdout=1, stderr=2))
    assert refused.value.error_code == "ScriptFailed"


def test_sudo_runs_the_script_by_sudo_when_the_agent_is_not_root(folder: Path, path_with_sudo: str) -> None:
    asked = script(folder, sudo=True)
    assert printed(asked, path_with_sudo) == f"-n\n{asked.path}\n"


def test_sudo_and_another_user_become_sudo_su_with_the_path_quoted(folder: Path, path_with_sudo: str) -> None:
    asked = script(folder, runas="daemon", sudo=True)
    assert printed(asked, path_with_sudo) == f"-n\nsu\ndaemon\n-c\n'{folder}/it'\\''s.sh'\n"


def test_arguments_pass_through_sudo_and_su_as_they_are(folder: Path, path_with_sudo: str) -> None:
    for runas, expected in (("", "{path}\n--name\nit's $HOME\n"), ("daemon", "su\ndaemon\n-c\n{quoted} '--name' 'it'\\''s $HOME'\n")):
        asked = script(folder, runas=runas, sudo=True)
        asked.arguments += ["--name", "it's $HOME"]
        assert printed(asked, path_with_sudo) == "-n\n" + expected.format(path=asked.path, quoted=f"'{folder}/it'\\''s.sh'")


def test_without_sudo_on_the_path_a_script_that_wants_it_is_refused(folder: Path) -> None:
    asked = script(folder, sudo=True)
    with unprivileged(), pytest.raises(Refused, match="there is no sudo on its PATH"):
        start(asked, {"PATH": "/nowhere"}, Streams(stdin=0, stdout=1, stderr=2))


def test_a_script_that_nobody_may_change_and_that_lacks_the_execute_bit_is_not_executable(folder: Path) -> None:
    asked = script(folder)
    Path(asked.path).chmod(0o644)
    if os.geteuid() != 0:
        pytest.skip("only root can own a file that the agent may not change")
    with unprivileged(), pytest.raises(Refused, match="cannot be made so") as refused:
        start(asked, {}, Streams(stdin=0, stdout=1, stderr=2))
    assert refused.value.error_code == "ScriptNotExecutable"
