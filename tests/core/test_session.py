"""What the roster makes of hosts that go, come back, and are removed."""

from dataclasses import replace

from coordinator.core import session as sessions
from coordinator.core.errors import Unavailable
from coordinator.core.facts import Hello, HostRemovalRequested, Report, ReportsReceived, StreamEnded
from coordinator.core.lifecycle import EventStatus
from coordinator.core.model import HostId, InstructionId, JournalId
from coordinator.core.orders import Changes, Entry

HOST = HostId("id-h1")


def hello(stream: int) -> Hello:
    """The host opens a stream."""
    return Hello(
        at=1,
        elapsed=1,
        stream=stream,
        host_id=HOST,
        name="h1",
        boot_id="boot",
        journal_id=JournalId("journal"),
        last_seq=0,
        acked_seq=0,
        agent_version="0.1.0",
        capabilities=(),
        fences={},
        tags={},
        facts={},
        holdings=(),
    )


def test_a_host_whose_stream_ends_and_that_is_removed_at_once_is_gone() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(1), Changes())
    changes = Changes()
    sessions.leave(roster, StreamEnded(at=2, elapsed=2, stream=1, host_id=HOST, silent_since=2), changes)
    request = HostRemovalRequested(at=3, elapsed=3, host_id=HOST, requested_by="ada")
    assert sessions.forget(roster, request, awaited=False, changes=changes) is None
    assert (changes.removed, changes.hosts) == ([HOST], {})


def test_a_host_that_is_removed_and_comes_again_at_once_is_there() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(1), Changes())
    changes = Changes()
    sessions.leave(roster, StreamEnded(at=2, elapsed=2, stream=1, host_id=HOST, silent_since=2), changes)
    request = HostRemovalRequested(at=3, elapsed=3, host_id=HOST, requested_by="ada")
    sessions.forget(roster, request, awaited=False, changes=changes)
    sessions.greet(roster, hello(2), changes)
    assert (changes.removed, list(changes.hosts)) == ([HOST], [HOST])


def test_only_a_host_that_was_shut_out_is_forgotten_while_its_stream_is_open() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(1), Changes())
    request = HostRemovalRequested(at=3, elapsed=3, host_id=HOST, requested_by="ada")
    assert "its agent is connected" in str(sessions.forget(roster, request, awaited=False, changes=Changes()))
    shut_out = replace(request, shut_out=True)
    assert "a deployment waits for it" in str(sessions.forget(roster, shut_out, awaited=True, changes=Changes()))
    changes = Changes()
    assert sessions.forget(roster, shut_out, awaited=False, changes=changes) is None
    sessions.leave(roster, StreamEnded(at=4, elapsed=4, stream=1, host_id=HOST, silent_since=4), changes)
    assert (changes.removed, changes.hosts, roster.sessions, roster.names) == ([HOST], {}, {}, {})


def test_the_history_says_when_a_host_was_lost_and_that_it_is_back() -> None:
    roster, changes = sessions.Roster(), Changes()
    sessions.greet(roster, hello(1), Changes())
    sessions.leave(roster, StreamEnded(at=2, elapsed=2, stream=1, host_id=HOST, silent_since=2), changes)
    sessions.lose(roster, at=3, elapsed=2 + sessions.LOST_AFTER, changes=changes)
    sessions.greet(roster, hello(2), changes)
    sessions.greet(roster, hello(3), changes)
    assert [entry.entry for entry in changes.history] == [Entry.HostLost, Entry.HostConnected]


def test_what_could_not_be_stored_of_reports_leaves_no_trace() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(1), Changes())
    roster.keep()
    late = ReportsReceived(2, 2, 1, HOST, (Report(7, InstructionId("d-1/h/0/1"), None, EventStatus.Pending, 2),))
    assert sessions.take(roster, late) is not None
    roster.undo()
    assert sessions.take(roster, late) is not None
    assert roster.sessions[HOST].acked_seq == 7


def test_nothing_is_taken_after_reports_that_were_held_back() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(1), Changes())
    first, second = (
        ReportsReceived(2, 2, 1, HOST, (Report(seq, InstructionId("d-1/h/0/1"), None, EventStatus.Pending, 2),)) for seq in (1, 2)
    )
    sessions.hold_back(roster, first)
    assert sessions.take(roster, second) is None
    assert sessions.take(roster, first) is not None


def test_a_hello_that_comes_later_than_that_of_a_newer_stream_is_refused() -> None:
    roster = sessions.Roster()
    sessions.greet(roster, hello(2), Changes())
    assert isinstance(sessions.greet(roster, hello(1), Changes()), Unavailable)
    assert roster.sessions[HOST].stream == 2
    assert roster.sessions[HOST].session_epoch == 1
