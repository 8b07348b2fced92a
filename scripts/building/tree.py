"""The frozen agent with its version and its licence, ready to be packed."""

import hashlib
import os
import shutil
from pathlib import Path

from scripts.building import inputs
from scripts.building.inputs import CACHE

_SHORT = 12


def tree(frozen: Path, version: str) -> Path:
    """A directory of its own for this version; the files are those of the frozen agent."""
    directory = CACHE / "trees" / version
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(frozen, directory, copy_function=os.link, symlinks=True)
    (directory / "_internal" / "VERSION").write_text(f"{version}\n")  # where the agent reads it
    shutil.copy(inputs.LICENSE, directory)
    (directory / "BUILD").write_text(f"{version}-{_contents(directory)[:_SHORT]}\n")
    date = int(inputs.epoch())
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        os.utime(path, (date, date), follow_symlinks=False)
    return directory


def build(tree: Path) -> str:
    """The name of what is in it: the same contents have the same."""
    return (tree / "BUILD").read_text().strip()


def size(tree: Path) -> int:
    """How many bytes its files have."""
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def _contents(directory: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(directory)}\0{os.access(path, os.X_OK)}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
