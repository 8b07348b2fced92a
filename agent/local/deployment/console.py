"""Stands in for the coordinator while an operator deploys on the spot: takes the reports, acknowledges them, and tells the operator.

Decides nothing: what runs when is the machine's.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TextIO

from agent.facts import Acknowledged
from agent.model import EventStatus, InstructionStatus

if TYPE_CHECKING:
    from pathlib import Path

    from agent.clock import Clock
    from agent.facts import SendReports
    from agent.loop import Agent
    from agent.model import Instruction, LifecycleEvent, Report

_LOOK_SECONDS = 0.1
_AT_ONCE = 64 * 1024


class Console:
    """Where the operator sees one instruction being carried out."""

    def __init__(self, *, agent: Agent, instruction: Instruction, output: Path, screen: TextIO) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the instruction ended well, as soon as it has ended."""
        self.running: LifecycleEvent | None = None
        """The event that runs; None: none does."""
        self._agent = agent
        self._instruction = instruction
        self._last = instruction.events[-1].event
        self._output = output
        self._offset = 0
        self._begun_at = 0
        self._screen = screen

    def say(self, line: str) -> None:
        """Tells the operator something, as long as anybody reads it: the deployment goes on when a pipe (`| head`) has been closed."""
        try:
            self._screen.write(f"{line}\n")
            self._screen.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)  # also for what Python itself writes out at its end
            os.dup2(nowhere, self._screen.fileno())
            os.close(nowhere)

    def send(self, order: SendReports) -> None:
        """Takes reports."""
        for report in order.reports:
            if report.instruction_id == self._instruction.instruction_id:
                self._take(report)
        self._agent.tell(Acknowledged(order.first_seq + len(order.reports) - 1))

    async def follow(self, clock: Clock) -> None:
        """Shows what scripts print, while they print it."""
        while True:
            await clock.sleep(_LOOK_SECONDS)
            self._show_output()

    def _take(self, report: Report) -> None:
        self._show_output(whole=True)
        why = "" if report.diagnostics is None else report.diagnostics.message
        match report.status:
            case EventStatus.IN_PROGRESS:
                self.running, self._begun_at = report.event, report.at
            case EventStatus.SUCCEEDED:
                self._say_ended(report)
                if report.event is self._last:
                    self._end(well=True)
            case EventStatus.FAILED:
                code = f"{report.diagnostics.error_code}: " if report.diagnostics and report.diagnostics.error_code else ""
                self._say_ended(report, f": {code}{why}")
                self._end(well=False)
            case InstructionStatus.WAITING:
                self.say(f"{report.status}: {why}")
            case InstructionStatus.CANCELLED | InstructionStatus.REFUSED:
                self.running = None
                self.say(f"{report.status}: {why}")
                self._end(well=False)

    def _say_ended(self, report: Report, why: str = "") -> None:
        self.running = None
        self.say(f"{report.event}: {report.status} after {max(0, report.at - self._begun_at) / 1000:.1f} s{why}")

    def _end(self, *, well: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(well)

    def _show_output(self, *, whole: bool = False) -> None:
        """Shows the lines that have come; `whole` also one that has no end, since nothing more of it will come."""
        try:
            file = os.open(self._output, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            while chunk := os.pread(file, _AT_ONCE, self._offset):
                end = chunk.rfind(b"\n") + 1
                shown = chunk if whole or (not end and len(chunk) == _AT_ONCE) else chunk[:end]
                if not shown:
                    return
                self._offset += len(shown)
                for line in shown.decode(errors="replace").splitlines():
                    self.say(f"  {_harmless(line)}")
        finally:
            os.close(file)


def _harmless(line: str) -> str:
    """A line that cannot move the cursor or ring the bell of the operator's terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in line)
