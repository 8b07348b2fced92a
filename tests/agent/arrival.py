"""A bundle on its way to a host, for tests of the sources."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from agent.bundle.archives.archive import Limits
from agent.bundle.sources.incoming import BOOT_ID, Incoming
from agent.workspace import DeploymentDirectory

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Arrival:
    """A bundle on its way to a directory, again and again until it is here."""

    def __init__(self, directory: Path, sha256: str = DIGEST, limits: Limits | None = None) -> None:
        self.directory = DeploymentDirectory(path=directory)
        self.bundle = self.directory.bundle
        self.validator = self.directory.bundle_etag
        self.told: list[tuple[int, int | None]] = []
        self._sha256 = sha256
        self._limits = limits or Limits(reserve_bytes=0)

    def left(self, content: bytes) -> None:
        """An interrupted attempt has left the beginning of a bundle."""
        self.directory.partial_bundle.write_bytes(content)
        self.directory.bundle_boot.write_text(BOOT_ID.read_text())

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        incoming = Incoming(
            self.directory,
            source="the source",
            sha256=self._sha256,
            limits=self._limits,
            progress=lambda done, total: self.told.append((done, total)),
        )
        with contextlib.closing(incoming):
            yield incoming
