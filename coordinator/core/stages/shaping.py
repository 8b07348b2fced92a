"""Which stages a deployment has, and which of them each of its hosts belongs to.

Canaries first; then either steps that grow, or zones one after another. Steps count all hosts of the deployment, the canaries among
them, so "25 %" says how much of it is done when that step ends. What no step reaches is a last stage of its own.

Pure: told once, when a deployment is created, and never asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from coordinator.core.errors import HealthConstraintsInvalid, NoInstances
from coordinator.core.model import Group, HostId, Pause, Plan, Shape, Snapshot, Stage, Step, ZonalConfig, Zone
from coordinator.core.stages import zones as floors

ZONES_AT_MOST: Final = 100

CANARIES: Final = "canaries"
REST: Final = "the rest"

Part = tuple[str, Pause, list[Snapshot]]
"""A stage to be: its name, what is waited for after it, its hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a deployment's hosts are parted."""

    stages: tuple[Stage, ...] = ()
    stage_of: dict[HostId, int] = field(default_factory=dict)
    """The stages of its targets, by index."""
    zones: tuple[Zone, ...] = ()
    zone_of: dict[HostId, int] = field(default_factory=dict)
    """The zones of its members, by index."""


ONE_STAGE: Final = Layout()


def refusal(
    group: Group, plan: Plan, hosts: Sequence[Snapshot], chosen: Sequence[Snapshot]
) -> NoInstances | HealthConstraintsInvalid | None:
    """Why a deployment to these hosts cannot have the shape that it is to have; None when it can."""
    shape, cannot = plan.shape, f"cannot deploy to {plan.group_name}"
    if shape.canaries is not None and not any(host.canary for host in chosen):
        return NoInstances(
            f"{cannot}: none of its canaries is among the hosts that would be deployed to, so nothing is deployed; name other canaries, "
            f"or use a config without them"
        )
    if shape.zonal is None:
        return None
    if not any(host.zone for host in hosts):
        return NoInstances(
            f"{cannot}: {plan.config_name} goes zone by zone, and none of its hosts has a zone by {shape.zonal.tag}, so nothing is "
            "deployed; start their agents with --zone, or tag hosts and name that tag in the config"
        )
    zones, _ = floors.laid_out(group, shape.zonal, hosts)
    if len(zones) > ZONES_AT_MOST:
        return NoInstances(f"{cannot}: its hosts stand in {len(zones)} zones by {shape.zonal.tag}, {ZONES_AT_MOST} are the most")
    if (full := floors.without_room(zones)) is not None:
        return HealthConstraintsInvalid(
            f"{cannot}: {plan.config_name} keeps {full.minimum} of {full.hosts} hosts healthy in {full.name}, which leaves none to "
            "deploy to, so nothing is deployed; use a config with a lower minimum per zone, or add hosts"
        )
    return None


def laid_out(group: Group, plan: Plan, every: Sequence[Snapshot], line: Sequence[Snapshot]) -> Layout:
    """The parts of a deployment whose hosts stand in a line, the first of which are to begin first."""
    shape = plan.shape
    if shape == Shape():
        return ONE_STAGE
    parts: list[Part] = []
    rest = list(line)
    if shape.canaries is not None:
        parts.append((CANARIES, shape.canaries.pause, [host for host in rest if host.canary]))
        rest = [host for host in rest if not host.canary]
    if shape.zonal is None:
        parts += _steps(shape.steps, rest, done=len(line) - len(rest))
        zones, zone_of = tuple[Zone, ...](), dict[HostId, int]()
    else:
        parts += _zones(shape.zonal, rest)
        zones, zone_of = floors.laid_out(group, shape.zonal, every)
    return Layout(
        stages=tuple(Stage(name=name, hosts=len(hosts), pause=pause) for name, pause, hosts in parts),
        stage_of={host.host_id: index for index, (_, _, hosts) in enumerate(parts) for host in hosts},
        zones=zones,
        zone_of=zone_of,
    )


def _steps(steps: Sequence[Step], rest: list[Snapshot], *, done: int) -> list[Part]:
    """A step that brings no further host is left out, since what came before it has baked already; but its gate stays."""
    parts: list[Part] = []
    total = done + len(rest)
    for step in steps:
        more = max(0, step.of(total) - done)
        hosts, rest, done = rest[:more], rest[more:], done + more
        if hosts:
            parts.append((step.name, step.pause, hosts))
        elif step.pause.gate is not None:
            parts.append((step.name, Pause(gate=step.pause.gate), []))
    if rest:
        parts.append((REST, Pause(), rest))
    return parts


def _zones(zonal: ZonalConfig, rest: Sequence[Snapshot]) -> list[Part]:
    """By the zones' names; hosts that have none are the last."""
    zones: dict[str, list[Snapshot]] = {}
    for host in sorted(rest, key=lambda one: (not one.zone, one.zone)):  # which leaves the hosts of a zone in the order of the line
        zones.setdefault(host.zone, []).append(host)
    parts: list[Part] = []
    for index, (zone, hosts) in enumerate(zones.items(), start=1):
        bake = zonal.monitor if index > 1 else zonal.first_monitor
        parts.append((floors.named(zone), Pause(bake=bake if index < len(zones) else 0), hosts))
    return parts
