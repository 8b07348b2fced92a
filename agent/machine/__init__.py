"""Decides what an agent does: facts in, journal entries and orders out.

Pure: no clock, no chance, no I/O. Every change that must survive is an entry; `past.py` applies them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from agent.facts import (
    Accepted,
    Acked,
    Acknowledged,
    Begin,
    CancelReceived,
    Close,
    Connected,
    Disconnected,
    EndAsked,
    Entry,
    EventClosed,
    EventEnded,
    EventInterrupted,
    EventNeverBegan,
    Fact,
    Finish,
    Forget,
    InstructionReceived,
    InstructionUnreadable,
    Judged,
    Numbered,
    Order,
    Recover,
    Repeated,
    Reported,
    Resumed,
    SendReports,
    Standing,
    Started,
    Turn,
)
from agent.machine import refusals
from agent.machine.past import Course, Past, Refusal
from agent.model import REPEATABLE_EVENTS, Diagnostics, EventStatus, Installed, InstructionStatus, LifecycleEvent, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.model import GroupId, Instruction, InstructionId

RETAINED_INSTRUCTIONS = 100
"""Ended instructions whose reports stay, so that a coordinator whose history went back can be refilled."""

ATTEMPTS = 3
"""How often the scripts of an instruction's events begin at most, where their author lets interrupted ones begin again."""


class Machine:
    """One host's part in its deployments, as its journal tells it."""

    def __init__(self, entries: Iterable[Entry] = (), *, retained_instructions: int = RETAINED_INSTRUCTIONS) -> None:
        self._retained = retained_instructions
        self._past = Past(entries)
        self._confirmed = self._past.acked
        self._connected = False
        self._at = 0
        self._entries: list[Entry] = []
        self._orders: list[Order] = []
        self._send_from: int | None = None

    # ---------------------------------------------------------------------------------------------------------- asked by the shell

    @property
    def standing(self) -> Standing:
        """What Hello says of this journal."""
        past = self._past
        by_group = (tuple(sorted(past.fences.items(), key=_group)), tuple(sorted(past.holdings.items(), key=_group)))
        return Standing(past.last_seq, past.acked, *by_group)

    @property
    def busy(self) -> bool:
        """Whether an instruction runs or waits, or a report has not been acknowledged."""
        return bool(self._past.queue) or self._confirmed < self._past.last_seq

    @property
    def unfinished(self) -> tuple[InstructionId, ...]:
        """Instructions that run or wait."""
        return tuple(course.instruction.instruction_id for course in self._past.queue)

    def turn(self, facts: Sequence[Fact], *, at: int) -> Turn:
        """Takes facts; `at` is the host's clock in milliseconds since 1970, for the reports alone."""
        self._at = at
        first_new = self._past.last_seq + 1
        for fact in facts:
            self._take(fact)
        if self._connected:
            self._send(first_new if self._send_from is None else min(first_new, self._send_from))
        self._send_from = None
        turn = Turn(tuple(self._entries), tuple(self._orders))
        self._entries.clear()
        self._orders.clear()
        return turn

    def entries(self) -> Iterator[Entry]:
        """The shortest journal that makes this machine: what `Forget` asks to write anew."""
        return self._past.entries()

    # ------------------------------------------------------------------------------------------------------------------------ facts

    def _take(self, fact: Fact) -> None:
        match fact:
            case EventEnded():
                self._event_ended(fact)
            case Acknowledged():
                self._acknowledged(fact.acked_seq)
            case InstructionReceived():
                self._instruction_received(fact.instruction)
            case Connected():
                self._welcomed(fact.acked_seq)
            case Disconnected():
                self._connected = False
            case CancelReceived():
                self._cancel_received(fact)
            case EventInterrupted():
                self._event_interrupted(fact)
            case EventClosed():
                self._event_closed(fact)
            case EventNeverBegan():
                self._event_never_began(fact)
            case InstructionUnreadable():
                self._instruction_unreadable(fact)
            case Resumed():
                self._resume()
            case _:
                assert_never(fact)

    def _instruction_received(self, instruction: Instruction) -> None:
        known = self._past.known.get(instruction.instruction_id)
        if known is not None:
            self._received_again(known, instruction)
            return
        why = refusals.of(instruction, self._past.fences.get(instruction.group_id))
        if why is None:
            self._accept(instruction)
        else:
            self._refuse(instruction, why)

    def _received_again(self, known: Course | Refusal, instruction: Instruction) -> None:
        if isinstance(known, Refusal) or known.instruction.digest == instruction.digest or known.refused:
            self._send_again(known)
        elif known.ended:
            self._refuse(instruction, "conflict: it ended before under another digest")
        else:
            self._end_soon(known, InstructionStatus.REFUSED, "conflict: it was accepted before under another digest")

    def _accept(self, instruction: Instruction) -> None:
        self._note(Accepted(instruction))
        for older in tuple(self._past.queue):
            # Nothing of an older deployment may start once a newer one was accepted.
            if older.instruction.group_id == instruction.group_id and older.instruction.target_epoch < instruction.target_epoch:
                self._end_soon(older, InstructionStatus.CANCELLED, f"superseded by deployment {instruction.deployment_id}")
        self._advance()
        if not self._past.queue:
            return  # it could not begin, and is over
        running = self._past.queue[0].instruction
        if running is not instruction:
            waited_for = f"waits for deployment {running.deployment_id} of deployment group {running.group_name}"
            self._report(instruction.instruction_id, InstructionStatus.WAITING, diagnostics=Diagnostics(message=waited_for))

    def _instruction_unreadable(self, fact: InstructionUnreadable) -> None:
        known = self._past.known.get(fact.instruction_id)
        if known is None:
            self._refuse(fact, f"cannot read the instruction: {fact.why}")
        else:
            self._send_again(known)

    def _cancel_received(self, fact: CancelReceived) -> None:
        known = self._past.known.get(fact.instruction_id)
        if known is None:
            self._refuse(fact, f"cancelled before it came: {fact.reason}")
        elif isinstance(known, Refusal) or known.ended:
            self._send_again(known)
        else:
            self._end_soon(known, InstructionStatus.CANCELLED, fact.reason)

    def _event_ended(self, fact: EventEnded) -> None:
        course = self._past.running(fact.instruction_id, fact.event)
        if course is None or course.judged is not None:
            return
        if fact.closing:
            # Kept before anything acts on it: a crash brings no other verdict than the one that the closing hooks were told.
            self._note(Judged(fact.instruction_id, fact.diagnostics))
            self._orders.append(self._close(course, fact.event, fact.diagnostics))
        else:
            self._end_event(fact.instruction_id, fact.event, fact.diagnostics, fact.at)

    def _event_interrupted(self, fact: EventInterrupted) -> None:
        course = self._past.running(fact.instruction_id, fact.event)
        if course is None or course.attempt != fact.attempt:
            return
        if course.asked is not None or fact.attempt >= ATTEMPTS:
            self._event_ended(EventEnded(fact.instruction_id, fact.event, fact.diagnostics, fact.at, fact.closing))
        else:
            self._note(Repeated(fact.instruction_id, fact.attempt + 1))
            why = f"{fact.event} begins again, as attempt {fact.attempt + 1} of {ATTEMPTS}: {fact.diagnostics.message}"
            self._report(fact.instruction_id, InstructionStatus.WAITING, diagnostics=Diagnostics(message=why))
            self._orders.append(self._begin(course))

    def _event_closed(self, fact: EventClosed) -> None:
        course = self._past.running(fact.instruction_id, fact.event)
        if course is None or course.judged is None:
            return
        diagnostics, failure = course.judged.diagnostics, fact.diagnostics
        if diagnostics is not None and failure is not None:
            failure = replace(diagnostics, message=f"{diagnostics.message}; and its closing hooks failed: {failure.message}")
        self._end_event(fact.instruction_id, fact.event, failure or diagnostics, fact.at)

    def _event_never_began(self, fact: EventNeverBegan) -> None:
        course = self._past.running(fact.instruction_id, fact.event)
        if course is None:
            return
        if course.asked is None:
            self._orders.append(self._begin(course))
        else:
            self._report(fact.instruction_id, course.asked.status, diagnostics=Diagnostics(message=course.asked.reason))
            self._advance()

    def _welcomed(self, acked_seq: int) -> None:
        self._connected = True
        self._confirmed = acked_seq
        if acked_seq > self._past.last_seq:
            # The journal is an older copy of itself; the numbers it has not seen are used up.
            self._note(Numbered(acked_seq))
        if acked_seq > self._past.acked:
            self._note(Acked(acked_seq))
        self._send_from = acked_seq + 1

    def _acknowledged(self, acked_seq: int) -> None:
        if not self._confirmed < acked_seq <= self._past.last_seq:
            return
        self._confirmed = acked_seq
        if acked_seq > self._past.acked:
            self._note(Acked(acked_seq))
        if len(self._past.ended) > self._retained + self._retained // 4:
            self._forget()

    def _resume(self) -> None:
        course = self._past.queue[0] if self._past.queue else None
        if course is None or course.begun is None:
            self._advance()
            return
        begin = self._begin(course)
        if course.judged is not None:
            self._orders.append(self._close(course, begin.event, course.judged.diagnostics))
        elif begin.event in REPEATABLE_EVENTS:
            self._orders.append(begin)
        else:
            recover = Recover(begin.instruction, begin.event, begin.timeout_seconds, begin.serving, begin.attempt, begin.previous)
            self._orders.append(recover)

    # ------------------------------------------------------------------------------------------------------------------------ rules

    def _advance(self) -> None:
        """Begins what may begin: the next event of the first in the queue, unless one runs."""
        while self._past.queue and self._past.queue[0].begun is None:
            course = self._past.queue[0]
            instruction_id = course.instruction.instruction_id
            if course.asked is not None:
                self._report(instruction_id, course.asked.status, diagnostics=Diagnostics(message=course.asked.reason))
                continue
            if not course.started:
                # Only now can nothing else change what is installed; the same as at acceptance, unless it had to wait.
                holding = self._past.holdings.get(course.instruction.group_id)
                if (why := refusals.of_restart(course.instruction, holding)) is not None:
                    self._report(instruction_id, InstructionStatus.REFUSED, diagnostics=Diagnostics(message=why))
                    continue
                self._note(Started(instruction_id, None if holding is None else holding.installed))
            self._report(instruction_id, EventStatus.IN_PROGRESS, event=course.instruction.events[course.position].event)
            self._orders.append(self._begin(course))

    def _begin(self, course: Course) -> Begin:
        instruction = course.instruction
        plan, past = instruction.events[course.position], instruction.events[: course.position]
        serving = course.serving
        if any(each.event is LifecycleEvent.DOWNLOAD_BUNDLE for each in past):
            # Whoever orders the events so wants the new bundle's own scripts.
            serving = Installed(revision_id=instruction.revision_id, deployment_id=instruction.deployment_id)
        return Begin(instruction, plan.event, plan.timeout_seconds, serving, course.attempt, self._past.previous(instruction))

    def _close(self, course: Course, event: LifecycleEvent, diagnostics: Diagnostics | None) -> Close:
        begin = self._begin(course)
        return Close(begin.instruction, event, begin.serving, begin.attempt, begin.previous, diagnostics)

    def _end_event(self, instruction_id: InstructionId, event: LifecycleEvent, diagnostics: Diagnostics | None, at: int | None) -> None:
        status = EventStatus.SUCCEEDED if diagnostics is None else EventStatus.FAILED
        self._report(instruction_id, status, event=event, diagnostics=diagnostics, at=at)
        self._advance()

    def _end_soon(self, course: Course, status: InstructionStatus, reason: str) -> None:
        if course.begun is None:
            self._report(course.instruction.instruction_id, status, diagnostics=Diagnostics(message=reason))
        elif course.asked is None:
            self._note(EndAsked(course.instruction.instruction_id, status, reason))

    def _refuse(self, refused: Instruction | InstructionUnreadable | CancelReceived, why: str) -> None:
        diagnostics = Diagnostics(message=why)
        report = Report(instruction_id=refused.instruction_id, at=self._at, status=InstructionStatus.REFUSED, diagnostics=diagnostics)
        self._note(Reported(self._past.last_seq + 1, report, refused.group_id, refused.target_epoch))

    def _report(
        self,
        instruction_id: InstructionId,
        status: EventStatus | InstructionStatus,
        *,
        event: LifecycleEvent | None = None,
        diagnostics: Diagnostics | None = None,
        at: int | None = None,
    ) -> None:
        report = Report(
            instruction_id=instruction_id, at=self._at if at is None else at, status=status, event=event, diagnostics=diagnostics
        )
        self._note(Reported(self._past.last_seq + 1, report))
        if instruction_id in self._past.ended:
            self._orders.append(Finish(instruction_id))

    def _send_again(self, known: Course | Refusal) -> None:
        first_seq = known.seqs[0]
        self._send_from = first_seq if self._send_from is None else min(self._send_from, first_seq)

    def _send(self, first_seq: int) -> None:
        first_seq, reports = self._past.reports_from(first_seq)
        if reports:
            self._orders.append(SendReports(first_seq, reports))

    def _forget(self) -> None:
        forgotten = self._past.forgettable(len(self._past.ended) - self._retained, self._confirmed)
        for instruction_id in forgotten:
            self._past.forget(instruction_id)
        if forgotten:
            self._orders.append(Forget(forgotten))

    def _note(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._past.apply(entry)


def _group(item: tuple[GroupId, object]) -> GroupId:
    return item[0]
