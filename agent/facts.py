"""What an agent's machine is told (facts), what it writes down (entries) and what it asks for (orders).

Pure values. An entry is written to the journal before any order of its turn is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.model import (
        Diagnostics,
        Fence,
        GroupId,
        Holding,
        Installed,
        Instruction,
        InstructionId,
        InstructionStatus,
        LifecycleEvent,
        Report,
        RevisionId,
    )


@dataclass(frozen=True, slots=True)
class Resumed:
    """The agent has started and read its journal."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The coordinator said Welcome; it has committed reports up to acked_seq."""

    acked_seq: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream is gone."""


@dataclass(frozen=True, slots=True)
class InstructionReceived:
    """The coordinator sent an instruction, perhaps not for the first time."""

    instruction: Instruction


@dataclass(frozen=True, slots=True)
class InstructionUnreadable:
    """The coordinator sent an instruction that this agent does not understand."""

    instruction_id: InstructionId
    group_id: GroupId
    target_epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The coordinator wants an instruction to end early."""

    instruction_id: InstructionId
    group_id: GroupId
    target_epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The coordinator has committed reports up to this number."""

    acked_seq: int


@dataclass(frozen=True, slots=True)
class EventEnded:
    """A lifecycle event came to its end: diagnostics is None when it ended well, at is None when it ended just now.

    closing: hooks close it before that is told.
    """

    instruction_id: InstructionId
    event: LifecycleEvent
    diagnostics: Diagnostics | None = None
    at: int | None = None
    closing: bool = False


@dataclass(frozen=True, slots=True)
class EventInterrupted:
    """Nobody can say how an attempt at an event ended, and the author of its scripts, or their probe, says that they may run again.

    closing: hooks close the event if it does not begin again.
    """

    instruction_id: InstructionId
    event: LifecycleEvent
    attempt: int
    diagnostics: Diagnostics
    at: int | None = None
    closing: bool = False


@dataclass(frozen=True, slots=True)
class EventClosed:
    """The closing hooks of an event have ended; diagnostics is None when they ended well, at is None when they ended just now."""

    instruction_id: InstructionId
    event: LifecycleEvent
    diagnostics: Diagnostics | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class EventNeverBegan:
    """Answer to Recover: no script of the event was started before the agent restarted."""

    instruction_id: InstructionId
    event: LifecycleEvent


Fact = (
    Resumed
    | Connected
    | Disconnected
    | InstructionReceived
    | InstructionUnreadable
    | CancelReceived
    | Acknowledged
    | EventEnded
    | EventInterrupted
    | EventClosed
    | EventNeverBegan
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Entry: the instruction will be carried out when its turn comes; raises the fence of its group."""

    instruction: Instruction


@dataclass(frozen=True, slots=True)
class Started:
    """Entry: the instruction's turn has come. serving is the revision whose scripts serve its old-revision events; None: no revision."""

    instruction_id: InstructionId
    serving: Installed | None


@dataclass(frozen=True, slots=True)
class Repeated:
    """Entry: the event that runs was interrupted and begins again, as this attempt; what follows it has the same number."""

    instruction_id: InstructionId
    attempt: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Entry: the scripts of the event that runs have ended so, and its closing hooks may begin; diagnostics is None: they ended well."""

    instruction_id: InstructionId
    diagnostics: Diagnostics | None


@dataclass(frozen=True, slots=True)
class EndAsked:
    """Entry: the instruction ends with this status when its running event has ended."""

    instruction_id: InstructionId
    status: InstructionStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Entry: something happened to an instruction; seq counts from 1 per journal.

    Group and epoch are set when the instruction was never accepted: such a refusal is kept until the group's fence is higher.
    """

    seq: int
    report: Report
    group_id: GroupId | None = None
    target_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Acked:
    """Entry: the highest report number that the coordinator has acknowledged. Need not be on the disk before anything else happens."""

    seq: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """Entry: the number of the last report; written where reports were left out or numbers were skipped."""

    last_seq: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """Entry of a shortened journal: the fence of a group."""

    group_id: GroupId
    fence: Fence


@dataclass(frozen=True, slots=True)
class Held:
    """Entry of a shortened journal: what a group has on this host."""

    group_id: GroupId
    holding: Holding


Entry = Reported | Accepted | Started | Repeated | Judged | EndAsked | Acked | Numbered | Fenced | Held


@dataclass(frozen=True, slots=True)
class Begin:
    """Order: carry out one lifecycle event; ended by EventEnded or EventInterrupted.

    A repeat of the same attempt never comes: a restart brings Recover or a fresh Begin. previous is the revision that was installed
    before this deployment; None: no revision.
    """

    instruction: Instruction
    event: LifecycleEvent
    timeout_seconds: float
    serving: Installed | None
    attempt: int = 1
    previous: RevisionId | None = None


@dataclass(frozen=True, slots=True)
class Recover:
    """Order: find out how an event went that the journal calls begun; ended by EventEnded, EventInterrupted or EventNeverBegan."""

    instruction: Instruction
    event: LifecycleEvent
    timeout_seconds: float
    serving: Installed | None
    attempt: int = 1
    previous: RevisionId | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Order: run the closing hooks of an event that has ended so, those that have not begun; ended by EventClosed.

    A repeat, after a restart, runs nothing twice.
    """

    instruction: Instruction
    event: LifecycleEvent
    serving: Installed | None
    attempt: int
    previous: RevisionId | None
    diagnostics: Diagnostics | None


@dataclass(frozen=True, slots=True)
class SendReports:
    """Order: send reports with consecutive numbers; ended by Acknowledged. A repeat is dropped by the coordinator."""

    first_seq: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """Order: the instruction has ended, let go of what was held for it. Nothing answers; a repeat changes nothing."""

    instruction_id: InstructionId


@dataclass(frozen=True, slots=True)
class Forget:
    """Order: write the journal anew without these instructions. Nothing answers; one that is lost is asked for again."""

    instruction_ids: tuple[InstructionId, ...]


Order = Begin | Recover | Close | SendReports | Finish | Forget


@dataclass(frozen=True, slots=True)
class Turn:
    """What follows from some facts: entries to write down in one go, then orders to carry out in order."""

    entries: tuple[Entry, ...]
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What Hello tells the coordinator of the journal."""

    last_seq: int
    acked_seq: int
    fences: tuple[tuple[GroupId, Fence], ...]
    holdings: tuple[tuple[GroupId, Holding], ...]
