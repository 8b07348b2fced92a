"""A coordinator for the command line's tests: the three services over dictionaries, behind a real gRPC server on a free port."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, NamedTuple, TypeVar

import grpc
from google.protobuf import any_pb2, timestamp_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from hookline.v1 import triggers_pb2 as triggers

NOON = 1_795_435_200  # 2026-11-23 12:00:00 UTC
EVENTS = range(resources.LIFECYCLE_EVENT_APPLICATION_STOP, resources.LIFECYCLE_EVENT_VALIDATE_SERVICE + 1)
Element = TypeVar("Element")


class Refused(Exception):
    """What the services raise to refuse a call."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason
        self.metadata, self.violations = metadata or {}, violations or {}

    def status(self) -> Any:
        """The status with its google.rpc details."""
        details = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="hookline", metadata=self.metadata))
        if self.violations:
            fields = [error_details_pb2.BadRequest.FieldViolation(field=field, description=why) for field, why in self.violations.items()]
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        return rpc_status.to_status(status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message, details=packed))


class Call(NamedTuple):
    """A call that arrived."""

    method: str
    request: Any


def at(seconds: int) -> timestamp_pb2.Timestamp:
    """A time, in seconds after noon."""
    return timestamp_pb2.Timestamp(seconds=NOON + seconds)


def no_such(what: str, name: str) -> Refused:
    """A NOT_FOUND as the coordinator words it."""
    return Refused(grpc.StatusCode.NOT_FOUND, f"cannot find {what} {name}", f"{what.title().replace(' ', '')}DoesNotExistException")


def target(name: str, status: resources.TargetStatus.ValueType, *events: int, **more: Any) -> deployments.Target:
    """A target whose lifecycle events have these statuses, Pending where none is given."""
    records = [
        resources.LifecycleEventRecord(
            lifecycle_event=resources.LifecycleEvent.ValueType(event),
            status=resources.LifecycleEventStatus.ValueType(how),
            start_time=at(index) if how > 1 and how != resources.LIFECYCLE_EVENT_STATUS_SKIPPED else None,
            end_time=at(index + 1) if how in (3, 4) else None,
        )
        for index, (event, how) in enumerate(itertools.zip_longest(EVENTS, events, fillvalue=resources.LIFECYCLE_EVENT_STATUS_PENDING))
    ]
    return deployments.Target(
        deployment_id="d-AAAAAAAA1", host_id=f"id-{name}", host_name=name, status=status, lifecycle_events=records, **more
    )


class FakeCoordinator:
    """Answers calls; `faults` are raised first, one a call; `watches` and `logs` are what each call of WatchDeployment and of
    ReadLogs sends, in turn."""

    services = (
        (catalog, "CatalogService"),
        (deployments, "DeploymentService"),
        (foresight, "ForesightService"),
        (alarms, "AlarmService"),
        (triggers, "TriggerService"),
        (fleet, "FleetService"),
    )

    def __init__(self, listen: str = "127.0.0.1:0") -> None:
        self.calls: list[Call] = []
        self.faults: list[Refused] = []
        self.bundles: list[bytes] = []
        self.watches: list[list[deployments.WatchDeploymentResponse | Refused]] = []
        self.logs: list[list[deployments.ReadLogsResponse | Refused]] = []
        self.applications: dict[str, catalog.Application] = {}
        self.groups: dict[tuple[str, str], catalog.DeploymentGroup] = {}
        self.overtaking: list[catalog.DeploymentGroup] = []
        """What others make of groups just before each update of one."""
        self.configs: dict[str, catalog.DeploymentConfig] = {}
        self.alarms: dict[str, alarms.Alarm] = {}
        self.attempt = triggers.TestTriggerResponse(delivered=True, answer="it answered 200: ok")
        self.seen = alarms.TestAlarmResponse(status=alarms.ALARM_STATUS_OK, sample="0.01 is not > 0.05", time=at(0))
        self.revisions: dict[str, catalog.Revision] = {}
        self.deployments: list[deployments.Deployment] = []  # newest first
        self.made: deployments.Deployment | None = None
        """What CreateDeployment answers; None: what was asked for."""
        self.targets: list[deployments.Target] = []
        self.history: list[deployments.HistoryEntry] = []
        self.planned = foresight.PlanDeploymentResponse()
        self.explained = foresight.Explanation()
        self.simulated = foresight.SimulateDeploymentResponse()
        self.hosts: dict[str, fleet.Host] = {}
        self.enrolments: dict[str, fleet.Enrolment] = {}
        self.enrol_address = "10.0.0.1:8446"
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        self.metadata: dict[str, str | bytes] = {}
        self.certificate = b""
        """What the last call showed, PEM."""
        for file, service in self.services:
            self._serve(file.DESCRIPTOR.services_by_name[service])
        port = self._open(self._server, listen)
        self.address = listen.replace(":0", f":{port}")
        self._server.start()

    def _open(self, server: grpc.Server, listen: str) -> int:
        return server.add_insecure_port(listen)

    def stop(self) -> None:
        """End the server."""
        self._server.stop(None).wait()

    def requests(self, method: str) -> list[Any]:
        """The requests of the calls of a method so far."""
        return [call.request for call in self.calls if call.method == method]

    def _serve(self, service: Any) -> None:
        kinds: dict[tuple[bool, bool], Any] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
        }
        handlers = {
            method.name: kinds[method.client_streaming, method.server_streaming](
                self._answer(method.name, getattr(self, method.name), streams=method.server_streaming),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for method in service.methods
            if hasattr(self, method.name)
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))

    def _answer(self, name: str, method: Callable[[Any], Any], *, streams: bool) -> Callable[[Any, grpc.ServicerContext], Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(Call(name, request))
            self.metadata = dict(context.invocation_metadata())
            shown: Any = context.auth_context().get("x509_pem_cert", ())  # bytes each, whatever the stubs say
            self.certificate = b"".join(shown)
            try:
                if self.faults:
                    raise self.faults.pop(0)
                return method(request)
            except Refused as refused:
                return context.abort_with_status(refused.status())

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self.calls.append(Call(name, request))
            try:
                yield from method(request)
            except Refused as refused:
                context.abort_with_status(refused.status())

        return stream if streams else answer

    # ------------------------------------------------------------------------------------------------------- the services

    def CreateApplication(self, request: catalog.CreateApplicationRequest) -> Message:
        name = request.application_name
        if name in self.applications:
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS, f"cannot create application {name}: it exists", "ApplicationAlreadyExistsException"
            )
        self.applications[name] = catalog.Application(application_name=name, create_time=at(0))
        return catalog.CreateApplicationResponse(application=self.applications[name])

    def GetApplication(self, request: catalog.GetApplicationRequest) -> Message:
        if request.application_name not in self.applications:
            raise no_such("application", request.application_name)
        return catalog.GetApplicationResponse(application=self.applications[request.application_name])

    def ListApplications(self, request: catalog.ListApplicationsRequest) -> Message:
        found, token = page(self.applications.values(), request)
        return catalog.ListApplicationsResponse(applications=found, next_page_token=token)

    def DeleteApplication(self, request: catalog.DeleteApplicationRequest) -> Message:
        if self.applications.pop(request.application_name, None) is None:
            raise no_such("application", request.application_name)
        return catalog.DeleteApplicationResponse()

    def CreateDeploymentGroup(self, request: catalog.CreateDeploymentGroupRequest) -> Message:
        group = request.deployment_group
        self.groups[group.application_name, group.deployment_group_name] = group
        return catalog.CreateDeploymentGroupResponse(deployment_group=group)

    def GetDeploymentGroup(self, request: catalog.GetDeploymentGroupRequest) -> Message:
        found = self.groups.get((request.application_name, request.deployment_group_name))
        if found is None:
            raise no_such("deployment group", request.deployment_group_name)
        return catalog.GetDeploymentGroupResponse(deployment_group=found)

    def ListDeploymentGroups(self, request: catalog.ListDeploymentGroupsRequest) -> Message:
        found, token = page((group for (name, _), group in self.groups.items() if name == request.application_name), request)
        return catalog.ListDeploymentGroupsResponse(deployment_groups=found, next_page_token=token)

    def UpdateDeploymentGroup(self, request: catalog.UpdateDeploymentGroupRequest) -> Message:
        if self.overtaking:
            group = self.overtaking.pop(0)
            self.groups[group.application_name, group.deployment_group_name] = group
            raise Refused(grpc.StatusCode.ABORTED, "cannot update: somebody has changed it since it was read", "OperationAbortedException")
        return catalog.UpdateDeploymentGroupResponse(deployment_group=request.deployment_group)

    def DeleteDeploymentGroup(self, request: catalog.DeleteDeploymentGroupRequest) -> Message:
        del self.groups[request.application_name, request.deployment_group_name]
        return catalog.DeleteDeploymentGroupResponse()

    def CreateDeploymentConfig(self, request: catalog.CreateDeploymentConfigRequest) -> Message:
        made = catalog.DeploymentConfig(
            deployment_config_name=request.deployment_config_name,
            minimum_healthy_hosts=request.minimum_healthy_hosts,
            canaries=request.canaries if request.HasField("canaries") else None,
            steps=request.steps,
            zonal_config=request.zonal_config if request.HasField("zonal_config") else None,
        )
        self.configs[made.deployment_config_name] = made
        return catalog.CreateDeploymentConfigResponse(deployment_config=made)

    def GetDeploymentConfig(self, request: catalog.GetDeploymentConfigRequest) -> Message:
        return catalog.GetDeploymentConfigResponse(deployment_config=self.configs[request.deployment_config_name])

    def ListDeploymentConfigs(self, request: catalog.ListDeploymentConfigsRequest) -> Message:
        found, token = page(self.configs.values(), request)
        return catalog.ListDeploymentConfigsResponse(deployment_configs=found, next_page_token=token)

    def DeleteDeploymentConfig(self, request: catalog.DeleteDeploymentConfigRequest) -> Message:
        del self.configs[request.deployment_config_name]
        return catalog.DeleteDeploymentConfigResponse()

    def CreateAlarm(self, request: alarms.CreateAlarmRequest) -> Message:
        self.alarms[request.alarm.alarm_name] = request.alarm
        return alarms.CreateAlarmResponse(alarm=request.alarm)

    def GetAlarm(self, request: alarms.GetAlarmRequest) -> Message:
        if request.alarm_name not in self.alarms:
            raise no_such("alarm", request.alarm_name)
        return alarms.GetAlarmResponse(alarm=self.alarms[request.alarm_name])

    def ListAlarms(self, request: alarms.ListAlarmsRequest) -> Message:
        found, token = page(self.alarms.values(), request)
        return alarms.ListAlarmsResponse(alarms=found, next_page_token=token)

    def UpdateAlarm(self, request: alarms.UpdateAlarmRequest) -> Message:
        return alarms.UpdateAlarmResponse(alarm=request.alarm)

    def DeleteAlarm(self, request: alarms.DeleteAlarmRequest) -> Message:
        del self.alarms[request.alarm_name]
        return alarms.DeleteAlarmResponse()

    def TestTrigger(self, request: triggers.TestTriggerRequest) -> Message:
        return self.attempt

    def TestAlarm(self, request: alarms.TestAlarmRequest) -> Message:
        return self.seen

    def PushRevision(self, requests: Iterator[catalog.PushRevisionRequest]) -> Message:
        header = next(requests).header
        bundle = b"".join(request.chunk for request in requests)
        if hashlib.sha256(bundle).digest() != header.sha256 or len(bundle) != header.size:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot keep the bundle: its digest is another one")
        self.bundles.append(bundle)
        place = resources.RevisionLocation(coordinator=resources.CoordinatorLocation(size=header.size), sha256=header.sha256)
        made = catalog.Revision(
            application_name=header.application_name,
            revision_id=f"r-{header.sha256.hex()[:16]}",
            location=place,
            description=header.description,
            signature=header.signature if header.HasField("signature") else None,
        )
        self.revisions[made.revision_id] = made
        return catalog.PushRevisionResponse(revision=made)

    def RegisterRevision(self, request: catalog.RegisterRevisionRequest) -> Message:
        made = catalog.Revision(application_name=request.application_name, revision_id="r-00000000000000aa", location=request.location)
        return catalog.RegisterRevisionResponse(revision=made)

    def GetRevision(self, request: catalog.GetRevisionRequest) -> Message:
        if request.revision_id not in self.revisions:
            raise no_such("revision", request.revision_id)
        return catalog.GetRevisionResponse(revision=self.revisions[request.revision_id])

    def ListRevisions(self, request: catalog.ListRevisionsRequest) -> Message:
        found, token = page(self.revisions.values(), request)
        return catalog.ListRevisionsResponse(revisions=found, next_page_token=token)

    def CreateDeployment(self, request: deployments.CreateDeploymentRequest) -> Message:
        made = deployments.Deployment(
            deployment_id="d-AAAAAAAA1",
            application_name=request.application_name,
            deployment_group_name=request.deployment_group_name,
            revision_id=request.revision_id,
            status=resources.DEPLOYMENT_STATUS_CREATED,
        )
        return deployments.CreateDeploymentResponse(deployment=self.made or made)

    def GetDeployment(self, request: deployments.GetDeploymentRequest) -> Message:
        for deployment in self.deployments:
            if deployment.deployment_id == request.deployment_id:
                return deployments.GetDeploymentResponse(deployment=deployment)
        raise no_such("deployment", request.deployment_id)

    def ListDeployments(self, request: deployments.ListDeploymentsRequest) -> Message:
        wanted = (each for each in self.deployments if not request.statuses or each.status in request.statuses)
        found, token = page(wanted, request)
        return deployments.ListDeploymentsResponse(deployments=found, next_page_token=token)

    def ApproveDeployment(self, request: deployments.ApproveDeploymentRequest) -> Message:
        for deployment in self.deployments:
            if deployment.deployment_id == request.deployment_id:
                deployment.approved_by = "operator:eve"
                return deployments.ApproveDeploymentResponse(deployment=deployment)
        raise no_such("deployment", request.deployment_id)

    def PauseDeployment(self, request: deployments.PauseDeploymentRequest) -> Message:
        return deployments.PauseDeploymentResponse(deployment=self._deployment(request.deployment_id))

    def ResumeDeployment(self, request: deployments.ResumeDeploymentRequest) -> Message:
        return deployments.ResumeDeploymentResponse(deployment=self._deployment(request.deployment_id))

    def PromoteDeployment(self, request: deployments.PromoteDeploymentRequest) -> Message:
        return deployments.PromoteDeploymentResponse(deployment=self._deployment(request.deployment_id))

    def RetryTargets(self, request: deployments.RetryTargetsRequest) -> Message:
        return deployments.RetryTargetsResponse(deployment=self._deployment(request.deployment_id))

    def SkipTargets(self, request: deployments.SkipTargetsRequest) -> Message:
        return deployments.SkipTargetsResponse(deployment=self._deployment(request.deployment_id))

    def _deployment(self, deployment_id: str) -> deployments.Deployment:
        for deployment in self.deployments:
            if deployment.deployment_id == deployment_id:
                return deployment
        raise no_such("deployment", deployment_id)

    def StopDeployment(self, request: deployments.StopDeploymentRequest) -> Message:
        for deployment in self.deployments:
            if deployment.deployment_id == request.deployment_id and deployment.watched:
                return self._watched_no_more(deployment, roll_back=request.auto_rollback_enabled)
            if deployment.deployment_id == request.deployment_id:
                deployment.status = resources.DEPLOYMENT_STATUS_STOPPED
        return deployments.StopDeploymentResponse(
            status=deployments.STOP_STATUS_PENDING, status_message="2 hosts finish their running event"
        )

    def _watched_no_more(self, deployment: deployments.Deployment, *, roll_back: bool) -> Message:
        deployment.watched = False
        said = "its hosts keep what they have"
        if roll_back:
            said = "d-BBBBBBBB2 rolls back to revision r-0"
            deployment.rollback_info.rollback_deployment_id = "d-BBBBBBBB2"
        status, message = deployments.STOP_STATUS_SUCCEEDED, f"its alarms are not watched any more; {said}"
        return deployments.StopDeploymentResponse(status=status, status_message=message, deployment=deployment)

    def PlanDeployment(self, request: foresight.PlanDeploymentRequest) -> Message:
        return self.planned

    def SimulateDeployment(self, request: foresight.SimulateDeploymentRequest) -> Message:
        return self.simulated

    def ExplainDeployment(self, request: foresight.ExplainDeploymentRequest) -> Message:
        return foresight.ExplainDeploymentResponse(explanation=self.explained)

    def ExplainHost(self, request: foresight.ExplainHostRequest) -> Message:
        return foresight.ExplainHostResponse(explanations=[self.explained])

    def WatchDeployment(self, request: deployments.WatchDeploymentRequest) -> Iterator[Message]:
        for message in self.watches.pop(0):
            if isinstance(message, Refused):
                raise message
            yield message

    def ReadLogs(self, request: deployments.ReadLogsRequest) -> Iterator[Message]:
        for message in self.logs.pop(0):
            if isinstance(message, Refused):
                raise message
            yield message

    def ListTargets(self, request: deployments.ListTargetsRequest) -> Message:
        found, token = page((each for each in self.targets if not request.statuses or each.status in request.statuses), request)
        return deployments.ListTargetsResponse(targets=found, next_page_token=token)

    def GetTarget(self, request: deployments.GetTargetRequest) -> Message:
        found = (each for each in self.targets if each.deployment_id == request.deployment_id)
        return deployments.GetTargetResponse(target=next(each for each in found if request.host in (each.host_name, each.host_id)))

    def ListHistory(self, request: deployments.ListHistoryRequest) -> Message:
        found, token = page((each for each in self.history if not request.entries or each.entry in request.entries), request)
        return deployments.ListHistoryResponse(entries=found, next_page_token=token)

    def ListHosts(self, request: fleet.ListHostsRequest) -> Message:
        found, token = page(self.hosts.values(), request)
        return fleet.ListHostsResponse(hosts=found, next_page_token=token)

    def GetHost(self, request: fleet.GetHostRequest) -> Message:
        if request.host not in self.hosts:
            raise no_such("host", request.host)
        return fleet.GetHostResponse(host=self.hosts[request.host])

    def AddTags(self, request: fleet.AddTagsRequest) -> Message:
        for name in request.hosts:
            self.hosts[name].tags.update(request.tags)
        return fleet.AddTagsResponse(hosts=[self.hosts[name] for name in request.hosts])

    def RemoveTags(self, request: fleet.RemoveTagsRequest) -> Message:
        for name, key in itertools.product(request.hosts, request.keys):
            del self.hosts[name].tags[key]
        return fleet.RemoveTagsResponse(hosts=[self.hosts[name] for name in request.hosts])

    def SetInstanceProfile(self, request: fleet.SetInstanceProfileRequest) -> Message:
        del self.hosts[request.host].sources[:]
        self.hosts[request.host].sources.extend(request.sources)
        return fleet.SetInstanceProfileResponse(host=self.hosts[request.host])

    def RemoveHost(self, request: fleet.RemoveHostRequest) -> Message:
        del self.hosts[request.host]
        return fleet.RemoveHostResponse()

    def CreateJoinToken(self, request: fleet.CreateJoinTokenRequest) -> Message:
        token = fleet.JoinToken(join_token_id="4f0c9a1be2d7", uses_left=request.uses, expire_time=at(request.ttl.seconds))
        return fleet.CreateJoinTokenResponse(
            join_token=token, text="hlj_secret", authority_fingerprint="ab" * 32, enrol_address=self.enrol_address
        )

    def ListJoinTokens(self, request: fleet.ListJoinTokensRequest) -> Message:
        token = fleet.JoinToken(join_token_id="4f0c9a1be2d7", uses_left=3, expire_time=at(600), tags={"role": "web"}, created_by="local")
        return fleet.ListJoinTokensResponse(join_tokens=[token])

    def RevokeJoinToken(self, request: fleet.RevokeJoinTokenRequest) -> Message:
        return fleet.RevokeJoinTokenResponse()

    def ListEnrolments(self, request: fleet.ListEnrolmentsRequest) -> Message:
        found, token = page((each for each in self.enrolments.values() if each.status in request.statuses), request)
        return fleet.ListEnrolmentsResponse(enrolments=found, next_page_token=token)

    def ApproveHost(self, request: fleet.ApproveHostRequest) -> Message:
        self.enrolments[request.host].status = fleet.ENROLMENT_STATUS_APPROVED
        return fleet.ApproveHostResponse(enrolment=self.enrolments[request.host])

    def RevokeHost(self, request: fleet.RevokeHostRequest) -> Message:
        self.enrolments[request.host].status = fleet.ENROLMENT_STATUS_REVOKED
        return fleet.RevokeHostResponse(enrolment=self.enrolments[request.host])

    def AdoptHost(self, request: fleet.AdoptHostRequest) -> Message:
        self.enrolments[request.host].status = fleet.ENROLMENT_STATUS_APPROVED
        return fleet.AdoptHostResponse(enrolment=self.enrolments[request.host])

    def RenameHost(self, request: fleet.RenameHostRequest) -> Message:
        self.enrolments[request.host].name = request.name
        return fleet.RenameHostResponse(enrolment=self.enrolments[request.host])


def page(elements: Iterable[Element], request: Any) -> tuple[list[Element], str]:
    """A page of elements and the token of the next."""
    every = list(elements)
    begin, size = int(request.page_token or 0), request.page_size or 50
    return every[begin : begin + size], str(begin + size) if begin + size < len(every) else ""
