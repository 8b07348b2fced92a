"""What outlives an agent on its host: the supervisors, their records, and what is installed.

Stands in for `agent/hooks.py` and `agent/supervisor`. A record is the durable marker: who finds `begun` in it starts nothing. Scripts
take their time and fail now and then. A killed supervisor, or a host that goes down, leaves `begun` without `ended`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.facts import Begin, EventEnded, EventNeverBegan, Fact, Recover
from agent.model import Diagnostics, ErrorCode
from tests.simulation.timeloop import VirtualLoop
from tests.simulation.witness import Step, Witness

Listener = Callable[[Fact], None]
"""Tells an agent, if it still lives."""


@dataclass
class Run:
    """The record of one event of one instruction."""

    boot: int
    alive: bool = True
    ended: EventEnded | None = None
    listeners: list[Listener] = field(default_factory=list)


@dataclass(frozen=True)
class Habits:
    """How scripts behave in this world."""

    shortest: float
    longest: float
    fails: float
    hangs: float
    """The chance that one takes a hundred times as long."""


class Supervisors:
    """All supervisors of one host, across reboots."""

    def __init__(self, *, host: str, loop: VirtualLoop, chance: random.Random, witness: Witness, habits: Habits) -> None:
        """Nothing runs."""
        self.habits = habits
        self.boot = 1
        self._host = host
        self._loop = loop
        self._chance = chance
        self._witness = witness
        self._records: dict[Step, Run] = {}

    @property
    def running(self) -> int:
        """Scripts that run now."""
        return sum(run.alive for run in self._records.values())

    def run(self, order: Begin, *, lives: Callable[[], bool], listener: Listener) -> None:
        """Start a supervisor for an event; how it ended is told to `listener`."""
        boot = self.boot
        orphan = self._chance.random() < 0.5  # has read its order before the agent died

        def begin() -> None:
            if boot == self.boot and (lives() or orphan):
                self._begin(order, listener)

        self._loop.call_later(0.002 + 0.02 * self._chance.random(), begin)

    def recover(self, order: Begin | Recover, listener: Listener) -> None:
        """Tell how an event went that an earlier agent, or a supervisor that is gone, has begun; wait while it runs."""
        run = self._records.get((order.instruction.instruction_id, order.event))
        if run is None:
            listener(EventNeverBegan(order.instruction.instruction_id, order.event))
        elif run.ended is not None:
            listener(run.ended)
        elif run.alive:
            run.listeners.append(listener)
        else:
            listener(self._interrupted(order))

    def kill(self) -> None:
        """Kill every supervisor, as a lack of memory does."""
        for (instruction_id, event), run in self._records.items():
            if run.alive:
                run.alive = False
                self._witness.interrupted.add((instruction_id, event))
                self._witness.tell(self._host, f"  supervisor of {event} of {instruction_id} is killed")
                for listener in run.listeners:
                    self._loop.call_later(0.01, listener, EventEnded(instruction_id, event, _INTERRUPTED))

    def reboot(self) -> None:
        """The host goes down with all that runs on it."""
        self.kill()
        self.boot += 1

    def carry_out(self, order: Begin, *, lives: Callable[[], bool], listener: Listener) -> None:
        """Work that may be repeated, in the agent's own process: it ends with the agent."""
        well = self._chance.random() >= self.habits.fails / 3

        def end() -> None:
            if lives():
                self._witness.event_ended(self._host, order, well=well)
                listener(self._outcome(order, well))

        self._loop.call_later(self._duration(), end)

    def _begin(self, order: Begin, listener: Listener) -> None:
        step = (order.instruction.instruction_id, order.event)
        if self.begun_before(step):
            self.recover(order, listener)  # has lost a race: the record tells
            return
        run = self._records[step] = Run(self.boot, listeners=[listener])
        self._witness.script_started(self._host, order)
        well = self._chance.random() >= self.habits.fails

        def end() -> None:
            if run.alive:
                run.alive = False
                self._witness.event_ended(self._host, order, well=well)
                run.ended = self._outcome(order, well)
                for tell in run.listeners:
                    tell(run.ended)

        self._loop.call_later(self._duration(), end)

    def begun_before(self, step: Step) -> bool:
        """Whether the marker is there."""
        return step in self._records

    def _duration(self) -> float:
        habits = self.habits
        longer = 100 if self._chance.random() < habits.hangs else 1
        return longer * (habits.shortest + (habits.longest - habits.shortest) * self._chance.random())

    def _outcome(self, order: Begin | Recover, well: bool) -> EventEnded:
        return EventEnded(order.instruction.instruction_id, order.event, None if well else _FAILED)

    def _interrupted(self, order: Begin | Recover) -> EventEnded:
        return EventEnded(order.instruction.instruction_id, order.event, _INTERRUPTED)


_FAILED = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, script_name="hook.sh", message="exit code 1")
_INTERRUPTED = Diagnostics(error_code=ErrorCode.INTERRUPTED, message="it was interrupted")
