"""What a build is made from, where it is made, and whether that must be done again."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent import __version__

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "build-agent"
PACKAGING = ROOT / "deploy" / "packaging"
REQUIREMENTS = ROOT / "requirements-build.txt"
UNIT = ROOT / "deploy" / "systemd" / "hookline-agent.service"
SETTINGS = ROOT / "deploy" / "agent"
LICENSE = ROOT / "LICENSE"


def version() -> str:
    """Hookline's version."""
    return __version__


def epoch() -> str:
    """The time that everything made is dated with, in seconds since 1970: SOURCE_DATE_EPOCH, or that of the last commit."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    if told:
        return told
    asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "0"


def program() -> list[Path]:
    """The files that the frozen agent is made from."""
    sources = [path for folder in ("agent", "protos/hookline") for path in (ROOT / folder).rglob("*.py")]
    return [*sources, PACKAGING / "agent.spec", PACKAGING / "hookline_agent.py", REQUIREMENTS]


def makers() -> list[Path]:
    """The files of this program."""
    return [*Path(__file__).parent.glob("*.py")]


def around() -> list[Path]:
    """The files that come with the frozen agent."""
    return [*PACKAGING.glob("*.sh"), PACKAGING / "nfpm.yaml", LICENSE, *extras()]


def extras() -> list[Path]:
    """The files that an operator puts where they belong, or reads: the unit and examples of settings."""
    return [UNIT, *sorted(SETTINGS.glob("*.toml"))]


def digest(files: Iterable[Path], *words: str) -> str:
    """One value for the contents and names of files, this interpreter, and some words."""
    whole = hashlib.sha256()
    for part in (sys.version.encode(), *(word.encode() for word in words), *_parts(files)):
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


class Stamp:
    """What something was last made from."""

    def __init__(self, made: Path, value: str) -> None:
        """`made` is to be made from what `value` stands for."""
        self._made = made
        self._file = CACHE / "stamps" / f"{hashlib.sha256(str(made).encode()).hexdigest()[:16]}"
        self._value = value

    @property
    def current(self) -> bool:
        """Whether it is there, and made from that."""
        return self._made.exists() and self._file.is_file() and self._file.read_text() == self._value

    def remove(self) -> None:
        """Say that it is about to be made anew."""
        self._file.unlink(missing_ok=True)

    def write(self) -> None:
        """Say that it has been made."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self._value)


def _parts(files: Iterable[Path]) -> Iterator[bytes]:
    for path in sorted(files):
        yield str(path.relative_to(ROOT)).encode()
        yield path.read_bytes()
