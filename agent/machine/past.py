"""What the journal tells of one host's past: its instructions, reports, fences and holdings.

Pure. Entries are applied here and nowhere else, so that reading a journal and having lived through it end in the same place.
Decides nothing: that is the machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from agent.facts import Accepted, Acked, EndAsked, Entry, Fenced, Held, Judged, Numbered, Repeated, Reported, Started
from agent.model import EventStatus, Fence, Holding, Installed, InstructionStatus, LifecycleEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.model import GroupId, Instruction, InstructionId, Report, RevisionId


class Course:
    """How far an accepted instruction has come."""

    __slots__ = (
        "asked",
        "attempt",
        "begun",
        "ended",
        "entries",
        "group_id",
        "instruction",
        "judged",
        "position",
        "refused",
        "seqs",
        "serving",
        "started",
        "target_epoch",
    )

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.group_id = instruction.group_id
        self.target_epoch = instruction.target_epoch
        self.position = 0
        self.attempt = 1
        self.begun: LifecycleEvent | None = None
        self.judged: Judged | None = None
        self.started = False
        self.serving: Installed | None = None
        self.asked: EndAsked | None = None
        self.refused = False
        self.ended = False
        self.seqs = (0, 0)
        self.entries: list[Entry] = []


class Refusal:
    """An instruction that was refused unseen: stale, in conflict, unreadable, or cancelled before it came."""

    __slots__ = ("entries", "group_id", "seqs", "target_epoch")

    def __init__(self, group_id: GroupId, target_epoch: int) -> None:
        self.group_id = group_id
        self.target_epoch = target_epoch
        self.seqs = (0, 0)
        self.entries: list[Entry] = []


class Past:
    """One host's past, made of entries. To be read; only `apply` and `forget` change it."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.known: dict[InstructionId, Course | Refusal] = {}
        self.queue: list[Course] = []
        self.ended: dict[InstructionId, Course | Refusal] = {}
        self.fences: dict[GroupId, Fence] = {}
        self.holdings: dict[GroupId, Holding] = {}
        self.last_seq = 0
        self.acked = 0
        self._reports: list[Report] = []
        self._first_seq = 1
        told: dict[int, Report] = {}  # A shortened journal has them in another order, and leaves some out.
        for entry in entries:
            self.apply(entry)
            if isinstance(entry, Reported):
                told[entry.seq] = entry.report
        self._first_seq = self.last_seq + 1
        while self._first_seq - 1 in told:
            self._first_seq -= 1
        self._reports = [told[seq] for seq in range(self._first_seq, self.last_seq + 1)]

    def entries(self) -> Iterator[Entry]:
        """The shortest journal that tells the same."""
        for known in self.known.values():
            yield from known.entries
        for group_id, fence in self.fences.items():
            yield Fenced(group_id, fence)
        for group_id, holding in self.holdings.items():
            yield Held(group_id, holding)
        yield Numbered(self.last_seq)
        yield Acked(self.acked)

    @property
    def courses(self) -> Iterator[Course]:
        """The instructions that were accepted, whatever became of them."""
        return (known for known in self.known.values() if isinstance(known, Course))

    def previous(self, instruction: Instruction) -> RevisionId | None:
        """What was installed before an instruction's deployment, also after its own Install. None: nothing."""
        holding = self.holdings.get(instruction.group_id, Holding())
        if holding.installed is None or holding.installed.deployment_id == instruction.deployment_id:
            return holding.before
        return holding.installed.revision_id

    def reports_from(self, seq: int) -> tuple[int, tuple[Report, ...]]:
        """The reports from this number on, or from the oldest that is still there, and the number of the first."""
        seq = max(seq, self._first_seq)
        return seq, tuple(self._reports[seq - self._first_seq :])

    def running(self, instruction_id: InstructionId, event: LifecycleEvent) -> Course | None:
        """The instruction whose event runs; None: it is over, or another one runs by now."""
        course = self.known.get(instruction_id)
        return course if isinstance(course, Course) and course.begun is event else None

    def forgettable(self, count: int, confirmed: int) -> tuple[InstructionId, ...]:
        """The oldest of what has ended and been told, so many at most, but not what could be accepted again: until a fence is higher."""
        found: list[InstructionId] = []
        for instruction_id, known in self.ended.items():
            if len(found) >= count or known.seqs[1] > confirmed:
                break
            fence = self.fences.get(known.group_id)
            if fence is not None and fence.target_epoch > known.target_epoch:
                found.append(instruction_id)
        return tuple(found)

    def forget(self, instruction_id: InstructionId) -> None:
        """Drops an ended instruction, and all reports up to its last."""
        known = self.ended.pop(instruction_id)
        del self.known[instruction_id]
        self._drop_reports(known.seqs[1])

    def apply(self, entry: Entry) -> None:
        """Takes one entry, read from a journal or just decided."""
        match entry:
            case Reported():
                self._apply_report(entry)
            case Acked():
                self.acked = max(self.acked, entry.seq)
            case Accepted():
                course = Course(entry.instruction)
                course.entries.append(entry)
                self.known[entry.instruction.instruction_id] = course
                self.queue.append(course)
                self.fences[entry.instruction.group_id] = Fence(
                    target_epoch=entry.instruction.target_epoch, deployment_id=entry.instruction.deployment_id
                )
            case Started() | Repeated() | Judged() | EndAsked():
                self._apply_to_course(self._course(entry.instruction_id), entry)
            case Numbered():
                if entry.last_seq > self.last_seq:
                    self.last_seq = entry.last_seq
                    self._drop_reports(entry.last_seq)
            case Fenced():
                self.fences[entry.group_id] = entry.fence
            case Held():
                self.holdings[entry.group_id] = entry.holding
            case _:
                assert_never(entry)

    def _apply_to_course(self, course: Course, entry: Started | Repeated | Judged | EndAsked) -> None:
        course.entries.append(entry)
        match entry:
            case Started():
                course.started, course.serving = True, entry.serving
            case Repeated():
                course.attempt = entry.attempt
            case Judged():
                course.judged = entry
            case EndAsked():
                course.asked = entry
            case _:
                assert_never(entry)

    def _apply_report(self, entry: Reported) -> None:
        report = entry.report
        self._reports.append(report)
        self.last_seq = max(self.last_seq, entry.seq)
        known = self.known.get(report.instruction_id)
        if known is None:
            assert entry.group_id is not None, f"the journal reports of {report.instruction_id}, which nobody accepted or refused"
            known = self.known[report.instruction_id] = self.ended[report.instruction_id] = Refusal(entry.group_id, entry.target_epoch)
        known.entries.append(entry)
        known.seqs = (known.seqs[0] or entry.seq, entry.seq)
        if isinstance(known, Course):
            self._apply_progress(known, report)

    def _apply_progress(self, course: Course, report: Report) -> None:
        course.judged = None  # What is reported of an event is its end, or the begin of the next.
        match report.status:
            case EventStatus.IN_PROGRESS:
                course.begun = report.event
            case EventStatus.SUCCEEDED:
                course.begun = None
                course.position += 1
                self._apply_success(course, report.event)
            case EventStatus.FAILED if course.instruction.ignores(report.event):
                course.begun = None
                course.position += 1
            case EventStatus.FAILED | InstructionStatus.CANCELLED:
                self._end(course)
            case InstructionStatus.REFUSED:
                course.refused = True
                self._end(course)
            case InstructionStatus.WAITING:
                pass
            case _:
                assert_never(report.status)

    def _apply_success(self, course: Course, event: LifecycleEvent | None) -> None:
        instruction = course.instruction
        holding = self.holdings.get(instruction.group_id, Holding())
        if event is LifecycleEvent.INSTALL:
            installed = Installed(revision_id=instruction.revision_id, deployment_id=instruction.deployment_id)
            before = self.previous(instruction)
            self.holdings[instruction.group_id] = holding = Holding(installed=installed, deployed=holding.deployed, before=before)
        if course.position == len(instruction.events):
            if holding.installed is not None and holding.installed.deployment_id == instruction.deployment_id:
                self.holdings[instruction.group_id] = replace(holding, deployed=instruction.revision_id)
            self._end(course)

    def _end(self, course: Course) -> None:
        course.begun = None
        if not course.ended:
            course.ended = True
            self.queue.remove(course)
            self.ended[course.instruction.instruction_id] = course

    def _drop_reports(self, last_seq: int) -> None:
        if last_seq >= self._first_seq:
            del self._reports[: last_seq + 1 - self._first_seq]
            self._first_seq = last_seq + 1

    def _course(self, instruction_id: InstructionId) -> Course:
        course = self.known[instruction_id]
        assert isinstance(course, Course), f"the journal speaks of {instruction_id} as if it had been accepted"
        return course
