"""Drives the machine: facts in, entries to the journal, then orders to the executor and the stream.

Commits first, acts second. Lives as long as the agent; streams come and go. Decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol, assert_never

from agent.facts import Begin, Close, Entry, Fact, Finish, Forget, Order, Recover, Reported, Resumed, SendReports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.clock import Clock
    from agent.machine import Machine
    from agent.model import InstructionId

log = logging.getLogger("hookline.agent")


class Journal(Protocol):
    """Where entries are remembered."""

    @property
    def journal_id(self) -> str:
        """Random, made with the journal."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Writes entries in one go and returns when they are safe."""
        ...

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replaces the whole journal."""
        ...


class Executor(Protocol):
    """Who carries out lifecycle events. Answers a Begin, a Recover or a Close by telling the agent a fact, then or later."""

    def begin(self, order: Begin, agent: Agent) -> None:
        """Begins an event; EventEnded ends it."""
        ...

    def recover(self, order: Recover, agent: Agent) -> None:
        """Finds out how an event went; EventEnded or EventNeverBegan ends it."""
        ...

    def close(self, order: Close, agent: Agent) -> None:
        """Runs the closing hooks of an event; EventClosed ends it."""
        ...

    def finish(self, instruction_id: InstructionId) -> None:
        """Lets go of what is held for an instruction that has ended."""
        ...

    def forget(self, instruction_ids: Sequence[InstructionId]) -> None:
        """Removes what is kept of instructions that the journal no longer knows."""
        ...


class Outbox(Protocol):
    """Where reports leave from, while a stream is open."""

    def send(self, order: SendReports) -> None:
        """Takes reports to be sent; never waits."""
        ...


class Agent:
    """One host's agent without its stream: takes facts from whoever has them."""

    def __init__(self, *, machine: Machine, journal: Journal, executor: Executor, clock: Clock) -> None:
        self.machine = machine
        self.journal = journal
        self.outbox: Outbox | None = None
        self._executor = executor
        self._clock = clock
        self._inbox: deque[Fact] = deque()
        self._turning = False

    def start(self) -> None:
        """Goes on with what the journal calls unfinished."""
        self.tell(Resumed())

    def tell(self, *facts: Fact) -> None:
        """Takes facts; when it returns they are in the journal and their orders are given (unless an order of an earlier fact told them).

        An error of the journal is not caught: what is not on the disk must not be acted on, so the agent ends.
        """
        self._inbox.extend(facts)
        if self._turning:
            return
        self._turning = True
        try:
            while self._inbox:
                drained = tuple(self._inbox)
                self._inbox.clear()
                turn = self.machine.turn(drained, at=self._clock.now_ms())
                if turn.entries:
                    self.journal.append(turn.entries)
                for order in turn.orders:
                    self._carry_out(order)
                if log.isEnabledFor(logging.INFO):
                    asyncio.get_running_loop().call_soon(_tell_the_operator, turn.entries)  # The orders come first.
        finally:
            self._turning = False

    def _carry_out(self, order: Order) -> None:
        match order:
            case Begin():
                self._executor.begin(order, self)
            case SendReports():
                if self.outbox is not None:
                    self.outbox.send(order)
            case Recover():
                self._executor.recover(order, self)
            case Close():
                self._executor.close(order, self)
            case Finish():
                self._executor.finish(order.instruction_id)
            case Forget():
                self.journal.rewrite(self.machine.entries())
                self._executor.forget(order.instruction_ids)
            case _:
                assert_never(order)


def _tell_the_operator(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if not isinstance(entry, Reported):
            continue
        report = entry.report
        words = [f"instruction={report.instruction_id}", f"status={report.status}"]
        if report.event is not None:
            words.insert(1, f"lifecycle_event={report.event}")
        if report.diagnostics is not None:
            words.append(f"why={report.diagnostics.message!r}")
        log.info("%s %s", "instruction" if report.event is None else "lifecycle event", " ".join(words))
