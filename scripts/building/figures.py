"""What the frozen agent costs and needs."""

import re
import statistics
import subprocess
import time
from pathlib import Path

_ELF = b"\x7fELF"
_ROUNDS = 15


def glibc(tree: Path) -> str:
    """The oldest C library that everything in a tree can be loaded with."""
    minors = [0]
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            octets = path.read_bytes()
            if octets.startswith(_ELF):
                minors += [int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", octets)]
    return f"2.{max(minors)}"


def start_seconds(tree: Path) -> float:
    """How long the agent takes to tell its version, at the median."""
    return statistics.median(_run(tree, "--version") for _ in range(_ROUNDS))


def _run(tree: Path, *words: str) -> float:
    began = time.perf_counter()
    subprocess.run([str(tree / "hookline-agent"), *words], env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - began
