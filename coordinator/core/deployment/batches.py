"""Which hosts may begin now without breaking minimum healthy hosts (spec 4.2), and in which order (spec 4.1).

N counts the group's hosts as frozen at creation and M is what must stay healthy of them, never of the subset that a rollback
touches. There are no fixed batches: a window of max(1, N - M) slides over the line of pending targets. A failure keeps its place
in the window for good, so even if everything in progress failed, no more than N - M hosts would have.

Pure arithmetic over the running group. Takes targets off the line, changes nothing else.
"""

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from heapq import heappop, heappush

from coordinator.core.deployment import offline
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import (
    Deployment,
    Group,
    InstanceHealth,
    Member,
    PlaceInLine,
    RevisionHealth,
    RevisionId,
    Snapshot,
    Target,
    revision_health,
)
from coordinator.core.stages import zones


class Standing(IntEnum):
    """Who goes before whom (spec 4.1): to deploy to those in front costs the least, and brings the most."""

    Failed = 0
    """Unhealthy, and not for want of a deployment."""
    Unknown = 1
    """Never deployed to, or nobody knows what it has."""
    Old = 2
    """Healthy, with another revision than the group's last successful one."""
    Current = 3
    """Healthy, with that one."""


class Obstacle(StrEnum):
    """Which rule keeps a host from beginning."""

    Stage = "Stage"
    """Its stage has not begun."""
    WindowFull = "WindowFull"
    """As many hosts are in progress or failed as may be."""
    ZoneFull = "ZoneFull"
    """The same of its zone."""
    Floor = "Floor"
    """It is healthy, and too few of the group or of its zone would stay so."""


def minimum(deployment: Deployment) -> int:
    """M: how many hosts of the group must stay healthy."""
    return deployment.plan.minimum_healthy_hosts.of(len(deployment.members))


def window(deployment: Deployment) -> int:
    """How many hosts may be in progress or failed, at most. A single host is deployed to whatever the minimum says."""
    return max(1, len(deployment.members) - minimum(deployment))


def failed(deployment: Deployment) -> int:
    """How many targets have failed. Nobody knows how an Unknown one ended: it counts as failed."""
    return deployment.counts[TargetStatus.Failed] + deployment.counts[TargetStatus.Unknown]


def available(group: Group, deployment: Deployment) -> int:
    """Members of a deployment that serve and are in progress in no deployment of the group, counted one by one."""
    members = (group.members[host_id] for host_id in deployment.members)
    return sum(1 for member in members if member.serves and group.at_work_on(member.host_id) is None)


def health(group: Group, member: Member) -> RevisionHealth:
    """Which of the group's revisions a host has."""
    last = group.last_successful
    return revision_health(member.installed, member.deployed, RevisionId("") if last is None else last.revision.revision_id)


def standing(group: Group, member: Member) -> Standing:
    """How early a host begins. One that was claimed by a deployment and is unhealthy has failed; one that never was has nothing."""
    if member.health is InstanceHealth.Unhealthy:
        return Standing.Failed if member.target_epoch else Standing.Unknown
    match health(group, member):
        case RevisionHealth.Unknown:
            return Standing.Unknown
        case RevisionHealth.Old:
            return Standing.Old
        case RevisionHealth.Current:
            return Standing.Current


def place(group: Group, target: Target) -> PlaceInLine:
    """Where a target stands in the line: by its stage, by its host's standing, then by name, then by id.

    Lost hosts stand aside and begin last: to wait for a dead one first would hold up everybody, and in a rollback it would
    use up the failures that the living could need.
    """
    return (target.stage, standing(group, group.members[target.host_id]), target.host_name, target.host_id)


def in_line(group: Group, hosts: Iterable[Snapshot]) -> list[Snapshot]:
    """Hosts in the order in which they would begin if there were no stages; those that are offline come last."""
    return sorted(hosts, key=lambda host: (host.lost, standing(group, group.members[host.host_id]), host.name, host.host_id))


def line_up(group: Group, deployment: Deployment) -> None:
    """Put every pending target in the line, or aside."""
    deployment.pending, deployment.pending_lost = [], []
    for target in deployment.targets.values():
        join(group, deployment, target)


def join(group: Group, deployment: Deployment, target: Target) -> None:
    """Put a pending target in the line, or aside while its host is lost. Where it stood before, it is passed over."""
    if target.status is TargetStatus.Pending:
        line = deployment.pending_lost if group.members[target.host_id].lost else deployment.pending
        heappush(line, place(group, target))


def lined_up(group: Group, deployment: Deployment) -> bool:
    """Whether every pending target can be found where it belongs. Counts them all: for tests."""
    line, aside = set(deployment.pending), set(deployment.pending_lost)
    waiting = [one for one in deployment.targets.values() if one.status is TargetStatus.Pending]
    return all(place(group, one) in (aside if group.members[one.host_id].lost else line) for one in waiting)


def is_full(deployment: Deployment) -> bool:
    """Whether as many hosts are in progress or failed as may be."""
    return deployment.counts[TargetStatus.InProgress] + failed(deployment) >= window(deployment)


def obstacle(group: Group, deployment: Deployment, target: Target) -> Obstacle | None:
    """What keeps a pending target from beginning even if it were the first in line; None: nothing."""
    if target.stage > deployment.progress.stage:
        return Obstacle.Stage
    if is_full(deployment):
        return Obstacle.WindowFull
    if not zones.has_place(deployment, target):
        return Obstacle.ZoneFull
    if not _may_go_down(group, deployment, target):
        return Obstacle.Floor
    return None


def next_target(group: Group, deployment: Deployment) -> Target | None:
    """Take the target that begins next off the line; None while none may."""
    if not deployment.pending and not deployment.pending_lost:
        return None
    if is_full(deployment):
        return None
    in_progress = deployment.counts[TargetStatus.InProgress]
    lost = _first(group, deployment, deployment.pending_lost)
    if lost is not None and offline.goes_first(deployment):  # of whatever stage: nothing begins there
        if not zones.has_place(deployment, lost):
            return None  # its zone cannot go without it: nobody else begins
        heappop(deployment.pending_lost)
        return lost
    if lost is not None and obstacle(group, deployment, lost) is not None:
        lost = None
    first = _first(group, deployment, deployment.pending)
    if first is not None and first.stage <= deployment.progress.stage:
        if obstacle(group, deployment, first) is None:
            heappop(deployment.pending)
            return first
        if in_progress > 0:
            return None  # what is in progress may end well and make room
    if lost is None or (in_progress > 0 and not offline.is_tried(deployment)):
        return None
    heappop(deployment.pending_lost)
    return lost


def _first(group: Group, deployment: Deployment, line: list[PlaceInLine]) -> Target | None:
    """The head of a line, once those that do not belong there any more are gone."""
    aside = line is deployment.pending_lost
    while line:
        target = deployment.targets[line[0][3]]
        waits = target.status is TargetStatus.Pending and group.members[target.host_id].lost is aside
        if waits and line[0] == place(group, target):
            return target
        heappop(line)
    return None


def _may_go_down(group: Group, deployment: Deployment, target: Target) -> bool:
    """Whether enough hosts stay healthy while this one is in progress."""
    if not group.members[target.host_id].serves or len(deployment.members) == 1:
        return True
    return deployment.available - 1 >= deployment.floor and zones.may_go_down(deployment, target)
