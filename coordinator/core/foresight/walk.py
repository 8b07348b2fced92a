"""A host that is made up: it walks the events of its instruction in the time that its world says, and fails where that says so.

It reports as an agent does: an event's end together with the next one's begin; after a Cancel it finishes the running event; and what ran
when it fell silent is interrupted.
"""

from coordinator.core.facts import Report
from coordinator.core.foresight.world import World
from coordinator.core.lifecycle import EventStatus, InstructionStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import Diagnostics
from coordinator.core.orders import Instruction


class Walk:
    """One host and its newest instruction."""

    def __init__(self, instruction: Instruction, world: World) -> None:
        """Nothing has begun."""
        self.instruction = instruction
        self.host_id = instruction.host_id
        self.cancelled = ""
        """Why a Cancel has come."""
        self.silent = False
        """The host cannot be heard; what ran there is interrupted."""
        self._world = world
        self._plan = instruction.plan
        self._fails_at = world.fails_at(self._plan, self.host_id)
        self._lost_at = world.lost_at(self._plan, self.host_id)
        self._running = -1
        self._seq = 0

    @property
    def event(self) -> LifecycleEvent | None:
        """What runs; None before the first event and after the last."""
        events = self._plan.lifecycle_events
        return events[self._running] if 0 <= self._running < len(events) else None

    @property
    def takes(self) -> int:
        """Milliseconds that the running event takes."""
        return 0 if self.event is None else self._world.takes(self._plan, self.host_id, self.event)

    @property
    def is_lost_now(self) -> bool:
        """Whether the host falls silent in the middle of the running event."""
        return self._lost_at is not None and self.event is self._lost_at

    def begin(self, at: int) -> tuple[Report, ...]:
        """The first event begins, unless a Cancel came before it."""
        if self.cancelled:
            return (self._stopped(at),)
        self._running = 0
        return (self._report(EventStatus.InProgress, at),)

    def go_on(self, at: int) -> tuple[Report, ...]:
        """The running event ends; the next one begins, if there is to be one."""
        if self._fails_at is not None and self.event is self._fails_at:
            failed = Diagnostics(error_code=LifecycleErrorCode.ScriptFailed, message="foreseen to fail")
            told = (self._report(EventStatus.Failed, at, failed),)
            self._running = len(self._plan.lifecycle_events)
            return told
        ended = self._report(EventStatus.Succeeded, at)
        self._running += 1
        if self.event is None:
            return (ended,)
        if self.cancelled:
            self._running = len(self._plan.lifecycle_events)
            return (ended, self._stopped(at))
        return ended, self._report(EventStatus.InProgress, at)

    def interrupted(self, at: int) -> tuple[Report, ...]:
        """The host is back, and what ran when it fell silent has no end."""
        why = Diagnostics(error_code=LifecycleErrorCode.Interrupted, message="foreseen to be interrupted")
        told = (self._report(EventStatus.Failed, at, why),)
        self._running = len(self._plan.lifecycle_events)
        return told

    def _report(self, status: EventStatus, at: int, diagnostics: Diagnostics | None = None) -> Report:
        self._seq += 1
        return Report(self._seq, self.instruction.instruction_id, self.event, status, at, diagnostics=diagnostics)

    def _stopped(self, at: int) -> Report:
        self._seq += 1
        return Report(self._seq, self.instruction.instruction_id, None, EventStatus.Pending, at, InstructionStatus.Cancelled)
