"""What the shape of a rollout must look like, and which hosts it concerns. What becomes of it, the core decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from coordinator.core.errors import Invalid, InvalidOperation
from coordinator.core.model import (
    ANY_APPROVER,
    Canaries,
    Gate,
    HostId,
    MinimumHealthyHostsType,
    Pause,
    Shape,
    Snapshot,
    Step,
    ZonalConfig,
)
from coordinator.core.stages import gates
from coordinator.core.tags import TagFilter, tags_match
from coordinator.service.ports import Presence
from coordinator.service.records import Ground
from coordinator.service.rollouts.analyses import check_analysis
from coordinator.service.rules import check_name, check_tag_key, normalised

STEPS: Final = 20
CANARIES: Final = 100
"""Canaries that may be named."""
APPROVERS: Final = 20
BAKES: Final = range(7 * 86_400_000 + 1)
TIMEOUTS: Final = range(60_000, 30 * 86_400_000 + 1)
LOCAL: Final = "local"
"""Whoever sits at the coordinator; may approve everywhere."""


def checked(shape: Shape) -> Shape:
    """A shape for a deployment config, as it is kept. Raises Invalid."""
    if shape.steps and shape.zonal is not None:
        raise Invalid("cannot go by steps and by zones: give steps or zonal_config", field="zonal_config")
    if shape.canaries is not None and shape.canaries.hosts:
        raise Invalid("cannot name hosts in a config, which is for any group: give tag_filters", field="canaries.hosts")
    _check_steps(shape.steps)
    if shape.zonal is not None:
        _check_zonal(shape.zonal)
    return replace(shape, canaries=None if shape.canaries is None else checked_canaries(shape.canaries))


def checked_canaries(canaries: Canaries) -> Canaries:
    """Canaries as they are kept. Raises Invalid."""
    _check_pause(canaries.pause, "canaries")
    if bool(canaries.hosts) == bool(canaries.tag_filters):
        raise Invalid("cannot tell who the canaries are: give hosts or tag_filters", field="canaries.tag_filters")
    if len(canaries.hosts) > CANARIES:
        raise Invalid(f"cannot name {len(canaries.hosts)} canaries: {CANARIES} are the most; use tag_filters", field="canaries.hosts")
    if not canaries.tag_filters:
        return canaries
    return replace(canaries, tag_filters=normalised(canaries.tag_filters, field="canaries.tag_filters", least=1))


def snapshots(ground: Ground, shape: Shape, presence: Presence) -> tuple[Snapshot, ...]:
    """The hosts of a group as they are now, with what the shape has to know of them. Raises Invalid for canaries that are strangers."""
    named, filters = _canaries(ground, shape.canaries)
    tag = "" if shape.zonal is None else shape.zonal.tag
    nothing: Mapping[str, str] = {}
    made: list[Snapshot] = []
    for host_id, name in ground.hosts:
        tags = ground.tags.get(host_id, nothing)
        canary = host_id in named or (bool(filters) and tags_match(tags, filters))
        made.append(Snapshot(host_id=host_id, name=name, lost=presence.lost(host_id), zone=tags.get(tag, ""), canary=canary))
    return tuple(made)


def impassable(ground: Ground, shape: Shape, *, created_by: str) -> Iterator[InvalidOperation]:
    """Gates that nobody could pass: to be refused now, and not found out when everybody waits there."""
    pauses = [("the canaries", shape.canaries.pause)] if shape.canaries is not None else []
    pauses += [(f'the step "{one.name}"', one.pause) for one in shape.steps]
    group = ground.group
    for where, pause in pauses:
        if pause.gate is None:
            continue
        able = [f"operator:{name}" for name in ground.approvers] + [LOCAL]
        if not any(gates.lets(pause.gate, by, created_by=created_by, two_people=group.require_approval) for by in able):
            alone = f", or it is {created_by}, who creates it" if created_by in able and group.require_approval else ""
            yield InvalidOperation(
                f"cannot deploy to {group.name}: nobody could pass the gate after {where}: it is for {gates.approvers(pause.gate)}, "
                f"and none of them is an approver of the group{alone}; grant somebody the role, or use another config",
                field="deployment_config_name",
            )


def _canaries(ground: Ground, canaries: Canaries | None) -> tuple[frozenset[HostId], Sequence[TagFilter]]:
    if canaries is None:
        return frozenset(), ()
    known = {name: host_id for host_id, name in ground.hosts} | {host_id: host_id for host_id, _ in ground.hosts}
    if strangers := [one for one in canaries.hosts if one not in known]:
        raise Invalid(
            f"cannot begin with {', '.join(strangers[:5])}: not among the hosts of {ground.group.name}; name others", field="canaries.hosts"
        )
    return frozenset(known[one] for one in canaries.hosts), canaries.tag_filters


def _check_steps(steps: Sequence[Step]) -> None:
    if len(steps) > STEPS:
        raise Invalid(f"cannot go in {len(steps)} steps: {STEPS} are the most", field="steps")
    for index, step in enumerate(steps):
        field = f"steps[{index}]"
        _check_pause(step.pause, field)
        if step.percent and not 1 <= step.value <= 100:
            raise Invalid(f"cannot deploy to {step.value} percent: 1 to 100 are allowed", field=f"{field}.percent")
        if not step.percent and step.value < 1:
            raise Invalid(f"cannot deploy to {step.value} hosts: 1 is the least", field=f"{field}.hosts")
    for index, (before, step) in enumerate(zip(steps, steps[1:], strict=False), start=1):
        if before.percent and not step.percent:
            raise Invalid(f"cannot grow from {before.name} to {step.name}: percentages come after counts of hosts", field=f"steps[{index}]")
        if before.percent == step.percent and step.value <= before.value:
            raise Invalid(
                f"cannot grow from {before.name} to {step.name}: steps count from the beginning, so each has to be greater",
                field=f"steps[{index}]",
            )


def _check_zonal(zonal: ZonalConfig) -> None:
    for field, value in (("first_zone_monitor_duration_in_seconds", zonal.first_monitor), ("monitor_duration_in_seconds", zonal.monitor)):
        if value not in BAKES:
            raise Invalid(f"cannot monitor a zone for {value // 1000} s: 0 to 7 days are allowed", field=f"zonal_config.{field}")
    check_tag_key(zonal.tag, field="zonal_config.zone_tag")
    minimum, field = zonal.minimum, "zonal_config.minimum_healthy_hosts_per_zone"
    if minimum.type is MinimumHealthyHostsType.MOST_CONCURRENCY:
        raise Invalid("cannot keep MOST_CONCURRENCY in a zone: use HOST_COUNT or FLEET_PERCENT", field=f"{field}.type")
    if minimum.type is MinimumHealthyHostsType.FLEET_PERCENT and not 0 <= minimum.value <= 99:
        raise Invalid(f"cannot keep {minimum.value} percent of a zone healthy: it must be 0 to 99", field=f"{field}.value")
    if minimum.value < 0:
        raise Invalid(f"cannot keep {minimum.value} hosts of a zone healthy: the count must be 0 or more", field=f"{field}.value")


def _check_pause(pause: Pause, field: str) -> None:
    if pause.bake not in BAKES:
        raise Invalid(f"cannot bake for {pause.bake / 1000:g} s: 0 to 7 days are allowed", field=f"{field}.bake_time")
    if pause.analysis is not None:
        check_analysis(pause.analysis, f"{field}.analysis")
    if pause.gate is not None:
        _check_gate(pause.gate, f"{field}.gate")


def _check_gate(gate: Gate, field: str) -> None:
    if not 1 <= len(gate.approvers) <= APPROVERS:
        raise Invalid(
            f"cannot keep a gate with {len(gate.approvers)} approvers: name 1 to {APPROVERS} operators, or {ANY_APPROVER} for all of them",
            field=f"{field}.approvers",
        )
    for name in gate.approvers:
        if name != ANY_APPROVER:
            check_name(name, field=f"{field}.approvers")
    if gate.timeout not in TIMEOUTS:
        raise Invalid(f"cannot wait {gate.timeout // 1000} s at a gate: 1 minute to 30 days are allowed", field=f"{field}.timeout")
