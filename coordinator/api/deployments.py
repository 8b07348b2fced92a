"""DeploymentService for gRPC: reads requests, asks the services, writes answers."""

from collections.abc import AsyncIterator

from coordinator.api import messages
from coordinator.api.calls.principal import caller
from coordinator.api.calls.requests import Context, cursor, page_size, request_key, token
from coordinator.core.errors import Invalid
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import DeploymentId
from coordinator.service.deployments import DeploymentService, Wanted
from coordinator.service.foresight.foreseeing import ForesightService
from coordinator.service.logs import LogService
from coordinator.service.rollouts.wishes import Said, WishService
from coordinator.service.watch import Seen, WatchService
from coordinator.wire import operators as wire
from coordinator.wire import stages
from hookline.v1 import deployments_pb2 as pb
from hookline.v1.deployments_pb2_grpc import DeploymentServiceServicer


class DeploymentServicer(DeploymentServiceServicer):
    """Deployments, their targets, and the history."""

    def __init__(
        self, deployments: DeploymentService, wishes: WishService, watches: WatchService, logs: LogService, foresight: ForesightService
    ) -> None:
        """`deployments`, `wishes`, `watches` and `logs` do the work; `foresight` only looks whether it could be done."""
        self._deployments = deployments
        self._wishes = wishes
        self._watches = watches
        self._logs = logs
        self._foresight = foresight

    async def CreateDeployment(self, request: pb.CreateDeploymentRequest, context: Context) -> pb.CreateDeploymentResponse:
        """Deploy a revision to a group."""
        asked = wanted(request)
        if request.validate_only:
            made = await self._foresight.validate(asked, created_by=str(caller.get()))
        else:
            made = await self._deployments.create(asked, request_key("CreateDeployment", request))
        return pb.CreateDeploymentResponse(deployment=messages.deployment(made))

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.GetDeploymentResponse:
        """Show a deployment."""
        found = await self._deployments.deployment(DeploymentId(request.deployment_id))
        return pb.GetDeploymentResponse(deployment=messages.deployment(found))

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        """List deployments."""
        page = await self._deployments.deployments(
            application_name=request.application_name,
            group_name=request.deployment_group_name,
            statuses=wire.read_deployment_statuses(request.statuses, field="statuses"),
            size=page_size(request),
            after=cursor(request, request.page_token),
        )
        deployments = [messages.deployment(one) for one in page.items]
        return pb.ListDeploymentsResponse(deployments=deployments, next_page_token=token(request, page.next))

    async def ApproveDeployment(self, request: pb.ApproveDeploymentRequest, context: Context) -> pb.ApproveDeploymentResponse:
        """Approve a deployment."""
        key = request_key("ApproveDeployment", request)
        now = await self._deployments.approve(DeploymentId(request.deployment_id), key, reason=request.reason)
        return pb.ApproveDeploymentResponse(deployment=messages.deployment(now))

    async def PauseDeployment(self, request: pb.PauseDeploymentRequest, context: Context) -> pb.PauseDeploymentResponse:
        """Pause a deployment."""
        now = await self._wishes.pause(_said("PauseDeployment", request))
        return pb.PauseDeploymentResponse(deployment=messages.deployment(now))

    async def ResumeDeployment(self, request: pb.ResumeDeploymentRequest, context: Context) -> pb.ResumeDeploymentResponse:
        """Resume a deployment."""
        now = await self._wishes.resume(_said("ResumeDeployment", request))
        return pb.ResumeDeploymentResponse(deployment=messages.deployment(now))

    async def PromoteDeployment(self, request: pb.PromoteDeploymentRequest, context: Context) -> pb.PromoteDeploymentResponse:
        """Cut a bake short."""
        now = await self._wishes.promote(_said("PromoteDeployment", request), past_gate=request.past_gate)
        return pb.PromoteDeploymentResponse(deployment=messages.deployment(now))

    async def RetryTargets(self, request: pb.RetryTargetsRequest, context: Context) -> pb.RetryTargetsResponse:
        """Try hosts again."""
        now = await self._wishes.retry(_said("RetryTargets", request), list(dict.fromkeys(request.hosts)))
        return pb.RetryTargetsResponse(deployment=messages.deployment(now))

    async def SkipTargets(self, request: pb.SkipTargetsRequest, context: Context) -> pb.SkipTargetsResponse:
        """Leave hosts out."""
        now = await self._wishes.skip(_said("SkipTargets", request), list(dict.fromkeys(request.hosts)))
        return pb.SkipTargetsResponse(deployment=messages.deployment(now))

    async def StopDeployment(self, request: pb.StopDeploymentRequest, context: Context) -> pb.StopDeploymentResponse:
        """Stop a deployment."""
        key = request_key("StopDeployment", request)
        roll_back = request.auto_rollback_enabled if request.HasField("auto_rollback_enabled") else None
        now = await self._deployments.stop(DeploymentId(request.deployment_id), key, reason=request.reason, roll_back=roll_back)
        if now.status is DeploymentStatus.Succeeded:
            back = f"{now.rollback_message}" if now.rollback_message else "its hosts keep what they have"
            status, message = pb.STOP_STATUS_SUCCEEDED, f"its alarms are not watched any more; {back}"
        elif now.status.terminal:
            status, message = pb.STOP_STATUS_SUCCEEDED, "no event runs any more, and no further one will be sent to a host"
            message += f"; {now.rollback_message}" if now.rollback_message else ""
        else:
            status, message = pb.STOP_STATUS_PENDING, "no further host begins; some hosts still finish their running event"
        return pb.StopDeploymentResponse(status=status, status_message=message, deployment=messages.deployment(now))

    async def WatchDeployment(self, request: pb.WatchDeploymentRequest, context: Context) -> AsyncIterator[pb.WatchDeploymentResponse]:
        """Follow a deployment."""
        async for seen in self._watches.watch(DeploymentId(request.deployment_id), _since(request)):
            yield _watched(request, seen)

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Context) -> AsyncIterator[pb.ReadLogsResponse]:
        """Read what hooks printed."""
        if request.offset and not request.host:
            raise Invalid("cannot begin at an offset of all hosts: name one, or pass a resume_token on", field="offset")
        pieces = self._logs.read(
            DeploymentId(request.deployment_id), request.host, offset=request.offset, since=_position(request), follow=request.follow
        )
        async for piece in pieces:
            yield messages.printed(piece, token(request, str(piece.position)))

    async def ListTargets(self, request: pb.ListTargetsRequest, context: Context) -> pb.ListTargetsResponse:
        """List the targets of a deployment."""
        page = await self._deployments.targets(
            DeploymentId(request.deployment_id),
            statuses=wire.read_target_statuses(request.statuses, field="statuses"),
            size=page_size(request),
            after=cursor(request, request.page_token),
        )
        targets = [messages.target(one) for one in page.items]
        return pb.ListTargetsResponse(targets=targets, next_page_token=token(request, page.next))

    async def GetTarget(self, request: pb.GetTargetRequest, context: Context) -> pb.GetTargetResponse:
        """Show one target."""
        found = await self._deployments.target(DeploymentId(request.deployment_id), request.host)
        return pb.GetTargetResponse(target=messages.target(found))

    async def ListHistory(self, request: pb.ListHistoryRequest, context: Context) -> pb.ListHistoryResponse:
        """List what happened."""
        page = await self._deployments.entries(
            application_name=request.application_name,
            group_name=request.deployment_group_name,
            deployment_id=request.deployment_id,
            host=request.host,
            size=page_size(request),
            after=cursor(request, request.page_token),
            kinds=list(dict.fromkeys(request.entries)),
        )
        entries = [messages.history_entry(one) for one in page.items]
        return pb.ListHistoryResponse(entries=entries, next_page_token=token(request, page.next))


def wanted(request: pb.CreateDeploymentRequest) -> Wanted:
    """The deployment that a request asks for."""
    rollback = None
    if request.HasField("auto_rollback_configuration"):
        rollback = wire.read_auto_rollback(request.auto_rollback_configuration, field="auto_rollback_configuration")
    override = None
    if request.HasField("override_alarm_configuration"):
        override = wire.read_alarm_configuration(request.override_alarm_configuration)
    return Wanted(
        application_name=request.application_name,
        group_name=request.deployment_group_name,
        revision_id=request.revision_id,
        config_name=request.deployment_config_name,
        rollback_config_name=request.rollback_deployment_config_name if request.HasField("rollback_deployment_config_name") else None,
        description=request.description,
        auto_rollback=rollback,
        file_exists_behavior=wire.read_file_exists_behavior(request.file_exists_behavior, field="file_exists_behavior"),
        ignore_application_stop_failures=request.ignore_application_stop_failures,
        outdated_only=request.update_outdated_instances_only,
        restart=_restarts(request.deployment_mode),
        hosts=list(dict.fromkeys(request.hosts)),
        alarms=override,
        canaries=stages.read_canaries(request.canaries, field="canaries") if request.HasField("canaries") else None,
        start_at=wire.read_time(request.start_time, field="start_time") if request.HasField("start_time") else None,
    )


def _restarts(mode: pb.DeploymentMode.ValueType) -> bool:
    if mode not in pb.DeploymentMode.values():
        raise Invalid(f"cannot deploy in mode {mode}: there are DEPLOY and RESTART", field="deployment_mode")
    return mode == pb.DEPLOYMENT_MODE_RESTART


Wish = pb.PauseDeploymentRequest | pb.ResumeDeploymentRequest | pb.PromoteDeploymentRequest | pb.RetryTargetsRequest | pb.SkipTargetsRequest


def _said(method: str, request: Wish) -> Said:
    return Said(deployment_id=DeploymentId(request.deployment_id), key=request_key(method, request), reason=request.reason)


DIGITS = 19
"""Of the largest number of a commit or position."""


def _since(request: pb.WatchDeploymentRequest) -> int | None:
    return _number(cursor(request, request.resume_token, field="resume_token"))


def _position(request: pb.ReadLogsRequest) -> int | None:
    return _number(cursor(request, request.resume_token, field="resume_token"))


def _number(after: str) -> int | None:
    if not after:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= DIGITS):
        raise Invalid("cannot read the resume_token: pass it on as it came", field="resume_token")
    return int(after)


def _watched(request: pb.WatchDeploymentRequest, seen: Seen) -> pb.WatchDeploymentResponse:
    message = pb.WatchDeploymentResponse(resume_token="" if seen.resume is None else token(request, str(seen.resume)))
    if seen.deployment is not None:
        message.deployment.CopyFrom(messages.deployment(seen.deployment))
    elif seen.targets:
        message.targets.targets.extend(messages.target(one) for one in seen.targets)
    else:
        message.bookmark.complete = seen.complete
        message.bookmark.SetInParent()
    return message
