"""What the agent's machine remembers: what is on the host, what was begun, what was reported, and what may be forgotten."""

import pytest

from agent.facts import (
    Acked,
    Acknowledged,
    Begin,
    Connected,
    Disconnected,
    EventNeverBegan,
    Forget,
    InstructionReceived,
    Recover,
    SendReports,
)
from agent.model import DeploymentId, Fence, GroupId, Holding, Installed, InstructionId, LifecycleEvent, RevisionId
from tests.agent.instructions import SEVEN, TWO, Told, cancel, instruction, must_begin, sent


class TestHoldings:
    """What is on the host, and whose scripts stop it."""

    def test_a_first_deployment_has_no_old_revision(self) -> None:
        told = Told()
        assert must_begin(told.tell(InstructionReceived(instruction()))).serving is None

    def test_the_revision_whose_install_finished_last_serves_the_next_deployment(self) -> None:
        told = Told()
        after_install = told.walk(must_begin(told.tell(InstructionReceived(instruction()))), until=LifecycleEvent.AFTER_INSTALL)
        assert after_install is not None
        told.end(after_install, "broken")
        installed = Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))
        assert told.machine.standing.holdings == ((GroupId("g-1"), Holding(installed=installed)),)
        assert must_begin(told.tell(InstructionReceived(instruction("d-2", epoch=2, revision="r2")))).serving == installed

    def test_every_event_is_told_what_was_installed_before_its_deployment_also_after_a_crash(self) -> None:
        told = Told()
        first = must_begin(told.tell(InstructionReceived(instruction())))
        assert first.previous is None
        told.walk(first)
        stop = must_begin(told.tell(InstructionReceived(instruction("d-2", epoch=2, revision="r2"))))
        last = told.walk(stop, until=LifecycleEvent.VALIDATE_SERVICE)
        assert last is not None
        assert (stop.previous, last.previous) == ("r1", "r1")
        assert told.restarted().machine.standing.holdings[0][1].before == "r1"

    def test_which_revision_serves_survives_a_crash(self) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
        told.tell(InstructionReceived(instruction("d-2", epoch=2, revision="r2")))
        (order,) = told.restarted().resumed()
        assert isinstance(order, Recover)
        assert order.serving == Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))

    def test_one_that_waited_is_served_by_what_was_installed_meanwhile(self) -> None:
        told = Told()
        first = must_begin(told.tell(InstructionReceived(instruction("d-1", events=TWO))))
        told.tell(InstructionReceived(instruction("d-2", epoch=2)))
        second = must_begin(told.end(first))
        assert second.serving == Installed(revision_id=RevisionId("r1"), deployment_id=DeploymentId("d-1"))

    def test_the_last_event_makes_the_revision_the_deployed_one(self) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
        ((_, holding),) = told.machine.standing.holdings
        assert holding.deployed == "r1"

    def test_an_instruction_that_installed_nothing_deploys_nothing(self) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction(events=(LifecycleEvent.APPLICATION_STOP,))))))
        assert told.machine.standing.holdings == ()

    def test_the_fence_is_told_with_its_deployment(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction("d-7", epoch=7)))
        assert told.machine.standing.fences == ((GroupId("g-1"), Fence(target_epoch=7, deployment_id=DeploymentId("d-7"))),)


class TestResume:
    """After a restart the journal decides."""

    @pytest.mark.parametrize("event", [event for event in SEVEN if event not in (LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.INSTALL)])
    def test_a_scripted_event_that_was_begun_is_recovered_never_begun_again(self, event: LifecycleEvent) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))), until=event)
        (order,) = told.restarted().resumed()
        assert isinstance(order, Recover)
        assert order.event is event

    @pytest.mark.parametrize("event", [LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.INSTALL])
    def test_a_repeatable_event_begins_again(self, event: LifecycleEvent) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))), until=event)
        again = told.restarted()
        assert must_begin(again.resumed()).event is event
        assert again.writings == 0

    def test_an_event_that_never_began_begins_without_another_report(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction()))
        again = told.restarted()
        again.tell(Connected(1))
        again.resumed()
        orders = again.tell(EventNeverBegan(InstructionId("d-1/h/1/1"), LifecycleEvent.APPLICATION_STOP))
        assert must_begin(orders).event is LifecycleEvent.APPLICATION_STOP
        assert sent(orders) == []

    def test_an_event_that_ended_meanwhile_goes_on_to_the_next(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction()))
        again = told.restarted()
        (order,) = again.resumed()
        assert isinstance(order, Recover)
        assert must_begin(again.end(order)).event is LifecycleEvent.DOWNLOAD_BUNDLE

    def test_the_one_that_waited_still_waits(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction("d-1", events=TWO)))
        told.tell(InstructionReceived(instruction("d-2", group="g-2", events=TWO)))
        again = told.restarted()
        again.walk(must_begin(again.resumed()), until=None)
        assert [order.instruction.deployment_id for order in again.orders if isinstance(order, Begin)] == ["d-1", "d-1", "d-2", "d-2"]

    def test_an_empty_journal_has_nothing_to_resume(self) -> None:
        assert Told().resumed() == ()


class TestReports:
    """Reports are repeated until they are acknowledged, and kept for longer."""

    def test_nothing_is_sent_without_a_stream(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction()))
        assert sent(told.orders) == []

    def test_a_welcome_repeats_what_is_not_acknowledged(self) -> None:
        told = Told()
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
        assert [seq for seq, _ in sent(told.tell(Connected(9)))] == [10, 11, 12, 13, 14]

    def test_nothing_follows_a_lost_stream(self) -> None:
        told = Told()
        told.tell(Connected(0))
        first = must_begin(told.tell(InstructionReceived(instruction())))
        told.tell(Disconnected())
        assert sent(told.end(first)) == []

    def test_a_welcome_that_has_forgotten_is_refilled_with_what_was_acknowledged(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.walk(must_begin(told.tell(InstructionReceived(instruction()))))
        told.tell(Acknowledged(14))
        assert [seq for seq, _ in sent(told.tell(Connected(3)))] == list(range(4, 15))
        assert told.machine.standing.acked_seq == 14

    def test_an_acknowledgement_is_remembered_over_a_restart(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction()))
        told.tell(Acknowledged(1))
        assert told.journal[-1] == Acked(1)
        assert told.restarted().machine.standing.acked_seq == 1

    def test_an_acknowledgement_of_what_was_never_sent_is_ignored(self) -> None:
        told = Told()
        told.tell(Connected(0))
        told.tell(InstructionReceived(instruction()))
        told.tell(Acknowledged(99))
        assert told.machine.standing.acked_seq == 0

    def test_numbers_that_an_older_copy_of_the_journal_does_not_know_are_not_used_again(self) -> None:
        told = Told()
        told.tell(InstructionReceived(instruction("d-1", events=TWO)))
        told.tell(Connected(40))
        assert [seq for seq, _ in sent(told.tell(InstructionReceived(instruction("d-2", group="g-2"))))] == [41]
        assert told.restarted().machine.standing.last_seq == 41

    def test_the_agent_is_busy_until_the_last_acknowledgement(self) -> None:
        told = Told()
        told.tell(Connected(0))
        busy = [told.machine.busy]
        told.end(must_begin(told.tell(InstructionReceived(instruction()))), "broken")
        busy.append(told.machine.busy)
        told.tell(Acknowledged(2))
        assert [*busy, told.machine.busy] == [False, True, False]


class TestForgetting:
    """The journal stays bounded, and what it keeps is whole."""

    @staticmethod
    def _deployed(told: Told, number: int) -> None:
        received = InstructionReceived(instruction(f"d-{number}", epoch=number, events=TWO, revision=f"r{number}"))
        told.walk(must_begin(told.tell(received)))
        told.tell(Acknowledged(told.machine.standing.last_seq))

    def test_the_oldest_ended_instructions_are_forgotten_when_there_are_a_quarter_too_many(self) -> None:
        told = Told(retained_instructions=8)
        told.tell(Connected(0))
        for number in range(1, 12):
            self._deployed(told, number)
        forgets = [order for order in told.orders if isinstance(order, Forget)]
        assert forgets == [Forget((InstructionId("d-1/h/1/1"), InstructionId("d-2/h/1/1"), InstructionId("d-3/h/1/1")))]
        assert [seq for seq, _ in sent(told.tell(Connected(0)))] == list(range(13, 45))

    def test_what_is_not_acknowledged_is_not_forgotten(self) -> None:
        told = Told(retained_instructions=8)
        told.tell(Connected(0))
        for number in range(1, 30):  # no acknowledgement in between
            received = InstructionReceived(instruction(f"d-{number}", epoch=number, events=TWO))
            told.walk(must_begin(told.tell(received)))
        told.tell(Acknowledged(4))
        assert [order for order in told.orders if isinstance(order, Forget)] == [Forget((InstructionId("d-1/h/1/1"),))]

    def test_what_a_group_could_still_be_sent_again_is_not_forgotten(self) -> None:
        told = Told(retained_instructions=2)
        told.tell(Connected(0))
        told.tell(cancel("d-0", "stopped", group="g-0"))
        told.walk(must_begin(told.tell(InstructionReceived(instruction("d-00", group="g-00", events=TWO)))))
        for number in range(1, 30):
            self._deployed(told, number)
        before = len(told.orders)
        for again in (instruction("d-0", group="g-0"), instruction("d-00", group="g-00", events=TWO)):
            told.tell(InstructionReceived(again))
        assert [type(order) for order in told.orders[before:]] == [SendReports, SendReports]

    def test_the_shortened_journal_tells_the_same(self) -> None:
        told = Told(retained_instructions=8)
        told.tell(Connected(0))
        for number in range(1, 12):
            self._deployed(told, number)
        told.tell(InstructionReceived(instruction("d-20", epoch=20)))
        again = Told(list(told.machine.entries()), retained_instructions=8)
        assert again.machine.standing == told.machine.standing
        assert sent(again.tell(Connected(0))) == sent(told.tell(Connected(0)))
        (order,) = again.resumed()
        assert isinstance(order, Recover)
        assert order.serving == Installed(revision_id=RevisionId("r11"), deployment_id=DeploymentId("d-11"))
