"""Guards of the agent, and of what outlives it on its host."""

from collections.abc import Sequence
from dataclasses import replace

from agent.facts import CancelReceived, Close, Entry, EventClosed, EventEnded, Reported
from agent.machine import Machine
from agent.machine.past import Course
from agent.model import EventStatus, Instruction, InstructionStatus
from tests.simulation.mutants.mutant import Mutant
from tests.simulation.supervisors import Key, Part, Run, Supervisors
from tests.simulation.world import Mutation


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
)
