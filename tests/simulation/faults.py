"""What goes wrong, and how often. Every world has its own taste: some faults often, some never, so that rare ones meet alone, too."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.core.errors import StorageFailed, StorageFull
from coordinator.core.model import HostId
from tests.simulation.coordinator import Coordinator
from tests.simulation.host import Host
from tests.simulation.operators import Operators
from tests.simulation.store import Copy

YEAR = 31_536_000_000


@dataclass
class Faults:
    """The bad luck of one world."""

    coordinator: Coordinator
    hosts: list[Host]
    operators: Operators
    chance: random.Random
    pace: float
    """Seconds between two faults, about."""
    _copies: list[tuple[int, Copy]] = field(default_factory=list)
    _journals: dict[str, int] = field(default_factory=dict)

    async def strike(self, until: float) -> None:
        """Let things go wrong until a time."""
        chance, loop = self.chance, self.coordinator.loop
        kinds: list[tuple[Callable[[], None], float]] = [
            (self.kill_coordinator, 1.0),
            (self.kill_coordinator_in_commit, 1.5),
            (self.kill_agent, 1.5),
            (self.kill_agent_in_write, 2.5),
            (self.reboot_host, 0.7),
            (self.kill_supervisor, 0.5),
            (self.cut_link, 2.0),
            (self.half_open, 1.0),
            (self.stall, 1.5),
            (self.trouble_store, 0.5),
            (self.lose_journal, 0.15),
            (self.rewind_journal, 0.15),
            (self.copy_database, 0.6),
            (self.restore_database, 0.3),
            (self.jump_clocks, 0.3),
            (self.stop_agent, 0.3),
            (self.wedge_agent, 0.2),
        ]
        weights = [weight * chance.choice((0, 0, 1, 1, 5)) for _, weight in kinds]
        if self.hosts[0].around.retained < 1_000:
            weights[kinds.index((self.restore_database, 0.3))] = 0  # journals are too short to fill the gap: that is not promised
        if not any(weights):
            return
        while True:
            await asyncio.sleep(chance.expovariate(1 / self.pace))
            if loop.time() >= until:
                return
            chance.choices([fault for fault, _ in kinds], weights)[0]()

    def heal(self) -> None:
        """Everything is well from now on. An agent that is stuck is restarted by its operator, once the coordinator has given it up."""
        store = self.coordinator.store
        store.trouble, store.doom = None, None
        self.coordinator.sky.clear = True
        self.coordinator.start()
        for host in self.hosts:
            host.doom = 0
            host_id = HostId(host.host_id)
            if host.stuck and (host_id in store.given_up or not store.awaits(host_id)):
                host.kill()
            host.start()

    def kill_coordinator(self) -> None:
        """Now, between any two awaits."""
        self.coordinator.kill(silently=self.chance.random() < 0.2)
        self._later(self._outage(), self.coordinator.start)

    def kill_coordinator_in_commit(self) -> None:
        """When the next commit has, or has not quite, reached the disk."""
        self.coordinator.store.doomed_before = self.chance.random() < 0.5
        self.coordinator.store.doom = self.kill_coordinator

    def kill_agent(self) -> None:
        """Whatever it does just now."""
        host = self._host()
        host.kill()
        self._later(self._outage(), host.start)

    def kill_agent_in_write(self) -> None:
        """Before or after it writes its journal, or hands an event to a supervisor."""
        host = self._host()
        host.doom = self.chance.randint(1, 8)
        self._later(10 + self._outage(), host.start)

    def stop_agent(self) -> None:
        """In order, as an upgrade does."""
        host = self._host()
        if host.agent is not None:
            host.agent.stream.stop("stopping")
            self._later(0.1, host.kill)
            self._later(0.5 + self._outage(), host.start)

    def wedge_agent(self) -> None:
        """Its process lives and its heartbeats come; it does nothing more until it is restarted."""
        host = self._host()
        if host.agent is not None:
            host.around.witness.tell(host.name, "AGENT IS STUCK")
            host.around.witness.count("stuck agents")
            host.agent.agent.stuck = True
            self.coordinator.store.given_up.discard(HostId(host.host_id))

    def reboot_host(self) -> None:
        """With everything that runs on it."""
        host = self._busy_host()
        host.reboot()
        self._later(5 + self._outage(), host.start)

    def kill_supervisor(self) -> None:
        """For want of memory."""
        self._busy_host().supervisors.kill()

    def cut_link(self) -> None:
        """Break a host's streams, each end learning of it in its own time."""
        for host in self.hosts if self.chance.random() < 0.2 else [self._host()]:
            for link in host.links:
                link.cut(
                    keep_up=self.chance.choice((0.0, 0.01, 10.0)),
                    keep_down=self.chance.choice((0.0, 0.01)),
                    agent_learns=self.chance.choice((0.0, 0.5, 15.0)),
                    coordinator_learns=self.chance.choice((0.0, 0.5, 15.0, None)),
                )

    def half_open(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        for link in self._host().links:
            link.blocked = self.chance.random() < 0.3
            link.cut(keep_up=0.0, keep_down=0.0, agent_learns=None, coordinator_learns=None)

    def stall(self) -> None:
        """What is said now comes late; the agent may have given this stream up by then."""
        for link in self._host().links:
            seconds = self.chance.choice((1.0, 5.0, 20.0))
            link.up.stall(seconds)
            link.down.stall(seconds * self.chance.random())
            if self.chance.random() < 0.5:
                self.coordinator.loop.call_later(0.5, link.fail, "connection reset")

    def trouble_store(self) -> None:
        """The disk is full, or broken, for a while; or slow."""
        store = self.coordinator.store
        if self.chance.random() < 0.3:
            store.slow = self.chance.choice((0.002, 0.05, 1.0))
            return
        store.trouble = self.chance.choice((StorageFull("cannot store: the disk is full"), StorageFailed("cannot store: I/O error")))

        def well() -> None:
            store.trouble = None

        self._later(self.chance.choice((0.5, 3.0, 12.0)), well)

    def lose_journal(self) -> None:
        """The agent begins anew and has forgotten everything; what it has said before may come late."""
        host = self._host()
        for link in host.links:
            link.up.stall(self.chance.choice((0.0, 5.0, 20.0)))
        host.kill()
        host.around.witness.tell(host.name, "JOURNAL LOST")
        host.lose_journal()
        self._forget(host)
        self._later(self._outage(), host.start)

    def rewind_journal(self) -> None:
        """The journal is an older copy of itself."""
        host = self._host()
        host.kill()
        kept = self.chance.randint(0, len(host.disk.entries))
        host.around.witness.tell(host.name, f"JOURNAL GOES BACK to {kept} of {len(host.disk.entries)} entries")
        host.rewind_journal(kept)
        host.around.witness.all_is_forgotten(host.name)
        self._later(self._outage(), host.start)

    def copy_database(self) -> None:
        """Make a backup."""
        store = self.coordinator.store
        if store.hosts:
            self.coordinator.witness.tell("store", f"is copied after commit {store.commits}")
            self._copies.append((store.commits, store.copy()))

    def restore_database(self) -> None:
        """Go back to a backup; what was acknowledged since is gone, and nobody complains of that."""
        if not self._copies:
            return
        self.kill_coordinator()
        commits, copy = self.chance.choice(self._copies)
        self._copies = [one for one in self._copies if one[0] <= commits]
        self.coordinator.witness.tell("store", f"GOES BACK to the copy after commit {commits}")
        self.coordinator.witness.count("restores")
        self.coordinator.store.restore(copy)
        self.coordinator.restores += 1
        operators = self.operators
        operators.created = {one: at for one, at in operators.created.items() if at <= commits}
        operators.stopped = {one: at for one, at in operators.stopped.items() if at <= commits}
        for host in self.hosts:
            if host.journals > 1:
                host.around.witness.all_is_forgotten(host.name)

    def jump_clocks(self) -> None:
        """Calendars jump by a year."""
        self._host().clock.year += self.chance.choice((-YEAR, YEAR))
        if self.coordinator.life is not None:
            self.coordinator.life.clock.year += self.chance.choice((-YEAR, YEAR))

    def _forget(self, host: Host) -> None:
        if self.coordinator.restores:
            host.around.witness.all_is_forgotten(host.name)

    def _host(self) -> Host:
        return self.chance.choice(self.hosts)

    def _busy_host(self) -> Host:
        """One on which scripts run, if there is any."""
        return self.chance.choice([host for host in self.hosts if host.supervisors.running] or self.hosts)

    def _outage(self) -> float:
        """Seconds until something comes back: soon, mostly; sometimes so late that it was given up."""
        return self.chance.choices((0.3, 3.0, 30.0, 150.0, 500.0), (6, 6, 3, 1, 0.5))[0] * (0.5 + self.chance.random())

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self.coordinator.loop.call_later(seconds, call)
