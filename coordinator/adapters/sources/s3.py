"""Keys of S3: what is lent is an address, signed for one object and some minutes. Nobody is asked."""

import asyncio
import re
from typing import Final
from urllib.parse import urlsplit

from coordinator.adapters.sources.entries import Entry
from coordinator.core.model import Revision, S3Location
from coordinator.engine.ports import Clock
from coordinator.service.sources.lending import Lent
from coordinator.service.sources.presigned import AccessKey, Store, presigned

LASTS: Final = 300
LASTS_AT_LEAST, LASTS_AT_MOST = 30, 3_600
"""Seconds for which what is lent is good."""

_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_NEEDED: Final = {"source", "region", "access_key_id", "secret_access_key"}


class S3Key:
    """One [[s3]] of the file: a key, and the objects that it is for."""

    def __init__(self, said: object, clock: Clock) -> None:
        """Raises ValueError with a sentence."""
        entry = Entry("s3", said, needed=_NEEDED, optional={"endpoint", "session_token", "lasts"}, begins=("s3://",))
        self.source = entry.source
        self._clock = clock
        region, self._key_id, endpoint = entry.text("region"), entry.text("access_key_id"), entry.text("endpoint")
        if not _REGION.fullmatch(region) or not self._key_id.isalnum():
            raise ValueError(f"the region or the access_key_id for {self.source} is none")
        if endpoint and not _is_server(endpoint):
            raise ValueError(f"the endpoint for {self.source} is no address such as https://s3.example.com")
        self._store = Store(region=region, endpoint=endpoint)
        self._secret = entry.secret("secret_access_key")
        self._session_token = entry.secret("session_token") if entry.has("session_token") else None
        self._lasts = entry.number("lasts", LASTS)
        if not LASTS_AT_LEAST <= self._lasts <= LASTS_AT_MOST:
            raise ValueError(f"what is lent for {self.source} lasts {LASTS_AT_LEAST} to {LASTS_AT_MOST} seconds, and not {self._lasts}")

    async def lend(self, revision: Revision) -> Lent | None:
        """The address of the object. Raises Unresolved."""
        if not isinstance(revision.place, S3Location):
            return None
        key = await asyncio.to_thread(self._resolved)
        return Lent(url=presigned(revision.place, self._store, key, at=self._clock.now(), lasts=self._lasts), lasts=self._lasts)

    async def check(self) -> None:
        """Look the secrets up; which objects they open only these could say. Raises Unresolved."""
        await asyncio.to_thread(self._resolved)

    def _resolved(self) -> AccessKey:
        token = "" if self._session_token is None else self._session_token.resolved()
        return AccessKey(key_id=self._key_id, secret=self._secret.resolved(), session_token=token)


def _is_server(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    bare = not (parts.username or parts.query or parts.fragment or parts.path.strip("/"))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and bare
