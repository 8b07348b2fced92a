"""The stream carries facts and reports between a machine and a real gRPC server, and comes back when it is lost."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from agent.config import Identity
from agent.facts import Begin, Close, EventEnded, EventNeverBegan, Numbered, Recover
from agent.journal import MemoryJournal
from agent.loop import Agent
from agent.machine import Machine
from agent.model import Diagnostics, ErrorCode, EventStatus, InstructionId, LifecycleEvent, Report
from agent.stream import AgentStream, insecure_channel
from agent.stream.wire import reports as to_wire
from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.coordinator import Coordinator, Line, instruction_message


class Idle:
    """An executor that does nothing by itself: the test ends the events. With `at_once` they end well at once."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.begun: asyncio.Queue[Begin] = asyncio.Queue()

    def begin(self, order: Begin, agent: Agent) -> None:
        """Notes the order, or ends it."""
        if self.at_once:
            agent.tell(EventEnded(order.instruction.instruction_id, order.event))
        else:
            self.begun.put_nowait(order)

    def recover(self, order: Recover, agent: Agent) -> None:
        """No script of it ever ran."""
        agent.tell(EventNeverBegan(order.instruction.instruction_id, order.event))

    def close(self, order: Close, agent: Agent) -> None:
        """Nothing closes its events."""
        raise AssertionError

    def finish(self, instruction_id: InstructionId) -> None:
        """Holds nothing."""

    def forget(self, instruction_ids: Sequence[InstructionId]) -> None:
        """Keeps nothing."""


@dataclass
class Hasty:
    """A clock on which every wait is over at once; it remembers how long the waits were."""

    waits: list[float] = field(default_factory=list)
    sixteen: asyncio.Event = field(default_factory=asyncio.Event)

    def now_ms(self) -> int:
        """Always the same instant."""
        return 1_000

    async def sleep(self, seconds: float) -> None:
        """Lets the loop turn once."""
        self.waits.append(seconds)
        if len(self.waits) == 16:
            self.sixteen.set()
        await asyncio.sleep(0.001)

    def chance(self) -> float:
        """Always the middle."""
        return 0.5


class Host:
    """One agent and its stream, running."""

    def __init__(self, coordinator: str, *, at_once: bool = True, why_not: Callable[[], Awaitable[str | None]] | None = None) -> None:
        self.executor = Idle(at_once=at_once)
        self.journal = MemoryJournal("0" * 32)
        self.clock = Hasty()
        self.agent = Agent(machine=Machine(), journal=self.journal, executor=self.executor, clock=self.clock)
        identity = Identity(host_id="1" * 32, name="h1", boot_id="b", agent_version="1", tags=(("role", "web"),), facts=(("os", "linux"),))
        self.channel = insecure_channel(coordinator)
        self.stream = AgentStream(agent=self.agent, identity=identity, channel=self.channel, clock=self.clock, why_not=why_not)
        self.running = asyncio.ensure_future(self.stream.run())


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture
async def host(coordinator: Coordinator) -> AsyncIterator[Host]:
    host = Host(coordinator.address)
    yield host
    await _end(host)


@pytest.fixture
async def slow_host(coordinator: Coordinator) -> AsyncIterator[Host]:
    host = Host(coordinator.address, at_once=False)
    yield host
    await _end(host)


async def _end(host: Host) -> None:
    host.running.cancel()
    await asyncio.wait([host.running])
    await host.channel.close()


async def test_hello_says_who_the_agent_is_and_what_its_journal_holds(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    hello = await line.welcome()
    assert (hello.host_id, hello.name, hello.boot_id, hello.journal_id) == ("1" * 32, "h1", "b", "0" * 32)
    assert (dict(hello.tags), dict(hello.facts), hello.last_seq, hello.acked_seq) == ({"role": "web"}, {"os": "linux"}, 0, 0)


async def test_an_instruction_is_carried_out_and_reported_in_order(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    numbered = await line.all_reports(14)
    assert [seq for seq, _ in numbered] == list(range(1, 15))
    assert {report.instruction_id for _, report in numbered} == {"d-1/h/1/1"}
    in_progress, succeeded = resources_pb2.LIFECYCLE_EVENT_STATUS_IN_PROGRESS, resources_pb2.LIFECYCLE_EVENT_STATUS_SUCCEEDED
    assert [(report.lifecycle_event, report.status) for _, report in numbered] == [
        (event, status) for event in range(4, 11) for status in (in_progress, succeeded)
    ]


async def test_the_first_report_goes_at_once_and_those_that_gather_go_together(coordinator: Coordinator, slow_host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    assert [seq for seq, _ in await line.reports()] == [1]
    slow_host.executor.at_once = True
    order = await slow_host.executor.begun.get()
    slow_host.agent.tell(EventEnded(order.instruction.instruction_id, order.event))
    assert [seq for seq, _ in await line.reports()] == list(range(2, 15))


async def test_the_next_hello_tells_what_was_done_and_what_was_acknowledged(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message(epoch=3))
    await line.all_reports(14)
    await line.acknowledge(9)
    line.hang_up()
    hello = await (await coordinator.called()).welcome(acked_seq=9)
    assert (hello.last_seq, hello.acked_seq) == (14, 9)
    assert [(epoch.deployment_group_id, epoch.target_epoch, epoch.deployment_id) for epoch in hello.target_epochs] == [("g-1", 3, "d-1")]
    assert [(holding.installed_revision_id, holding.deployed_revision_id) for holding in hello.holdings] == [("r1", "r1")]


async def test_what_is_not_acknowledged_is_repeated_on_the_next_stream(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.all_reports(14)
    line.hang_up()
    line = await coordinator.called()
    await line.welcome(acked_seq=5)
    assert [seq for seq, _ in await line.all_reports(14)] == list(range(6, 15))


async def test_many_reports_are_split_into_messages_within_the_limit(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.all_reports(14)
    line.hang_up()
    line = await coordinator.called()
    await line.welcome(limit=30_000)
    messages = [await line.reports(most=3) for _ in range(5)]
    assert [seq for message in messages for seq, _ in message] == list(range(1, 15))


async def test_an_unreadable_instruction_is_refused_and_the_stream_stays(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    unknown = instruction_message()
    unknown.instruction.lifecycle_events[0].lifecycle_event = resources_pb2.LIFECYCLE_EVENT_UNSPECIFIED
    await line.say(unknown)
    ((_, report),) = await line.reports()
    assert report.instruction_status == agent_pb2.INSTRUCTION_STATUS_REFUSED
    assert "older than the coordinator" in report.diagnostics.message
    await line.say(instruction_message("d-2"))
    await line.all_reports(15)


async def test_a_cancel_ends_an_instruction(coordinator: Coordinator, slow_host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.reports()
    order = await slow_host.executor.begun.get()
    cancel = agent_pb2.Cancel(instruction_id="d-1/h/1/1", target_epoch=1, deployment_group_id="g-1", reason="stopped by ann")
    await line.say(agent_pb2.CoordinatorMessage(cancel=cancel))
    await _has_read_all(line)
    slow_host.agent.tell(EventEnded(order.instruction.instruction_id, order.event))
    (_, _), (_, report) = await line.reports()
    assert report.instruction_status == agent_pb2.INSTRUCTION_STATUS_CANCELLED
    assert report.diagnostics.message == "stopped by ann"


async def test_a_message_of_a_newer_coordinator_is_passed_over(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(agent_pb2.CoordinatorMessage())
    await line.say(instruction_message())
    await line.all_reports(14)


async def test_heartbeats_go_at_the_interval_that_the_coordinator_says_last(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome(heartbeat=3600)
    ack = agent_pb2.HeartbeatAck(heartbeat_interval=Duration(nanos=150_000_000))
    for _ in range(3):
        await line.say(agent_pb2.CoordinatorMessage(heartbeat_ack=ack))
        assert (await _heard(line.hear())).WhichOneof("message") == "heartbeat"


async def test_three_unanswered_heartbeats_end_the_stream(coordinator: Coordinator, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    line = await coordinator.called()
    await line.welcome(heartbeat=0.005)
    again = await coordinator.called()
    await asyncio.wait_for(line.gone.wait(), 10)
    await again.welcome()
    assert "3 heartbeats were not answered" in caplog.text


async def test_drain_says_when_to_come_back(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome(spread=10)
    drain = agent_pb2.Drain(retry_after=Duration(seconds=7), reason="going down")
    await line.say(agent_pb2.CoordinatorMessage(drain=drain))
    await coordinator.called()
    assert host.clock.waits == [7 + 0.5 * 10]


async def test_agents_spread_over_the_time_that_the_last_welcome_named(coordinator: Coordinator, host: Host) -> None:
    line = await coordinator.called()
    await line.welcome(spread=30)
    await line.say(instruction_message())
    await line.all_reports(14)
    await line.acknowledge(14)
    await _has_read_all(line)
    line.hang_up()
    await coordinator.called()
    assert host.clock.waits == [15.0]


async def test_a_host_with_something_to_tell_comes_first(coordinator: Coordinator, slow_host: Host) -> None:
    line = await coordinator.called()
    await line.welcome(spread=30)
    await line.say(instruction_message())
    await line.reports()
    await line.acknowledge(1)
    await slow_host.executor.begun.get()
    line.hang_up()
    await coordinator.called()
    assert slow_host.clock.waits[0] <= 1.5


async def test_a_host_with_something_to_tell_never_waits_long(coordinator: Coordinator, slow_host: Host) -> None:
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.reports()
    await line.acknowledge(1)
    await slow_host.executor.begun.get()
    line.hang_up()
    for _ in range(15):
        (await coordinator.called()).hang_up()
    await coordinator.called()
    assert slow_host.clock.waits[1:] == [0.5] * 15


async def test_a_refused_hello_is_told_once_and_tried_again(coordinator: Coordinator, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        (await coordinator.called()).refuse(grpc.StatusCode.ALREADY_EXISTS, "another live agent has this name")
    await (await coordinator.called()).welcome()
    assert caplog.text.count("the coordinator refuses this agent: another live agent has this name") == 1
    assert min(host.clock.waits) > 5


async def test_waits_between_failures_grow_to_a_minute_and_no_further() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        host = Host(f"127.0.0.1:{nobody_listens.getsockname()[1]}")
        await asyncio.wait_for(host.clock.sixteen.wait(), 20)
        await _end(host)
    assert host.clock.waits[:16] == [0.5] * 8 + [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


async def test_streams_that_end_at_once_are_opened_ever_more_rarely(coordinator: Coordinator, host: Host) -> None:
    for _ in range(11):
        line = await coordinator.called()
        await line.welcome()
        line.hang_up()
    await coordinator.called()
    assert host.clock.waits == [0.5] * 8 + [1.0, 2.0, 4.0]


async def test_a_welcome_makes_earlier_failures_forgotten(coordinator: Coordinator, host: Host) -> None:
    for _ in range(10):
        (await coordinator.called()).hang_up()
    line = await coordinator.called()
    await line.welcome()
    line.hang_up()
    await coordinator.called()
    assert host.clock.waits == [0.5] * 8 + [1.0, 2.0, 0.5]


async def test_goodbye_ends_the_stream_after_what_is_pending(
    coordinator: Coordinator, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.all_reports(14)
    host.stream.stop("upgrading")
    message = await _heard(line.hear())
    assert message.goodbye.reason == "upgrading"
    assert await line.hear() is None
    line.hang_up()
    await asyncio.wait_for(host.running, 5)
    assert "disconnected" not in caplog.text


async def test_an_error_of_the_journal_ends_the_agent(coordinator: Coordinator, host: Host) -> None:
    class Full(MemoryJournal):
        def append(self, entries: object) -> None:
            raise OSError(28, "No space left on device")

    host.agent.journal = Full("0" * 32, [Numbered(1)])
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(asyncio.shield(host.running), 5)
    assert caught.group_contains(OSError, match="No space left")


def test_long_diagnostics_are_cut_to_the_limit_and_keep_the_end_of_the_log() -> None:
    diagnostics = Diagnostics(
        error_code=ErrorCode.SCRIPT_FAILED, message="é" * 9_000, script_name="s" * 9_000, log_tail="x" * 9_000 + "end"
    )
    report = Report(
        instruction_id=InstructionId("d-1"), at=1, status=EventStatus.FAILED, event=LifecycleEvent.INSTALL, diagnostics=diagnostics
    )
    written = to_wire(1, [report], diagnostics_bytes=8_192).reports.reports[0].diagnostics
    assert written.ByteSize() <= 8_192
    assert written.log_tail.endswith("end")
    assert written.message.startswith("é")


async def _has_read_all(line: Line) -> None:
    """The agent answers an instruction that it knows with its reports; so it has read what came before."""
    await line.say(instruction_message())
    await line.reports()


async def _heard(hearing: object) -> agent_pb2.AgentMessage:
    assert asyncio.iscoroutine(hearing)
    message = await asyncio.wait_for(hearing, 10)
    assert isinstance(message, agent_pb2.AgentMessage)
    return message


async def test_the_next_channels_stream_is_welcomed_before_the_one_that_is_open_ends(
    coordinator: Coordinator, slow_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    first = await coordinator.called()
    await first.welcome()
    await first.say(instruction_message())
    assert [seq for seq, _ in await first.reports()] == [1]
    begun = await slow_host.executor.begun.get()
    async with insecure_channel(coordinator.address) as channel:
        slow_host.stream.move(channel)
        second = await coordinator.called()
        slow_host.agent.tell(EventEnded(begun.instruction.instruction_id, begun.event))
        assert [seq for seq, _ in await first.reports()] == [2, 3]  # nothing is held up while the next one is not welcomed yet
        assert not first.gone.is_set()
        hello = await second.welcome(acked_seq=1)
        assert hello.last_seq == 1
        await asyncio.wait_for(first.gone.wait(), 10)
        assert [seq for seq, _ in await second.all_reports(3)] == [2, 3]
        assert slow_host.clock.waits == []
        second.hang_up()
        assert (await (await coordinator.called()).welcome()).last_seq == 3
    assert "another stream has taken its place" not in caplog.text


async def test_a_next_stream_that_is_refused_leaves_the_one_that_is_open_alone(coordinator: Coordinator, host: Host) -> None:
    first = await coordinator.called()
    await first.welcome()
    async with insecure_channel(coordinator.address) as channel:
        host.stream.move(channel)
        (await coordinator.called()).refuse(grpc.StatusCode.UNAVAILABLE, "not now")
        await first.say(instruction_message())
        await first.all_reports(14)
        assert not first.gone.is_set()
        first.hang_up()
        await (await coordinator.called()).welcome()


async def test_the_age_of_a_connection_is_routine(coordinator: Coordinator, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    line = await coordinator.called()
    await line.welcome()
    line.refuse(grpc.StatusCode.UNAVAILABLE, "max connection age")
    await (await coordinator.called()).welcome()
    assert caplog.text == ""
    assert host.clock.waits == [0.05]


async def test_why_a_coordinator_cannot_be_reached_is_explained_by_who_knows_more(caplog: pytest.LogCaptureFixture) -> None:
    async def expired() -> str | None:
        return "this host's certificate ended"

    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        host = Host(f"127.0.0.1:{nobody_listens.getsockname()[1]}", why_not=expired)
        await asyncio.wait_for(host.clock.sixteen.wait(), 20)
        await _end(host)
    assert caplog.text.count("cannot reach the coordinator: this host's certificate ended") == 1
