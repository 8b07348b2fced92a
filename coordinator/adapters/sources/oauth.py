"""Bearer tokens for web servers, got with a client's id and secret (OAuth 2.0, RFC 6749 section 4.4) and lent until they end.

The secret stays here. What a host gets opens whatever the client may read, so the client should be allowed to
read bundles and nothing else.
"""

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus, urlencode

from coordinator.adapters.sources.asking import Answer, Asker, TooOften, Trouble, is_safe, wait_of
from coordinator.adapters.sources.entries import Entry
from coordinator.core.model import HttpLocation, Revision
from coordinator.engine.ports import Clock
from coordinator.service.sources.lending import ComeBack, Lent

LONGEST_LIFE: Final = 24 * 3600
"""Seconds: a token of a longer life is not lent, since nobody can take it back."""
MARGIN: Final = 30
"""Seconds that a token that is lent has at least; a quarter of its life, where that is less."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")
_WAYS: Final = ("basic", "post")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    ends: int
    margin: int


class OAuthClient:
    """One [[oauth]] of the file: a client, and the addresses that its tokens are for."""

    def __init__(self, said: object, asker: Asker, clock: Clock) -> None:
        """Raises ValueError with a sentence."""
        needed = {"source", "token_url", "client_id", "client_secret"}
        entry = Entry("oauth", said, needed=needed, optional={"scope", "audience", "resource", "auth"}, begins=("https://", "http://"))
        self.source = entry.source
        if not is_safe(entry.source.removesuffix("*")):
            raise ValueError(f"a token for {entry.source} would be sent where everybody can read it: it has to be https://")
        self._url = entry.address("token_url")
        self._client_id = entry.text("client_id")
        self._secret = entry.secret("client_secret")
        self._wanted = {name: text for name in ("scope", "audience", "resource") if (text := entry.text(name))}
        self._way = entry.text("auth", "basic")
        if self._way not in _WAYS:
            raise ValueError(f"the auth for {entry.source} is one of {' and '.join(_WAYS)}: how the client shows its secret")
        self._asker = asker
        self._clock = clock
        self._token: _Token | None = None
        self._one = asyncio.Lock()
        self._free_at = 0

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        """A token that lasts. Raises Trouble, Unresolved."""
        if not isinstance(revision.place, HttpLocation):
            return None
        async with self._one:
            now = self._clock.elapsed()
            if self._token is None or self._token.ends - now <= self._token.margin:
                if self._free_at > now:
                    return ComeBack(after=self._free_at - now)
                try:
                    self._token = await self._bought()
                except TooOften as error:
                    self._free_at = now + error.after
                    return ComeBack(after=error.after)
            return Lent(bearer=self._token.text, lasts=(self._token.ends - now) // 1000)

    async def check(self) -> None:
        """Get a token. Raises Trouble, Unresolved, TooOften."""
        async with self._one:
            self._token = await self._bought()

    async def _bought(self) -> _Token:
        secret = await asyncio.to_thread(self._secret.resolved)
        asked_at = self._clock.elapsed()
        said = {"grant_type": "client_credentials", **self._wanted}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", "User-Agent": "hookline-coordinator"}
        if self._way == "basic":
            shown = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(shown.encode()).decode()}"
        else:
            said |= {"client_id": self._client_id, "client_secret": secret}
        answer = await self._asker.ask("POST", self._url, headers, urlencode(said).encode())
        wait = wait_of(answer, self._clock.now())
        if wait is not None:
            raise TooOften(wait)
        return self._read(answer, asked_at)

    def _read(self, answer: Answer, asked_at: int) -> _Token:
        """The token of an answer; its life is counted from when it was asked for."""
        try:
            said = json.loads(answer.content)
        except ValueError:
            said = None
        if answer.status != 200 or not isinstance(said, dict):
            why = said.get("error", "") if isinstance(said, dict) else ""
            known = f": {why}" if isinstance(why, str) and re.fullmatch(r"[a-z_]{1,40}", why) else ""
            raise Trouble(f"{self._url} gives no token to client {self._client_id}: it answers {answer.status}{known}")
        text, kind, life = said.get("access_token"), said.get("token_type"), said.get("expires_in")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text) or str(kind).lower() != "bearer":
            raise Trouble(f"{self._url} answers with no bearer token")
        seconds = int(life) if isinstance(life, (int, str)) and str(life).isascii() and str(life).isdigit() else 0
        if not 0 < seconds <= LONGEST_LIFE:
            raise Trouble(f"{self._url} gives tokens without an end, or of more than 24 h, which are not lent: have it give shorter ones")
        return _Token(text=text, ends=asked_at + seconds * 1000, margin=min(MARGIN, seconds // 4) * 1000)
