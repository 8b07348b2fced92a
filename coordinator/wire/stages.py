"""Shapes of rollouts as operators say them, and stages as they hear of them, in the core's words."""

from collections.abc import Mapping

from coordinator.core.errors import Invalid
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import (
    Canaries,
    Gate,
    Hold,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Pause,
    Plan,
    Progress,
    Shape,
    Stage,
    Step,
    Waiting,
    ZonalConfig,
)
from coordinator.core.stages import gates
from coordinator.wire import analyses
from coordinator.wire.operators import (
    duration,
    instant,
    minimum_healthy_hosts,
    read_duration,
    read_minimum_healthy_hosts,
    read_tag_filters,
    tag_filter,
)
from hookline.v1 import catalog_pb2, deployments_pb2
from hookline.v1 import resources_pb2 as pb

Counts = Mapping[TargetStatus, int]


def canaries(value: Canaries | None) -> pb.Canaries | None:
    """Who goes before all others; None: nobody does."""
    if value is None:
        return None
    message = pb.Canaries(hosts=value.hosts, tag_filters=[tag_filter(one) for one in value.tag_filters], gate=gate(value.pause.gate))
    if value.pause.bake:
        message.bake_time.CopyFrom(duration(value.pause.bake))
    if value.pause.analysis is not None:
        message.analysis.CopyFrom(analyses.analysis(value.pause.analysis))
    return message


def read_canaries(message: pb.Canaries, *, field: str) -> Canaries:
    """Whom a caller wants to go before all others."""
    return Canaries(
        hosts=tuple(dict.fromkeys(message.hosts)),
        tag_filters=read_tag_filters(message.tag_filters, field=f"{field}.tag_filters"),
        pause=_read_pause(message, field),
    )


def step(value: Step) -> pb.RolloutStep:
    """A step."""
    message = pb.RolloutStep(gate=gate(value.pause.gate))
    if value.percent:
        message.percent = value.value
    else:
        message.hosts = value.value
    if value.pause.bake:
        message.bake_time.CopyFrom(duration(value.pause.bake))
    if value.pause.analysis is not None:
        message.analysis.CopyFrom(analyses.analysis(value.pause.analysis))
    return message


def zonal_config(value: ZonalConfig | None) -> pb.ZonalConfig | None:
    """How it goes zone by zone; None: zones do not matter."""
    if value is None:
        return None
    return pb.ZonalConfig(
        first_zone_monitor_duration_in_seconds=value.first_monitor // 1000,
        monitor_duration_in_seconds=value.monitor // 1000,
        minimum_healthy_hosts_per_zone=minimum_healthy_hosts(value.minimum),
        zone_tag=value.tag,
    )


def read_shape(message: catalog_pb2.CreateDeploymentConfigRequest) -> Shape:
    """How a caller wants rollouts to grow."""
    return Shape(
        canaries=read_canaries(message.canaries, field="canaries") if message.HasField("canaries") else None,
        steps=tuple(_read_step(one, f"steps[{index}]") for index, one in enumerate(message.steps)),
        zonal=_read_zonal(message.zonal_config) if message.HasField("zonal_config") else None,
    )


def gate(value: Gate | None) -> pb.Gate | None:
    """Who has to approve; None: nobody."""
    return None if value is None else pb.Gate(approvers=value.approvers, timeout=duration(value.timeout))


def stages(plan: Plan, progress: Progress, counts: Mapping[int, Counts], *, ended: bool) -> list[deployments_pb2.Stage]:
    """The stages of a deployment as they are now; `counts`: their targets, by index."""
    return [_stage(index, one, progress, counts.get(index, {}), ended=ended) for index, one in enumerate(plan.stages)]


def overview(counts: Counts) -> deployments_pb2.DeploymentOverview:
    """Targets by status; nobody knows how an Unknown one ended."""
    return deployments_pb2.DeploymentOverview(
        pending=counts.get(TargetStatus.Pending, 0),
        in_progress=counts.get(TargetStatus.InProgress, 0),
        succeeded=counts.get(TargetStatus.Succeeded, 0),
        failed=counts.get(TargetStatus.Failed, 0) + counts.get(TargetStatus.Unknown, 0),
        skipped=counts.get(TargetStatus.Skipped, 0),
    )


def waiting(plan: Plan, progress: Progress, hold: Hold) -> deployments_pb2.Waiting:
    """What a deployment waits for."""
    message = deployments_pb2.Waiting(
        waiting_for=deployments_pb2.WaitingFor.ValueType(hold.waiting), stage=progress.stage, message=_sentence(plan, progress, hold)
    )
    if hold.until is not None and progress.waits_until is not None:
        message.until_time.CopyFrom(instant(progress.waits_until))
    return message


def _stage(index: int, one: Stage, progress: Progress, counts: Counts, *, ended: bool) -> deployments_pb2.Stage:
    status = deployments_pb2.STAGE_STATUS_IN_PROGRESS
    if ended or index < progress.stage:
        status = deployments_pb2.STAGE_STATUS_OVER
    elif index > progress.stage:
        status = deployments_pb2.STAGE_STATUS_PENDING
    message = deployments_pb2.Stage(name=one.name, status=status, overview=overview(counts), gate=gate(one.pause.gate))
    if one.pause.bake:
        message.bake_time.CopyFrom(duration(one.pause.bake))
    passed = next((each for each in progress.passed if each.stage == index), None)
    if passed is not None:
        message.passed_by = passed.by
        message.pass_time.CopyFrom(instant(passed.at))
    return message


def _sentence(plan: Plan, progress: Progress, hold: Hold) -> str:
    of = f" of {gates.called(plan, progress.stage)}" if plan.stages else ""
    match hold.waiting:
        case Waiting.Approval:
            return f"somebody other than {plan.created_by} has to approve it"
        case Waiting.Resumption:
            paused = progress.paused
            assert paused is not None
            return f"{paused.by} has paused it{': ' if paused.why else ''}{paused.why}"
        case Waiting.Gate:
            return gates.awaited(plan, progress.stage)
        case Waiting.Analysis:
            return f"every host{of} has ended; it is analysed"
        case Waiting.Bake:
            return f"every host{of} has ended; it bakes"
        case Waiting.Hosts:
            return f"the hosts{of} are being deployed to"


def _read_step(message: pb.RolloutStep, field: str) -> Step:
    match message.WhichOneof("size"):
        case "hosts":
            return Step(value=message.hosts, pause=_read_pause(message, field))
        case "percent":
            return Step(value=message.percent, percent=True, pause=_read_pause(message, field))
        case None:
            raise Invalid(f"cannot read {field}: say hosts or percent", field=field)


def _read_zonal(message: pb.ZonalConfig) -> ZonalConfig:
    minimum = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=0)
    if message.HasField("minimum_healthy_hosts_per_zone"):
        minimum = read_minimum_healthy_hosts(message.minimum_healthy_hosts_per_zone, field="zonal_config.minimum_healthy_hosts_per_zone")
    return ZonalConfig(
        first_monitor=message.first_zone_monitor_duration_in_seconds * 1000,
        monitor=message.monitor_duration_in_seconds * 1000,
        minimum=minimum,
        tag=message.zone_tag or ZonalConfig().tag,
    )


def _read_pause(message: pb.Canaries | pb.RolloutStep, field: str) -> Pause:
    return Pause(
        bake=read_duration(message.bake_time),
        analysis=analyses.read_analysis(message.analysis, field=f"{field}.analysis") if message.HasField("analysis") else None,
        gate=_read_gate(message.gate) if message.HasField("gate") else None,
    )


def _read_gate(message: pb.Gate) -> Gate:
    timeout = read_duration(message.timeout) if message.HasField("timeout") else Gate().timeout
    return Gate(approvers=tuple(dict.fromkeys(message.approvers)), timeout=timeout)
