"""FetchBundle over a real server: every byte from any offset, turns for so many, and a sentence for what cannot be served."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from coordinator.gateway.bundles import AT_ONCE, CHUNK, BundleServicer
from coordinator.gateway.identity import Believed
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    Stub = agent_pb2_grpc.AgentServiceAsyncStub
    Call = grpc.aio.UnaryStreamCall[pb.FetchBundleRequest, pb.FetchBundleResponse]

CONTENT = bytes(range(251)) * (3 * CHUNK // 251)
DIGEST = hashlib.sha256(CONTENT).digest()
LONG, LONG_SIZE = b"\2" * 32, 1 << 30  # More than the buffers on the way hold.
IDENTITY = (("hookline-host-id", "0" * 32),)


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Stub]:
    (tmp_path / DIGEST.hex()).write_bytes(CONTENT)
    with (tmp_path / LONG.hex()).open("wb") as file:
        file.truncate(LONG_SIZE)
    server = grpc.aio.server()
    BundleServicer(tmp_path, Believed()).register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        connected: Stub = agent_pb2_grpc.AgentServiceStub(channel)
        yield connected
    await server.stop(None)


@pytest.mark.parametrize("offset", [0, 1, CHUNK, len(CONTENT) - 1, len(CONTENT)])
async def test_a_bundle_is_sent_from_any_offset_with_its_whole_size_first(stub: Stub, offset: int) -> None:
    call = stub.FetchBundle(pb.FetchBundleRequest(sha256=DIGEST, offset=offset), metadata=IDENTITY)
    first, *rest = [response async for response in call]
    assert first.size == len(CONTENT)
    assert b"".join(response.chunk for response in rest) == CONTENT[offset:]


@pytest.mark.parametrize(
    "asked, metadata, code",
    [
        (pb.FetchBundleRequest(sha256=b"\1" * 32), IDENTITY, grpc.StatusCode.NOT_FOUND),
        (pb.FetchBundleRequest(sha256=b"../../x"), IDENTITY, grpc.StatusCode.INVALID_ARGUMENT),
        (pb.FetchBundleRequest(sha256=DIGEST, offset=len(CONTENT) + 1), IDENTITY, grpc.StatusCode.OUT_OF_RANGE),
        (pb.FetchBundleRequest(sha256=DIGEST), (), grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_what_cannot_be_served_is_refused(
    stub: Stub,
    asked: pb.FetchBundleRequest,
    metadata: tuple[tuple[str, str], ...],
    code: grpc.StatusCode,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FetchBundle(asked, metadata=metadata).read()
    assert caught.value.code() is code


async def test_a_host_too_many_is_asked_to_come_back_and_served_when_another_has_gone(stub: Stub) -> None:
    request = pb.FetchBundleRequest(sha256=LONG)
    calls = [stub.FetchBundle(request, metadata=IDENTITY) for _ in range(AT_ONCE)]
    for call in calls:
        assert await size_of(call) == LONG_SIZE
    waiting = await stub.FetchBundle(request, metadata=IDENTITY).read()
    assert isinstance(waiting, pb.FetchBundleResponse)
    assert waiting.retry_after.ToMilliseconds() > 0
    calls[0].cancel()
    async with asyncio.timeout(10):
        while await size_of(stub.FetchBundle(request, metadata=IDENTITY)) == 0:  # noqa: ASYNC110  the server cannot tell
            await asyncio.sleep(0)
    for call in calls:
        call.cancel()


async def size_of(call: Call) -> int:
    """What the first message says; nought when it asks to come back."""
    first: object = await call.read()
    assert isinstance(first, pb.FetchBundleResponse)
    return first.size
