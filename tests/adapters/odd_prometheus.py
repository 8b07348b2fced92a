"""A Prometheus at a port of loopback that answers as a test wants: late, never, in part, with nonsense, or well."""

import asyncio
import email.utils
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

NOW: Final = 1_800_000_000_000
"""What its clock says, in UTC milliseconds, unless a test sets it otherwise."""

Way = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""How it answers one request, which it has read. The connection is closed after that."""


def answered(body: bytes, *, status: str = "200 OK", clock: int = NOW, headers: bytes = b"", length: int | None = None) -> Way:
    """With a status and a body, of which it may promise more than it has."""

    async def way(writer: asyncio.StreamWriter) -> None:
        date = email.utils.formatdate(clock / 1000, usegmt=True)
        promised = len(body) if length is None else length
        head = f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {promised}\r\nConnection: close\r\n"
        writer.write(head.encode() + headers + b"\r\n" + body)
        await writer.drain()

    return way


def said(answer: object, *, status: str = "200 OK", clock: int = NOW) -> Way:
    """With JSON."""
    return answered(json.dumps(answer).encode(), status=status, clock=clock, headers=b"Content-Type: application/json\r\n")


def values(*numbers: str, at: int = NOW, clock: int = NOW) -> Way:
    """With a series for each number."""
    result = [{"metric": {"host": f"web-{place}"}, "values": [[at / 1000, number]]} for place, number in enumerate(numbers, 1)]
    return said({"status": "success", "data": {"resultType": "matrix", "result": result}}, clock=clock)


async def never(writer: asyncio.StreamWriter) -> None:
    """Not at all, though it has taken the call."""
    await asyncio.Event().wait()


async def by_drops(writer: asyncio.StreamWriter) -> None:
    """With a space now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


async def without_end(writer: asyncio.StreamWriter) -> None:
    """With more and more, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")
        await writer.drain()


async def gibberish(writer: asyncio.StreamWriter) -> None:
    """With what is not even HTTP."""
    writer.write(b"\x15\x03\x03\x00\x02\x02\x46 no\r\n\r\n")


async def hung_up(writer: asyncio.StreamWriter) -> None:
    """By hanging up."""


class OddPrometheus:
    """Answers every request in one `way`, which may change in between."""

    def __init__(self, way: Way) -> None:
        """Nobody can ask it yet; see `answering`."""
        self.way = way
        self.asked: list[bytes] = []
        """The first line of every request."""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(sum(map(int, lengths)))
            self.asked.append(head.split(b"\r\n", 1)[0])
            await self.way(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # who asks has gone, as it should when this goes on for ever
        finally:
            writer.close()


@asynccontextmanager
async def answering(way: Way) -> AsyncIterator[OddPrometheus]:
    """One that can be asked."""
    odd = OddPrometheus(way)
    tasks: set[asyncio.Task[None]] = set()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(odd.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    odd.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield odd
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """An address where nobody listens."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    yield url
