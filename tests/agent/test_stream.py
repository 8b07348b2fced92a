"""The stream carries facts and reports between a machine and a real gRPC server."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

from agent.facts import EventEnded, Numbered
from agent.journal import MemoryJournal
from agent.model import Diagnostics, ErrorCode, EventStatus, InstructionId, LifecycleEvent, Report
from agent.stream.wire import reports as to_wire
from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.coordinator import Coordinator, instruction_message
from tests.agent.streaming import Host, has_read_all, heard


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
    await has_read_all(line)
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
        assert (await heard(line.hear())).WhichOneof("message") == "heartbeat"


async def test_goodbye_ends_the_stream_after_what_is_pending(
    coordinator: Coordinator, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    line = await coordinator.called()
    await line.welcome()
    await line.say(instruction_message())
    await line.all_reports(14)
    host.stream.stop("upgrading")
    message = await heard(line.hear())
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
