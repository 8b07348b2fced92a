"""Worlds with one guard removed. Each of them must be caught: else nobody would notice if the guard were lost.

A guard is removed by a subclass where it is a method, and by a swap for the length of a world where it is a function of the core.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from inspect import signature
from types import ModuleType

from agent.facts import CancelReceived, Close, Entry, EventClosed, EventEnded, Reported
from agent.machine import Machine
from agent.machine.past import Course
from agent.model import EventStatus, Instruction, InstructionStatus
from coordinator.core.deployment import batches, course, deadlines, newcomers
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import Hello
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, ErrorInformation, Group, Member, Plan, RevisionId, Session, Target
from coordinator.core.orders import Instruct
from coordinator.engine.acting import Acting
from coordinator.engine.inbox import Item
from coordinator.engine.ports import Agents, Alarms, Clock, Store, Turns
from coordinator.engine.turn import Turn
from coordinator.metrics import Metrics
from tests.simulation.coordinator import CheckedEngine, Parts
from tests.simulation.supervisors import Key, Part, Run, Supervisors
from tests.simulation.world import Mutation

Swap = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Mutant:
    """A guard that is gone."""

    guard: str
    mutation: Mutation = field(default_factory=Mutation)
    swap: Swap = nullcontext


def _swapped(module: ModuleType | type, name: str, mutant: object) -> Swap:
    """The core's functions are not handed around, so they can only be removed where they stand. The mutant must be called alike."""
    original = getattr(module, name)
    if callable(original):
        assert callable(mutant)
        assert len(signature(original).parameters) == len(signature(mutant).parameters), name

    @contextmanager
    def swap() -> Iterator[None]:
        setattr(module, name, mutant)
        try:
            yield
        finally:
            setattr(module, name, original)

    return swap


# ------------------------------------------------------------------------------------------------------------- on a host


class _NoRecord(Supervisors):
    """Nobody writes down that an event has begun."""

    def record(self, key: Key) -> Run | None:
        return None


class _NoClosingRecord(Supervisors):
    """Nobody writes down that closing hooks have begun."""

    def record(self, key: Key) -> Run | None:
        return None if key[3] is Part.CLOSING else super().record(key)


class _ClosesNothing(Machine):
    """The end of an event is told at once."""

    def _event_ended(self, fact: EventEnded) -> None:
        super()._event_ended(replace(fact, closing=False))


class _ForgetsVerdicts(Machine):
    """After a restart, what is told of an event is that its closing hooks went well."""

    def _resume(self) -> None:
        super()._resume()
        for order in self._orders:
            if isinstance(order, Close):
                self._event_closed(EventClosed(order.instruction.instruction_id, order.event))


class _NoFence(Machine):
    """The agent takes instructions of any epoch."""

    def _instruction_received(self, instruction: Instruction) -> None:
        self._past.fences.pop(instruction.group_id, None)
        super()._instruction_received(instruction)


class _NoSuperseding(Machine):
    """An older instruction of the group goes on when a newer one has been accepted."""

    def _end_soon(self, course: Course, status: InstructionStatus, reason: str) -> None:
        if not reason.startswith("superseded"):
            super()._end_soon(course, status, reason)


class _DeafToCancel(Machine):
    """A Cancel is forgotten when an event runs."""

    def _cancel_received(self, fact: CancelReceived) -> None:
        known = self._past.known.get(fact.instruction_id)
        if not isinstance(known, Course) or known.begun is None:
            super()._cancel_received(fact)


class _NoMemory(Machine):
    """An instruction that was carried out is carried out again when it comes again."""

    def _instruction_received(self, instruction: Instruction) -> None:
        known = self._past.known.get(instruction.instruction_id)
        if isinstance(known, Course) and known.ended:
            del self._past.known[instruction.instruction_id]
        super()._instruction_received(instruction)


class _ForgetsItsOwnWords(Machine):
    """Reports are sent and never written down."""

    def _note(self, entry: Entry) -> None:
        super()._note(entry)
        if isinstance(entry, Reported) and entry.report.status is EventStatus.SUCCEEDED:
            self._entries.pop()


# ---------------------------------------------------------------------------------------------------------- on the coordinator


class _AcknowledgesFirst(CheckedEngine):
    """Reports are acknowledged before they are stored."""

    def _decide(self, items: list[Item]) -> Turn | None:
        turn = super()._decide(items)
        for host_id, acked_seq in turn.acknowledged.items() if turn is not None else ():
            self._acting.agents.acknowledge(host_id, acked_seq)
        return turn


class _InstructsFirst(CheckedEngine):
    """Instructions leave before they are stored."""

    def _decide(self, items: list[Item]) -> Turn | None:
        turn = super()._decide(items)
        for order in turn.orders if turn is not None else ():
            if isinstance(order, Instruct):
                self._acting.agents.instruct(order.instruction)
        return turn


class _NoEpochAdoption(CheckedEngine):
    """What an agent knows of higher epochs is not listened to."""

    def _greet(self, turn: Turn, hello: Hello) -> None:
        super()._greet(turn, replace(hello, fences={}))


class _KeepsWhatWasNotStored(CheckedEngine):
    """After a commit that failed, the groups in memory are not read again."""

    def _forget(self, turn: Turn | None) -> None:
        self._roster.undo()


class _KeepsCursors(CheckedEngine):
    """After a commit that failed, the sessions in memory stay as they are."""

    def _forget(self, turn: Turn | None) -> None:
        self._roster.keep()
        super()._forget(turn)


class _BareWelcome(Acting):
    def _welcome(self, session: Session) -> None:
        if session.stream is not None:
            self.agents.welcome(session, busy=session.host_id in self._busy)


class _RepeatsNothing(CheckedEngine):
    """A Welcome does not bring what is outstanding."""

    def __init__(
        self, *, store: Store, agents: Agents, clock: Clock, metrics: Metrics, alarms: Alarms | None = None, turns: Turns | None = None
    ) -> None:
        super().__init__(store=store, agents=agents, clock=clock, metrics=metrics, alarms=alarms, turns=turns)
        self._acting = _BareWelcome(agents, alarms, turns, self._groups)


def _give_up(now: Decision, deployment: Deployment, why: ErrorInformation) -> None:
    _stop(now, deployment, why)
    for target in list(deployment.targets.values()):
        if target.status is TargetStatus.InProgress:
            course.end(now, target, targets.given_up(target, "nobody waits"))


def _may_always_go_down(_group: Group, _deployment: Deployment, _target: Target) -> bool:
    return True


def _never_claimed(member: Member | None, revision_id: RevisionId) -> bool:
    return member is None or (member.target_epoch == 0 and member.missed == 0 and not member.has(revision_id))


def _everybody(deployment: Deployment) -> int:
    return len(deployment.members)


def _needs_nobody(_deployment: Deployment) -> bool:
    return False


def _for_ever(_plan: Plan, _target: Target) -> int:
    return 1 << 40


_stop = course.stop


def _engine(engine: type[CheckedEngine]) -> Mutation:
    return Mutation(parts=Parts(engine=engine))


MUTANTS: Sequence[Mutant] = (
    Mutant("the supervisor's record", Mutation(supervisors=_NoRecord)),
    Mutant("the record of closing hooks", Mutation(supervisors=_NoClosingRecord)),
    Mutant("closing hooks come before the result", Mutation(machine=_ClosesNothing)),
    Mutant("closing hooks are owed after a restart", Mutation(machine=_ForgetsVerdicts)),
    Mutant("the agent's fence", Mutation(machine=_NoFence)),
    Mutant("a newer deployment ends the older one", Mutation(machine=_NoSuperseding)),
    Mutant("a Cancel is remembered while an event runs", Mutation(machine=_DeafToCancel)),
    Mutant("the agent answers from its journal", Mutation(machine=_NoMemory)),
    Mutant("the agent writes down what it says", Mutation(machine=_ForgetsItsOwnWords)),
    Mutant("acknowledgements after the commit", _engine(_AcknowledgesFirst)),
    Mutant("instructions after the commit", _engine(_InstructsFirst)),
    Mutant("higher epochs are adopted", _engine(_NoEpochAdoption)),
    Mutant("groups are read again after a failed commit", _engine(_KeepsWhatWasNotStored)),
    Mutant("cursors go back after a failed commit", _engine(_KeepsCursors)),
    Mutant("a Welcome repeats what is outstanding", _engine(_RepeatsNothing)),
    Mutant("the window", swap=_swapped(batches, "window", _everybody)),
    Mutant("the floor", swap=_swapped(batches, "_may_go_down", _may_always_go_down)),
    Mutant("the word of a second person", swap=_swapped(Deployment, "waits_for_approval", property(_needs_nobody))),
    Mutant("a stop waits for those in progress", swap=_swapped(course, "stop", _give_up)),
    Mutant("hosts that were away are newcomers", swap=_swapped(newcomers, "is_newcomer", _never_claimed)),
    Mutant("a host that is silent is given up", swap=_swapped(deadlines, "allowance", _for_ever)),
)
