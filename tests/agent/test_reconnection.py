"""When a lost stream is opened again, by whom first, and what is said about it; and how one takes the place of another."""

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from agent.facts import EventEnded
from agent.stream import insecure_channel
from hookline.v1 import agent_pb2
from tests.agent.coordinator import Coordinator, instruction_message
from tests.agent.streaming import Host, has_read_all


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture
async def host(coordinator: Coordinator) -> AsyncIterator[Host]:
    host = Host(coordinator.address)
    yield host
    await host.end()


@pytest.fixture
async def slow_host(coordinator: Coordinator) -> AsyncIterator[Host]:
    host = Host(coordinator.address, at_once=False)
    yield host
    await host.end()


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
    await has_read_all(line)
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
        await host.end()
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
        await host.end()
    assert caplog.text.count("cannot reach the coordinator: this host's certificate ended") == 1
