"""Whatever is repeated, lost, reordered or cut off by a crash: no event runs twice, no result is lost, nothing stale begins."""

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.facts import (
    Acknowledged,
    Begin,
    CancelReceived,
    Close,
    Connected,
    Disconnected,
    EventClosed,
    EventEnded,
    EventInterrupted,
    EventNeverBegan,
    Fact,
    Forget,
    InstructionReceived,
    Order,
    Recover,
    SendReports,
)
from agent.machine import ATTEMPTS
from agent.model import (
    REPEATABLE_EVENTS,
    Diagnostics,
    EventStatus,
    Instruction,
    InstructionId,
    InstructionStatus,
    LifecycleEvent,
    Report,
)
from tests.agent.instructions import Told, instruction

_EVENTS = (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.INSTALL, LifecycleEvent.APPLICATION_START)
_INSTRUCTIONS = [
    instruction(f"d-{group}{epoch}", group=f"g-{group}", epoch=epoch, events=_EVENTS, revision=f"r-{group}{epoch}")
    for group in ("a", "b")
    for epoch in (1, 2, 3)
]
_RESTART = (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.APPLICATION_START)
_INSTRUCTIONS.append(replace(instruction("d-a4", group="g-a", epoch=4, events=_RESTART, revision="r-a2"), restart=True))
_CLOSED = (LifecycleEvent.APPLICATION_STOP,)
"""Events that have closing hooks."""
_ENDS = {EventStatus.FAILED, InstructionStatus.REFUSED, InstructionStatus.CANCELLED}
Run = tuple[InstructionId, LifecycleEvent, int]
"""One attempt at one event of one instruction."""


@dataclass
class Host:
    """What really happens on the host, beside the agent: scripts run, end, and leave a record that survives every crash."""

    open: Begin | Recover | Close | None = None
    running: set[Run] = field(default_factory=set)
    ended: dict[Run, Diagnostics | None] = field(default_factory=dict)
    interrupted: set[Run] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)
    told: list[tuple[Run, bool]] = field(default_factory=list)
    """Closing hooks that began, and whether they were told that their event had failed."""
    closed: dict[Run, Diagnostics | None] = field(default_factory=dict)


class AgentAmongFaults(RuleBasedStateMachine):
    """An agent's machine with its journal, a host that may crash, and a coordinator that may forget."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told(retained_instructions=2)
        self.host = Host()
        self.committed: list[Report] = []
        self.connected = False
        self.highest: dict[str, int] = {}
        self._carry_out(self.told.resumed())

    def _carry_out(self, orders: tuple[Order, ...]) -> None:
        for order in orders:
            match order:
                case Begin() | Recover() | Close():
                    assert self.host.open is None, "one event at a time"
                    self.host.open = order
                case SendReports():
                    self._commit(order)
                case Forget():
                    self.told.journal = list(self.told.machine.entries())
                case _:
                    pass

    def _commit(self, order: SendReports) -> None:
        if order.first_seq <= len(self.committed) + 1:
            for seq, report in enumerate(order.reports, start=order.first_seq):
                if seq <= len(self.committed):
                    assert self.committed[seq - 1] == report, "a number means one report for ever"
                else:
                    self.committed.append(report)

    def _tell(self, *facts: Fact) -> None:
        self._carry_out(self.told.tell(*facts))

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        self._tell(Connected(len(self.committed)))

    @precondition(lambda self: self.connected)
    @rule()
    def lose_the_stream(self) -> None:
        self.connected = False
        self.told.tell(Disconnected())

    @precondition(lambda self: self.connected)
    @rule(sent=st.sampled_from(_INSTRUCTIONS), again=st.booleans())
    def instruct(self, sent: Instruction, again: bool) -> None:
        self._tell(*[InstructionReceived(sent)] * (1 + again))

    @precondition(lambda self: self.connected)
    @rule(sent=st.sampled_from(_INSTRUCTIONS))
    def cancel(self, sent: Instruction) -> None:
        self._tell(CancelReceived(sent.instruction_id, sent.group_id, sent.target_epoch, "stopped"))

    @precondition(lambda self: self.connected)
    @rule(behind=st.integers(0, 3))
    def acknowledge(self, behind: int) -> None:
        self._tell(Acknowledged(max(0, len(self.committed) - behind)))

    @precondition(lambda self: self.host.open is not None)
    @rule()
    def start_scripts(self) -> None:
        order = self.host.open
        assert order is not None
        run = (order.instruction.instruction_id, order.event, order.attempt)
        if isinstance(order, Begin) and run not in self.host.running and run not in self.host.ended:
            self.host.runs.append(run)
            self.host.running.add(run)

    @precondition(lambda self: bool(self.host.running))
    @rule(well=st.booleans())
    def scripts_end(self, well: bool) -> None:
        run = sorted(self.host.running)[0]
        self.host.running.remove(run)
        self.host.ended[run] = None if well else Diagnostics(message="broken")

    @precondition(lambda self: any(run[1] not in REPEATABLE_EVENTS for run in self.host.running))
    @rule()
    def scripts_are_interrupted(self) -> None:
        run = next(run for run in sorted(self.host.running) if run[1] not in REPEATABLE_EVENTS)
        self.host.running.remove(run)
        self.host.interrupted.add(run)
        self.host.ended[run] = Diagnostics(message="interrupted")

    @precondition(lambda self: self.host.open is not None)
    @rule()
    def notice_the_end(self) -> None:
        order = self.host.open
        assert order is not None
        run = (order.instruction.instruction_id, order.event, order.attempt)
        if isinstance(order, Close):
            if run in self.host.closed:
                self.host.open = None
                self._tell(EventClosed(*run[:2], self.host.closed[run]))
        elif run in self.host.ended:
            self.host.open = None
            diagnostics, closing = self.host.ended[run], run[1] in _CLOSED
            if run in self.host.interrupted and diagnostics is not None:
                self._tell(EventInterrupted(*run, diagnostics, closing=closing))
            else:
                self._tell(EventEnded(*run[:2], diagnostics, closing=closing))
        elif isinstance(order, Recover) and run not in self.host.running:
            self.host.open = None
            self._tell(EventNeverBegan(*run[:2]))

    @precondition(lambda self: isinstance(self.host.open, Close))
    @rule(well=st.booleans())
    def closing_hooks_run(self, well: bool) -> None:
        order = self.host.open
        assert isinstance(order, Close)
        run = (order.instruction.instruction_id, order.event, order.attempt)
        if run not in self.host.closed:
            self.host.closed[run] = None if well else Diagnostics(message="left open")
            self.host.told.append((run, order.diagnostics is not None))

    @rule(before_the_orders=st.booleans(), sent=st.sampled_from(_INSTRUCTIONS))
    def crash(self, before_the_orders: bool, sent: Instruction) -> None:
        if before_the_orders and self.connected:
            self.told.tell(InstructionReceived(sent))
        self.connected = False
        self.host.open = None
        # Downloads and installations die with the agent and are begun again; scripts go on.
        self.host.running -= {run for run in self.host.running if run[1] in REPEATABLE_EVENTS}
        self.told = self.told.restarted()
        self._carry_out(self.told.resumed())

    @invariant()
    def no_script_runs_twice(self) -> None:
        scripts = [run for run in self.host.runs if run[1] not in REPEATABLE_EVENTS]
        assert len(scripts) == len(set(scripts))

    @invariant()
    def scripts_run_again_only_after_they_were_interrupted_and_not_for_ever(self) -> None:
        for instruction_id, event, attempt in self.host.runs:
            assert attempt <= ATTEMPTS
            before = [run for run in self.host.runs if run[:2] == (instruction_id, event) and run[2] < attempt]
            assert event in REPEATABLE_EVENTS or set(before) <= self.host.interrupted

    @invariant()
    def nothing_stale_begins(self) -> None:
        fences = dict(self.told.machine.standing.fences)
        order = self.host.open
        if order is not None:
            group = order.instruction.group_id
            assert group in fences
        for group, fence in fences.items():
            assert fence.target_epoch >= self.highest.get(group, 0)
            self.highest[group] = fence.target_epoch

    @invariant()
    def an_instruction_ends_once_and_its_events_go_in_order(self) -> None:
        progress: dict[InstructionId, int] = {}
        ended: set[InstructionId] = set()
        for report in self.committed:
            # What was forgotten is stale, and says so when it comes again.
            assert report.instruction_id not in ended or report.status is InstructionStatus.REFUSED
            if report.status in _ENDS:
                ended.add(report.instruction_id)
            if report.event is not None:
                step = 2 * _EVENTS.index(report.event) + (report.status is not EventStatus.IN_PROGRESS)
                assert step == progress.get(report.instruction_id, -1) + 1
                progress[report.instruction_id] = step

    @invariant()
    def what_is_reported_is_what_happened(self) -> None:
        for report in self.committed:
            if report.status in (EventStatus.SUCCEEDED, EventStatus.FAILED):
                assert report.event is not None
                last = max(run for run in self.host.ended if run[:2] == (report.instruction_id, report.event))
                well = self.host.ended[last] is None and self.host.closed.get(last) is None
                assert well == (report.status is EventStatus.SUCCEEDED)
                assert (report.event in _CLOSED) == (last in self.host.closed), "what has to be closed is closed before it is told"

    @invariant()
    def an_event_is_closed_once_and_its_hooks_are_told_the_truth(self) -> None:
        steps = [run[:2] for run, _ in self.host.told]
        assert len(steps) == len(set(steps))
        for run, failed in self.host.told:
            assert failed == (self.host.ended[run] is not None)

    @invariant()
    def the_journal_tells_the_same_machine(self) -> None:
        assert self.told.restarted().machine.standing == self.told.machine.standing

    def teardown(self) -> None:
        """Without further faults everything comes to its end and is committed."""
        if not self.connected:
            self.connect()
        for _ in range(100):
            if self.host.open is None:
                break
            self.start_scripts()
            if self.host.running:
                self.scripts_end(well=True)
            if isinstance(self.host.open, Close):
                self.closing_hooks_run(well=True)
            self.notice_the_end()
        self._tell(Connected(len(self.committed)))
        assert self.host.open is None
        assert self.told.machine.unfinished == ()
        assert len(self.committed) == self.told.machine.standing.last_seq


TestAgentAmongFaults = AgentAmongFaults.TestCase
TestAgentAmongFaults.settings = settings(max_examples=60, stateful_step_count=40)
