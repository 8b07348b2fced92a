"""A host that is removed is not stored again by what happened to it a moment before."""

from coordinator.core import session as sessions
from coordinator.core.facts import Hello, HostRemovalRequested, StreamEnded
from coordinator.core.model import HostId, JournalId
from coordinator.core.orders import Changes

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
