"""Tells people what was committed: one log line for each change of status, and what is counted."""

import logging
from typing import Final

from coordinator.core.orders import Entry, HistoryEntry
from coordinator.engine.turn import Turn
from coordinator.metrics import Metrics

log = logging.getLogger(__name__)

_BAD: Final = frozenset({Entry.Failed, Entry.Unknown, Entry.HistoryWentBack, Entry.HostLost})
_MANY: Final = frozenset({Entry.InProgress, Entry.Succeeded, Entry.Skipped, Entry.HostConnected, Entry.HostRegistered})
"""Entries of hosts that come by the thousand: they are told at level debug."""


def tell(turn: Turn, metrics: Metrics, elapsed: int) -> None:
    """Log and count what a turn has done, now that it is stored and carried out."""
    many = log.isEnabledFor(logging.DEBUG)
    for entry in turn.changes.history:
        if entry.host_id is not None and entry.entry in _MANY and not many:
            continue
        log.log(_level(entry), "%s", _line(entry))
    metrics.committed.count(turn.changes, turn.facts, at=turn.at, elapsed=elapsed)


def _level(entry: HistoryEntry) -> int:
    if entry.entry in _BAD:
        return logging.WARNING
    return logging.DEBUG if entry.host_id is not None and entry.entry in _MANY else logging.INFO


def _line(entry: HistoryEntry) -> str:
    subject = "host" if entry.deployment_id is None and entry.host_id else "target" if entry.host_id else "deployment"
    words = [f"{subject} {entry.entry}"]
    if entry.deployment_id is not None:
        words.append(f"deployment={entry.deployment_id}")
    if entry.host_id is not None:
        words.append(f"host={entry.host_id}")
    words.append(f"because={entry.because!r}")
    if entry.message:
        words.append(f"message={entry.message!r}")
    return " ".join(words)
