"""FetchBundle over a real server: every byte from any offset, turns for so many, and a sentence for what cannot be served."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from coordinator.gateway.bundles import AT_ONCE, CHUNK, EACH, BundleServicer
from coordinator.gateway.granting import Serving
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


def identity(number: int) -> tuple[tuple[str, str], ...]:
    """What a host shows."""
    return (("hookline-host-id", f"{number:032x}"),)


IDENTITY = identity(0)


@pytest.fixture
async def grants() -> Serving:
    """Everything that is asked for here is granted; nobody waits for a word that does not come."""
    made = Serving(young=0, patience=0.1)
    for digest in (DIGEST, LONG, b"\1" * 32):
        made.hear(f"={'0' * 32} {digest.hex()}")
    for number in range(1, AT_ONCE + 1):
        made.hear(f"={number:032x} {LONG.hex()}")
    return made


@pytest.fixture
async def stub(tmp_path: Path, grants: Serving) -> AsyncIterator[Stub]:
    (tmp_path / DIGEST.hex()).write_bytes(CONTENT)
    with (tmp_path / LONG.hex()).open("wb") as file:
        file.truncate(LONG_SIZE)
    server = grpc.aio.server()
    BundleServicer(tmp_path, Believed(), grants).register(server)
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


async def test_only_a_host_that_was_instructed_to_deploy_a_bundle_may_fetch_it(stub: Stub, grants: Serving) -> None:
    async def fetched(host: str) -> grpc.StatusCode:
        call = stub.FetchBundle(pb.FetchBundleRequest(sha256=DIGEST), metadata=(("hookline-host-id", host * 32),))
        _ = [response async for response in call.__aiter__()] if host == "0" else [await call.code()]
        return await call.code()

    assert await fetched("0") is grpc.StatusCode.OK
    assert await fetched("1") is grpc.StatusCode.PERMISSION_DENIED
    grants.hear(f"={'1' * 32} {'3' * 64}")
    assert await fetched("1") is grpc.StatusCode.PERMISSION_DENIED  # another bundle
    grants.hear(f".{'0' * 32}")
    denied = stub.FetchBundle(pb.FetchBundleRequest(sha256=DIGEST), metadata=IDENTITY)
    assert await denied.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "no deployment that goes on there needs it" in str(await denied.details())


async def test_a_host_too_many_is_asked_to_come_back_and_served_when_another_has_gone(stub: Stub) -> None:
    request = pb.FetchBundleRequest(sha256=LONG)
    calls = [stub.FetchBundle(request, metadata=identity(number)) for number in range(1, AT_ONCE + 1)]
    for call in calls:
        assert await size_of(call) == LONG_SIZE
    waiting = await stub.FetchBundle(request, metadata=IDENTITY).read()
    assert isinstance(waiting, pb.FetchBundleResponse)
    assert waiting.retry_after.ToMilliseconds() > 0
    calls[0].cancel()
    async with asyncio.timeout(30):
        while await size_of(stub.FetchBundle(request, metadata=IDENTITY)) == 0:  # noqa: ASYNC110  the server cannot tell
            await asyncio.sleep(0)
    for call in calls:
        call.cancel()


async def test_a_host_that_reads_slowly_takes_no_turns_but_its_own(stub: Stub) -> None:
    request = pb.FetchBundleRequest(sha256=LONG)
    calls = [stub.FetchBundle(request, metadata=IDENTITY) for _ in range(AT_ONCE)]
    assert sorted([await size_of(call) for call in calls]) == [*[0] * (AT_ONCE - EACH), *[LONG_SIZE] * EACH]
    other = stub.FetchBundle(request, metadata=identity(1))
    assert await size_of(other) == LONG_SIZE
    for call in (*calls, other):
        call.cancel()


async def size_of(call: Call) -> int:
    """What the first message says; nought when it asks to come back."""
    first: object = await call.read()
    assert isinstance(first, pb.FetchBundleResponse)
    return first.size
