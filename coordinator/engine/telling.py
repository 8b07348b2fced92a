"""Tells people what was committed: one log line for each change of status, and the counts for Prometheus."""

import logging
from typing import Final

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.metrics import Metrics

log = logging.getLogger(__name__)

_BAD: Final = frozenset({Entry.Failed, Entry.Unknown, Entry.HistoryWentBack, Entry.HostLost})
_MANY: Final = frozenset({Entry.InProgress, Entry.Succeeded, Entry.Skipped, Entry.HostConnected, Entry.HostRegistered})
"""Entries of hosts that come by the thousand: they are told at level debug."""

_OUTCOMES: Final = {
    Entry.Succeeded: DeploymentStatus.Succeeded,
    Entry.Failed: DeploymentStatus.Failed,
    Entry.Stopped: DeploymentStatus.Stopped,
}


def tell(changes: Changes, metrics: Metrics) -> None:
    """Log and count what `changes` say has happened."""
    many = log.isEnabledFor(logging.DEBUG)
    for entry in changes.history:
        if entry.host_id is not None and entry.entry in _MANY and not many:
            continue
        log.log(_level(entry), "%s", _line(entry))
        if entry.deployment_id is not None and entry.host_id is None:
            _count(entry, changes, metrics)


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


def _count(entry: HistoryEntry, changes: Changes, metrics: Metrics) -> None:
    deployment = changes.deployments.get(entry.deployment_id) if entry.deployment_id is not None else None
    if deployment is None:
        return
    application, group = deployment.plan.application_name, deployment.plan.group_name
    if entry.entry is Entry.Created:
        metrics.deployment_started(application, group)
    elif entry.entry in _OUTCOMES:
        metrics.deployment_finished(application, group, _OUTCOMES[entry.entry].name.lower())
