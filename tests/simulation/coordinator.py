"""The coordinator's process: the real engine, session rules, gateway and wire over the simulated store; killed and started again."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.core.invariants import check
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import DeploymentId, GroupId, HostId, InstructionId, Revision
from coordinator.engine.inbox import Item
from coordinator.engine.loop import Engine
from coordinator.engine.turn import Turn
from coordinator.gateway.identity import Believed
from coordinator.gateway.servicer import AgentServicer, Context
from coordinator.gateway.streams import Streams
from coordinator.metrics import Metrics, Tally
from coordinator.service.rollouts.turns import TurnService
from hookline.v1 import agent_pb2 as pb
from tests.simulation.alarms import Eyes, Sky
from tests.simulation.network import CoordinatorEnd, Link
from tests.simulation.store import SimulatedStore
from tests.simulation.timeloop import CoordinatorClock, VirtualLoop
from tests.simulation.turns import Catalogue
from tests.simulation.witness import Witness

T = TypeVar("T")


class CheckedEngine(Engine):
    """The engine, whose groups are counted anew after every step."""

    went_back = False
    """The database has been restored from an older copy at some time."""

    def _decide(self, items: list[Item]) -> Turn | None:
        turn = super()._decide(items)
        for group_id in turn.facts if turn is not None else ():
            check(self._groups[group_id], went_back=self.went_back)
        return turn


@cache
def _metrics() -> Metrics:
    """Nobody reads them; to make them takes longer than a small world."""
    return Metrics()


@dataclass
class Parts:
    """What a mutant replaces."""

    engine: type[CheckedEngine] = CheckedEngine
    streams: type[Streams] = Streams


@dataclass
class Coordinator:
    """The one coordinator, alive or not."""

    loop: VirtualLoop
    chance: random.Random
    witness: Witness
    store: SimulatedStore
    parts: Parts
    sky: Sky
    hosts_of: Callable[[GroupId], Sequence[HostId] | None] = lambda _group_id: None
    """Which hosts a group has."""
    restores: int = 0
    """How often its database has gone back in time."""
    welcomed: dict[HostId, float] = field(default_factory=dict)
    """When each host's present stream was accepted."""
    life: "Life | None" = None
    alive: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.life is None:
            self.witness.tell("coordinator", "starts")
            self.life = Life(self)
            self.alive.set()

    def kill(self, *, silently: bool = False) -> None:
        """Kill it between any two steps that it makes; silently: its machine is gone, and agents hear nothing of that."""
        if self.life is not None:
            self.witness.tell("coordinator", "is killed")
            self.witness.count("coordinator kills")
            life, self.life = self.life, None
            self.alive.clear()
            life.end(silently=silently)

    def serve(self, link: Link) -> asyncio.Task[None] | None:
        """Take a stream."""
        return None if self.life is None else self.life.serve(link)

    def overheard(self, host: str, message: pb.CoordinatorMessage) -> None:
        """Something leaves for a host: it has to be stored already."""
        match message.WhichOneof("message"):
            case "instruction":
                instruction = message.instruction
                self._stored(host, instruction.instruction_id, instruction.target_epoch)
            case "acknowledgement":
                session = self.store.hosts.get(HostId(host))
                if session is None or session.acked_seq < message.acknowledgement.acked_seq:
                    self.witness.accuse("P7", f"report {message.acknowledgement.acked_seq} of {host} is acknowledged and not stored")
            case "welcome":
                self.welcomed[HostId(host)] = self.loop.time()
                session = self.store.hosts.get(HostId(host))
                if session is None or session.session_epoch < message.welcome.session_epoch:
                    self.witness.accuse("P7", f"session {message.welcome.session_epoch} of {host} is welcomed and not stored")
            case "cancel":
                self._stored(host, message.cancel.instruction_id, message.cancel.target_epoch, cancelled=True)
            case _:
                pass  # promises nothing

    def _stored(self, host: str, instruction_id: str, target_epoch: int, *, cancelled: bool = False) -> None:
        deployment = self.store.deployments.get(DeploymentId(instruction_id.partition("/")[0]))
        target = None if deployment is None else deployment.targets.get(HostId(host))
        if target is None or target.status is TargetStatus.Pending or target.target_epoch < target_epoch:
            self.witness.accuse("P7", f"instruction {instruction_id} epoch {target_epoch} is sent and not stored")
        elif cancelled and not target.cancelled:
            self.witness.accuse("P7", f"a Cancel of {instruction_id} is sent and not stored")


class NoBundles:
    """Nobody fetches anything."""

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        """It is not lent."""

    def settle(self, host_id: HostId) -> None:
        """Nothing was lent."""


class Life:
    """One life of the coordinator's process, wired as `coordinator/app/coordinator.py` does it."""

    def __init__(self, coordinator: Coordinator) -> None:
        """Start."""
        loop, tally = coordinator.loop, Tally()
        self._coordinator = coordinator
        self.clock = CoordinatorClock(loop, coordinator.chance)
        self.clock.year += coordinator.chance.choice((0, 0, 0, 31_536_000_000, -31_536_000_000))
        streams = coordinator.parts.streams(clock=self.clock, spread=lambda: self.engine.reconnect_spread, tally=tally, bundles=NoBundles())
        self._eyes = Eyes(coordinator.sky, loop, self.clock, coordinator.witness, lambda seen: self.engine.inbox.put(seen))
        self.catalogue = Catalogue(coordinator.store, coordinator.hosts_of)
        turns = TurnService(self.catalogue, self.clock)
        self.engine = coordinator.parts.engine(
            store=coordinator.store, agents=streams, clock=self.clock, metrics=_metrics(), alarms=self._eyes, turns=turns
        )
        self.engine.went_back = coordinator.restores > 0
        self._servicer = AgentServicer(inbox=self.engine.inbox, streams=streams, clock=self.clock, identity=Believed())
        self.streams = streams
        self.ended = asyncio.Event()
        self._loop = loop
        self._chance = coordinator.chance
        self._witness = coordinator.witness
        self._links: list[Link] = []
        self._calls: set[asyncio.Task[Any]] = set()
        self._tasks = [
            loop.create_task(self.engine.run(), name="engine"),
            loop.create_task(streams.run(), name="streams"),
            loop.create_task(turns.run(self.engine, self.engine, spread=100), name="turns"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._broken)

    def serve(self, link: Link) -> asyncio.Task[None]:
        """Read a stream."""
        self._links = [one for one in self._links if not one.over]
        self._links.append(link)
        # A ServicerContext of grpc has thirty methods; the servicer reads, writes and aborts.
        return self._loop.create_task(self._serve(cast("Context", CoordinatorEnd(link))), name=f"stream of {link.host_id}")

    def call(self, answer: "asyncio.Task[T]") -> "asyncio.Task[T]":
        """An operator waits for an answer, for as long as this life lasts."""
        self._calls.add(answer)
        answer.add_done_callback(self._calls.discard)
        return answer

    def end(self, *, silently: bool) -> None:
        """Everything stops where it stands."""
        self.ended.set()
        for answer in self._calls:
            answer.cancel()
        self._eyes.close()
        for task in self._tasks:
            task.cancel()
        for link in self._links:
            lag = None if silently else 0.1 * self._chance.random()
            link.cut(keep_up=0.0, keep_down=0.05 * self._chance.random(), agent_learns=lag, coordinator_learns=None)
            link.cancel()

    async def _serve(self, context: Context) -> None:
        await self.engine.started.wait()  # the port is opened when the engine has started
        await self._servicer.connect(None, context)

    def _broken(self, task: "asyncio.Task[None]") -> None:
        if self.ended.is_set() or task.cancelled():
            return
        if isinstance(task.exception(), StorageFailed | StorageFull) and not self.engine.started.is_set():
            self._coordinator.kill()  # a program that cannot read its database ends and is started again by its supervisor
            self._loop.call_later(2.0, self._coordinator.start)
            return
        self._witness.accuse("P8", f"the coordinator's {task.get_name()} has ended by itself: {task.exception()!r}")
