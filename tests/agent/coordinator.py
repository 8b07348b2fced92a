"""A coordinator for one agent: a real gRPC server on a free loopback port that a test speaks through."""

import asyncio
from typing import Self

import grpc
from google.protobuf.duration_pb2 import Duration

from hookline.v1 import agent_pb2, resources_pb2

Context = grpc.aio.ServicerContext[agent_pb2.AgentMessage, agent_pb2.CoordinatorMessage]


class Line:
    """One open stream, as the coordinator sees it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.closing = asyncio.Event()
        self.gone = asyncio.Event()
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    async def hear(self) -> agent_pb2.AgentMessage | None:
        """The agent's next message; None when the agent has gone."""
        message: object = await self._context.read()  # the stubs do not know EOF
        return message if isinstance(message, agent_pb2.AgentMessage) else None

    async def say(self, message: agent_pb2.CoordinatorMessage) -> None:
        """Sends a message."""
        await self._context.write(message)

    async def welcome(self, *, acked_seq: int = 0, heartbeat: float = 60.0, spread: float = 0.0, limit: int = 0) -> agent_pb2.Hello:
        """Takes the Hello and answers it."""
        first = await self.hear()
        assert first is not None
        assert first.WhichOneof("message") == "hello"
        limits = agent_pb2.AgentLimits(message_bytes=limit)
        welcome = agent_pb2.Welcome(
            session_epoch=1,
            acked_seq=acked_seq,
            heartbeat_interval=_duration(heartbeat),
            reconnect_spread=_duration(spread),
            limits=limits,
        )
        await self.say(agent_pb2.CoordinatorMessage(welcome=welcome))
        return first.hello

    async def reports(self, most: int = 1_000) -> list[tuple[int, agent_pb2.Report]]:
        """The next message, which has to be reports, with their numbers and with every instruction id filled in."""
        message = await self.hear()
        assert message is not None
        assert message.WhichOneof("message") == "reports", message
        numbered = []
        said = ""
        for seq, report in enumerate(message.reports.reports, start=message.reports.first_seq):
            said = report.instruction_id = report.instruction_id or said
            numbered.append((seq, report))
        assert len(numbered) <= most
        return numbered

    async def all_reports(self, last_seq: int) -> list[tuple[int, agent_pb2.Report]]:
        """Reports up to a number, in however many messages they come."""
        numbered: list[tuple[int, agent_pb2.Report]] = []
        while not numbered or numbered[-1][0] < last_seq:
            numbered += await self.reports()
        return numbered

    async def acknowledge(self, seq: int) -> None:
        """Says that reports are committed."""
        await self.say(agent_pb2.CoordinatorMessage(acknowledgement=agent_pb2.Acknowledgement(acked_seq=seq)))

    def hang_up(self) -> None:
        """Ends the stream."""
        self.closing.set()

    def refuse(self, code: grpc.StatusCode, why: str) -> None:
        """Ends the stream with a status."""
        self.refusal = (code, why)
        self.closing.set()


class Coordinator:
    """Gives a test every stream that an agent opens."""

    def __init__(self) -> None:
        self._server = grpc.aio.server()
        connect = grpc.stream_stream_rpc_method_handler(
            self.connect,
            request_deserializer=agent_pb2.AgentMessage.FromString,
            response_serializer=agent_pb2.CoordinatorMessage.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hookline.v1.AgentService", {"Connect": connect}),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._lines: asyncio.Queue[Line] = asyncio.Queue()

    async def connect(self, _requests: object, context: Context) -> None:
        """An agent's stream, which lasts until the test hangs up or the agent goes."""
        line = Line(context)
        self._lines.put_nowait(line)
        try:
            await line.closing.wait()
            if line.refusal is not None:
                await context.abort(*line.refusal)
        finally:
            line.gone.set()

    async def called(self) -> Line:
        """The next stream that an agent opens."""
        async with asyncio.timeout(30):
            return await self._lines.get()

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)


def instruction_message(
    deployment: str = "d-1", *, epoch: int = 1, events: int = 7, group: str = "g-1", location: resources_pb2.RevisionLocation | None = None
) -> agent_pb2.CoordinatorMessage:
    """An instruction for the first so many of the seven events."""
    first = resources_pb2.LIFECYCLE_EVENT_APPLICATION_STOP
    plans = [
        resources_pb2.LifecycleEventPlan(lifecycle_event=resources_pb2.LifecycleEvent.ValueType(first + index), timeout=_duration(30))
        for index in range(events)
    ]
    coordinator = resources_pb2.RevisionLocation(coordinator=resources_pb2.CoordinatorLocation(size=5), sha256=b"\x01" * 32)
    return agent_pb2.CoordinatorMessage(
        instruction=agent_pb2.Instruction(
            instruction_id=f"{deployment}/h/1/1",
            digest=b"\xaa" * 32,
            target_epoch=epoch,
            deployment_id=deployment,
            deployment_group_id=group,
            deployment_group_name="web",
            application_name="shop",
            revision_id="r1",
            location=location or coordinator,
            lifecycle_events=plans,
        )
    )


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
