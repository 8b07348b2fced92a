"""Sees what really happens, whoever crashes: the scripts' own append-only log, and the story to be told when a promise is broken.

The promises have the names that the tests and the README give them:

    P1  no script is started twice for one attempt at an event of an instruction, and another attempt only after an interruption
    P2  what was acknowledged to an operator, and every result on a host's disk, is in the store in the end
    P3  an outcome that is told is true, and told when the event is closed
    P4  on a host, events start in order, and nothing of an older deployment starts after something of a newer one
    P5  the hosts that must stay healthy are left alone, and no more than max(1, N - M) hosts are in progress
    P6  statuses, epochs and cursors only go forward, and the history says every step
    P7  nothing leaves the coordinator before it is stored
    P8  when everybody is well again, every deployment ends, and both sides know the same
"""

from dataclasses import dataclass, field
from typing import NoReturn

from agent.facts import Begin, Close, Recover
from agent.model import Instruction, InstructionId, LifecycleEvent
from tests.simulation.timeloop import VirtualLoop

Step = tuple[InstructionId, LifecycleEvent]


class PromiseBroken(AssertionError):
    """One of the promises does not hold in this world."""


@dataclass
class Lane:
    """What has been started on one host for one deployment group."""

    target_epoch: int = 0
    deployment_id: str = ""
    position: int = -1


@dataclass
class Witness:
    """The log of one world."""

    loop: VirtualLoop
    story: list[tuple[float, str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    started: dict[Step, float] = field(default_factory=dict)
    """When each script was started, the last time. Survives everything."""
    ended: dict[Step, bool] = field(default_factory=dict)
    """How each event that came to its own end really ended, or how its probe says that it did."""
    interrupted: set[Step] = field(default_factory=set)
    """Events whose last attempt was cut short: its supervisor was killed, or its host went down."""
    closed: dict[Step, bool | None] = field(default_factory=dict)
    """How closing hooks really ended. None: they run, or they were cut short."""
    left_open: set[Step] = field(default_factory=set)
    """Events whose closing hooks were cut short."""
    counts: dict[str, int] = field(default_factory=dict)
    _attempts: set[tuple[Step, int, str]] = field(default_factory=set)
    _lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)

    def tell(self, who: str, what: str) -> None:
        """Write a line of the story."""
        self.story.append((self.loop.time(), who, what))

    def count(self, what: str) -> None:
        """Remember that something has happened once more, for the summary."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def accuse(self, promise: str, what: str) -> None:
        """A promise is broken: the world goes on to its end, so that the story is whole, and the seed has failed."""
        self.tell("BROKEN", f"{promise} {what}")
        if len(self.broken) < 20:
            self.broken.append(f"{promise} {what} (at {self.loop.time():.3f})")

    def stop(self, promise: str, what: str) -> NoReturn:
        """A promise is broken in a way that leaves nothing to go on with."""
        self.accuse(promise, what)
        raise PromiseBroken(what)

    def script_started(self, host: str, order: Begin | Recover) -> None:
        """A supervisor has started the scripts of an event."""
        instruction, event = order.instruction, order.event
        self.count("scripts")
        self.tell(host, f"  RUNS {event} of {instruction.instruction_id} epoch {instruction.target_epoch}")
        step = (instruction.instruction_id, event)
        again = step in self.interrupted
        if not self._is_first(order, "scripts") or (step in self.started and not again):
            self.accuse("P1", f"{event} of {instruction.instruction_id} was started at {self.started[step]:.3f} and again")
        self.interrupted.discard(step)
        self.started[step] = self.loop.time()
        lane = self._lanes.setdefault((host, instruction.group_id), Lane())
        position = _position(instruction, event)
        if instruction.target_epoch < lane.target_epoch:
            self.accuse("P4", f"{event} of {instruction.instruction_id} started after something of the newer {lane.deployment_id}")
        elif instruction.target_epoch == lane.target_epoch and instruction.deployment_id != lane.deployment_id:
            self.accuse("P4", f"{instruction.deployment_id} and {lane.deployment_id} share epoch {lane.target_epoch} on {host}")
        elif instruction.target_epoch == lane.target_epoch and position <= lane.position - again:
            self.accuse("P4", f"{event} of {instruction.instruction_id} started after a later event")
        self._lanes[host, instruction.group_id] = Lane(instruction.target_epoch, instruction.deployment_id, position)

    def event_ended(self, host: str, order: Begin | Recover | Close, *, well: bool) -> None:
        """An event has really come to its end, or its probe says so."""
        self.tell(host, f"  {order.event} of {order.instruction.instruction_id} ends {'well' if well else 'BADLY'}")
        self.ended[_step(order)] = well
        self.interrupted.discard(_step(order))

    def interrupts(self, step: Step, *, closing: bool) -> None:
        """What runs of an event was cut short."""
        (self.left_open if closing else self.interrupted).add(step)

    def probe_started(self, host: str, order: Begin | Recover | Close) -> None:
        """A supervisor has started the probe of an event."""
        self.count("probes")
        self.tell(host, f"  PROBES {order.event} of {order.instruction.instruction_id}")
        if not self._is_first(order, "probe"):
            self.accuse("P1", f"{order.event} of {order.instruction.instruction_id} was probed twice")

    def closing_started(self, host: str, order: Close) -> None:
        """A supervisor has started the closing hooks of an event."""
        step, told = _step(order), order.diagnostics is None
        self.count("closing hooks")
        self.tell(host, f"  CLOSES {step[1]} of {step[0]}, which ended {'well' if told else 'BADLY'}")
        if step in self.closed:
            self.accuse("P1", f"{step[1]} of {step[0]} was closed twice")
        if told is not (self.ended.get(step) is True and step not in self.interrupted):
            self.accuse("P3", f"the closing hooks of {step[1]} of {step[0]} were told that it ended {'well' if told else 'badly'}")
        self.closed[step] = None

    def closing_ended(self, host: str, order: Begin | Recover | Close, *, well: bool) -> None:
        """Closing hooks have really come to their end."""
        self.tell(host, f"  what closes {order.event} of {order.instruction.instruction_id} ends {'well' if well else 'BADLY'}")
        self.closed[_step(order)] = well

    def is_closed(self, step: Step) -> bool:
        """Whether closing hooks have run, as far as they ever will."""
        return self.closed.get(step) is not None or step in self.left_open

    def _is_first(self, order: Begin | Recover | Close, part: str) -> bool:
        attempt = (_step(order), order.attempt, part)
        is_first = attempt not in self._attempts
        self._attempts.add(attempt)
        return is_first

    def all_is_forgotten(self, host: str) -> None:
        """Nobody can know an older deployment from a newer one on this host: its journal went back, or it was lost and the
        coordinator's database went back as well."""
        for lane in [lane for lane in self._lanes if lane[0] == host]:
            del self._lanes[lane]


def _step(order: Begin | Recover | Close) -> Step:
    return order.instruction.instruction_id, order.event


def _position(instruction: Instruction, event: LifecycleEvent) -> int:
    return next(position for position, plan in enumerate(instruction.events) if plan.event is event)
