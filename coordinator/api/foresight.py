"""ForesightService for gRPC: what would happen, and why what happens does."""

from collections.abc import Mapping

from coordinator.api import messages
from coordinator.api.calls.principal import caller
from coordinator.api.calls.requests import Context
from coordinator.api.deployments import wanted
from coordinator.core.foresight.story import Story
from coordinator.core.lifecycle import LifecycleEvent
from coordinator.core.model import DeploymentId, Plan
from coordinator.core.orders import HistoryEntry
from coordinator.service.foresight.explaining import Explained, ExplainingService
from coordinator.service.foresight.faults import Faults
from coordinator.service.foresight.foreseeing import Foreseen, ForesightService, Planned
from coordinator.wire import operators as wire
from hookline.v1 import deployments_pb2, resources_pb2
from hookline.v1 import foresight_pb2 as pb
from hookline.v1.foresight_pb2_grpc import ForesightServiceServicer


class ForesightServicer(ForesightServiceServicer):
    """Deployments that nobody has made."""

    def __init__(self, foresight: ForesightService, explaining: ExplainingService) -> None:
        """`foresight` and `explaining` do the work."""
        self._foresight = foresight
        self._explaining = explaining

    async def PlanDeployment(self, request: pb.PlanDeploymentRequest, context: Context) -> pb.PlanDeploymentResponse:
        """Say how a deployment would go."""
        planned = await self._foresight.plan(wanted(request.deployment), created_by=str(caller.get()))
        foreseen = planned.foreseen
        return pb.PlanDeploymentResponse(
            deployment=None if planned.deployment is None else messages.deployment(planned.deployment),
            refusals=[pb.Refusal(code=error.code, message=error.message) for error in planned.refusals],
            foresight=None if foreseen is None else _foresight(foreseen),
            offline_hosts=planned.offline,
            rollback=None if foreseen is None else _rollback(planned, foreseen.rollback),
            earliest_end=None if planned.earliest_end is None else wire.duration(planned.earliest_end),
            latest_end=None if planned.latest_end is None else wire.duration(planned.latest_end),
        )

    async def SimulateDeployment(self, request: pb.SimulateDeploymentRequest, context: Context) -> pb.SimulateDeploymentResponse:
        """Say how a deployment would go when this and that goes wrong."""
        asked = wanted(request.deployment)
        foreseen = await self._foresight.simulate(asked, _faults(request), created_by=str(caller.get()))
        plan, names = foreseen.deployments[0].plan, foreseen.host_names
        return pb.SimulateDeploymentResponse(
            deployments=[messages.deployment(one) for one in foreseen.deployments],
            entries=[_entry(one, number, plan, names) for number, one in enumerate(foreseen.story.entries, start=1)],
            entries_left_out=foreseen.story.left_out,
            foresight=_foresight(foreseen),
        )

    async def ExplainDeployment(self, request: pb.ExplainDeploymentRequest, context: Context) -> pb.ExplainDeploymentResponse:
        """Say why a deployment, or a host's part in it, is where it is."""
        deployment_id = DeploymentId(request.deployment_id)
        if request.host:
            said = await self._explaining.target(deployment_id, request.host)
        else:
            said = await self._explaining.deployment(deployment_id)
        return pb.ExplainDeploymentResponse(explanation=_explanation(said))

    async def ExplainHost(self, request: pb.ExplainHostRequest, context: Context) -> pb.ExplainHostResponse:
        """Say why a host is where it is."""
        return pb.ExplainHostResponse(explanations=[_explanation(one) for one in await self._explaining.host(request.host)])


def _explanation(of: Explained) -> pb.Explanation:
    plan = of.plan
    return pb.Explanation(
        sentence=of.said.sentence,
        reason=of.said.reason,
        until=wire.time(of.until),
        deployment_id=plan.deployment_id if plan else "",
        application_name=plan.application_name if plan else "",
        deployment_group_name=plan.group_name if plan else "",
        host_name=of.host_name,
    )


def _faults(request: pb.SimulateDeploymentRequest) -> Faults:
    return Faults(
        failing=[(one.host, _event(one.lifecycle_event)) for one in request.failing_hosts],
        failing_percent=request.failing_percent,
        lost=[(one.host, wire.read_duration(one.at) if one.HasField("at") else None) for one in request.lost_hosts],
        lost_percent=request.lost_percent,
        back_after=wire.read_duration(request.back_after) if request.HasField("back_after") else None,
        alarms=[(one.alarm_name, wire.read_duration(one.at)) for one in request.firing_alarms],
        stop_at=wire.read_duration(request.stop_at) if request.HasField("stop_at") else None,
        seed=request.seed,
    )


def _event(number: int) -> LifecycleEvent | None:
    return wire.read_number(LifecycleEvent, number, "failing_hosts.lifecycle_event") if number else None


def _foresight(foreseen: Foreseen) -> pb.Foresight:
    story, ends = foreseen.story, foreseen.deployments[0]
    return pb.Foresight(
        waves=_waves(story),
        healthy_hosts=[pb.HealthyHosts(at=wire.duration(one.at), hosts=one.hosts) for one in story.healthy],
        hosts=foreseen.hosts,
        minimum=foreseen.minimum,
        floor=foreseen.floor,
        fewest_healthy=story.smallest,
        floor_broken=story.floor_broken,
        gates=story.gates,
        end=None if story.ended_at is None else wire.duration(story.ended_at),
        known_targets=foreseen.known_targets,
        status=resources_pb2.DeploymentStatus.ValueType(ends.status if ends.status.terminal else 0),
        error_information=messages.error_information(ends.error),
    )


def _waves(story: Story) -> list[pb.Wave]:
    first = story.deployments[0].deployment_id
    return [
        pb.Wave(at=wire.duration(one.at), rollback=one.deployment_id != first, hosts=one.hosts, healthy_hosts=one.healthy, stage=one.stage)
        for one in story.waves
    ]


def _rollback(planned: Planned, plan: Plan | str | None) -> pb.PlannedRollback:
    assert planned.deployment is not None
    message = pb.PlannedRollback(auto_rollback_configuration=wire.auto_rollback(planned.deployment.plan.auto_rollback))
    if isinstance(plan, Plan):
        message.revision_id = plan.revision.revision_id
    else:
        message.message = plan or "cannot roll back: no host would begin"
    return message


def _entry(entry: HistoryEntry, number: int, plan: Plan, names: Mapping[str, str]) -> deployments_pb2.HistoryEntry:
    return deployments_pb2.HistoryEntry(
        history_id=number,
        time=wire.time(entry.at),
        application_name=plan.application_name,
        deployment_group_name=plan.group_name,
        deployment_id=entry.deployment_id or "",
        host_name=names.get(entry.host_id or "", ""),
        entry=entry.entry,
        because=entry.because,
        message=entry.message,
        principal=entry.principal,
    )
