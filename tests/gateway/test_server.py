"""No call ends a listener, whatever its path is, and the other calls do not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from grpc import aio

from coordinator.gateway.listeners.server import make_server
from tests.e2e.frames import PREFACE, conversation

ECHO = "hookline.v1.Echo"


async def _messages(context: "aio.ServicerContext[bytes, bytes]") -> AsyncIterator[bytes]:
    while isinstance(said := await context.read(), bytes):
        yield said


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """A server that says again what it hears, for as long as it is said, and its port."""

    async def echo(_: object, context: "aio.ServicerContext[bytes, bytes]") -> None:
        async for said in _messages(context):
            await context.write(said)

    server = make_server(options=(("grpc.so_reuseport", 0),))
    server.add_registered_method_handlers(ECHO, {"Echo": grpc.stream_stream_rpc_method_handler(echo)})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def calling(path: bytes) -> bytes:
    """All that a client says who makes one call."""
    frames = conversation("/" + "?" * (len(path) - 1), [b""])
    return PREFACE + b"".join(frames[:5]).replace(b"/" + b"?" * (len(path) - 1), path)


async def said_after(port: int, spoken: bytes) -> bytes:
    """What a server answers, until it has said all or closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with suppress(ConnectionError, TimeoutError):
        writer.write(spoken)
        await writer.drain()
        async with asyncio.timeout(10):
            while b"grpc-status" not in heard and (more := await reader.read(65_536)):
                heard += more
    writer.close()
    return heard


PATHS = (b"/\xe2ookline.v1.Echo/Echo", b"\xff", b"/hookline.v1.Echo/Echo\x80", b"/\xc0\xaf", b"/hookline.v1.Echo/\xed\xa0\x80")


@pytest.mark.parametrize("path", PATHS)
async def test_a_call_whose_path_is_no_utf8_is_refused_and_an_open_stream_goes_on(path: bytes) -> None:
    async with listening() as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{ECHO}/Echo")
        call = method()
        await call.write(b"before")
        assert await call.read() == b"before"
        for _ in range(3):
            assert b"grpc-status\x0212" in await said_after(port, calling(path))
        await call.write(b"after")
        assert await call.read() == b"after"
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_method_that_is_not_served_is_unimplemented() -> None:
    async with listening() as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{ECHO}/Other")
        with pytest.raises(aio.AioRpcError) as refused:
            await method(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert refused.value.details() == "Method not found!"


async def test_a_server_that_has_refused_calls_stops() -> None:
    async with listening() as port:
        await asyncio.gather(*(said_after(port, calling(path)) for path in PATHS * 10))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
