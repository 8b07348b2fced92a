"""One world: made of a seed, let go wrong for a while, healed, and judged."""

import asyncio
import logging
import random
from dataclasses import dataclass, field, replace

from agent.machine import Machine
from agent.model import REPEATABLE_EVENTS, LifecycleEvent
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import GroupId, HostId, MinimumHealthyHosts, MinimumHealthyHostsType, OfflineAction, Queueing
from tests.simulation.alarms import Sky
from tests.simulation.census import occurred
from tests.simulation.coordinator import Coordinator, Parts
from tests.simulation.faults import Faults
from tests.simulation.host import Host, Surroundings
from tests.simulation.judgement import judge, restless
from tests.simulation.network import Latency
from tests.simulation.operators import DeploymentGroup, Operators
from tests.simulation.store import SimulatedStore
from tests.simulation.supervisors import Habits, Supervisors
from tests.simulation.timeloop import VirtualLoop, run
from tests.simulation.wishes import minimum, offline
from tests.simulation.witness import PromiseBroken, Witness

PATIENCE = 5_000.0
"""Seconds of virtual time after which everything must have ended, once everybody is well. A host may wait for a turn on a stuck agent for
as long as all events may take, and ten minutes."""


@dataclass(frozen=True)
class Mutation:
    """The world with one guard removed."""

    parts: Parts = field(default_factory=Parts)
    machine: type[Machine] = Machine
    supervisors: type[Supervisors] = Supervisors


@dataclass
class Outcome:
    """How a world went."""

    seed: int
    broken: list[str]
    story: list[tuple[float, str, str]]
    counts: dict[str, int]
    seconds: float
    """Virtual ones."""
    occurred: frozenset[str] = frozenset()
    """What there was in it of all that may be."""

    def told(self, last: int | None = None) -> str:
        """The story as text, or its last lines."""
        lines = self.story if last is None else self.story[-last:]
        return "\n".join(f"{time - 1000:10.3f}  {who:12s} {what}" for time, who, what in lines)


class _Complaints(logging.Handler):
    """Errors that the code logs with a traceback are bugs, even where it lives on."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(logging.ERROR)
        self._witness = witness

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            self._witness.accuse("P8", f"{record.getMessage()}\n{text}")


def simulate(seed: int, mutation: Mutation | None = None) -> Outcome:
    """Let the world of a seed run to its end."""
    mutation = mutation or Mutation()
    outcome = Outcome(seed, [], [], {}, 0.0)

    async def live(loop: VirtualLoop) -> None:
        witness = Witness(loop)
        outcome.story, outcome.broken, outcome.counts = witness.story, witness.broken, witness.counts
        world = World(seed, loop, witness, mutation)
        loop.set_exception_handler(lambda _loop, context: witness.accuse("P8", f"{context['message']}: {context.get('exception')!r}"))
        with _listening(witness):
            try:
                await world.live()
            except PromiseBroken:
                pass
            finally:
                outcome.seconds = loop.time()
                outcome.occurred = occurred(world.store.deployments.values(), world.store.history, witness.counts)
                world.end()

    run(live)
    return outcome


class World:
    """Everybody in it."""

    def __init__(self, seed: int, loop: VirtualLoop, witness: Witness, mutation: Mutation) -> None:
        """Decide what kind of world it is."""
        chance = self.chance = random.Random(seed)
        self.loop = loop
        self.witness = witness
        self.store = SimulatedStore(chance, witness)
        self.coordinator = Coordinator(loop, chance, witness, self.store, mutation.parts, Sky(random.Random(seed + 1), self.store))
        around = Surroundings(
            loop=loop,
            chance=chance,
            witness=witness,
            latency=Latency(chance, usual=chance.choice((0.001, 0.02)), worst=chance.choice((0.05, 3.0))),
            habits=_habits(chance),
            retained=chance.choice((2, 1_000, 1_000)),
            serve=self.coordinator.serve,
            overheard=self.coordinator.overheard,
            machine=mutation.machine,
            supervisors=mutation.supervisors,
        )
        self.hosts = [Host(name=f"h{number}", host_id=f"{number:032x}", around=around) for number in range(1, _some_hosts(chance) + 1)]
        self.store.well = self._well
        self.operators = Operators(self.coordinator, chance, [self._group(number) for number in range(1, chance.choice((1, 1, 2, 3)) + 1)])
        hosts_of = {group.group_id: group.hosts for group in self.operators.groups}
        self.coordinator.hosts_of = hosts_of.get
        newest = {group.group_id for group in self.operators.groups if group.queueing is Queueing.SUPERSEDE}
        self.store.waits.supersedes = newest.__contains__
        self.faults = Faults(self.coordinator, self.hosts, self.operators, chance, pace=chance.choice((3.0, 10.0, 30.0)))
        self.until = loop.time() + chance.choice((60.0, 120.0, 120.0, 400.0))

    async def live(self) -> None:
        """The whole story."""
        self.coordinator.start()
        for host in self.hosts:
            self.loop.call_later(self.chance.random(), host.start)
        await asyncio.sleep(2.0)
        healer = self.loop.create_task(self._heal(), name="healer")
        try:
            async with asyncio.timeout(self.until - self.loop.time() + PATIENCE), asyncio.TaskGroup() as everybody:
                pace = self.chance.choice((5.0, 20.0, 60.0))
                for group in self.operators.groups:
                    everybody.create_task(self.operators.work(group, self.until, pace), name=f"operators of {group.group_id}")
                    everybody.create_task(self.operators.look_for_newcomers(group, self.until), name=f"newcomers of {group.group_id}")
                everybody.create_task(self.faults.strike(self.until), name="faults")
        except TimeoutError:
            self.witness.stop("P8", f"{PATIENCE:.0f} s after everything was well an operator's call is not answered")
        finally:
            healer.cancel()
        await self._settle()
        await self._say_hello_again()
        await self._leave_somebody_out()
        await self._bring_newcomers()
        judge(self)
        if not self.witness.broken:
            await self._deploy_once_more()

    async def _say_hello_again(self) -> None:
        """What a host holds by a deployment that has ended without it, the coordinator learns at the next Hello only."""
        for host in self.hosts:
            for link in host.links:
                link.cut(keep_up=0.0, keep_down=0.0, agent_learns=0.0, coordinator_learns=0.0)
        await asyncio.sleep(1.0)
        await self._settle()

    async def _leave_somebody_out(self) -> None:
        """Somebody is away while its group is deployed to, and comes back."""
        group = self.operators.groups[0]
        away = next(host for host in self.hosts if host.host_id == group.hosts[-1])
        away.kill()
        await asyncio.sleep(75.0)  # until it is lost
        (action,) = self.chance.choices((OfflineAction.SKIP, OfflineAction.FAIL, OfflineAction.WAIT), (4, 2, 1))  # waiting takes long
        deployed = await self.operators.deploy_to_all(group, action)
        for _ in range(100):
            if self.store.deployments[deployed].status.terminal:
                break
            await asyncio.sleep(10.0)
        await self._settle()

    async def _bring_newcomers(self) -> None:
        """Everybody is well: whoever lacks what its group has gets it, in as many deployments as there are hosts, at most."""
        nobody_minds = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0)
        for group in self.operators.groups:
            for _ in group.hosts:
                if not await self.operators.bring_newcomers(group, nobody_minds):
                    break
                await self._settle()
            if left := self.store.newcomers(group.group_id, group.hosts):
                self.witness.accuse("P8", f"everybody is well, and newcomers of {group.group_id} are left: {', '.join(left)}")

    async def _deploy_once_more(self) -> None:
        """Nothing that has happened may stand in the way of a deployment now."""
        for host in self.hosts:
            host.supervisors.habits = replace(host.supervisors.habits, shortest=0.01, longest=0.02, fails=0, hangs=0)
        deployed = [await self.operators.deploy_to_all(group) for group in self.operators.groups]
        await self._settle()
        for deployment_id in deployed:
            deployment = self.store.deployments[deployment_id]
            if any(target.status is not TargetStatus.Succeeded for target in deployment.targets.values()):
                self.witness.accuse("P8", f"everybody is well, and {deployment_id} is {deployment.status.name}")

    def _well(self, host_id: HostId) -> bool:
        """A journal that went back and has counted as far again since cannot be told from one that never did, and a report in it may
        have the number of one that was acknowledged: then its target ends by its deadline, and rightly says that nobody knows."""
        host = next(one for one in self.hosts if one.host_id == host_id)
        welcomed = max(host.started_at, self.coordinator.welcomed.get(host_id, self.loop.time()))
        open_links = [link for link in host.links if link.status is None]
        sound = len(open_links) == 1 and not open_links[0].half_open
        return host.agent is not None and not host.stuck and not host.forgot and sound and self.loop.time() - welcomed > 60

    async def _heal(self) -> None:
        await asyncio.sleep(self.until - self.loop.time())
        self.witness.tell("world", "everything is well from now on")
        while True:
            self.faults.heal()
            await asyncio.sleep(3.0)

    async def _settle(self) -> None:
        patience = self.loop.time() + PATIENCE
        while why := restless(self):
            if self.loop.time() > patience:
                self.witness.stop("P8", f"{PATIENCE:.0f} s after everything was well: {why}")
            self.faults.heal()
            await asyncio.sleep(3.0)

    def end(self) -> None:
        """Let everybody go."""
        for host in self.hosts:
            host.kill()
        self.coordinator.kill()

    def _group(self, number: int) -> DeploymentGroup:
        chance = self.chance
        size = chance.randint(1, len(self.hosts))
        hosts = [HostId(host.host_id) for host in chance.sample(self.hosts, size)]
        queueing = list(Queueing)[(size + number) % len(Queueing)]
        absent = [hosts.pop() for _ in range(chance.choice((0, 2, 4, 8))) if len(hosts) > 1]
        revisions = [f"r{number}" for number in range(1, 4)]
        rolls_back = chance.random() < 0.6
        return DeploymentGroup(
            GroupId(f"g{number}"), hosts, minimum(chance, size), rolls_back, revisions, offline(chance), queueing, absent
        )


def _habits(chance: random.Random) -> Habits:
    """How scripts behave, and what the AppSpec of this world's revisions says below `x-hookline`."""
    scripted = [event for event in LifecycleEvent if event not in REPEATABLE_EVENTS]
    closed, repeatable, probed = (chance.choice((0.0, 0.3, 1.0)) for _ in range(3))
    return Habits(
        shortest=0.01,
        longest=chance.choice((0.5, 3.0)),
        fails=chance.choice((0, 0, 0.02, 0.1, 0.3)),
        hangs=0.01,
        closed=frozenset(event for event in scripted if chance.random() < closed),
        repeatable=frozenset(event for event in scripted if chance.random() < repeatable),
        probed=frozenset(event for event in scripted if chance.random() < probed),
    )


def _some_hosts(chance: random.Random) -> int:
    return chance.choice((1, 2, 3, 3, 4, 5, 6, 8, 12))


class _listening:
    """Attaches the complaints for as long as a world lives."""

    def __init__(self, witness: Witness) -> None:
        self._handler = _Complaints(witness)
        self._loggers = [logging.getLogger(name) for name in ("coordinator", "hookline.agent", "agent")]

    def __enter__(self) -> None:
        for logger in self._loggers:
            logger.addHandler(self._handler)
            logger.setLevel(logging.ERROR)
            logger.propagate = False

    def __exit__(self, *_: object) -> None:
        for logger in self._loggers:
            logger.removeHandler(self._handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
