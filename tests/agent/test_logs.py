"""What hooks print reaches a coordinator: while they print, once, from where it broke off, and never faster than allowed."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import grpc
import pytest

from agent import logs
from agent.clock import SystemClock
from agent.hooks import Hooks
from agent.logs import LogPublisher, output
from agent.logs.output import CONTENT_BYTES, IN_FLIGHT
from agent.model import InstructionId
from agent.stream import insecure_channel
from hookline.v1.agent_pb2 import PublishLogsRequest, PublishLogsResponse
from tests.agent.stage import until

HOST = "1" * 32
ID = InstructionId(f"d-AAAAAAAA1/{HOST}/0/1")
OTHER = InstructionId(f"d-AAAAAAAA2/{HOST}/0/1")
Context = grpc.aio.ServicerContext[PublishLogsRequest, PublishLogsResponse]


class Line:
    """One call of PublishLogs, as the coordinator sees it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.closing = asyncio.Event()
        self.is_old = False
        self.host = dict(context.invocation_metadata() or ()).get("hookline-host-id")

    async def hear(self) -> PublishLogsRequest | None:
        """The agent's next piece; None when it has no more."""
        async with asyncio.timeout(30):
            message: object = await self.context.read()  # the stubs do not know EOF
        return message if isinstance(message, PublishLogsRequest) else None

    async def said(self) -> tuple[str, int, bytes, bool]:
        """The agent's next piece in short."""
        piece = await self.hear()
        assert piece is not None
        return piece.instruction_id, piece.offset, piece.content, piece.complete

    async def answer(self, offset: int, *, instruction: str = ID, complete: bool = False, refusal: str = "", pause: int = 0) -> None:
        """Acknowledge."""
        response = PublishLogsResponse(instruction_id=instruction, acked_offset=offset, complete=complete, refusal=refusal)
        response.pause.FromMilliseconds(pause)
        await self.context.write(response)


class Coordinator:
    """Gives a test every call that an agent opens."""

    def __init__(self) -> None:
        self._server = grpc.aio.server()
        publish = grpc.stream_stream_rpc_method_handler(
            self.publish, request_deserializer=PublishLogsRequest.FromString, response_serializer=PublishLogsResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hookline.v1.AgentService", {"PublishLogs": publish}),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._lines: asyncio.Queue[Line] = asyncio.Queue()

    async def publish(self, _requests: object, context: Context) -> None:
        line = Line(context)
        self._lines.put_nowait(line)
        await line.closing.wait()
        if line.is_old:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "max connection age")

    async def called(self) -> Line:
        async with asyncio.timeout(30):
            return await self._lines.get()

    @property
    def quiet(self) -> bool:
        """Whether no call waits to be looked at."""
        return self._lines.empty()

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)


class SlowClock(SystemClock):
    """Notes how long somebody wanted to wait, and does not."""

    def __init__(self, chance: float) -> None:
        self.waits: list[float] = []
        self._chance = chance

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def chance(self) -> float:
        return self._chance


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before a coordinator has answered for the first time."""
    monkeypatch.setattr(logs, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(directory=tmp_path / "hooks", deployments_log=tmp_path / "all.log", boot_id="b")


@asynccontextmanager
async def publishing(
    coordinator: Coordinator, hooks: Hooks, *unfinished: InstructionId, chance: float = 0.0
) -> AsyncIterator[LogPublisher]:
    """A publisher of an agent that has just started."""
    async with insecure_channel(coordinator.address) as channel:
        publisher = LogPublisher(files=hooks, host_id=HOST, channel=channel, clock=SlowClock(chance))
        publisher.resume(unfinished)
        running = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def prints(hooks: Hooks, text: bytes, instruction: InstructionId = ID) -> None:
    """A supervisor writes."""
    with hooks.output_path(instruction).open("ab") as file:
        file.write(text)


async def test_lines_are_sent_while_the_hook_runs_and_the_end_with_the_last(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"one\n")
            line = await coordinator.called()
            assert line.host == HOST
            assert await line.said() == (ID, 0, b"one\n", False)
            prints(hooks, b"two\n")
            assert await line.said() == (ID, 4, b"two\n", False)
            prints(hooks, b"three\n")
        publisher.ended(ID)
        assert await line.said() == (ID, 8, b"three\n", True)
        await line.answer(14, complete=True)
        assert await line.hear() is None
        assert not hooks.output_path(ID).exists()


async def test_an_end_that_comes_later_is_said_without_content(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"one\n")
            line = await coordinator.called()
            await line.hear()
            await line.answer(4)
        publisher.ended(ID)
        assert await line.said() == (ID, 4, b"", True)
        assert hooks.output_path(ID).exists()


async def test_hooks_that_print_nothing_open_no_call(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            pass
        publisher.ended(ID)
        with publisher.printing(OTHER):
            prints(hooks, b"the only\n", OTHER)
            assert (await (await coordinator.called()).said())[0] == OTHER
        assert coordinator.quiet


async def test_after_a_broken_call_it_goes_on_from_what_was_acknowledged(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"one two three")
            line = await coordinator.called()
            await line.hear()
            await line.answer(4)
            line.closing.set()
            line = await coordinator.called()
            assert await line.said() == (ID, 4, b"two three", False)


async def test_an_agent_that_has_restarted_asks_first(coordinator: Coordinator, hooks: Hooks) -> None:
    prints(hooks, b"printed before the agent died\n")
    async with publishing(coordinator, hooks, ID) as publisher:
        line = await coordinator.called()
        assert await line.said() == (ID, 0, b"", False)
        await line.answer(8)
        assert await line.said() == (ID, 8, b"before the agent died\n", False)
        with publisher.printing(ID):
            prints(hooks, b"and after\n")
            assert await line.said() == (ID, 30, b"and after\n", False)


async def test_what_earlier_agents_left_is_completed_and_removed(coordinator: Coordinator, hooks: Hooks) -> None:
    prints(hooks, b"an old one\n", OTHER)
    async with publishing(coordinator, hooks):
        line = await coordinator.called()
        assert await line.said() == (OTHER, 0, b"", False)
        await line.answer(11, instruction=OTHER)
        assert await line.said() == (OTHER, 11, b"", True)
        await line.answer(11, instruction=OTHER, complete=True)
        assert await line.hear() is None
        assert hooks.outputs() == []


async def test_a_coordinator_that_has_lost_output_gets_it_again(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"one two three")
            line = await coordinator.called()
            await line.hear()
            await line.answer(13)
            prints(hooks, b" four")
            assert await line.said() == (ID, 13, b" four", False)
            await line.answer(4)
            assert await line.said() == (ID, 4, b"two three four", False)


async def test_what_is_refused_is_dropped_and_the_rest_goes_on(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID), publisher.printing(OTHER):
            prints(hooks, b"unwanted\n")
            line = await coordinator.called()
            await line.hear()
            await line.answer(0, refusal="cannot take output: nobody knows the deployment")
            prints(hooks, b"wanted\n", OTHER)
            assert await line.said() == (OTHER, 0, b"wanted\n", False)
            await until(lambda: not hooks.output_path(ID).exists())


async def test_much_output_goes_in_pieces_and_no_faster_than_the_coordinator_allows(coordinator: Coordinator, hooks: Hooks) -> None:
    clock = SlowClock(0.0)
    content = bytes(range(256)) * 1_024
    async with insecure_channel(coordinator.address) as channel:
        publisher = LogPublisher(files=hooks, host_id=HOST, channel=channel, clock=clock)
        publisher.keep_to(CONTENT_BYTES)
        running = asyncio.create_task(publisher.run())
        with publisher.printing(ID):
            prints(hooks, content)
            line = await coordinator.called()
            pieces = [await line.said() for _ in range(4)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert b"".join(piece[2] for piece in pieces) == content
    assert [piece[1] for piece in pieces] == [CONTENT_BYTES * number for number in range(4)]
    assert [round(seconds) for seconds in clock.waits] == [1, 2, 3]


async def test_a_coordinator_that_is_slow_to_acknowledge_gets_fewer_and_larger_pieces(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"0")
            line = await coordinator.called()
            await line.said()
            for number in range(1, IN_FLIGHT):
                prints(hooks, b"%d" % number)
                await line.said()
            prints(hooks, b"the ")
            prints(hooks, b"rest")
            hearing = asyncio.create_task(line.said())
            done, _ = await asyncio.wait([hearing], timeout=0.5)
            assert not done
            await line.answer(1)
            assert await hearing == (ID, IN_FLIGHT, b"the rest", False)


async def test_the_age_of_a_connection_is_no_failure(coordinator: Coordinator, hooks: Hooks, caplog: pytest.LogCaptureFixture) -> None:
    async with publishing(coordinator, hooks, chance=100.0) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"said twice")
            line = await coordinator.called()
            await line.hear()
            line.is_old = True
            line.closing.set()
            assert await (await coordinator.called()).said() == (ID, 0, b"said twice", False)
    assert caplog.text == ""


async def test_after_a_renewal_the_next_call_goes_over_the_next_channel(coordinator: Coordinator, hooks: Hooks) -> None:
    async with Coordinator() as other, publishing(coordinator, hooks) as publisher, insecure_channel(other.address) as channel:
        with publisher.printing(ID):
            prints(hooks, b"one two")
            line = await coordinator.called()
            await line.hear()
            publisher.move(channel)
            await line.answer(4)
            line.closing.set()
            assert await (await other.called()).said() == (ID, 4, b"two", False)


async def test_the_next_welcome_ends_the_wait_after_a_failure(coordinator: Coordinator, hooks: Hooks) -> None:
    async with publishing(coordinator, hooks, chance=100.0) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"said twice")
            line = await coordinator.called()
            await line.hear()
            line.closing.set()
            waiting = asyncio.create_task(coordinator.called())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            publisher.keep_to(0)
            assert await (await waiting).said() == (ID, 0, b"said twice", False)


async def test_where_many_hosts_print_output_gathers_as_long_as_the_coordinator_wishes(
    coordinator: Coordinator, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FIRST_PAUSE_SECONDS", 60.0)
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"0")
            line = await coordinator.called()
            assert await line.said() == (ID, 0, b"0", False)
            prints(hooks, b"12")
            hearing = asyncio.create_task(line.said())
            done, _ = await asyncio.wait([hearing], timeout=0.3)
            assert not done
            await line.answer(1, pause=10)
            assert await hearing == (ID, 1, b"12", False)
            await line.answer(3, pause=60_000)
        publisher.ended(ID)
        assert await line.said() == (ID, 3, b"", True)  # an end waits for nobody


async def test_a_hook_that_prints_too_much_loses_the_midst_and_says_how_much(
    coordinator: Coordinator, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "BEHIND_BYTES", 100)
    monkeypatch.setattr(output, "CAUGHT_UP_BYTES", 25)
    async with publishing(coordinator, hooks) as publisher:
        with publisher.printing(ID):
            prints(hooks, b"begin\n")
            line = await coordinator.called()
            assert await line.said() == (ID, 0, b"begin\n", False)
            prints(hooks, b"0123456789\n" * 20)
            assert await line.hear() == PublishLogsRequest(instruction_id=ID, offset=6, dropped_bytes=198)
            assert await line.said() == (ID, 204, b"0123456789\n" * 2, False)
            line.closing.set()
        publisher.ended(ID)
        line = await coordinator.called()
        assert await line.said() == (ID, 0, b"begin\n" + b"0123456789\n" * 20, True)  # it is over, nothing has to keep up


async def test_what_cannot_be_published_for_long_keeps_to_its_limit_and_the_newest(
    coordinator: Coordinator, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "KEPT_BYTES", 30)
    prints(hooks, b"the oldest output\n" * 5, OTHER)
    prints(hooks, b"the newest output\n", ID)
    os.utime(hooks.output_path(OTHER), (1, 1))
    async with publishing(coordinator, hooks):
        line = await coordinator.called()
        await line.hear()
        line.closing.set()
        line = await coordinator.called()
        assert {(await line.said())[0] for _ in range(2)} == {ID, OTHER}
        await line.answer(0, instruction=OTHER)
        _, _, content, complete = await line.said()
        assert (b"[hookline]dropped 90 bytes of output: the coordinator could not take them" in content, complete) == (True, True)
        await line.answer(0)
        assert await line.said() == (ID, 0, b"the newest output\n", True)
