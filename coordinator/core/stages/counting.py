"""How many hosts of each stage, and of each zone, are where. Kept up with each change, so that no fact needs a look at all of them.

Pure arithmetic over the running group.
"""

from typing import Final

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, Group, HostId, Tally, Target

HELD: Final = frozenset({TargetStatus.InProgress, TargetStatus.Failed, TargetStatus.Unknown})
"""Where a target takes up a place of its zone's window."""


def count(group: Group, deployment: Deployment) -> None:
    """Count every stage and every zone anew."""
    deployment.tally = [Tally() for _ in range(deployment.plan.last_stage + 1)]
    for target in deployment.targets.values():
        _add(deployment.tally[target.stage], target.status, 1)
    deployment.zone_available, deployment.zone_held = [0] * len(deployment.zones), [0] * len(deployment.zones)
    for host_id, zone in deployment.zone_of.items():
        status = deployment.targets[host_id].status if host_id in deployment.targets else None
        deployment.zone_available[zone] += group.members[host_id].serves and group.at_work_on(host_id) is None
        deployment.zone_held[zone] += status in HELD


def moved(deployment: Deployment, target: Target, before: TargetStatus) -> None:
    """The status of a target has changed."""
    counts, tally, after = deployment.counts, deployment.tally[target.stage], target.status
    counts[before] -= 1
    counts[after] += 1
    _add(tally, before, -1)
    _add(tally, after, 1)
    zone = deployment.zone_of.get(target.host_id) if deployment.zones else None
    if zone is not None:
        deployment.zone_held[zone] += (after in HELD) - (before in HELD)


def serving(group: Group, host_id: HostId, by: int) -> None:
    """One of the group's hosts more serves and is not in progress, or one less: every live deployment that counts it learns of it."""
    for deployment in group.live:
        if host_id not in deployment.members:
            continue
        deployment.available += by
        zone = deployment.zone_of.get(host_id)
        if zone is not None:
            deployment.zone_available[zone] += by


def _add(tally: Tally, status: TargetStatus, by: int) -> None:
    if not status.terminal:
        tally.unfinished += by
    elif status is TargetStatus.Succeeded:
        tally.succeeded += by
    elif status is not TargetStatus.Skipped:
        tally.failed += by
