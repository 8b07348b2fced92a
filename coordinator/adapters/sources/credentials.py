"""Lends addresses that are good for minutes, signed with keys that only the coordinator can look up.

A TOML file says which keys are for which sources; it is read again when it has changed, so it has to be replaced whole.
"""

import asyncio
import logging
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from coordinator.adapters.sources.references import Reference, Unresolved, reference
from coordinator.core.errors import Unavailable
from coordinator.core.model import S3Location
from coordinator.core.model.revisions import Place
from coordinator.core.model.roles import covers, pattern_of, source_of
from coordinator.engine.ports import Clock
from coordinator.service.sources.lending import Lent
from coordinator.service.sources.presigned import AccessKey, Store, presigned

log = logging.getLogger(__name__)

LASTS: Final = 300
LASTS_AT_LEAST, LASTS_AT_MOST = 30, 3_600
"""Seconds for which what is lent is good."""

_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_NEEDED: Final = {"source", "region", "access_key_id", "secret_access_key"}
_ALLOWED: Final = _NEEDED | {"endpoint", "session_token", "lasts"}


class Unreadable(OSError):
    """A file of credentials that cannot be used, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A key of S3, and what it is for."""

    source: str
    store: Store
    key_id: str
    secret: Reference
    session_token: Reference | None
    lasts: int


class SourceCredentials:
    """See `service.sources.lending.Credentials`."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """Raises Unreadable."""
        self._file = file
        self._clock = clock
        self._seen, self._keys = self._read()

    async def lend(self, place: Place) -> Lent | None:
        """A way to read what lies there, with the first key that is for it."""
        if not isinstance(place, S3Location):
            return None
        return await asyncio.to_thread(self._lend, place)

    def _lend(self, place: S3Location) -> Lent | None:
        try:
            if self._stamp() != self._seen:
                self._seen, self._keys = self._read()
            source = source_of(place)
            found = next((key for key in self._keys if covers(key.source, source)), None)
            if found is None:
                return None
            token = "" if found.session_token is None else found.session_token.resolved()
            key = AccessKey(key_id=found.key_id, secret=found.secret.resolved(), session_token=token)
        except (Unreadable, Unresolved) as error:
            log.error("credential cannot be lent why=%r", str(error))
            raise Unavailable("cannot lend a credential just now: the coordinator cannot look its own up; its log says why") from error
        return Lent(url=presigned(place, found.store, key, at=self._clock.now(), lasts=found.lasts), lasts=found.lasts)

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._file)
        except OSError as error:
            raise Unreadable(f"cannot read {self._file}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> tuple[tuple[int, int], tuple[_Key, ...]]:
        stamp = self._stamp()
        try:
            said = tomllib.loads(self._file.read_text())
        except (OSError, ValueError) as error:
            raise Unreadable(f"cannot read {self._file}: {error}") from error
        entries = said.pop("s3", None)
        if said or not isinstance(entries, list) or not entries:
            raise Unreadable(f"cannot use {self._file}: it consists of [[s3]] tables, one for each source, and nothing else")
        try:
            return stamp, tuple(_key(entry) for entry in entries)
        except ValueError as error:
            raise Unreadable(f"cannot use {self._file}: {error}") from error


def _key(said: object) -> _Key:
    """An entry of the file. Raises ValueError with a sentence."""
    if not isinstance(said, dict) or not _NEEDED <= said.keys() <= _ALLOWED:
        raise ValueError(f"each [[s3]] says {', '.join(sorted(_NEEDED))} and, if need be, {', '.join(sorted(_ALLOWED - _NEEDED))}")
    source, region, key_id, endpoint = (said.get(name, "") for name in ("source", "region", "access_key_id", "endpoint"))
    lasts = said.get("lasts", LASTS)
    if not isinstance(source, str) or not source.startswith("s3://"):
        raise ValueError(f"source {source!r} is none such as s3://BUCKET/KEY or s3://BUCKET/*")
    if not isinstance(region, str) or not _REGION.fullmatch(region) or not isinstance(key_id, str) or not key_id.isalnum():
        raise ValueError(f"the region or the access_key_id for {source} is none")
    if not isinstance(endpoint, str) or endpoint and not _is_server(endpoint):
        raise ValueError(f"the endpoint for {source} is no address such as https://s3.example.com")
    if not isinstance(lasts, int) or not LASTS_AT_LEAST <= lasts <= LASTS_AT_MOST:
        raise ValueError(f"what is lent for {source} lasts {LASTS_AT_LEAST} to {LASTS_AT_MOST} seconds, and not {lasts}")
    return _Key(
        source=pattern_of(source),
        store=Store(region=region, endpoint=endpoint),
        key_id=key_id,
        secret=_named(said, "secret_access_key"),
        session_token=_named(said, "session_token") if "session_token" in said else None,
        lasts=lasts,
    )


def _named(said: dict[str, object], name: str) -> Reference:
    try:
        return reference(said[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _is_server(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    bare = not (parts.username or parts.query or parts.fragment or parts.path.strip("/"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and bare


class NoCredentials:
    """None are written down: every host reads with its own."""

    async def lend(self, place: Place) -> None:
        """None."""
