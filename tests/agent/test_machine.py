"""The rules of the agent's machine, one by one."""

from dataclasses import replace

from agent.facts import (
    Acknowledged,
    Begin,
    Connected,
    EventEnded,
    EventInterrupted,
    EventNeverBegan,
    Finish,
    InstructionReceived,
    InstructionUnreadable,
    Recover,
    SendReports,
)
from agent.machine import ATTEMPTS
from agent.model import Diagnostics, GroupId, Installed, InstructionId, LifecycleEvent
from tests.agent.instructions import SEVEN, TWO, Told, cancel, instruction, must_begin, sent, words


def test_an_instruction_is_accepted_and_its_first_event_begun_in_one_writing() -> None:
    told = Told()
    told.tell(Connected(0))
    orders = told.tell(InstructionReceived(instruction()))
    assert [type(order) for order in orders] == [Begin, SendReports]
    assert must_begin(orders).event is LifecycleEvent.APPLICATION_STOP
    assert words(orders) == ["d-1 ApplicationStop InProgress"]
    assert told.writings == 1


def test_the_result_of_an_event_and_the_begin_of_the_next_are_one_writing() -> None:
    told = Told()
    told.tell(Connected(0))
    first = must_begin(told.tell(InstructionReceived(instruction())))
    before = told.writings
    orders = told.end(first)
    assert told.writings == before + 1
    assert words(orders) == ["d-1 ApplicationStop Succeeded", "d-1 DownloadBundle InProgress"]
    assert must_begin(orders).event is LifecycleEvent.DOWNLOAD_BUNDLE


def test_all_events_are_walked_in_order_and_numbered_from_one() -> None:
    told = Told()
    told.tell(Connected(0))
    told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
    assert [seq for seq, _ in sent(told.orders)] == list(range(1, 15))
    assert words(told.orders) == [f"d-1 {event} {status}" for event in SEVEN for status in ("InProgress", "Succeeded")]
    assert [order for order in told.orders if isinstance(order, Finish)] == [Finish(InstructionId("d-1/h/1/1"))]


def test_a_failed_event_ends_the_instruction() -> None:
    told = Told()
    told.tell(Connected(0))
    orders = told.end(must_begin(told.tell(InstructionReceived(instruction()))), "exit code 1")
    assert words(orders) == ["d-1 ApplicationStop Failed"]
    assert sent(orders)[0][1].diagnostics is not None
    assert Finish(InstructionId("d-1/h/1/1")) in orders


def ignoring(*events: LifecycleEvent) -> InstructionReceived:
    """An instruction that goes on when the old revision's scripts fail."""
    return InstructionReceived(replace(instruction(events=events), ignore_application_stop_failures=True))


def test_where_failures_of_the_old_revision_are_ignored_the_next_event_begins() -> None:
    told = Told()
    told.tell(Connected(0))
    orders = told.end(must_begin(told.tell(ignoring(*SEVEN))), "exit code 1")
    assert words(orders) == ["d-1 ApplicationStop Failed", "d-1 DownloadBundle InProgress"]
    assert not any(isinstance(order, Finish) for order in orders)
    again = told.restarted()
    assert must_begin(again.resumed()).event is LifecycleEvent.DOWNLOAD_BUNDLE
    again.tell(Connected(0))
    again.walk(must_begin(told.orders[-2:]))
    assert again.machine.unfinished == ()


def test_a_failure_of_the_new_revision_is_never_ignored() -> None:
    told = Told()
    told.tell(Connected(0))
    second = must_begin(told.end(must_begin(told.tell(ignoring(*SEVEN))), "exit code 1"))
    assert words(told.end(second, "no such bundle")) == ["d-1 DownloadBundle Failed"]
    assert told.machine.unfinished == ()


def test_an_instruction_whose_last_event_fails_has_ended_whatever_is_ignored() -> None:
    told = Told()
    told.tell(Connected(0))
    orders = told.end(must_begin(told.tell(ignoring(LifecycleEvent.APPLICATION_STOP))), "exit code 1")
    assert Finish(InstructionId("d-1/h/1/1")) in orders


def test_a_cancel_counts_although_the_running_event_fails_and_that_is_ignored() -> None:
    told = Told()
    told.tell(Connected(0))
    first = must_begin(told.tell(ignoring(*SEVEN)))
    told.tell(cancel("d-1", "enough"))
    assert words(told.end(first, "exit code 1")) == ["d-1 ApplicationStop Failed", "d-1 Cancelled"]


def test_an_event_of_the_old_revision_that_comes_after_the_download_is_served_by_the_new_one() -> None:
    told = Told()
    told.tell(Connected(0))
    wanted = instruction(events=(LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.APPLICATION_STOP))
    order = must_begin(told.tell(InstructionReceived(wanted)))
    assert order.serving is None
    serving = must_begin(told.end(order)).serving
    assert serving == Installed(revision_id=wanted.revision_id, deployment_id=wanted.deployment_id)


def test_an_end_that_nobody_waits_for_changes_nothing() -> None:
    told = Told()
    told.tell(Connected(0))
    first = must_begin(told.tell(InstructionReceived(instruction())))
    told.end(first)
    assert told.end(first) == ()
    assert told.tell(EventEnded(InstructionId("unheard of"), LifecycleEvent.INSTALL)) == ()


def test_the_true_end_of_a_recovered_event_is_reported_not_the_time_of_its_discovery() -> None:
    told = Told()
    told.tell(Connected(0))
    first = must_begin(told.tell(InstructionReceived(instruction())))
    orders = told.tell(EventEnded(first.instruction.instruction_id, first.event, None, 77))
    assert [report.at for _, report in sent(orders)] == [77, told.at]


class TestDelivery:
    """What comes twice, changed, late or not at all."""

    def test_the_same_instruction_again_is_answered_with_its_reports(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.end(must_begin(told.tell(InstructionReceived(instruction()))))
        before = len(told.journal)
        orders = told.tell(InstructionReceived(instruction()))
        assert [seq for seq, _ in sent(orders)] == [1, 2, 3]
        assert len(told.journal) == before

    def test_the_same_instruction_again_after_its_end_is_not_run_again(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
        orders = told.tell(InstructionReceived(instruction()))
        assert [type(order) for order in orders] == [SendReports]
        assert len(sent(orders)) == 14

    def test_another_digest_ends_the_instruction_as_a_conflict_when_the_running_event_has_ended(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction())))
        assert told.tell(InstructionReceived(instruction(digest="bb"))) == ()
        orders = told.end(first)
        assert words(orders) == ["d-1 ApplicationStop Succeeded", "d-1 Refused"]
        assert "digest" in _why(orders)

    def test_another_digest_after_the_end_is_refused_once(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.end(must_begin(told.tell(InstructionReceived(instruction()))), "broken")
        assert words(told.tell(InstructionReceived(instruction(digest="bb")))) == ["d-1 Refused"]
        before = len(told.journal)
        assert words(told.tell(InstructionReceived(instruction(digest="bb"))))[-1] == "d-1 Refused"
        assert len(told.journal) == before

    def test_a_lower_epoch_is_stale(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction("d-2", epoch=2)))
        orders = told.tell(InstructionReceived(instruction("d-1", epoch=1)))
        assert words(orders) == ["d-1 Refused"]
        assert "stale" in _why(orders)

    def test_a_lower_epoch_of_another_group_is_not_stale(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction("d-2", epoch=2)))
        assert words(told.tell(InstructionReceived(instruction("d-1", group="g-2", epoch=1)))) == ["d-1 Waiting"]

    def test_the_same_epoch_for_another_deployment_is_a_conflict(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction("d-1", epoch=1)))
        orders = told.tell(InstructionReceived(instruction("d-2", epoch=1)))
        assert words(orders) == ["d-2 Refused"]
        assert "conflict" in _why(orders)

    def test_an_instruction_without_events_is_refused(self) -> None:
        told = Told()
        told.tell(Connected(0))
        assert words(told.tell(InstructionReceived(instruction(events=())))) == ["d-1 Refused"]

    def test_an_instruction_that_cannot_be_read_is_refused_once(self) -> None:
        told = Told()
        told.tell(Connected(0))
        fact = InstructionUnreadable(InstructionId("d-1/h/1/1"), GroupId("g-1"), 1, "99 has no meaning here")
        assert words(told.tell(fact)) == ["d-1 Refused"]
        before = len(told.journal)
        assert words(told.tell(fact)) == ["d-1 Refused"]
        assert len(told.journal) == before

    def test_a_refusal_does_not_raise_the_fence(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction("d-9", epoch=9, events=())))
        assert told.machine.standing.fences == ()


class TestCancel:
    """Cancel takes effect before the next event."""

    def test_the_running_event_finishes_and_the_rest_is_not_run(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction())))
        assert told.tell(cancel("d-1", "stopped by ann")) == ()
        orders = told.end(first)
        assert words(orders) == ["d-1 ApplicationStop Succeeded", "d-1 Cancelled"]
        assert _why(orders) == "stopped by ann"
        assert Finish(InstructionId("d-1/h/1/1")) in orders

    def test_it_is_remembered_over_a_crash(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction(events=TWO)))
        told.tell(cancel("d-1", "stopped"))
        again = told.restarted()
        again.tell(Connected(0))
        assert words(again.end(must_begin(again.resumed())))[-1] == "d-1 Cancelled"

    def test_an_event_that_never_began_is_not_begun_after_it(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction()))
        told.tell(cancel("d-1", "stopped"))
        again = told.restarted()
        again.tell(Connected(0))
        again.resumed()
        orders = again.tell(EventNeverBegan(InstructionId("d-1/h/1/1"), LifecycleEvent.APPLICATION_STOP))
        assert words(orders) == ["d-1 Cancelled"]

    def test_when_the_last_event_ends_well_the_instruction_has_succeeded(self) -> None:
        told = Told()
        told.tell(Connected(0))
        last = told.walk(must_begin(told.tell(InstructionReceived(instruction(events=TWO)))), until=LifecycleEvent.APPLICATION_START)
        assert last is not None
        told.tell(cancel("d-1", "stopped"))
        assert words(told.end(last)) == ["d-1 ApplicationStart Succeeded"]

    def test_one_that_waits_is_cancelled_at_once(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction("d-1")))
        told.tell(InstructionReceived(instruction("d-2", group="g-2")))
        assert words(told.tell(cancel("d-2", "stopped", group="g-2"))) == ["d-2 Cancelled"]

    def test_an_unseen_instruction_leaves_a_tombstone_and_is_never_run(self) -> None:
        told = Told()
        told.tell(Connected(0))
        assert words(told.tell(cancel("d-1", "stopped"))) == ["d-1 Refused"]
        again = told.restarted()
        again.tell(Connected(1))
        assert words(again.tell(InstructionReceived(instruction()))) == ["d-1 Refused"]

    def test_one_that_has_ended_is_answered_with_its_reports(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.end(must_begin(told.tell(InstructionReceived(instruction()))), "broken")
        told.tell(Acknowledged(2))
        assert words(told.tell(cancel("d-1", "stopped")))[-1] == "d-1 ApplicationStop Failed"


class TestSeveralGroups:
    """One instruction runs at a time on a host."""

    def test_the_second_waits_says_for_what_and_starts_when_free(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction("d-1", events=TWO))))
        orders = told.tell(InstructionReceived(instruction("d-2", group="g-2", events=TWO)))
        assert words(orders) == ["d-2 Waiting"]
        assert "d-1 of deployment group group g-1" in _why(orders)
        last = told.walk(first, until=LifecycleEvent.APPLICATION_START)
        assert last is not None
        orders = told.end(last)
        assert words(orders) == ["d-1 ApplicationStart Succeeded", "d-2 Install InProgress"]
        assert must_begin(orders).instruction.deployment_id == "d-2"

    def test_a_newer_deployment_of_the_group_ends_the_older_one(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction("d-1", epoch=1))))
        assert words(told.tell(InstructionReceived(instruction("d-2", epoch=2)))) == ["d-2 Waiting"]
        orders = told.end(first)
        assert words(orders) == ["d-1 ApplicationStop Succeeded", "d-1 Cancelled", "d-2 ApplicationStop InProgress"]

    def test_a_newer_deployment_ends_an_older_one_that_waits_at_once(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction("d-0", group="g-0")))
        told.tell(InstructionReceived(instruction("d-1", epoch=1)))
        assert words(told.tell(InstructionReceived(instruction("d-2", epoch=2)))) == ["d-1 Cancelled", "d-2 Waiting"]


def _interrupted(order: Begin | Recover) -> EventInterrupted:
    return EventInterrupted(order.instruction.instruction_id, order.event, order.attempt, Diagnostics(message="reboot"))


class TestWhatWasInterruptedAndMayRunAgain:
    """The author of the scripts says that they may; the machine decides whether they do."""

    def test_it_begins_again_as_the_next_attempt_in_one_writing_and_says_why_it_takes_longer(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction())))
        before = told.writings
        orders = told.tell(_interrupted(first))
        assert must_begin(orders) == replace(first, attempt=2)
        assert words(orders) == ["d-1 Waiting"]
        assert _why(orders) == "ApplicationStop begins again, as attempt 2 of 3: reboot"
        assert told.writings == before + 1
        assert told.tell(_interrupted(first)) == ()

    def test_the_events_after_it_keep_the_number_of_the_attempt(self) -> None:
        told = Told()
        again = must_begin(told.tell(InstructionReceived(instruction()))[:1])
        again = must_begin(told.tell(_interrupted(again)))
        assert must_begin(told.end(again)).attempt == 2

    def test_a_restart_asks_for_the_attempt_that_was_written_down(self) -> None:
        told = Told()
        told.tell(_interrupted(must_begin(told.tell(InstructionReceived(instruction())))))
        (order,) = told.restarted().resumed()
        assert isinstance(order, Recover)
        assert order.attempt == 2

    def test_the_last_attempt_fails_the_event_with_what_was_found(self) -> None:
        told = Told()
        told.tell(Connected(0))
        order = must_begin(told.tell(InstructionReceived(instruction())))
        for _ in range(ATTEMPTS - 1):
            order = must_begin(told.tell(_interrupted(order)))
        orders = told.tell(_interrupted(order))
        assert words(orders) == ["d-1 ApplicationStop Failed"]
        assert _why(orders) == "reboot"

    def test_nothing_begins_again_that_was_cancelled_or_superseded(self) -> None:
        for fact in (cancel("d-1", "stopped"), InstructionReceived(instruction("d-2", epoch=2))):
            told = Told()
            told.tell(Connected(0))
            order = must_begin(told.tell(InstructionReceived(instruction())))
            told.tell(fact)
            assert words(told.tell(_interrupted(order)))[0] == "d-1 ApplicationStop Failed"


def _why(orders: tuple[object, ...]) -> str:
    reports = [report for order in orders if isinstance(order, SendReports) for report in order.reports]
    diagnostics = next(report.diagnostics for report in reports if report.diagnostics is not None)
    return diagnostics.message
