"""Instructions for tests of the agent, and what its machine told and wrote."""

from collections.abc import Sequence

from agent.facts import Begin, CancelReceived, Entry, EventEnded, Fact, Order, Recover, Resumed, SendReports
from agent.machine import Machine
from agent.model import (
    DeploymentId,
    Diagnostics,
    EventPlan,
    GroupId,
    Instruction,
    InstructionId,
    LifecycleEvent,
    Location,
    Place,
    Report,
    RevisionId,
)

SEVEN = (
    LifecycleEvent.APPLICATION_STOP,
    LifecycleEvent.DOWNLOAD_BUNDLE,
    LifecycleEvent.BEFORE_INSTALL,
    LifecycleEvent.INSTALL,
    LifecycleEvent.AFTER_INSTALL,
    LifecycleEvent.APPLICATION_START,
    LifecycleEvent.VALIDATE_SERVICE,
)
TWO = (LifecycleEvent.INSTALL, LifecycleEvent.APPLICATION_START)


def instruction(
    deployment: str = "d-1",
    *,
    group: str = "g-1",
    epoch: int = 1,
    events: Sequence[LifecycleEvent] = SEVEN,
    digest: str = "aa",
    revision: str = "r1",
) -> Instruction:
    """An instruction of one deployment for this host."""
    return Instruction(
        instruction_id=InstructionId(f"{deployment}/h/1/1"),
        digest=digest,
        target_epoch=epoch,
        deployment_id=DeploymentId(deployment),
        group_id=GroupId(group),
        group_name=f"group {group}",
        application_name="shop",
        revision_id=RevisionId(revision),
        location=Location(place=Place.COORDINATOR, words=(("size", "10"),), sha256="ab" * 32),
        events=tuple(EventPlan(event=event, timeout_seconds=60.0) for event in events),
    )


def cancel(deployment: str, reason: str, *, group: str = "g-1", epoch: int = 1) -> CancelReceived:
    """The end, before its time, of an instruction that `instruction` made."""
    return CancelReceived(InstructionId(f"{deployment}/h/1/1"), GroupId(group), epoch, reason)


class Told:
    """A machine with its journal, and everything that it ever ordered."""

    def __init__(self, entries: Sequence[Entry] = (), *, retained_instructions: int = 1_000) -> None:
        self.retained = retained_instructions
        self.machine = Machine(entries, retained_instructions=retained_instructions)
        self.journal: list[Entry] = list(entries)
        self.orders: list[Order] = []
        self.writings = 0
        self.at = 0

    def tell(self, *facts: Fact) -> tuple[Order, ...]:
        """Tells facts; the orders that follow."""
        self.at += 1
        turn = self.machine.turn(facts, at=self.at)
        self.journal += turn.entries
        self.writings += bool(turn.entries)
        self.orders += turn.orders
        return turn.orders

    def restarted(self) -> "Told":
        """The agent after a crash: what the journal tells, and nothing else."""
        return Told(self.journal, retained_instructions=self.retained)

    def resumed(self) -> tuple[Order, ...]:
        """The first orders after a start."""
        return self.tell(Resumed())

    def end(self, order: Begin | Recover, why: str = "") -> tuple[Order, ...]:
        """The event that was ordered ends, badly if there is a reason."""
        return self.tell(EventEnded(order.instruction.instruction_id, order.event, Diagnostics(message=why) if why else None))

    def walk(self, order: Begin, *, until: LifecycleEvent | None = None) -> Begin | None:
        """Ends event after event well, up to the beginning of `until`; the order that is open then."""
        open_order: Begin | None = order
        while open_order is not None and open_order.event is not until:
            open_order = begun(self.end(open_order))
        return open_order


def begun(orders: Sequence[Order]) -> Begin | None:
    """The only Begin among orders."""
    begins = [order for order in orders if isinstance(order, Begin)]
    assert len(begins) <= 1
    return begins[0] if begins else None


def must_begin(orders: Sequence[Order]) -> Begin:
    """The only Begin among orders, which is there."""
    order = begun(orders)
    assert order is not None
    return order


def sent(orders: Sequence[Order]) -> list[tuple[int, Report]]:
    """All reports in orders to send, with their numbers."""
    return [
        (order.first_seq + index, report)
        for order in orders
        if isinstance(order, SendReports)
        for index, report in enumerate(order.reports)
    ]


def words(orders: Sequence[Order]) -> list[str]:
    """Reports in orders to send, in short: d-1 Install Succeeded."""
    return [
        " ".join(filter(None, (report.instruction_id.split("/")[0], report.event and report.event.value, report.status.value)))
        for _, report in sent(orders)
    ]
