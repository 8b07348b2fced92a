"""Output on its way from agents to operators, over real calls: who may publish what, acknowledgements, reading, following, restarts."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc import aio

from agent.clock import SystemClock as AgentClock
from agent.hooks import Hooks
from agent.logs import LogPublisher
from agent.model import InstructionId
from coordinator.adapters.clock import SystemClock
from coordinator.core.errors import Unavailable
from coordinator.core.lifecycle import IN_PLACE, EventStatus
from coordinator.core.model import HostId
from coordinator.gateway.identity import Believed
from coordinator.gateway.logs import BURST, BYTES_PER_SECOND, DROPPED_AT_MOST, Crowd, LogServicer
from coordinator.gateway.pace import Pace
from coordinator.service.logs import LogService, has_ended
from coordinator.service.records import Host
from coordinator.store.logs.keep import Logs, Retention
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1.agent_pb2 import PublishLogsRequest, PublishLogsResponse
from hookline.v1.agent_pb2_grpc import AgentServiceStub
from tests.wire.memory import MemoryFleet, VirtualClock
from tests.wire.world import INVALID, NOT_FOUND, EchoingAgents, World, refused, serving

IDS = {f"web-{number}": HostId(f"{number:032x}") for number in range(1, 6)}
Call = aio.StreamStreamCall[PublishLogsRequest, PublishLogsResponse]


class HexFleet(MemoryFleet):
    """Hosts whose ids are as real ones are."""

    def join(self, name: str, **tags: str) -> None:
        super().join(name, **tags)
        known = self.known[name]
        self.known[name] = Host(
            host_id=IDS[name],
            name=name,
            status=known.status,
            tags=tags,
            operator_tags={},
            sources=(),
            facts={},
            agent_version="1",
            connected_at=5,
            registered_at=4,
            holdings=(),
        )


class PublishingAgents(EchoingAgents):
    """Agents of which only the output counts."""

    def __init__(self, world: "LogWorld") -> None:
        super().__init__()
        self._world = world

    def register(self, server: aio.Server) -> None:
        servicer(self._world).register(server)


def servicer(world: "LogWorld") -> LogServicer:
    return LogServicer(logs=world.logs, history=world.engine, clock=SystemClock(), callers=Believed(), tally=world.metrics.tally)


class LogWorld(World):
    """A coordinator with real logs."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.hosts = HexFleet(self.requests)
        self.engine.fleet = self.hosts
        self.directory = directory
        self.deployment_id = ""

    def servicers(self) -> dict[str, object]:
        self.logs = Logs(
            self.directory,
            retention=Retention(days=30, max_bytes=1 << 30),
            clock=SystemClock(),
            ended=partial(has_ended, self.engine),
            sync_seconds=0.02,
        )
        self.agents = PublishingAgents(self)
        servicers = super().servicers()
        servicers["deployments"]._logs = LogService(self.logs, self.engine, clock=SystemClock())
        return servicers

    async def begin(self, *hosts: str) -> None:
        """A deployment to these hosts runs."""
        self.deployment_id = (await self.deploy(await self.shop(*hosts))).deployment_id

    def finish(self, *hosts: str) -> None:
        """The hosts report that all went well."""
        self.clock.at = SystemClock().now()
        for host in hosts:
            instruction = next(one for one in reversed(self.engine.instructed) if one.host_id == IDS[host])
            assert instruction
            for event in IN_PLACE:
                for status in (EventStatus.InProgress, EventStatus.Succeeded):
                    self.tell(host, event, status)

    def tell(self, host: str, event: object, status: EventStatus) -> None:
        from coordinator.core.facts import Report, Reported
        from coordinator.core.lifecycle import LifecycleEvent

        assert isinstance(event, LifecycleEvent)
        instruction = next(one for one in reversed(self.engine.instructed) if one.host_id == IDS[host])
        report = Report(seq=1, instruction_id=instruction.instruction_id, event=event, status=status, time=self.clock.now())
        fact = Reported(at=self.clock.now(), elapsed=self.clock.elapsed(), host_id=IDS[host], reports=(report,))
        self.engine.happen(instruction.plan.group_id, fact)

    def instruction(self, host: str, attempt: int = 1) -> str:
        return f"{self.deployment_id}/{IDS[host]}/0/{attempt}"

    def publish(self, host: str) -> Call:
        """A host opens its call."""
        return AgentServiceStub(self.channel).PublishLogs(metadata=(("hookline-host-id", IDS[host]),))

    async def read(self, host: str = "", **more: object) -> list[deployments.ReadLogsResponse]:
        request = deployments.ReadLogsRequest(deployment_id=self.deployment_id, host=host, **more)  # type: ignore[arg-type]
        return [piece async for piece in self.deployments.ReadLogs(request)]


@asynccontextmanager
async def served(world: LogWorld) -> AsyncIterator[LogWorld]:
    async with serving(world):
        writing = asyncio.create_task(world.logs.run())
        try:
            yield world
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LogWorld]:
    async with served(LogWorld(tmp_path / "logs")) as world:
        await world.begin("web-1", "web-2")
        yield world


def piece(instruction_id: str, content: bytes, offset: int = 0, *, complete: bool = False) -> PublishLogsRequest:
    return PublishLogsRequest(instruction_id=instruction_id, offset=offset, content=content, complete=complete)


async def heard(call: Call) -> PublishLogsResponse:
    async with asyncio.timeout(30):
        response: object = await call.read()
    assert isinstance(response, PublishLogsResponse)
    return response


def joined(pieces: Iterable[deployments.ReadLogsResponse]) -> bytes:
    return b"".join(one.content for one in pieces)


async def test_output_is_acknowledged_and_read_by_its_hosts_name(world: LogWorld) -> None:
    call = world.publish("web-1")
    await call.write(piece(world.instruction("web-1"), b"hello\n", complete=True))
    response = await heard(call)
    assert (response.instruction_id, response.acked_offset, response.complete) == (world.instruction("web-1"), 6, True)
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK
    read = await world.read()
    assert [(one.host_name, one.host_id, one.offset, one.content, one.complete) for one in read] == [
        ("web-1", IDS["web-1"], 0, b"hello\n", False),
        ("web-1", IDS["web-1"], 6, b"", True),
    ]


async def test_one_acknowledgement_answers_many_pieces(world: LogWorld) -> None:
    call = world.publish("web-1")
    for number in range(20):
        await call.write(piece(world.instruction("web-1"), b"0123456789", number * 10))
    await call.done_writing()
    offsets = [response.acked_offset async for response in call]
    assert offsets == sorted(offsets)
    assert offsets[-1] == 200
    assert len(offsets) < 20


async def test_repeats_are_dropped_and_gaps_are_sent_back(world: LogWorld) -> None:
    call = world.publish("web-1")
    for content, offset in ((b"one ", 0), (b"one two ", 0), (b"much later", 50)):
        await call.write(piece(world.instruction("web-1"), content, offset))
    await call.write(piece(world.instruction("web-1"), b""))
    await call.done_writing()
    assert [response.acked_offset async for response in call][-1] == 8
    assert joined(await world.read("web-1")) == b"one two "


@pytest.mark.parametrize(
    "instruction, why",
    [
        ("{deployment}/" + IDS["web-2"] + "/0/1", "it was given to another host"),
        ("d-ZZZZZZZZZ/" + IDS["web-1"] + "/0/1", "cannot find deployment"),
        ("../../etc/passwd", "that is no instruction id"),
        ("{deployment}/" + IDS["web-1"] + "/0/1/../x", "that is no instruction id"),
    ],
)
async def test_output_of_other_instructions_is_refused_and_the_hosts_own_goes_on(world: LogWorld, instruction: str, why: str) -> None:
    call = world.publish("web-1")
    await call.write(piece(instruction.format(deployment=world.deployment_id), b"stolen"))
    response = await heard(call)
    assert why in response.refusal
    await call.write(piece(world.instruction("web-1"), b"own"))
    assert (await heard(call)).acked_offset == 3
    assert joined(await world.read()) == b"own"


async def test_a_host_that_has_no_part_in_a_deployment_is_refused(world: LogWorld) -> None:
    call = world.publish("web-5")
    await call.write(piece(world.instruction("web-5"), b"unwanted"))
    assert "cannot take output" in (await heard(call)).refusal


async def test_a_call_without_identity_is_refused(world: LogWorld) -> None:
    call = AgentServiceStub(world.channel).PublishLogs()
    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_newer_call_of_a_host_ends_the_older_one(world: LogWorld) -> None:
    older = world.publish("web-1")
    await older.write(piece(world.instruction("web-1"), b"one "))
    assert (await heard(older)).acked_offset == 4
    newer = world.publish("web-1")
    await newer.write(piece(world.instruction("web-1"), b"one two"))
    assert (await heard(newer)).acked_offset == 7
    assert await older.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_agent_that_goes_away_is_no_failure_and_what_it_said_is_kept(world: LogWorld, caplog: pytest.LogCaptureFixture) -> None:
    call = world.publish("web-1")
    await call.write(piece(world.instruction("web-1"), b"last words"))
    assert (await heard(call)).acked_offset == 10
    call.cancel()
    again = world.publish("web-1")
    await again.write(piece(world.instruction("web-1"), b""))
    assert (await heard(again)).acked_offset == 10
    assert "failed" not in caplog.text


class GoneHost:
    """A call whose host has gone after its first piece: what is written to it breaks."""

    def __init__(self, *messages: PublishLogsRequest) -> None:
        self._messages = list(messages)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("hookline-host-id", IDS["web-1"]),)

    async def read(self) -> PublishLogsRequest:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()

    async def write(self, _: PublishLogsResponse) -> None:
        raise aio.InternalError("the call has ended")


async def test_a_host_that_is_gone_before_its_answer_is_no_failure(world: LogWorld) -> None:
    call = GoneHost(piece(world.instruction("web-1"), b"last words"))
    with pytest.raises(Unavailable):
        async with asyncio.timeout(30):
            await servicer(world).publish_logs(None, call)  # type: ignore[arg-type]
    assert joined(await world.read()) == b"last words"
    assert world.metrics.tally.log_bytes == len(b"last words")


async def test_a_host_that_sends_too_fast_waits() -> None:
    clock = VirtualClock()
    began, pace = clock.at, Pace(clock, per_second=BYTES_PER_SECOND, burst=BURST)
    for _ in range(64):
        await pace.spend(64 << 10)
    assert (clock.at - began) / 1_000 == pytest.approx((64 * (64 << 10) - BURST) / BYTES_PER_SECOND, rel=0.01)
    clock.at += 60_000
    assert pace.fresh


def test_the_more_hosts_print_the_longer_each_gathers() -> None:
    clock = VirtualClock()
    clock.at -= clock.elapsed() % 1_000
    crowd = Crowd(clock)
    for number in range(800):
        crowd.note(HostId(f"{number:032x}"))
        if number == 150:
            assert crowd.pause == 0
    assert crowd.pause == 1_000
    clock.at += 1_000
    crowd.note(HostId(f"{1:032x}"))
    assert crowd.pause == 1_000
    clock.at += 1_000
    assert crowd.pause == 0
    clock.at += 5_000
    assert crowd.pause == 0


async def test_what_a_host_has_dropped_is_marked_where_it_would_have_been(world: LogWorld) -> None:
    call, instruction = world.publish("web-1"), world.instruction("web-1")
    await call.write(piece(instruction, b"begin\n"))
    await call.write(PublishLogsRequest(instruction_id=instruction, offset=6, content=b"cut", dropped_bytes=1_000))
    await call.write(
        PublishLogsRequest(instruction_id=instruction, offset=3, content=b"in\ncut", dropped_bytes=1_500)
    )  # said again, more by now
    await call.write(piece(instruction, b"end\n", 1_509, complete=True))
    await call.done_writing()
    assert [response.acked_offset async for response in call][-1] == 1_513
    read = await world.read()
    assert [(one.offset, one.content, one.dropped_bytes) for one in read if not one.complete] == [
        (0, b"begin\ncut", 0),
        (9, b"", 1_000),
        (1_009, b"", 500),
        (1_509, b"end\n", 0),
    ]
    assert [(one.offset, one.dropped_bytes) for one in await world.read("web-1", offset=1_200)][0] == (1_200, 309)


async def test_a_host_cannot_drop_without_end(world: LogWorld) -> None:
    call = world.publish("web-1")
    await call.write(PublishLogsRequest(instruction_id=world.instruction("web-1"), dropped_bytes=DROPPED_AT_MOST + 1))
    assert "are the limit" in (await heard(call)).refusal


async def test_following_ends_when_the_deployment_has_ended_and_everything_came(world: LogWorld) -> None:
    following = asyncio.create_task(world.read(follow=True))
    first, second = world.publish("web-1"), world.publish("web-2")
    await first.write(piece(world.instruction("web-1"), b"one\n", complete=True))
    await second.write(piece(world.instruction("web-2"), b"two\n"))
    await heard(second)
    world.finish("web-1", "web-2")
    done, _ = await asyncio.wait([following], timeout=1.5)
    assert not done
    await second.write(piece(world.instruction("web-2"), b"at last\n", 4, complete=True))
    pieces = await asyncio.wait_for(following, 10)
    assert joined(one for one in pieces if one.host_name == "web-2") == b"two\nat last\n"
    assert sorted(one.host_name for one in pieces if one.complete) == ["web-1", "web-2"]


async def test_a_reader_goes_on_from_a_resume_token_and_from_an_offset(world: LogWorld) -> None:
    calls = {host: world.publish(host) for host in ("web-1", "web-2")}
    for number in range(10):
        host = f"web-{number % 2 + 1}"
        await calls[host].write(piece(world.instruction(host), b"%04d\n" % number, number // 2 * 5))
        await heard(calls[host])
    pieces = await world.read()
    assert len(pieces) == 10
    for number in range(10):
        assert joined(await world.read(resume_token=pieces[number].resume_token)) == joined(pieces[number + 1 :])
    whole = await world.read("web-1")
    assert [one.content for one in whole] == [b"0000\n0002\n0004\n0006\n0008\n"]
    assert joined(await world.read("web-1", offset=13)) == joined(whole)[13:]
    assert joined(await world.read(IDS["web-1"], offset=25)) == b""


async def test_what_cannot_be_read_is_refused_with_a_sentence(world: LogWorld) -> None:
    read = world.deployments.ReadLogs
    assert (await refused(first(read(deployments.ReadLogsRequest(deployment_id="d-ZZZZZZZZZ"))))).code is NOT_FOUND
    unknown = await refused(first(read(deployments.ReadLogsRequest(deployment_id=world.deployment_id, host="web-9"))))
    assert (unknown.code, "web-9" in unknown.message) == (NOT_FOUND, True)
    offset = await refused(first(read(deployments.ReadLogsRequest(deployment_id=world.deployment_id, offset=3))))
    assert (offset.code, offset.fields) == (INVALID, ["offset"])
    token = await refused(first(read(deployments.ReadLogsRequest(deployment_id=world.deployment_id, resume_token="bogus"))))
    assert (token.code, token.fields) == (INVALID, ["resume_token"])


async def first(call: object) -> object:
    assert isinstance(call, aio.UnaryStreamCall)
    return await call.read()


async def test_nothing_is_lost_or_repeated_when_either_side_restarts_again_and_again(tmp_path: Path) -> None:
    """A hook prints all the while; the coordinator and the agent are cut off at random moments; an operator reads on by tokens."""
    chance = random.Random(7)
    hooks = Hooks(directory=tmp_path / "hooks", deployments_log=tmp_path / "all.log", boot_id="b")
    printed, read = b"", b""
    world, token = LogWorld(tmp_path / "logs"), ""
    for turn in range(12):
        async with served(world):
            if not world.deployment_id:
                await world.begin("web-1")
            instruction = InstructionId(world.instruction("web-1"))
            async with publisher_of(world, hooks, instruction) as publisher:
                with publisher.printing(instruction):
                    for _ in range(chance.randint(1, 6)):
                        lines = b"".join(b"%d %d %s\n" % (turn, number, chance.randbytes(9).hex().encode()) for number in range(50))
                        printed += lines
                        with hooks.output_path(instruction).open("ab") as file:
                            file.write(lines)
                        await asyncio.sleep(chance.random() * 0.1)
                    pieces = await world.read(resume_token=token)
                    read += joined(pieces)
                    token = pieces[-1].resume_token if pieces else token
    async with served(world), publisher_of(world, hooks) as publisher:
        while await asyncio.to_thread(hooks.outputs):
            pass
        pieces = await world.read(resume_token=token)
    read += joined(pieces)
    assert pieces[-1].complete
    assert read == printed


@asynccontextmanager
async def publisher_of(world: LogWorld, hooks: Hooks, *unfinished: InstructionId) -> AsyncIterator[LogPublisher]:
    """An agent of web-1 that has just started."""
    async with aio.insecure_channel(world.address) as channel:
        publisher = LogPublisher(files=hooks, host_id=IDS["web-1"], channel=channel, clock=AgentClock())
        publisher.resume(unfinished)
        running = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
