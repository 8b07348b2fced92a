"""What rows of hosts look like: sessions to rows and back."""

import json
from typing import Final

from coordinator.core.model import HostId, HostStatus, JournalId, Session
from coordinator.store.rows.columns import Row, map_of, text_of


def host_columns(session: Session) -> Row:
    """HOST_COLUMNS of a session."""
    return (
        session.session_epoch,
        session.journal_id,
        session.boot_id,
        int(session.status),
        session.agent_version,
        text_of(session.capabilities),
        text_of(dict(session.tags)),
        text_of(dict(session.facts)),
        session.registered_at,
        session.connected_at,
    )


HOST_COLUMNS: Final = (
    "session_epoch",
    "journal_id",
    "boot_id",
    "status",
    "agent_version",
    "capabilities",
    "tags",
    "facts",
    "registered_at",
    "connected_at",
)
SESSION_QUERY: Final = f"""
    SELECT host_id, name, acked_seq, {", ".join(HOST_COLUMNS)}
    FROM host JOIN name USING (name_no) JOIN report_cursor USING (host_no)
    WHERE removed_at IS NULL ORDER BY host_no"""


def session(row: tuple[str, str, int, int, str, str, int, str, str, str, str, int, int]) -> Session:
    """A session from a row of SESSION_QUERY."""
    host_id, name, acked_seq, epoch, journal_id, boot_id, status, version, capabilities, tags, facts, registered_at, connected_at = row
    return Session(
        host_id=HostId(host_id),
        name=name,
        acked_seq=acked_seq,
        session_epoch=epoch,
        journal_id=JournalId(journal_id),
        boot_id=boot_id,
        status=HostStatus(status),
        agent_version=version,
        capabilities=tuple(json.loads(capabilities)),
        tags=map_of(tags),
        facts=map_of(facts),
        registered_at=registered_at,
        connected_at=connected_at,
    )
