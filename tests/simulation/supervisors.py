"""What outlives an agent on its host: the supervisors, their records, and what is installed.

Stands in for `agent/hooks`, `agent/supervisor` and `agent/executor/aftermath.py`. A record is the durable marker: who finds `begun` in it
starts nothing. Scripts take their time and fail now and then. A killed supervisor, or a host that goes down, leaves `begun` without
`ended`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from agent.facts import Begin, Close, EventClosed, EventEnded, EventInterrupted, EventNeverBegan, Fact, Recover
from agent.model import Diagnostics, ErrorCode, InstructionId, LifecycleEvent
from tests.simulation.timeloop import VirtualLoop
from tests.simulation.witness import Witness

Listener = Callable[[Fact], None]
"""Tells an agent, if it still lives."""

Lives = Callable[[], bool]
"""Whether an agent does."""

BRIEF = 60.0
"""Seconds that a probe and closing hooks may take."""


class Part(StrEnum):
    """What is run of an event, each with a record of its own."""

    SCRIPTS = "scripts"
    PROBE = "probe"
    CLOSING = "closing hooks"


class Answer(StrEnum):
    """What scripts end with."""

    WELL = "well"
    BADLY = "BADLY"
    RERUN = "asking to run again"


Key = tuple[InstructionId, LifecycleEvent, int, Part]


@dataclass
class Run:
    """The record of one part of one attempt at an event. One that is not alive and has no answer was interrupted."""

    alive: bool = True
    answer: Answer | None = None
    listeners: list[Callable[["Run"], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Habits:
    """How scripts behave in this world."""

    shortest: float
    longest: float
    fails: float
    hangs: float
    """The chance that one takes a hundred times as long."""
    closed: frozenset[LifecycleEvent] = frozenset()
    """Events that have closing hooks."""
    repeatable: frozenset[LifecycleEvent] = frozenset()
    probed: frozenset[LifecycleEvent] = frozenset()


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
        self._records: dict[Key, Run] = {}

    @property
    def running(self) -> int:
        """Scripts that run now."""
        return sum(run.alive for run in self._records.values())

    def run(self, order: Begin, *, lives: Lives, listener: Listener) -> None:
        """Run the scripts of an event; how it ended is told to `listener`."""
        self._run(order, Part.SCRIPTS, lives, lambda run: self._tell(order, run, lives, listener))

    def recover(self, order: Recover, *, lives: Lives, listener: Listener) -> None:
        """Tell how an event went that an earlier agent, or a supervisor that is gone, has begun; wait while it runs."""
        run = self.record(_key(order, Part.SCRIPTS))
        if run is None:
            listener(EventNeverBegan(order.instruction.instruction_id, order.event))
        else:
            _await(run, lambda run: self._tell(order, run, lives, listener))

    def close(self, order: Close, *, lives: Lives, listener: Listener) -> None:
        """Run the closing hooks of an event, or wait for those that run already."""

        def tell(run: Run) -> None:
            why = None if run.answer is Answer.WELL else _INTERRUPTED if run.answer is None else _FAILED
            listener(EventClosed(order.instruction.instruction_id, order.event, why))

        self._run(order, Part.CLOSING, lives, tell)

    def kill(self) -> None:
        """Kill every supervisor, as a lack of memory does."""
        for (instruction_id, event, attempt, part), run in self._records.items():
            if run.alive:
                run.alive = False
                self._witness.interrupts((instruction_id, event), closing=part is Part.CLOSING)
                self._witness.tell(self._host, f"  supervisor of the {part} of {event} of {instruction_id} ({attempt}) is killed")
                for listener in run.listeners:
                    self._loop.call_later(0.01, listener, run)

    def reboot(self) -> None:
        """The host goes down with all that runs on it."""
        self.kill()
        self.boot += 1

    def carry_out(self, order: Begin, *, lives: Lives, listener: Listener) -> None:
        """Work that may be repeated, in the agent's own process: it ends with the agent."""
        well = self._chance.random() >= self.habits.fails / 3

        def end() -> None:
            if lives():
                self._witness.event_ended(self._host, order, well=well)
                listener(EventEnded(order.instruction.instruction_id, order.event, None if well else _FAILED))

        self._loop.call_later(self._duration(), end)

    def record(self, key: Key) -> Run | None:
        """What is written down of a part; None: it has not begun."""
        return self._records.get(key)

    def _run(self, order: Begin | Recover | Close, part: Part, lives: Lives, hear: Callable[[Run], None]) -> None:
        """Start a supervisor for a part, unless one has run it."""
        boot = self.boot
        orphan = self._chance.random() < 0.5  # has read its order before the agent died

        def begin() -> None:
            if boot == self.boot and (lives() or orphan):
                run = self.record(_key(order, part))
                if run is None:
                    run = self._begin(order, part)
                _await(run, hear)

        self._loop.call_later(0.002 + 0.02 * self._chance.random(), begin)

    def _begin(self, order: Begin | Recover | Close, part: Part) -> Run:
        run = self._records[_key(order, part)] = Run()
        answer = Answer.BADLY if self._chance.random() < self.habits.fails else Answer.WELL
        if part is Part.PROBE:
            answer = self._chance.choice((Answer.WELL, Answer.RERUN, Answer.BADLY))
            self._witness.probe_started(self._host, order)
        elif isinstance(order, Close):
            self._witness.closing_started(self._host, order)
        else:
            self._witness.script_started(self._host, order)

        def end() -> None:
            if run.alive:
                run.alive, run.answer = False, answer
                if part is Part.CLOSING:
                    self._witness.closing_ended(self._host, order, well=answer is Answer.WELL)
                elif part is Part.SCRIPTS or answer is Answer.WELL:
                    self._witness.event_ended(self._host, order, well=answer is Answer.WELL)
                for tell in run.listeners:
                    tell(run)

        duration = self._duration()
        self._loop.call_later(duration if part is Part.SCRIPTS else min(duration, BRIEF), end)
        return run

    def _tell(self, order: Begin | Recover, run: Run, lives: Lives, listener: Listener) -> None:
        """What the agent makes of the end of an event's scripts."""
        if run.answer is not None:
            listener(self._ended(order, run.answer))
        elif order.event in self.habits.probed and lives():
            self._run(order, Part.PROBE, lives, lambda probe: listener(self._ended(order, probe.answer)))
        else:
            listener(self._ended(order, Answer.RERUN if order.event in self.habits.repeatable else None))

    def _ended(self, order: Begin | Recover, answer: Answer | None) -> EventEnded | EventInterrupted:
        instruction_id, closing = order.instruction.instruction_id, order.event in self.habits.closed
        if answer is Answer.RERUN:
            return EventInterrupted(instruction_id, order.event, order.attempt, _INTERRUPTED, closing=closing)
        run = self._records[_key(order, Part.SCRIPTS)]
        why = None if answer is Answer.WELL else _FAILED if run.answer else _INTERRUPTED
        return EventEnded(instruction_id, order.event, why, closing=closing)

    def _duration(self) -> float:
        habits = self.habits
        longer = 100 if self._chance.random() < habits.hangs else 1
        return longer * (habits.shortest + (habits.longest - habits.shortest) * self._chance.random())


def _key(order: Begin | Recover | Close, part: Part) -> Key:
    return order.instruction.instruction_id, order.event, order.attempt, part


def _await(run: Run, hear: Callable[[Run], None]) -> None:
    if run.alive:
        run.listeners.append(hear)
    else:
        hear(run)


_FAILED = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, script_name="hook.sh", message="exit code 1")
_INTERRUPTED = Diagnostics(error_code=ErrorCode.INTERRUPTED, message="it was interrupted")
