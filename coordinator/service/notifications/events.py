"""Which entries of the history are events that triggers are told of.

Pure. Entries of other kinds are nobody's business here, whatever they are.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from coordinator.core.model import TriggerEvent
from coordinator.core.orders import Entry
from coordinator.service.notifications.ports import Notice, Wanted

OF_DEPLOYMENTS: Final[Mapping[str, TriggerEvent]] = {
    Entry.Created: TriggerEvent.DeploymentRollback,
    Entry.InProgress: TriggerEvent.DeploymentStart,
    Entry.Succeeded: TriggerEvent.DeploymentSuccess,
    Entry.Failed: TriggerEvent.DeploymentFailure,
    Entry.Stopped: TriggerEvent.DeploymentStop,
}
OF_HOSTS: Final[Mapping[str, TriggerEvent]] = {
    Entry.InProgress: TriggerEvent.InstanceStart,
    Entry.Succeeded: TriggerEvent.InstanceSuccess,
    Entry.Failed: TriggerEvent.InstanceFailure,
    Entry.Unknown: TriggerEvent.InstanceFailure,
}
"""A host that was lost counts as failed. Hosts that were skipped have no event, as with CodeDeploy."""


def event_of(notice: Notice) -> TriggerEvent | None:
    """What has happened; None: nothing that anybody is told of."""
    event = (OF_HOSTS if notice.host_id else OF_DEPLOYMENTS).get(notice.entry)
    return None if event is TriggerEvent.DeploymentRollback and not notice.rolls_back else event


def wanted(events: Iterable[TriggerEvent]) -> Wanted:
    """The entries among which these events are."""
    asked = frozenset(events)
    return Wanted(
        of_deployments=[entry for entry, event in OF_DEPLOYMENTS.items() if event in asked],
        of_hosts=[entry for entry, event in OF_HOSTS.items() if event in asked],
    )
