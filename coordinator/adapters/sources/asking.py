"""Asks the servers that give out short-lived credentials, as the administrator's file names them.

Proxies are those of the environment. No redirect is followed, a few questions are put at a time, and little of an answer is read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from coordinator.core.addresses import Forbidden, server_of

PATIENCE: Final = 8.0
"""Seconds for a whole answer: the host that wants the credential waits for ten."""
AT_A_TIME: Final = 8
IN_LINE_AT_MOST: Final = 64
"""Questions that wait for their turn; a whole fleet may begin at once, and who waits too long would count as not answered."""
TURN: Final = 25
"""Milliseconds after one another in which those come back that found the line full."""
OCTETS_AT_MOST: Final = 64 << 10
WAIT: Final = 60_000
"""Milliseconds to wait where a server asks for it without saying how long."""
WAIT_AT_MOST: Final = 3_600_000


class Trouble(Exception):
    """A credential that cannot be had just now, in a sentence without secrets, for the coordinator's log."""


class TooOften(Exception):
    """The server asks to be asked less often."""

    def __init__(self, after: int) -> None:
        """`after` are the milliseconds until it may be asked again."""
        super().__init__(after)
        self.after = after


class Crowded(TooOften):
    """Too many questions of ours wait already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


class Asker:
    """Puts questions to servers."""

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Tests carry questions otherwise."""
        self._transport = transport
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._in_line = self._sent_away = 0

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer, whatever it says. Raises Trouble where there is none, Crowded before anybody is asked."""
        if self._in_line >= AT_A_TIME + IN_LINE_AT_MOST:
            self._sent_away += 1
            raise Crowded(1_000 + self._sent_away * TURN)
        self._in_line += 1
        try:
            return await self._asked(method, url, headers, body)
        finally:
            self._in_line -= 1
            if not self._in_line:
                self._sent_away = 0

    async def _asked(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                # A client for each question: they are few, and none is left open when the coordinator stops.
                async with httpx.AsyncClient(follow_redirects=False, timeout=PATIENCE, transport=self._transport) as client:
                    async with client.stream(method, url, headers=dict(headers), content=body) as response:
                        return Answer(status=response.status_code, headers=response.headers, content=await _read(response))
        except TimeoutError:
            raise Trouble(f"{_place(url)} does not answer within {PATIENCE:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise Trouble(f"cannot ask {_place(url)}: {str(error) or type(error).__name__}") from None


async def _read(response: httpx.Response) -> bytes:
    read = bytearray()
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) > OCTETS_AT_MOST:
            raise ValueError(f"it answers with more than {OCTETS_AT_MOST} bytes")
    return bytes(read)


def _place(url: str) -> str:
    return url.partition("?")[0]


def wait_of(answer: Answer, now: int) -> int | None:
    """The milliseconds for which a server wants to be left alone; None: that is not what it says. `now` is the time of day."""
    if answer.status not in (403, 429, 503):
        return None
    asked, left, reset = (answer.headers.get(name, "") for name in ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"))
    if _is_number(asked):
        return _bounded(int(asked) * 1000)
    if left == "0" and _is_number(reset):
        return _bounded(int(reset) * 1000 - now)
    return WAIT if answer.status == 429 else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def _bounded(wait: int) -> int:
    return min(max(wait, 1_000), WAIT_AT_MOST)


def is_safe(url: str) -> bool:
    """Whether what is secret may be sent there: over https, or to this very machine."""
    try:
        server = server_of(url)
    except Forbidden:
        return False
    return server.scheme == "https" or server.literal is not None and server.literal.is_loopback
