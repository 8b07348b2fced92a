"""Lends ways to read bundles that are good for minutes, made with secrets that only the coordinator can look up.

A TOML file says which are for which sources; it is read again when it has changed, so it has to be replaced whole.
"""

import asyncio
import logging
import os
import tomllib
from pathlib import Path
from typing import Final, Protocol

from coordinator.adapters.sources.asking import Asker, TooOften, Trouble
from coordinator.adapters.sources.github import GitHubApp
from coordinator.adapters.sources.oauth import OAuthClient
from coordinator.adapters.sources.references import Unresolved
from coordinator.adapters.sources.s3 import S3Key
from coordinator.core.errors import Unavailable
from coordinator.core.model import Revision
from coordinator.core.model.roles import covers, source_of
from coordinator.engine.ports import Clock
from coordinator.service.sources.lending import ComeBack, Lent

log = logging.getLogger(__name__)

KINDS: Final = ("s3", "github", "oauth")


class Unreadable(OSError):
    """A file of credentials that cannot be used, in a sentence."""


class Credential(Protocol):
    """One table of the file."""

    @property
    def source(self) -> str:
        """What it is for, as a service role spells it."""
        ...

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        """See `service.sources.lending.Credentials`. Raises Trouble and Unresolved too."""
        ...

    async def check(self) -> None:
        """Try it where it comes from. Raises Trouble, Unresolved, TooOften."""
        ...


class SourceCredentials:
    """See `service.sources.lending.Credentials`."""

    def __init__(self, file: Path, clock: Clock, asker: Asker | None = None) -> None:
        """Raises Unreadable. Tests ask servers otherwise."""
        self._file = file
        self._clock = clock
        self._asker = asker or Asker()
        self._seen, self._credentials = self._read()

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        """A way to read what lies there, with the first credential that is for it."""
        try:
            if self._stamp() != self._seen:
                self._seen, self._credentials = await asyncio.to_thread(self._read)
            source = source_of(revision.place)
            found = next((each for each in self._credentials if covers(each.source, source)), None)
            return None if found is None else await found.lend(revision)
        except (Unreadable, Unresolved, Trouble) as error:
            log.error("credential cannot be lent why=%r", str(error))
            raise Unavailable("cannot lend a credential just now: the coordinator cannot look its own up; its log says why") from error

    async def check(self) -> None:
        """Say in the log of each credential whether it works."""
        for each in self._credentials:
            try:
                await each.check()
            except (Unresolved, Trouble) as error:
                log.error("credential does not work source=%s why=%r", each.source, str(error))
            except TooOften:
                log.warning("credential not tried source=%s why='who gives it wants to be left alone for a while'", each.source)
            else:
                log.info("credential works source=%s", each.source)

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._file)
        except OSError as error:
            raise Unreadable(f"cannot read {self._file}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> tuple[tuple[int, int], tuple[Credential, ...]]:
        stamp = self._stamp()
        try:
            said = tomllib.loads(self._file.read_text())
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot read {self._file}: {error}") from error
        if not said or not said.keys() <= set(KINDS) or not all(isinstance(entries, list) and entries for entries in said.values()):
            raise Unreadable(
                f"cannot use {self._file}: it consists of [[s3]], [[github]] and [[oauth]] tables, one for each source, and nothing else"
            )
        try:
            return stamp, tuple(self._credential(kind, entry) for kind in KINDS for entry in said.get(kind, ()))
        except ValueError as error:
            raise Unreadable(f"cannot use {self._file}: {error}") from error

    def _credential(self, kind: str, said: object) -> Credential:
        """An entry of the file. Raises ValueError with a sentence."""
        match kind:
            case "s3":
                return S3Key(said, self._clock)
            case "github":
                return GitHubApp(said, self._asker, self._clock)
            case _:
                return OAuthClient(said, self._asker, self._clock)


class NoCredentials:
    """None are written down: every host reads with its own."""

    async def lend(self, revision: Revision) -> None:
        """None."""

    async def check(self) -> None:
        """There is nothing to try."""
