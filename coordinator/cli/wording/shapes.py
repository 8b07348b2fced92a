"""Shapes of rollouts as people type and read them: canaries, steps, zones, and what is waited for after each."""

import re
from typing import TYPE_CHECKING, TypedDict

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import AnyCommand, Parsed, minimum_healthy_hosts, show_minimum, show_tag_filter, tag_filter
from coordinator.cli.wording.text import clean, span
from coordinator.cli.wording.watched import length, show_length

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.catalog_pb2 import CreateDeploymentConfigRequest, DeploymentConfig
    from hookline.v1.deployments_pb2 import CreateDeploymentRequest
    from hookline.v1.resources_pb2 import Canaries, Gate, MinimumHealthyHosts, RolloutStep, TagFilter

ANY = "any"
ANY_APPROVER = "role:approver"


class SaidShape(TypedDict):
    """What was typed of a shape; None was not."""

    canary_tags: "tuple[TagFilter, ...]"
    canary_bake: "Duration | None"
    canary_gate: "Gate | None"
    steps: "tuple[RolloutStep, ...]"
    zonal: bool
    zone_tag: str | None
    first_monitor: "Duration | None"
    monitor: "Duration | None"
    zone_minimum: "MinimumHealthyHosts | None"


def gate(typed: str) -> "Gate":
    """anna,bob or any; and for how long: anna,bob:2h."""
    names, _, timeout = typed.partition(":")
    approvers = [ANY_APPROVER if name == ANY else name for name in names.split(",") if name]
    if not approvers:
        raise ValueError("cannot keep a gate without approvers: name operators, or say any for every approver")
    made = protos.resources.Gate(approvers=approvers)
    if timeout:
        made.timeout.CopyFrom(length(timeout))
    return made


def show_gate(of: "Gate") -> str:
    """Who has to approve, as people type it."""
    names = ",".join(ANY if name == ANY_APPROVER else clean(name) for name in of.approvers)
    return f"{names}:{show_length(of.timeout)}" if of.HasField("timeout") else names


def step(typed: str) -> "RolloutStep":
    """1, 25%, 25%+bake=10m, 25%+bake=10m+gate=anna,bob."""
    size, *pause = typed.split("+")
    found = re.fullmatch(r"(\d{1,7})(%?)", size)
    if found is None:
        raise ValueError(f"cannot read {typed!r}: write a number of hosts or percent, as 5, 25%, 25%+bake=10m or 25%+gate=anna,bob")
    made = protos.resources.RolloutStep()
    if found[2]:
        made.percent = int(found[1])
    else:
        made.hosts = int(found[1])
    for one in pause:
        what, _, value = one.partition("=")
        if what == "bake":
            made.bake_time.CopyFrom(length(value))
        elif what == "gate":
            made.gate.CopyFrom(gate(value))
        else:
            raise ValueError(f"cannot read {one!r}: after a step stand +bake=TIME and +gate=NAME,...")
    return made


def show(of: "DeploymentConfig") -> str:
    """The shape of a config, a line for each part; "" when it has none."""
    lines = [_canaries(of.canaries)] if of.HasField("canaries") else []
    for one in of.steps:
        size = f"{one.percent}%" if one.WhichOneof("size") == "percent" else f"{one.hosts}"
        lines.append(f"{size}{_pause(one)}")
    if of.HasField("zonal_config"):
        zonal = of.zonal_config
        minimum = show_minimum(zonal.minimum_healthy_hosts_per_zone)
        waits = (
            f"{span(zonal.first_zone_monitor_duration_in_seconds)} after the first, {span(zonal.monitor_duration_in_seconds)} after others"
        )
        lines.append(f"zone by zone ({clean(zonal.zone_tag)}): {waits}, {minimum} in each")
    return "\n".join(lines)


def put(request: "CreateDeploymentConfigRequest", said: SaidShape) -> None:
    """Put what was typed into the request."""
    if said["canary_tags"]:
        canaries(request.canaries, said["canary_bake"], said["canary_gate"])
        request.canaries.tag_filters.extend(said["canary_tags"])
    elif said["canary_bake"] is not None or said["canary_gate"] is not None:
        raise click.UsageError("cannot wait for canaries without any: give --canary-tag")
    request.steps.extend(said["steps"])
    zonal = (said["zone_tag"], said["first_monitor"], said["monitor"], said["zone_minimum"])
    if said["zonal"] or any(one is not None for one in zonal):
        config = request.zonal_config
        config.zone_tag = said["zone_tag"] or ""
        config.first_zone_monitor_duration_in_seconds = 0 if said["first_monitor"] is None else said["first_monitor"].seconds
        config.monitor_duration_in_seconds = 0 if said["monitor"] is None else said["monitor"].seconds
        if said["zone_minimum"] is not None:
            config.minimum_healthy_hosts_per_zone.CopyFrom(said["zone_minimum"])
        config.SetInParent()


def put_canaries(request: "CreateDeploymentRequest", hosts: "tuple[str, ...]", bake: "Duration | None", passed_by: "Gate | None") -> None:
    """Put the canaries that were named into the request."""
    if hosts:
        canaries(request.canaries, bake, passed_by)
        request.canaries.hosts.extend(hosts)
    elif bake is not None or passed_by is not None:
        raise click.UsageError("cannot wait for canaries without any: name them with --canary HOST")


def canaries(message: "Canaries", bake: "Duration | None", passed_by: "Gate | None") -> None:
    """Say what is waited for after the canaries."""
    if bake is not None:
        message.bake_time.CopyFrom(bake)
    if passed_by is not None:
        message.gate.CopyFrom(passed_by)


def _canaries(of: "Canaries") -> str:
    who = [clean(host) for host in of.hosts] + [clean(show_tag_filter(one)) for one in of.tag_filters]
    return f"canaries {', '.join(who)}{_pause(of)}"


def _pause(of: "Canaries | RolloutStep") -> str:
    bake = f"  bake {show_length(of.bake_time)}" if of.bake_time.ToMilliseconds() else ""
    measured = ", ".join(f"{clean(one.name)}{' (shadow)' if one.shadow else ''}" for one in of.analysis.metrics)
    analysis = f"  analysis of {measured}" if measured else ""
    return bake + analysis + (f"  gate {show_gate(of.gate)}" if of.HasField("gate") else "")


LENGTH = Parsed("length", length)
CANARY_BAKE = click.option("--canary-bake", type=LENGTH, metavar="TIME", help="Watch the alarms for so long after the canaries.")
CANARY_GATE = click.option(
    "--canary-gate",
    type=Parsed("gate", gate),
    metavar="NAME,...[:TIME]|any",
    help="After that one of these operators has to approve (any: every approver), within TIME or 24h.",
)
_OPTIONS = (
    click.option(
        "--canary-tag",
        "canary_tags",
        type=Parsed("tag", tag_filter),
        multiple=True,
        metavar="KEY=VALUE",
        help="Hosts with this tag go before all others.",
    ),
    CANARY_BAKE,
    CANARY_GATE,
    click.option(
        "--step",
        "steps",
        type=Parsed("step", step),
        multiple=True,
        metavar="N|N%[+bake=TIME][+gate=NAME,...]",
        help="Grow: first to N hosts, or N percent of them, counted from the beginning; then to the next step, and to the rest at last.",
    ),
    click.option("--zonal", is_flag=True, help="One zone after another, by the zones' names, in place of steps."),
    click.option("--zone-tag", metavar="KEY", help="The tag that says the zone. [fact:zone, which the agent reports]"),
    click.option("--first-zone-monitor", "first_monitor", type=LENGTH, metavar="TIME", help="Watch the alarms after the first zone. [0]"),
    click.option("--zone-monitor", "monitor", type=LENGTH, metavar="TIME", help="Watch them after each other zone but the last. [0]"),
    click.option(
        "--zone-minimum-healthy-hosts",
        "zone_minimum",
        type=Parsed("minimum", minimum_healthy_hosts),
        metavar="TYPE:VALUE",
        help="How many hosts must stay healthy in each zone. [FLEET_PERCENT:0]",
    ),
)
CANARY = click.option(
    "--canary",
    "canaries",
    multiple=True,
    metavar="HOST",
    shell_complete=suggestions.hosts,
    help="This host of the group first (and others named so), in place of the config's canaries.",
)


def options(command: AnyCommand) -> AnyCommand:
    """The options whose values are `SaidShape`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
