"""The agents' streams over a real gRPC server: who is welcomed, who is refused, and what a broken stream does to the others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
import pytest

from coordinator.adapters.clock import SystemClock
from coordinator.core.model import HostId, InstructionId, Revision, Session
from coordinator.engine.loop import Engine
from coordinator.gateway.identity import Believed
from coordinator.gateway.servicer import AgentServicer
from coordinator.gateway.streams import Streams
from coordinator.metrics import Metrics
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import agent_pb2_grpc
from hookline.v1 import resources_pb2 as resources
from tests.store.memory import MemoryStore

Call = grpc.aio.StreamStreamCall[pb.AgentMessage, pb.CoordinatorMessage]

BEGUN = pb.Report(
    instruction_id="d-GONE00000/h/0/1",
    lifecycle_event=resources.LIFECYCLE_EVENT_APPLICATION_STOP,
    status=resources.LIFECYCLE_EVENT_STATUS_IN_PROGRESS,
)
"""A report about a deployment that nobody knows."""


class Shelves:
    """Bundles that nobody fetches."""

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        raise AssertionError("nothing is deployed here")

    def settle(self, host_id: HostId) -> None:
        raise AssertionError("nothing is deployed here")


class Coordinator:
    """An engine over a store in memory, with real streams."""

    def __init__(self) -> None:
        metrics, clock = Metrics(), SystemClock()
        self.store = MemoryStore()
        self.streams = Streams(clock=clock, spread=lambda: self.engine.reconnect_spread, tally=metrics.tally, bundles=Shelves())
        self.engine = Engine(store=self.store, agents=self.streams, clock=clock, metrics=metrics)
        self.agents = AgentServicer(inbox=self.engine.inbox, streams=self.streams, clock=clock, identity=Believed())
        self.address = ""


@asynccontextmanager
async def coordinator(options: Sequence[tuple[str, int]] = ()) -> AsyncIterator[Coordinator]:
    made = Coordinator()
    server = grpc.aio.server(options=options)
    made.agents.register(server)
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    async with asyncio.TaskGroup() as parts:
        running = [parts.create_task(made.engine.run()), parts.create_task(made.streams.run())]
        await made.engine.started.wait()
        await server.start()
        yield made
        await server.stop(None)
        for part in running:
            part.cancel()


@asynccontextmanager
async def stream(made: Coordinator) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(made.address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        call = stub.Connect()
        yield call
        call.cancel()


def hello(number: int, *, name: str = "", journal: str = "j", last_seq: int = 0) -> pb.AgentMessage:
    return pb.AgentMessage(hello=pb.Hello(host_id=f"{number:032x}", name=name or f"web-{number}", journal_id=journal, last_seq=last_seq))


async def said(call: Call) -> pb.CoordinatorMessage:
    async with asyncio.timeout(30):
        message: object = await call.read()
    assert isinstance(message, pb.CoordinatorMessage), message
    return message


async def refusal(call: Call) -> tuple[grpc.StatusCode, str]:
    async with asyncio.timeout(30):
        with suppress(grpc.aio.AioRpcError):
            while isinstance(await call.read(), pb.CoordinatorMessage):
                pass
        return await call.code(), await call.details()


async def test_an_agent_that_says_hello_is_welcomed_under_a_growing_epoch() -> None:
    async with coordinator() as made:
        for epoch in (1, 2):
            async with stream(made) as call:
                await call.write(hello(1))
                welcome = (await said(call)).welcome
                assert welcome.session_epoch == epoch
                assert welcome.heartbeat_interval.ToMilliseconds() == 10_000
                assert welcome.limits.message_bytes == 1 << 20


async def test_a_heartbeat_is_answered() -> None:
    async with coordinator() as made, stream(made) as call:
        await call.write(hello(1))
        await said(call)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat()))
        assert (await said(call)).HasField("heartbeat_ack")


async def test_reports_are_acknowledged_once_they_are_stored() -> None:
    async with coordinator() as made, stream(made) as call:
        await call.write(hello(1))
        await said(call)
        await call.write(pb.AgentMessage(reports=pb.Reports(first_seq=1, reports=[BEGUN, BEGUN])))
        assert (await said(call)).acknowledgement.acked_seq == 2
        assert made.store.hosts[HostId(f"{1:032x}")].acked_seq == 2


async def test_messages_are_counted_with_their_bytes_and_streams_with_why_they_end() -> None:
    async with coordinator() as made:
        tally = made.streams.tally
        async with stream(made) as call:
            await call.write(hello(1))
            await said(call)
            message = pb.AgentMessage(reports=pb.Reports(first_seq=1, reports=[BEGUN]))
            await call.write(message)
            acknowledged = await said(call)
            assert tally.received_bytes["reports"] == message.ByteSize()
            assert tally.sent_bytes["acknowledgement"] == acknowledged.ByteSize()
            async with stream(made) as newer:
                await newer.write(hello(1))
                await said(newer)
                await refusal(call)
                assert tally.disconnects["replaced"] == 1
                await newer.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="bye")))
                await refusal(newer)
        assert {why: count for why, count in tally.disconnects.items() if count} == {"replaced": 1, "goodbye": 1}
        assert tally.agents_connected == 0


async def test_the_name_of_a_live_host_is_refused_to_another_one() -> None:
    async with coordinator() as made, stream(made) as first, stream(made) as second:
        await first.write(hello(1, name="web"))
        await said(first)
        await second.write(hello(2, name="web"))
        code, details = await refusal(second)
        assert code is grpc.StatusCode.ALREADY_EXISTS
        assert "another live agent has this name" in details
        await first.write(pb.AgentMessage(heartbeat=pb.Heartbeat()))
        assert (await said(first)).HasField("heartbeat_ack")


async def test_a_newer_stream_of_a_host_ends_the_older_one() -> None:
    async with coordinator() as made, stream(made) as older:
        await older.write(hello(1))
        await said(older)
        async with stream(made) as newer:
            await newer.write(hello(1))
            assert (await said(newer)).welcome.session_epoch == 2
            code, details = await refusal(older)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "newer" in details
            assert len(made.streams) == 1


@pytest.mark.parametrize(
    "first, why",
    [
        (pb.AgentMessage(heartbeat=pb.Heartbeat()), "not Hello"),
        (pb.AgentMessage(hello=pb.Hello(host_id="short", name="web", journal_id="j")), "32 lower-case hexadecimal"),
        (pb.AgentMessage(hello=pb.Hello(host_id="0" * 32, name="a b", journal_id="j")), "1 to 100 characters"),
        (pb.AgentMessage(hello=pb.Hello(host_id="0" * 32, name="web")), "journal_id is empty"),
    ],
    ids=["no-hello", "host-id", "name", "journal"],
)
async def test_a_stream_that_begins_wrongly_is_refused_with_a_sentence(first: pb.AgentMessage, why: str) -> None:
    async with coordinator() as made, stream(made) as call:
        await call.write(first)
        code, details = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert why in details
        assert not made.store.hosts


async def test_a_status_that_nobody_knows_ends_the_stream_with_a_sentence() -> None:
    async with coordinator() as made, stream(made) as call:
        await call.write(hello(1))
        await said(call)
        strange = pb.Report(instruction_id="d-1/h/0/1")
        strange.MergeFromString(b"\x10\x63")
        await call.write(pb.AgentMessage(reports=pb.Reports(first_seq=1, reports=[strange])))
        code, details = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "does not know" in details


async def test_streams_that_break_while_they_are_written_harm_nobody_else() -> None:
    async with coordinator() as made, stream(made) as steady:
        await steady.write(hello(0))
        await said(steady)
        for number in range(1, 30):
            async with stream(made) as call:
                await call.write(hello(number))
                call.cancel()
        made.streams.drain_all(1, "test")
        assert (await said(steady)).HasField("drain")
        await steady.write(pb.AgentMessage(heartbeat=pb.Heartbeat()))
        assert (await said(steady)).HasField("heartbeat_ack")


async def test_the_cursor_of_a_journal_that_went_back_follows_it() -> None:
    async with coordinator() as made:
        async with stream(made) as call:
            await call.write(hello(1, last_seq=9))
            await said(call)
            await call.write(pb.AgentMessage(reports=pb.Reports(first_seq=1, reports=[BEGUN] * 9)))
            assert (await said(call)).acknowledgement.acked_seq == 9
        async with stream(made) as call:
            await call.write(hello(1, last_seq=4))
            assert (await said(call)).welcome.acked_seq == 4


async def test_a_stream_is_ended_even_when_the_newer_one_of_its_host_is_gone_already() -> None:
    async with coordinator() as made, stream(made) as older:
        await older.write(hello(1))
        await said(older)
        session = Session(host_id=HostId(f"{1:032x}"), name="web-1", stream=None)
        made.streams.welcome(session, busy=False)
        code, details = await refusal(older)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "newer" in details


class SlowContext:
    """A stream whose agent takes its time to read what is written, and says something that ends the stream meanwhile."""

    def __init__(self) -> None:
        self.messages: list[object] = [hello(1), pb.AgentMessage(reports=pb.Reports(first_seq=0))]
        self.writing = asyncio.Event()
        self.read_on = asyncio.Event()
        self.written = 0

    async def read(self) -> object:
        if len(self.messages) == 1:
            await self.writing.wait()
        return self.messages.pop(0)

    async def write(self, _frame: bytes) -> None:
        self.writing.set()
        await self.read_on.wait()
        self.written += 1

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise grpc.aio.AbortError(f"{self.written} written, {code.name}: {details}")


async def test_a_stream_is_refused_only_when_nothing_is_being_written_on_it() -> None:
    async with coordinator() as made:
        context = SlowContext()
        ended = asyncio.create_task(made.agents.connect(None, context))  # type: ignore[arg-type]
        await context.writing.wait()
        asyncio.get_running_loop().call_later(0.05, context.read_on.set)
        with pytest.raises(grpc.aio.AbortError, match="1 written, INVALID_ARGUMENT: cannot read reports from number 0 on"):
            await ended
