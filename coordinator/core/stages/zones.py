"""Zones with a floor of their own (spec 4.2): of each zone's hosts so many stay healthy, as of the whole group's.

They are counted beside the group: all its hosts, whichever of them are deployed to. Hosts without a zone are a zone.

Pure arithmetic over the running group.
"""

from collections.abc import Iterable, Sequence

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, Group, HostId, Snapshot, Target, ZonalConfig, Zone


def named(zone: str) -> str:
    """What the stage of a zone is called."""
    return f"zone {zone}" if zone else "no zone"


def laid_out(group: Group, zonal: ZonalConfig, hosts: Iterable[Snapshot]) -> tuple[tuple[Zone, ...], dict[HostId, int]]:
    """The zones of a group's hosts with their floors as of now, and the zone of each host."""
    parts: dict[str, list[HostId]] = {}
    for host in sorted(hosts, key=lambda one: (not one.zone, one.zone)):
        parts.setdefault(host.zone, []).append(host.host_id)
    zones, zone_of = list[Zone](), dict[HostId, int]()
    for index, (name, members) in enumerate(parts.items()):
        minimum = zonal.minimum.of(len(members))
        healthy = sum(1 for host_id in members if host_id in group.members and group.members[host_id].serves)
        zones.append(Zone(name=named(name), hosts=len(members), minimum=minimum, floor=min(minimum, healthy)))
        zone_of |= dict.fromkeys(members, index)
    return tuple(zones), zone_of


def without_room(zones: Sequence[Zone]) -> Zone | None:
    """A zone whose minimum leaves no host to deploy to."""
    return next((zone for zone in zones if zone.hosts > 1 and zone.minimum >= zone.hosts), None)


def has_place(deployment: Deployment, target: Target) -> bool:
    """Whether one host more of the target's zone may be in progress."""
    zone = deployment.zone_of.get(target.host_id)
    return zone is None or deployment.zone_held[zone] < deployment.zones[zone].window


def may_go_down(deployment: Deployment, target: Target) -> bool:
    """Whether enough hosts of its zone stay healthy while a target is in progress whose host serves."""
    zone = deployment.zone_of.get(target.host_id)
    if zone is None or deployment.zones[zone].hosts == 1:
        return True
    return deployment.zone_available[zone] - 1 >= deployment.zones[zone].floor


def in_the_way(deployment: Deployment) -> Zone | None:
    """A zone in which nothing more may begin although something waits there. Looks at all hosts: asked once, before a deployment stops."""
    waits = (one for one in deployment.targets.values() if one.status is TargetStatus.Pending and one.host_id in deployment.zone_of)
    for target in sorted(waits, key=lambda one: one.stage):
        index = deployment.zone_of[target.host_id]
        zone = deployment.zones[index]
        begun = target.stage <= deployment.progress.stage
        if deployment.zone_held[index] >= zone.window or (begun and deployment.zone_available[index] <= zone.floor):
            return zone
    return None
