"""The agent as a directory that needs no Python, and the environment in which PyInstaller makes it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.building import inputs, licences
from scripts.building.inputs import CACHE, Stamp

ENVIRONMENT = CACHE / "environment"
FROZEN = CACHE / "frozen" / "hookline-agent"


class BuildError(Exception):
    """A step that failed, with what it said."""


def environment() -> Path:
    """The programs of the build environment; made when the pinned requirements have changed."""
    programs = ENVIRONMENT / "bin"
    stamp = Stamp(ENVIRONMENT, inputs.digest([inputs.REQUIREMENTS]))
    if not stamp.current:
        stamp.remove()
        say("installing the pinned requirements (hashes checked)")
        carry_out(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement")
        carry_out(str(programs / "python"), *install, str(inputs.REQUIREMENTS))
        stamp.write()
    return programs


def frozen(programs: Path) -> Path:
    """The directory; made when something in it has changed."""
    stamp = Stamp(FROZEN, inputs.digest([*inputs.program(), *inputs.makers()], str(shutil.which("strip"))))
    if not stamp.current:
        stamp.remove()
        say("freezing the agent")
        carry_out(
            *(str(programs / "python"), "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"),
            *("--distpath", str(FROZEN.parent), "--workpath", str(CACHE / "work"), str(inputs.PACKAGING / "agent.spec")),
            more={"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": inputs.epoch(), "PYINSTALLER_CONFIG_DIR": str(CACHE / "pyinstaller")},
        )
        work = CACHE / "work" / "agent"
        check_complete((work / "warn-agent.txt").read_text())
        licences.collect(work, ENVIRONMENT, FROZEN / "licences")
        stamp.write()
    return FROZEN


def check_complete(warnings: str) -> None:
    """BuildError when PyInstaller has not found a package that a module of ours imports: it would only warn."""
    for line in warnings.splitlines():
        found = re.fullmatch(r"missing module named '?(\w+)'? - imported by (.*)", line)
        importers = [] if found is None else re.findall(r"\b(?:agent|hookline)\.[\w.]+", found[2])
        if found is not None and importers:
            raise BuildError(
                f"cannot freeze the agent: {importers[0]} imports {found[1]}, which {inputs.REQUIREMENTS.name} has not; scripts/lock"
            )


def carry_out(*command: str, more: Mapping[str, str] | None = None) -> None:
    """Run a program; BuildError when it fails."""
    done = subprocess.run(
        command, cwd=inputs.ROOT, env={**os.environ, **(more or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"cannot go on: {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}".rstrip())


def say(what: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"build-agent: {what}\n")
    sys.stdout.flush()
