"""What a host's Hello means to the groups in memory, beside that it is there: what it knows may be newer than what is stored."""

from collections.abc import Iterator

from coordinator.core.facts import EpochSeen, Hello, HoldingSeen
from coordinator.core.model import GroupId
from coordinator.engine.groups import Groups


def told(groups: Groups, hello: Hello) -> Iterator[tuple[GroupId, EpochSeen | HoldingSeen]]:
    """Fences that are higher than those of its groups, and the revisions that it holds. Groups that are parked are told nothing."""
    at, elapsed, host_id = hello.at, hello.elapsed, hello.host_id
    for group_id, (epoch, deployment_id) in hello.fences.items():
        group = groups.get(group_id)
        if group is None or group_id in groups.parked:
            continue
        member = group.members.get(host_id)
        if epoch > (member.target_epoch if member else 0):
            yield group_id, EpochSeen(at=at, elapsed=elapsed, host_id=host_id, target_epoch=epoch, deployment_id=deployment_id)
    for held in hello.holdings:
        if held.group_id in groups and held.group_id not in groups.parked:
            seen = HoldingSeen(at=at, elapsed=elapsed, host_id=host_id, installed=held.installed, deployed=held.deployed)
            yield held.group_id, seen
