"""An agent that sends too much, or too large, holds nobody else up."""

import asyncio
from contextlib import suppress

import grpc
import grpc.aio
import pytest

from coordinator.app.listeners import SERVER_OPTIONS
from coordinator.gateway.servicer import MESSAGES_AT_ONCE, MESSAGES_PER_SECOND
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import agent_pb2_grpc
from tests.gateway.test_streams import BEGUN, Call, Coordinator, coordinator, hello, refusal, said, stream

FLOOD = 5_000
OTHERS = 10
BEAT = pb.AgentMessage(heartbeat=pb.Heartbeat())


async def flood(call: Call) -> None:
    for _ in range(FLOOD):
        await call.write(BEAT)


async def answered(made: Coordinator, number: int) -> float:
    """Seconds until another agent is welcomed and its heartbeat answered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with stream(made) as call:
        await call.write(hello(number))
        assert (await said(call)).HasField("welcome")
        await call.write(BEAT)
        assert (await said(call)).HasField("heartbeat_ack")
    return loop.time() - began


async def test_a_stream_that_sends_too_much_is_read_slowly_and_others_are_answered() -> None:
    async with coordinator() as made, stream(made) as hostile:
        loop = asyncio.get_running_loop()
        await hostile.write(hello(1))
        await said(hostile)
        began = loop.time()
        flooding = asyncio.create_task(flood(hostile))
        while made.streams.tally.received["heartbeat"] < MESSAGES_AT_ONCE:
            assert (await said(hostile)).HasField("heartbeat_ack")
        for number in range(2, 2 + OTHERS):
            await answered(made, number)
        read = made.streams.tally.received["heartbeat"] - OTHERS
        assert read <= MESSAGES_AT_ONCE + MESSAGES_PER_SECOND * (loop.time() - began) + 1
        flooding.cancel()


async def test_every_report_of_a_stream_that_sends_too_much_arrives() -> None:
    count = MESSAGES_AT_ONCE + 10
    async with coordinator() as made, stream(made) as call:
        await call.write(hello(1))
        await said(call)
        for seq in range(1, count + 1):
            await call.write(pb.AgentMessage(reports=pb.Reports(first_seq=seq, reports=[BEGUN])))
        acked = 0
        while acked < count:
            acked = (await said(call)).acknowledgement.acked_seq
        assert made.streams.tally.received["reports"] == count


@pytest.mark.parametrize(
    "message, metadata",
    [(pb.AgentMessage(goodbye=pb.Goodbye(reason="x" * (1 << 20))), ()), (BEAT, (("much", "x" * 32_768),))],
)
async def test_what_is_too_large_ends_its_own_call_alone(message: pb.AgentMessage, metadata: tuple[tuple[str, str], ...]) -> None:
    async with coordinator(SERVER_OPTIONS) as made, grpc.aio.insecure_channel(made.address) as channel, stream(made) as other:
        await other.write(hello(1))
        await said(other)
        stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        call = stub.Connect(metadata=metadata)
        with suppress(grpc.aio.AioRpcError):
            await call.write(message)
        code, _ = await refusal(call)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await other.write(BEAT)
        assert (await said(other)).HasField("heartbeat_ack")
