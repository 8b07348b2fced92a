"""The rules of a session: who may open a stream, which reports are new, who is lost.

Pure: changes the roster it is given and returns what follows; knows no stream, no store, no clock. Everything it changes can be
put back by `Roster.undo`, since a commit may fail.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from coordinator.core.errors import DeployError, InstanceDoesNotExist, InstanceInUse, InstanceNameAlreadyRegistered, Unavailable
from coordinator.core.facts import Hello, HostRemovalRequested, Report, ReportsReceived, StreamEnded
from coordinator.core.model import HostId, HostStatus, Session
from coordinator.core.orders import Changes, Entry, HistoryEntry, HoldingChange

LOST_AFTER: Final = 60_000
"""Milliseconds of silence after which a host is lost (architecture: lost within 60 s)."""

SPREAD_PER_HOST: Final = 1_000 // 300
"""Milliseconds of reconnect spread for each host: about 300 hosts a second come back (reliability 3.4, row 17)."""

SPREAD_AT_MOST: Final = 60_000


@dataclass(slots=True)
class Roster:
    """All known hosts, with an index by name and those that are silent but not lost."""

    sessions: dict[HostId, Session] = field(default_factory=dict)
    names: dict[str, HostId] = field(default_factory=dict)
    silent: dict[HostId, None] = field(default_factory=dict)
    _before: dict[HostId, Session | None] = field(default_factory=dict)
    _cursors: dict[HostId, tuple[int, bool]] = field(default_factory=dict)
    """Report cursors that moved, and whether reports had come on the stream before: `acked_seq`, `resumed`."""

    @property
    def spread(self) -> int:
        """Milliseconds over which hosts come back after the coordinator was away."""
        return min(SPREAD_AT_MOST, len(self.sessions) * SPREAD_PER_HOST)

    def lost(self) -> list[HostId]:
        """Hosts that are lost now."""
        return [session.host_id for session in self.sessions.values() if session.status is HostStatus.Lost]

    def keep(self) -> None:
        """Everything since the last `keep` or `undo` is committed."""
        self._before.clear()
        self._cursors.clear()

    def undo(self) -> None:
        """Nothing since the last `keep` or `undo` was committed: put it back."""
        for host_id, (acked_seq, resumed) in self._cursors.items():
            self.sessions[host_id].acked_seq, self.sessions[host_id].resumed = acked_seq, resumed
        for host_id in self._before:
            now = self.sessions.pop(host_id, None)
            if now is not None:
                self.names.pop(now.name, None)
        for before in self._before.values():
            if before is not None:
                self._add(before)
        self.silent = {
            host_id: None for host_id, session in self.sessions.items() if session.stream is None and session.status is not HostStatus.Lost
        }
        self.keep()

    def remember(self, session: Session) -> None:
        """Keep what `session` is now, before it is changed."""
        if session.host_id not in self._before:
            acked_seq, resumed = self._cursors.pop(session.host_id, (session.acked_seq, session.resumed))
            self._before[session.host_id] = replace(session, acked_seq=acked_seq, resumed=resumed)

    def advance(self, session: Session, acked_seq: int) -> None:
        """Move the report cursor of `session`: its reports have come."""
        if session.host_id not in self._before:
            self._cursors.setdefault(session.host_id, (session.acked_seq, session.resumed))
        session.acked_seq, session.resumed = acked_seq, True

    def _add(self, session: Session) -> None:
        self.sessions[session.host_id] = session
        self.names[session.name] = session.host_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A Hello that was accepted, and what it means for the groups."""

    session: Session
    returned: bool
    """The host was lost."""
    journal_lost: bool
    """What it was doing can no longer be known."""


def start(sessions: Iterable[Session], *, elapsed: int) -> Roster:
    """Return the roster of a coordinator that has just started: nobody is lost before the reconnect spread has passed."""
    roster = Roster()
    for session in sessions:
        session.stream = None
        if session.status is not HostStatus.Lost:
            session.status = HostStatus.Unknown
            roster.silent[session.host_id] = None
        roster._add(session)
    for host_id in roster.silent:
        roster.sessions[host_id].silent_since = elapsed + roster.spread
    return roster


def greet(roster: Roster, hello: Hello, changes: Changes) -> Admission | DeployError:
    """Accept a Hello under the next session epoch, or say why not."""
    owner = roster.names.get(hello.name)
    if owner is not None and owner != hello.host_id:
        return _name_taken(roster.sessions[owner], hello)
    session = roster.sessions.get(hello.host_id)
    if session is not None and session.stream is not None and hello.stream < session.stream:
        return Unavailable(f"cannot accept this stream: host {hello.name} has opened a newer one, and this Hello comes late")
    if session is None:
        session = Session(host_id=hello.host_id, name=hello.name, registered_at=hello.at, status=HostStatus.Unknown)
        roster._before.setdefault(hello.host_id, None)
        changes.history.append(HistoryEntry(hello.at, Entry.HostRegistered, "hello", host_id=hello.host_id, message=hello.name))
    else:
        roster.remember(session)
        roster.names.pop(session.name, None)
    returned = session.status is HostStatus.Lost
    journal_lost = _journal_lost(session, hello)
    if session.journal_id != hello.journal_id:
        session.journal_id = hello.journal_id
        session.acked_seq = 0
    elif journal_lost:
        session.acked_seq = hello.last_seq
    session.name = hello.name
    session.session_epoch += 1
    session.boot_id = hello.boot_id
    session.status = HostStatus.Connected
    session.agent_version = hello.agent_version
    session.capabilities = hello.capabilities
    session.tags = hello.tags
    session.facts = hello.facts
    session.connected_at = hello.at
    session.stream = hello.stream
    session.resumed = False
    roster._add(session)
    roster.silent.pop(hello.host_id, None)
    changes.hosts[hello.host_id] = session
    changes.cursors.pop(hello.host_id, None)  # of reports in this very turn: the session has it, or counts anew with another journal
    if returned:
        changes.history.append(HistoryEntry(hello.at, Entry.HostConnected, "hello", host_id=hello.host_id, message="it had been lost"))
    for holding in hello.holdings:
        changes.holdings[(holding.group_id, hello.host_id)] = HoldingChange(holding.installed, holding.deployed)
    return Admission(session=session, returned=returned, journal_lost=journal_lost)


def _name_taken(owner: Session, hello: Hello) -> DeployError:
    if owner.stream is not None:
        return InstanceNameAlreadyRegistered(
            f"cannot accept host {hello.name}: another live agent has this name (host id {owner.host_id}); "
            "stop one of them, or start this one under another --host name"
        )
    return InstanceNameAlreadyRegistered(
        f"cannot accept host {hello.name}: the name belongs to host id {owner.host_id}, which is not connected; if that host is gone, "
        f"forget it with `hookline host remove {hello.name}`"
    )


def _journal_lost(session: Session, hello: Hello) -> bool:
    """Whether reports that the host owes can never come: another journal, or one that is shorter than what was acknowledged."""
    if not session.journal_id:
        return False
    return session.journal_id != hello.journal_id or hello.last_seq < session.acked_seq


def take(roster: Roster, received: ReportsReceived) -> tuple[Session, tuple[Report, ...]] | None:
    """Return the session and those of its reports that are new, or None when they are to be dropped.

    Dropped are reports of an older stream, and reports after a gap; only the first ones of a stream may begin later than the
    cursor says, when the agent's journal no longer holds what lies between.
    """
    session = roster.sessions.get(received.host_id)
    if session is None or session.stream != received.stream:
        return None
    reports = received.reports
    expected = session.acked_seq + 1
    first = reports[0].seq
    if first > expected and session.resumed:
        return None
    if first < expected:
        reports = reports[expected - first :]
    roster.advance(session, reports[-1].seq if reports else session.acked_seq)
    return session, reports


def hold_back(roster: Roster, received: ReportsReceived) -> None:
    """Drop reports that nobody can decide about now. What comes after them on the stream is a gap, so the agent keeps them all."""
    session = roster.sessions.get(received.host_id)
    if session is not None and session.stream == received.stream:
        session.resumed = True


def leave(roster: Roster, ended: StreamEnded, changes: Changes) -> None:
    """A stream ended: if it was the host's present one, the host is suspect from its last word on."""
    session = roster.sessions.get(ended.host_id)
    if session is None or session.stream != ended.stream:
        return
    roster.remember(session)
    session.stream = None
    session.status = HostStatus.Suspect
    session.silent_since = ended.silent_since
    roster.silent[session.host_id] = None
    changes.hosts[session.host_id] = session


def lose(roster: Roster, *, at: int, elapsed: int, changes: Changes) -> list[HostId]:
    """Hosts that have been silent for too long are lost from now on."""
    gone = [host_id for host_id in roster.silent if elapsed - roster.sessions[host_id].silent_since >= LOST_AFTER]
    for host_id in gone:
        session = roster.sessions[host_id]
        roster.remember(session)
        session.status = HostStatus.Lost
        del roster.silent[host_id]
        changes.hosts[host_id] = session
        changes.history.append(HistoryEntry(at, Entry.HostLost, f"silent for {LOST_AFTER // 1000} s", host_id=host_id))
    return gone


def forget(roster: Roster, request: HostRemovalRequested, *, awaited: bool, changes: Changes) -> DeployError | None:
    """Forget a host, unless it is connected or a deployment waits for it (`awaited`)."""
    session = roster.sessions.get(request.host_id)
    if session is None:
        return InstanceDoesNotExist(f"cannot find host {request.host_id}")
    if session.stream is not None and not request.shut_out:
        return InstanceInUse(f"cannot remove host {session.name}: its agent is connected; stop the agent first")
    if awaited:
        return InstanceInUse(f"cannot remove host {session.name}: a deployment waits for it; stop the deployment first")
    roster.remember(session)
    del roster.sessions[request.host_id]
    del roster.names[session.name]
    roster.silent.pop(request.host_id, None)
    changes.removed.append(request.host_id)
    changes.hosts.pop(request.host_id, None)  # its stream may have ended in this very turn
    changes.history.append(
        HistoryEntry(
            request.at,
            Entry.HostRemoved,
            "RemoveHost",
            host_id=request.host_id,
            message=session.name,
            principal=request.requested_by,
        )
    )
    if request.request is not None:
        changes.requests.append((request.request, request.host_id))
    return None
