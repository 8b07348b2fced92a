"""Which hosts may begin now without breaking minimum healthy hosts (spec 4.2).

N counts the group's hosts as frozen at creation and M is what must stay healthy of them, never of the subset that a rollback
touches. There are no fixed batches: a window of max(1, N - M) slides over the line of pending targets. A failure keeps its place
in the window for good, so even if everything in progress failed, no more than N - M hosts would have.

Pure arithmetic over the running group. Takes targets off the line, changes nothing else.
"""

from heapq import heappop, heappush

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, Group, InstanceHealth, Member, PlaceInLine, Target


def minimum(deployment: Deployment) -> int:
    """M: how many hosts of the group must stay healthy."""
    return deployment.plan.minimum_healthy_hosts.of(len(deployment.members))


def window(deployment: Deployment) -> int:
    """How many hosts may be in progress or failed, at most. A single host is deployed to whatever the minimum says."""
    return max(1, len(deployment.members) - minimum(deployment))


def failed(deployment: Deployment) -> int:
    """How many targets have failed. Nobody knows how an Unknown one ended: it counts as failed."""
    return deployment.counts[TargetStatus.Failed] + deployment.counts[TargetStatus.Unknown]


def serves(member: Member) -> bool:
    """Whether a host counts as healthy. Nobody can say that a lost host serves."""
    return member.health is InstanceHealth.Healthy and not member.lost


def available(group: Group, deployment: Deployment) -> int:
    """Members of a deployment that serve and are not in progress, counted one by one."""
    return sum(
        1 for host_id in deployment.members if serves(group.members[host_id]) and not _in_progress(deployment, group.members[host_id])
    )


def place(group: Group, target: Target) -> PlaceInLine:
    """Where a target stands in the line: unhealthy hosts first, since deploying to them costs nothing; then by name.

    Lost hosts stand aside and begin last: to wait for a dead one first would hold up everybody, and in a rollback it would
    use up the failures that the living could need.
    """
    return (-group.members[target.host_id].health, target.host_name, target.host_id)


def line_up(group: Group, deployment: Deployment) -> None:
    """Put every pending target in the line, or aside."""
    deployment.pending, deployment.pending_lost = [], []
    for target in deployment.targets.values():
        join(group, deployment, target)


def join(group: Group, deployment: Deployment, target: Target) -> None:
    """Put a pending target in the line, or aside while its host is lost. It may stand in the other one still: there it is passed over."""
    if target.status is TargetStatus.Pending:
        line = deployment.pending_lost if group.members[target.host_id].lost else deployment.pending
        heappush(line, place(group, target))


def lined_up(group: Group, deployment: Deployment) -> bool:
    """Whether every pending target can be found where it belongs. Counts them all: for tests."""
    line, aside = ({entry[2] for entry in entries} for entries in (deployment.pending, deployment.pending_lost))
    waiting = [one.host_id for one in deployment.targets.values() if one.status is TargetStatus.Pending]
    return all(host_id in (aside if group.members[host_id].lost else line) for host_id in waiting)


def next_target(group: Group, deployment: Deployment) -> Target | None:
    """Take the target that begins next off the line; None while none may."""
    if not deployment.pending and not deployment.pending_lost:
        return None
    in_progress = deployment.counts[TargetStatus.InProgress]
    if in_progress + failed(deployment) >= window(deployment):
        return None
    first = _first(group, deployment, deployment.pending)
    if first is not None:
        if _may_go_down(group, deployment, first):
            heappop(deployment.pending)
            return first
        if in_progress > 0:
            return None  # what is in progress may end well and make room
    lost = _first(group, deployment, deployment.pending_lost)
    if lost is not None:
        heappop(deployment.pending_lost)
    return lost


def _first(group: Group, deployment: Deployment, line: list[PlaceInLine]) -> Target | None:
    """The head of a line, once those that do not belong there any more are gone."""
    aside = line is deployment.pending_lost
    while line:
        target = deployment.targets[line[0][2]]
        if target.status is TargetStatus.Pending and group.members[target.host_id].lost is aside:
            return target
        heappop(line)
    return None


def _may_go_down(group: Group, deployment: Deployment, target: Target) -> bool:
    """Whether enough hosts stay healthy while this one is in progress."""
    if not serves(group.members[target.host_id]) or len(deployment.members) == 1:
        return True
    return group.available - 1 >= deployment.floor


def _in_progress(deployment: Deployment, member: Member) -> bool:
    target = deployment.targets.get(member.host_id)
    return target is not None and target.status is TargetStatus.InProgress
