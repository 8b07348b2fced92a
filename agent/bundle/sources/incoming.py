"""Bytes of a bundle on their way to the disk: counted, hashed, resumed, and used only after their digest matched."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from agent.bundle.archives.archive import Limits
from agent.bundle.archives.unpack import check_room
from agent.payload import PayloadError, PayloadErrorCode
from agent.workspace import DeploymentDirectory
from agent.workspace.tree import write_all

_CHUNK = 1024 * 1024
_TELL_EVERY = 256 * 1024

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Which start of the machine this is, where the kernel says so."""

Progress = Callable[[int, int | None], None]


class SourceBusy(Exception):
    """The source bids us come back after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class FetchInterrupted(Exception):
    """The connection was cut or not made; what has arrived stays, and the rest may be asked for again."""


def unavailable(source: str, why: str) -> PayloadError:
    """A source that refuses for good."""
    return PayloadError(PayloadErrorCode.UNAVAILABLE, f"cannot download the bundle from {source}: {why}")


class Incoming:
    """A bundle while it arrives; what an earlier attempt has left is kept and only the rest is fetched.

    What was left before the machine's last start is not: a power cut may have spoilt it.
    """

    def __init__(self, directory: DeploymentDirectory, *, source: str, sha256: str, limits: Limits, progress: Progress) -> None:
        self.source = source
        self._bundle = directory.bundle
        self._partial = directory.partial_bundle
        self._sha256 = sha256
        self._limits = limits
        self._progress = progress
        self._total: int | None = None
        self._told = 0
        if self._bundle.exists():
            self._bundle.rename(self._partial)
        self._fd = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self.offset = 0
        while chunk := os.read(self._fd, _CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        boot = _read(BOOT_ID)
        if not self.is_whole and _read(directory.bundle_boot) != boot:
            self.restart()
            directory.bundle_boot.write_text(boot)

    @property
    def is_whole(self) -> bool:
        """Whether an earlier attempt has fetched everything."""
        return bool(self._sha256) and self._hash.hexdigest() == self._sha256

    def close(self) -> None:
        """Let go of the file; what has arrived stays for a later attempt."""
        os.close(self._fd)

    def restart(self) -> None:
        """Forget what has arrived."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.offset = 0

    def begin(self, total: int | None) -> None:
        """Learn how long the whole bundle is, None when the source does not say; refuses one that is too large or does not fit."""
        self._total = total
        if total is not None:
            self._check_length(total)
            self._check_room(max(total - self.offset, 0))
        self._progress(self.offset, total)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._check_length(self.offset + len(chunk))
        write_all(self._fd, chunk)
        self._hash.update(chunk)
        self.offset += len(chunk)
        if self.offset - self._told >= _TELL_EVERY or self.offset == self._total:
            self._told = self.offset
            if self._total is None:
                self._check_room(0)
            self._progress(self.offset, self._total)

    def finish(self) -> None:
        """Check the digest and give the bundle its name."""
        found = self._hash.hexdigest()
        if self._sha256 and found != self._sha256:
            self._partial.unlink()
            why = f"the SHA-256 of what {self.source} sent is {found}, and that of the revision is {self._sha256}"
            raise PayloadError(PayloadErrorCode.WRONG_DIGEST, f"cannot use the bundle: {why}")
        self._partial.rename(self._bundle)

    def _check_room(self, needed: int) -> None:
        check_room(self._bundle.parent, needed, self._limits.reserve_bytes, "store the bundle in")

    def _check_length(self, length: int) -> None:
        most = self._limits.packed_bytes
        if length > most:
            why = f"it has {length} bytes or more, and at most {most} are allowed"
            raise PayloadError(PayloadErrorCode.TOO_LARGE, f"cannot download the bundle from {self.source}: {why}")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
