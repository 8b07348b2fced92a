"""The agent starts its own processes in both of its forms: from an interpreter, and as a self-contained executable."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.processes import supervisor_command, unpacker_command

PROGRAM = Path(sys.executable).parent / "hookline-agent"
# What a bootloader makes of an executable: no interpreter to name, and a program that knows that it is one.
FROZEN = f"""#!{sys.executable}
import sys
sys.frozen = True
sys.executable = __file__
from agent.app import main
sys.exit(main())
"""
APPSPEC = """
version: 0.0
os: linux
files: [{source: /, destination: /srv/app}]
hooks: {AfterInstall: [{location: hook.sh}]}
"""


def test_an_interpreter_starts_a_supervisor_without_anything_that_it_does_not_need() -> None:
    assert supervisor_command(Path("/records"), executable=None)[:3] == (sys.executable, "-I", "-S")
    assert unpacker_command(executable=None)[:2] == (sys.executable, "-P")


def test_an_executable_starts_itself() -> None:
    assert supervisor_command(Path("/records"), executable="/usr/bin/x") == ("/usr/bin/x", "supervisor", "/records")
    assert unpacker_command(executable="/usr/bin/x") == ("/usr/bin/x", "unpacker")


@pytest.mark.e2e
@pytest.mark.parametrize("frozen", [False, True])
def test_both_forms_deploy(tmp_path: Path, frozen: bool) -> None:
    executable = tmp_path / "frozen-agent"
    executable.write_text(FROZEN)
    executable.chmod(0o755)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "appspec.yml").write_text(APPSPEC)
    (bundle / "hook.sh").write_text("#!/bin/sh\ntr '\\0' ' ' < /proc/$PPID/cmdline\n")
    program = executable if frozen else PROGRAM
    where = ("-l", bundle, "--data-dir", tmp_path / "agent", "--root-prefix", tmp_path / "root")
    ended = subprocess.run([program, "deploy-local", *where], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    started = f"{executable} supervisor {tmp_path}" if frozen else f"{sys.executable} -I -S "
    assert started in ended.stdout
    assert (tmp_path / "root/srv/app/hook.sh").exists()


@pytest.mark.e2e
def test_what_the_agent_starts_for_itself_is_not_told_to_operators() -> None:
    told = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("join", "run", "deploy-local", "status", "doctor", "lint", "gc"):
        assert f"\n    {command}" in told
    assert "supervisor" not in told
    assert "unpacker" not in told
    assert "key-maker" not in told
