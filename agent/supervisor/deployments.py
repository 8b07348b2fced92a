"""The log of all deployments of this host, in CodeDeploy's form: lines with a time and a deployment, eight files of 64 MiB.

Several supervisors may write it at a time. What cannot be written there is left out: every line stands in its deployment's own log.
"""

from __future__ import annotations

import fcntl
import os

FILES = 8
BYTES = 64 * 1024 * 1024


class DeploymentsLog:
    """The file `path`, older ones beside it as `path.0` (the newest) to `path.6`."""

    def __init__(self, path: str, deployment_id: str) -> None:
        self._path = path
        self._deployment = f" [{deployment_id}]".encode()
        self._fd = open_for_append(path)

    def add(self, block: bytes, stamp: bytes, milliseconds: int) -> None:
        """Adds lines that all begin with a stamp, `2026-01-31 12:59:00 `, which is put in their form."""
        if self._fd is None:
            return
        begin = b"[%s.%03d]%s" % (stamp[:-1], milliseconds, self._deployment)
        try:
            if os.fstat(self._fd).st_size >= BYTES:
                self._rotate()
            os.write(self._fd, begin + block[len(stamp) :].replace(b"\n" + stamp, b"\n" + begin))
        except OSError:
            return

    def close(self) -> None:
        """Closes the file."""
        if self._fd is not None:
            os.close(self._fd)

    def _rotate(self) -> None:
        """Begins a new file, unless somebody else has."""
        directory = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            fresh = open_for_append(self._path)
            if fresh is not None and os.fstat(fresh).st_size >= BYTES:
                os.close(fresh)
                for number in range(FILES - 3, -1, -1):
                    if os.path.exists(f"{self._path}.{number}"):
                        os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
                os.replace(self._path, f"{self._path}.0")
                fresh = open_for_append(self._path)
        finally:
            os.close(directory)
        if fresh is not None:
            old, self._fd = self._fd, fresh
            if old is not None:
                os.close(old)


def open_for_append(path: str) -> int | None:
    """The file, made with its folder where it is missing; None where that is impossible, which costs the output only."""
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError:
        return None
