"""Closing hooks: they run once, before the result is told, and never make a success of a failure."""

from collections.abc import Sequence

from agent.facts import (
    Begin,
    Close,
    Connected,
    EventClosed,
    EventEnded,
    EventInterrupted,
    Finish,
    InstructionReceived,
    Judged,
    Order,
    Recover,
)
from agent.machine import ATTEMPTS
from agent.model import Diagnostics, ErrorCode, InstructionId, LifecycleEvent
from tests.agent.instructions import Told, cancel, instruction, must_begin, sent, words

FAILED = Diagnostics(error_code=ErrorCode.SCRIPT_FAILED, message="exit code 1", script_name="a.sh", log_tail="[stdout]oh\n")
BROKEN = Diagnostics(error_code=ErrorCode.SCRIPT_TIMED_OUT, message="it hung", script_name="close.sh")
ID = InstructionId("d-1/h/1/1")
STOP = LifecycleEvent.APPLICATION_STOP


def running() -> Told:
    """A machine that runs the first of two events."""
    told = Told()
    told.tell(Connected(0))
    told.tell(InstructionReceived(instruction(events=(STOP, LifecycleEvent.APPLICATION_START))))
    return told


def closes(orders: Sequence[Order]) -> list[Close]:
    return [order for order in orders if isinstance(order, Close)]


def test_an_event_is_told_when_its_closing_hooks_have_ended() -> None:
    told = running()
    (close,) = told.tell(EventEnded(ID, STOP, None, at=5, closing=True))
    assert isinstance(close, Close)
    assert (close.event, close.attempt, close.diagnostics) == (STOP, 1, None)
    assert told.journal[-1] == Judged(ID, None)
    orders = told.tell(EventClosed(ID, STOP, None, at=7))
    assert words(orders) == ["d-1 ApplicationStop Succeeded", "d-1 ApplicationStart InProgress"]
    assert sent(orders)[0][1].at == 7


def test_an_event_without_closing_hooks_has_no_verdict_to_keep() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP))
    assert not any(isinstance(entry, Judged) for entry in told.journal)


def test_a_restart_orders_the_closing_hooks_with_the_verdict_that_they_were_told() -> None:
    told = running()
    close = closes(told.tell(EventEnded(ID, STOP, FAILED, closing=True)))
    again = told.restarted()
    assert again.resumed() == tuple(close)
    assert again.restarted().resumed() == tuple(close)
    assert again.tell(EventEnded(ID, STOP)) == ()  # what an older supervisor says now comes too late
    again.tell(EventClosed(ID, STOP))
    reports = again.tell(Connected(1))
    assert words(reports) == ["d-1 ApplicationStop Failed"]
    assert sent(reports)[0][1].diagnostics == FAILED


def test_a_shortened_journal_still_knows_the_verdict() -> None:
    told = running()
    close = closes(told.tell(EventEnded(ID, STOP, FAILED, closing=True)))
    assert Told(list(told.machine.entries())).resumed() == tuple(close)


def test_a_closing_hook_that_fails_fails_the_event_that_went_well() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP, closing=True))
    orders = told.tell(EventClosed(ID, STOP, BROKEN))
    assert words(orders) == ["d-1 ApplicationStop Failed"]
    assert sent(orders)[0][1].diagnostics == BROKEN
    assert Finish(ID) in orders


def test_a_closing_hook_that_fails_is_noted_where_the_event_has_failed_before() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP, FAILED, closing=True))
    diagnostics = sent(told.tell(EventClosed(ID, STOP, BROKEN)))[0][1].diagnostics
    assert diagnostics == Diagnostics(
        error_code=ErrorCode.SCRIPT_FAILED,
        message="exit code 1; and its closing hooks failed: it hung",
        script_name="a.sh",
        log_tail="[stdout]oh\n",
    )


def test_closing_hooks_that_went_well_do_not_mend_a_failure() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP, FAILED, closing=True))
    assert words(told.tell(EventClosed(ID, STOP))) == ["d-1 ApplicationStop Failed"]


def test_what_is_not_asked_for_closes_nothing() -> None:
    told = running()
    assert told.tell(EventClosed(ID, STOP)) == ()
    told.tell(EventEnded(ID, STOP, closing=True))
    assert told.tell(EventClosed(ID, LifecycleEvent.APPLICATION_START)) == ()
    assert told.tell(EventEnded(ID, STOP, FAILED)) == ()
    assert words(told.tell(EventClosed(ID, STOP)))[0] == "d-1 ApplicationStop Succeeded"
    assert told.tell(EventClosed(ID, STOP)) == ()


def test_the_next_event_has_a_verdict_of_its_own() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP, closing=True))
    told.tell(EventClosed(ID, STOP))
    (order,) = told.restarted().resumed()
    assert isinstance(order, Recover)
    assert order.event is LifecycleEvent.APPLICATION_START


def test_a_cancel_waits_for_the_closing_hooks() -> None:
    told = running()
    told.tell(EventEnded(ID, STOP, closing=True))
    assert told.tell(cancel("d-1", "stopped")) == ()
    assert closes(told.restarted().resumed()) != []
    assert words(told.tell(EventClosed(ID, STOP))) == ["d-1 ApplicationStop Succeeded", "d-1 Cancelled"]


def test_an_attempt_that_is_followed_by_another_is_not_closed() -> None:
    told = running()
    begin = must_begin(told.tell(EventInterrupted(ID, STOP, 1, FAILED, closing=True)))
    assert begin.attempt == 2
    (close,) = closes(told.tell(EventEnded(ID, STOP, closing=True)))
    assert close.attempt == 2


def test_the_last_attempt_is_closed_and_so_is_one_that_a_cancel_keeps_from_another() -> None:
    told = running()
    for attempt in range(1, ATTEMPTS):
        assert isinstance(told.tell(EventInterrupted(ID, STOP, attempt, FAILED, closing=True))[0], Begin)
    (close,) = closes(told.tell(EventInterrupted(ID, STOP, ATTEMPTS, FAILED, closing=True)))
    assert (close.attempt, close.diagnostics) == (ATTEMPTS, FAILED)
    told = running()
    told.tell(cancel("d-1", "stopped"))
    assert closes(told.tell(EventInterrupted(ID, STOP, 1, FAILED, closing=True))) != []
    assert words(told.tell(EventClosed(ID, STOP))) == ["d-1 ApplicationStop Failed"]
