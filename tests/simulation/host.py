"""One host: its disk, its supervisors, and the real agent on top of them, which is killed and started again."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from agent.config import Identity
from agent.facts import Accepted, Begin, Close, Entry, Fact, Recover, Reported
from agent.loop import Agent
from agent.machine import Machine
from agent.model import REPEATABLE_EVENTS, EventStatus, InstructionId
from agent.stream import AgentStream
from tests.simulation.disk import Disk, SimulatedJournal
from tests.simulation.network import AgentEnd, Channel, Latency, Link, Overheard, Serve
from tests.simulation.supervisors import Habits, Supervisors
from tests.simulation.timeloop import HostClock, VirtualLoop

if TYPE_CHECKING:
    import asyncio
    import random
    from collections.abc import Callable, Sequence

    import grpc.aio

    from hookline.v1 import agent_pb2 as pb
    from tests.simulation.witness import Step, Witness


class Killed(BaseException):
    """The agent is dead, and the line that is being carried out was its last."""


@dataclass
class Surroundings:
    """What all hosts of a world share."""

    loop: VirtualLoop
    chance: random.Random
    witness: Witness
    latency: Latency
    habits: Habits
    retained: int
    serve: Serve
    overheard: Overheard
    machine: type[Machine] = Machine
    supervisors: type[Supervisors] = Supervisors


@dataclass
class Host:
    """What is there when no agent runs, and the agent that runs now."""

    name: str
    host_id: str
    around: Surroundings
    disk: Disk = field(init=False)
    supervisors: Supervisors = field(init=False)
    clock: HostClock = field(init=False)
    agent: LivingAgent | None = None
    started_at: float = 0.0
    """When it started, in virtual seconds."""
    links: list[Link] = field(default_factory=list)
    told: dict[Step, EventStatus] = field(default_factory=dict)
    """Every result that has reached the disk and is still on it, or was kept long enough to be acknowledged."""
    fences: dict[str, int] = field(default_factory=dict)
    """The highest epoch that was accepted for each group, as the disk tells."""
    doom: int = 0
    """So many writes and starts of hooks from now the agent dies in the midst of one; nought: it does not."""
    journals: int = 0
    forgot: bool = False
    """Its journal was lost, or is an older copy of itself."""
    doubtful: set[InstructionId] = field(default_factory=set)
    """Instructions that it may have carried out twice as far as its journal knows, because that went back."""

    def __post_init__(self) -> None:
        around = self.around
        self.clock = HostClock(around.loop, around.chance)
        self.supervisors = around.supervisors(
            host=self.name, loop=around.loop, chance=around.chance, witness=around.witness, habits=around.habits
        )
        self.lose_journal()

    def lose_journal(self) -> None:
        """Begin with an empty journal, as an operator does whose disk was damaged. The supervisors' records stay."""
        assert self.agent is None
        self.forgot = self.journals > 0
        self.journals += 1
        self.disk = Disk(f"{self.name}-journal-{self.journals}")
        self.told.clear()
        self.fences.clear()

    def rewind_journal(self, entries: int) -> None:
        """Go back to an older copy of the journal: a virtual machine's snapshot, say."""
        assert self.agent is None
        self.forgot = True
        self.doubtful |= {entry.instruction.instruction_id for entry in self.disk.entries if isinstance(entry, Accepted)}
        del self.disk.entries[entries:]
        self.told.clear()
        self.fences.clear()
        for entry in self.disk.entries:
            self.written(entry)

    def written(self, entry: Entry) -> None:
        """An entry has reached the disk."""
        if isinstance(entry, Accepted):
            self.fences[entry.instruction.group_id] = entry.instruction.target_epoch
        if isinstance(entry, Reported) and entry.report.event is not None and entry.report.status is not EventStatus.IN_PROGRESS:
            status = entry.report.status
            assert isinstance(status, EventStatus)
            step = (entry.report.instruction_id, entry.report.event)
            self.told[step] = status
            witness = self.around.witness
            if step[1] in self.around.habits.closed and step in witness.started and not witness.is_closed(step):
                witness.accuse("P3", f"{step[1]} of {step[0]} is told before it is closed")

    def start(self) -> None:
        """Start an agent, unless one runs."""
        if self.agent is None:
            self.around.witness.tell(self.name, "agent starts")
            self.started_at = self.around.loop.time()
            self.agent = LivingAgent(self)
            self.agent.start()

    def kill(self, *, silently: bool = False) -> None:
        """Kill the agent; what its kernel does about its streams is not said to anybody when the host itself is gone."""
        if self.agent is not None:
            self.agent.die(silently=silently)

    def reboot(self) -> None:
        """Take the power away."""
        self.around.witness.tell(self.name, "power cut")
        self.kill(silently=True)
        self.supervisors.reboot()

    @property
    def stuck(self) -> bool:
        """Whether its agent runs, and does nothing."""
        return self.agent is not None and self.agent.agent.stuck

    def connect(self) -> AgentEnd:
        """Open a stream."""
        around = self.around
        link = Link(around.loop, self.host_id, around.latency, around.overheard)
        self.links = [one for one in self.links if not one.over]
        self.links.append(link)
        link.reach(around.serve)
        return AgentEnd(link, self.overhear)

    def overhear(self, message: pb.CoordinatorMessage) -> None:
        """The agent has read a message and is about to be told of it."""
        if self.agent is not None and message.HasField("cancel"):
            self.agent.cancelled.add(message.cancel.instruction_id)


class StuckAgent(Agent):
    """The agent's loop, which may get stuck: its stream beats on, and nothing that it is told has any effect."""

    stuck = False

    def tell(self, *facts: Fact) -> None:
        """Take facts, or never come to it."""
        if not self.stuck:
            super().tell(*facts)


class LivingAgent:
    """The real machine, loop and stream of one agent's life; the executor is the supervisors'."""

    def __init__(self, host: Host) -> None:
        """Read the journal."""
        around = host.around
        self.alive = True
        self._host = host
        self._journal = _Journal(host, self.check)
        self.machine = around.machine(self._journal.entries, retained_instructions=around.retained)
        self.agent = StuckAgent(machine=self.machine, journal=self._journal, executor=self, clock=host.clock)
        # A Channel of grpc has forty methods; the stream opens streams on it and nothing else.
        channel = cast("grpc.aio.Channel", Channel(host.connect))
        identity = Identity(host_id=host.host_id, name=host.name, boot_id=f"boot-{host.supervisors.boot}", agent_version="1")
        self.stream = AgentStream(agent=self.agent, identity=identity, channel=channel, clock=host.clock)
        self.task: asyncio.Task[None] | None = None
        self.cancelled: set[str] = set()
        """Instructions of which this agent has read a Cancel."""

    def start(self) -> None:
        """Go on with what the journal says, and connect."""
        try:
            self.agent.start()
        except Killed:
            return
        self.task = self._host.around.loop.create_task(self._run(), name=f"agent {self._host.name}")

    async def _run(self) -> None:
        try:
            await self.stream.run()
        except BaseException:
            if self.alive:
                raise
        if self.alive:  # it was told to stop
            self.die(silently=False)

    def die(self, *, silently: bool) -> None:
        """No effect of this agent reaches anything from now on."""
        host = self._host
        host.around.witness.tell(host.name, "agent dies")
        self.alive = False
        host.agent = None
        host.doom = 0
        for link in host.links:
            if silently:
                link.half_open = True
            link.leave(0.05 * host.around.chance.random())
        if self.task is not None:
            self.task.cancel()

    def check(self) -> None:
        """Raise Killed when the agent is dead, or dies here."""
        if not self.alive:
            raise Killed
        if self._host.doom > 0:
            self._host.doom -= 1
            if self._host.doom == 0:
                self.die(silently=False)
                raise Killed

    # the executor that the agent's loop asks

    def begin(self, order: Begin, _agent: Agent) -> None:
        """Begin an event: a supervisor runs its scripts, the agent itself downloads and installs."""
        self.check()
        supervisors, lives = self._host.supervisors, lambda: self.alive
        if order.event in REPEATABLE_EVENTS:  # one that a crash has cut short is finished, whatever has come since
            supervisors.carry_out(order, lives=lives, listener=self._hear)
        else:
            self._judge(order)
            supervisors.run(order, lives=lives, listener=self._hear)
        self.check()

    def _judge(self, order: Begin) -> None:
        instruction, witness = order.instruction, self._host.around.witness
        if instruction.target_epoch < self._host.fences.get(instruction.group_id, 0):
            witness.accuse("P4", f"{order.event} of {instruction.instruction_id} begins after a newer deployment was accepted")
        if instruction.instruction_id in self.cancelled:
            witness.accuse("P4", f"{order.event} of {instruction.instruction_id} begins after its Cancel")

    def recover(self, order: Recover, _agent: Agent) -> None:
        """Ask the supervisors' records."""
        recover = partial(self._host.supervisors.recover, order, lives=lambda: self.alive, listener=self._hear)
        self._host.around.loop.call_later(0.01, recover)

    def close(self, order: Close, _agent: Agent) -> None:
        """Run closing hooks."""
        self.check()
        self._host.supervisors.close(order, lives=lambda: self.alive, listener=self._hear)
        self.check()

    def finish(self, instruction_id: InstructionId) -> None:
        """Nothing is held for an instruction."""

    def forget(self, instruction_ids: Sequence[InstructionId]) -> None:
        """Records stay longer than journals."""

    def _hear(self, fact: Fact) -> None:
        if not self.alive:
            return
        try:
            self.agent.tell(fact)
        except Killed:
            return


class _Journal(SimulatedJournal):
    """Writes down for the tests what reaches the disk, too."""

    def __init__(self, host: Host, check: Callable[[], None]) -> None:
        super().__init__(host.disk, check)
        self._host = host

    def append(self, entries: Sequence[Entry]) -> None:
        before = len(self._disk.entries)
        try:
            super().append(entries)
        finally:
            for entry in self._disk.entries[before:]:
                self._host.written(entry)
                _tell(self._host, entry)


def _tell(host: Host, entry: Entry) -> None:
    witness = host.around.witness
    if isinstance(entry, Accepted):
        witness.tell(host.name, f"accepts {entry.instruction.instruction_id} epoch {entry.instruction.target_epoch}")
    elif isinstance(entry, Reported):
        report = entry.report
        why = "" if report.diagnostics is None else f": {report.diagnostics.message}"
        witness.tell(host.name, f"report {entry.seq} {report.event or 'instruction'} {report.status} of {report.instruction_id}{why}")
