"""What follows the scripts of a lifecycle event: the probe of one that was interrupted, and the hooks that close it.

Says as a fact what became of the event; what happens next is the machine's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING

from agent.facts import EventClosed, EventEnded, EventInterrupted
from agent.hooks import EventOutcome
from agent.model import Diagnostics, ErrorCode
from agent.payload import PayloadError
from agent.scrub import scrubbed

if TYPE_CHECKING:
    from agent.executor import Hooks
    from agent.executor.scripts import EventScripts
    from agent.facts import Begin, Close, Recover
    from agent.hooks import EventRun
    from agent.policy import Guard

log = logging.getLogger("hookline.agent")

BACKSTOP_SECONDS = 30.0
"""What scripts may take beyond their deadline before the agent stops believing that somebody else keeps it."""

RERUN = 21
"""The exit code with which a probe says that the scripts of its event have to run again."""


class Aftermath:
    """Runs what follows the scripts of events."""

    def __init__(self, *, hooks: Hooks, scripts: EventScripts, guard: Guard) -> None:
        self._hooks = hooks
        self._scripts = scripts
        self._guard = guard

    async def of(self, order: Begin | Recover, outcome: EventOutcome) -> EventEnded | EventInterrupted:
        """What the outcome of an event's scripts means; where nobody knows it, a probe is asked if there is one."""
        if not outcome.started_at:  # nothing has run, so there is nothing to close
            return EventEnded(order.instruction.instruction_id, order.event, diagnostics(outcome))
        ended = self.ended(order, diagnostics(outcome), at=outcome.ended_at)
        if not outcome.interrupted or ended.diagnostics is None:
            return ended
        if (probe := self._scripts.probe(order)) is not None:
            return await self._probed(order, probe, ended.diagnostics)
        return _repeatable(order, ended, ended.diagnostics) if self._scripts.may_repeat(order) else ended

    def ended(self, order: Begin | Recover, why: Diagnostics | None, *, at: int | None = None) -> EventEnded:
        """The scripts of an event have ended, well where there is no `why`; its closing hooks follow, if it has such."""
        closing = self._scripts.closes(order, failed=why is not None)
        return EventEnded(order.instruction.instruction_id, order.event, why, at, closing)

    async def closed(self, order: Close) -> EventClosed:
        """Runs the closing hooks of an event, or finds out how they ended where they have begun."""
        run = self._scripts.closing(order)
        if run is None:
            gone = Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message=f"cannot close {order.event}: its AppSpec is gone; deploy again")
            return EventClosed(order.instruction.instruction_id, order.event, gone)
        outcome = await self._run(order, run)
        return EventClosed(order.instruction.instruction_id, order.event, diagnostics(outcome), outcome.ended_at or None)

    async def _probed(self, order: Begin | Recover, probe: EventRun, why: Diagnostics) -> EventEnded | EventInterrupted:
        outcome = await self._run(order, probe)
        what = "done" if outcome.error_code == "Success" else "run again" if outcome.exit_code == RERUN else outcome.message
        log.warning("probe asked instruction=%s lifecycle_event=%s says=%r", order.instruction.instruction_id, order.event, what)
        at = outcome.ended_at or None
        if outcome.error_code == "Success":
            return self.ended(order, None, at=at)
        why = dataclasses.replace(why, message=f"{why.message}; its probe says: {scrubbed(what)}")
        ended = self.ended(order, why, at=at)
        return _repeatable(order, ended, why) if outcome.exit_code == RERUN else ended

    async def _run(self, order: Begin | Recover | Close, run: EventRun) -> EventOutcome:
        """How scripts ended, also those that have begun under an earlier agent: their record keeps them from running twice."""
        try:
            run = self._guard.scripts(order, run)
            async with asyncio.timeout(run.timeout + BACKSTOP_SECONDS):
                return await self._hooks.run(run)
        except PayloadError as error:
            return EventOutcome(error_code="UnknownError", message=error.message, started_at=0, ended_at=0)
        except TimeoutError:
            await self._hooks.cancel(run.instruction_id, run.attempt)
            message = f"cannot say how {run.lifecycle_event} ended: no word of it came within {run.timeout + BACKSTOP_SECONDS:.0f} s"
            return EventOutcome(error_code="UnknownError", message=message, started_at=0, ended_at=0, interrupted=True)


def diagnostics(outcome: EventOutcome) -> Diagnostics | None:
    """What is told of scripts that did not end well, without secrets, whoever has said them; None: they did."""
    if outcome.error_code == "Success":
        return None
    return Diagnostics(
        error_code=ErrorCode.INTERRUPTED if outcome.interrupted else ErrorCode(outcome.error_code),
        message=scrubbed(outcome.message),
        script_name=outcome.script_name,
        log_tail=scrubbed(outcome.log_tail),
    )


def _repeatable(order: Begin | Recover, ended: EventEnded, why: Diagnostics) -> EventInterrupted:
    log.warning("interrupted, may run again instruction=%s lifecycle_event=%s", order.instruction.instruction_id, order.event)
    return EventInterrupted(ended.instruction_id, ended.event, order.attempt, why, ended.at, ended.closing)
