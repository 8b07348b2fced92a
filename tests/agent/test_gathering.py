"""How many messages the reports of an instruction take: one for each slow event, and one for many quick ones. In virtual time."""

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from agent.facts import Begin, Close, Connected, EventEnded, Recover
from agent.journal import MemoryJournal
from agent.loop import Agent
from agent.machine import Machine
from agent.model import Diagnostics, InstructionId
from agent.stream.session import Session
from hookline.v1 import agent_pb2
from tests.agent.coordinator import instruction_message
from tests.simulation.timeloop import HostClock, VirtualLoop, run

if TYPE_CHECKING:
    from agent.stream.session import Call


class Timed:
    """An executor whose events take so many seconds, each in its turn; the last of them fails if it is told to."""

    def __init__(self, *seconds: float, fails: bool = False) -> None:
        self._seconds = list(seconds)
        self._fails = fails

    def begin(self, order: Begin, agent: Agent) -> None:
        """Ends the event when its time is over."""
        took = self._seconds.pop(0)
        why = Diagnostics(message="it fails") if self._fails and not self._seconds else None
        ended = EventEnded(order.instruction.instruction_id, order.event, why)
        asyncio.get_running_loop().call_later(took, agent.tell, ended)

    def recover(self, order: Recover, agent: Agent) -> None:
        """Nothing was interrupted."""
        raise AssertionError

    def close(self, order: Close, agent: Agent) -> None:
        """Nothing closes its events."""
        raise AssertionError

    def finish(self, instruction_id: InstructionId) -> None:
        """Holds nothing."""

    def forget(self, instruction_ids: Sequence[InstructionId]) -> None:
        """Keeps nothing."""


class Wire:
    """What a session calls its call: it hears Welcome and one instruction, and what it says is noted with its time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._began = loop.time()
        self._to_hear = [
            agent_pb2.CoordinatorMessage(welcome=agent_pb2.Welcome(session_epoch=1)),
            instruction_message(),
        ]
        self.said: list[tuple[float, list[int]]] = []

    async def read(self) -> agent_pb2.CoordinatorMessage:
        """The next message; after the last one nothing comes."""
        if not self._to_hear:
            await asyncio.sleep(1e6)
        return self._to_hear.pop(0)

    async def write(self, message: agent_pb2.AgentMessage) -> None:
        """Notes the numbers of the reports, and when they went, in milliseconds."""
        if message.HasField("reports"):
            seqs = [message.reports.first_seq + index for index in range(len(message.reports.reports))]
            self.said.append((round((self._loop.time() - self._began) * 1000), seqs))


def messages(executor: Timed) -> list[tuple[float, list[int]]]:
    """When which reports of an instruction went."""

    async def story(loop: VirtualLoop) -> list[tuple[float, list[int]]]:
        clock = HostClock(loop, random.Random(1))
        agent = Agent(machine=Machine(), journal=MemoryJournal("0" * 32), executor=executor, clock=clock)
        wire = Wire(loop)
        session = Session(cast("Call", wire), agent, clock)  # grpc's has twenty methods; a session uses a few of them

        def welcomed(_session: Session, welcome: agent_pb2.Welcome) -> None:
            agent.outbox = session
            agent.tell(Connected(welcome.session_epoch - 1))

        speaking = asyncio.ensure_future(session.run(agent_pb2.AgentMessage(), welcomed))
        await asyncio.sleep(60)
        speaking.cancel()
        await asyncio.wait([speaking])
        return wire.said

    return run(story)


def test_quick_events_are_told_together_with_the_end_of_their_instruction() -> None:
    assert messages(Timed(*[0.005] * 7)) == [(0, [1]), (35, list(range(2, 15)))]


def test_what_gathers_goes_ten_times_a_second() -> None:
    assert messages(Timed(*[0.04] * 7)) == [(0, [1]), (100, [2, 3, 4, 5]), (200, [6, 7, 8, 9, 10, 11]), (280, [12, 13, 14])]


def test_slow_events_are_told_at_once() -> None:
    assert messages(Timed(*[2.0] * 7)) == [(0, [1]), *((2000 * n, [2 * n, 2 * n + 1]) for n in range(1, 7)), (14000, [14])]


def test_a_failure_is_told_at_once() -> None:
    assert messages(Timed(0.03, 0.02, fails=True)) == [(0, [1]), (50, [2, 3, 4])]
