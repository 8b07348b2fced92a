"""An agent and its stream, running, for tests that are its coordinator."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agent.config import Identity
from agent.facts import Begin, Close, EventEnded, EventNeverBegan, Recover
from agent.journal import MemoryJournal
from agent.loop import Agent
from agent.machine import Machine
from agent.model import InstructionId
from agent.stream import AgentStream, insecure_channel
from hookline.v1 import agent_pb2
from tests.agent.coordinator import Line, instruction_message


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

    async def end(self) -> None:
        """Ends it as a crash would."""
        self.running.cancel()
        await asyncio.wait([self.running])
        await self.channel.close()


async def has_read_all(line: Line) -> None:
    """The agent answers an instruction that it knows with its reports; so it has read what came before."""
    await line.say(instruction_message())
    await line.reports()


async def heard(hearing: object) -> agent_pb2.AgentMessage:
    assert asyncio.iscoroutine(hearing)
    message = await asyncio.wait_for(hearing, 10)
    assert isinstance(message, agent_pb2.AgentMessage)
    return message
