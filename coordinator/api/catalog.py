"""CatalogService for gRPC: reads requests, asks the services, writes answers."""

import asyncio
from collections.abc import AsyncIterator

from coordinator.api import messages
from coordinator.api.calls.requests import Context, cursor, page_size, request_key, token
from coordinator.core.errors import Invalid, Unavailable
from coordinator.core.model import AlarmConfiguration
from coordinator.service.catalog import AlarmRules, CatalogService, GroupRules
from coordinator.service.revisions import Push, Registered, RevisionService
from coordinator.wire import operators as wire
from coordinator.wire import stages
from coordinator.wire.triggers import read_triggers
from hookline.v1 import catalog_pb2 as pb
from hookline.v1.catalog_pb2_grpc import CatalogServiceServicer

SILENCE_SECONDS = 60.0
"""How long an upload may stand still."""
ALARMS = "alarm_configuration"
ALARM_FIELDS = {
    f"{ALARMS}.{name}": name
    for name in ("enabled", "ignore_poll_alarm_failure", "alarms", "bake_time", "watch_after_success", "refuse_while_active")
}
GROUP_FIELDS = frozenset(
    {
        "tag_filters",
        "tag_sets",
        "deployment_config_name",
        "auto_rollback_configuration",
        "require_signature",
        "offline_policy",
        "require_approval",
        ALARMS,
        "outdated_instances_strategy",
        "queueing",
        "rollback_deployment_config_name",
        "service_role",
        "triggers",
    }
)
"""What can be changed about a deployment group."""


class CatalogServicer(CatalogServiceServicer):
    """Applications, deployment groups, deployment configs and revisions."""

    def __init__(self, catalog: CatalogService, revisions: RevisionService) -> None:
        """`catalog` and `revisions` do the work."""
        self._catalog = catalog
        self._revisions = revisions

    async def CreateApplication(self, request: pb.CreateApplicationRequest, context: Context) -> pb.CreateApplicationResponse:
        """Make an application."""
        made = await self._catalog.create_application(request.application_name, request_key("CreateApplication", request))
        return pb.CreateApplicationResponse(application=messages.application(made))

    async def GetApplication(self, request: pb.GetApplicationRequest, context: Context) -> pb.GetApplicationResponse:
        """Show an application."""
        return pb.GetApplicationResponse(application=messages.application(await self._catalog.application(request.application_name)))

    async def ListApplications(self, request: pb.ListApplicationsRequest, context: Context) -> pb.ListApplicationsResponse:
        """List applications."""
        page = await self._catalog.applications(size=page_size(request), after=cursor(request, request.page_token))
        applications = [messages.application(one) for one in page.items]
        return pb.ListApplicationsResponse(applications=applications, next_page_token=token(request, page.next))

    async def DeleteApplication(self, request: pb.DeleteApplicationRequest, context: Context) -> pb.DeleteApplicationResponse:
        """Remove an application."""
        await self._catalog.delete_application(request.application_name, request_key("DeleteApplication", request))
        return pb.DeleteApplicationResponse()

    async def CreateDeploymentGroup(self, request: pb.CreateDeploymentGroupRequest, context: Context) -> pb.CreateDeploymentGroupResponse:
        """Make a deployment group."""
        group = request.deployment_group
        made = await self._catalog.create_group(
            group.application_name, group.deployment_group_name, _rules(group, GROUP_FIELDS), request_key("CreateDeploymentGroup", request)
        )
        return pb.CreateDeploymentGroupResponse(deployment_group=messages.deployment_group(made))

    async def GetDeploymentGroup(self, request: pb.GetDeploymentGroupRequest, context: Context) -> pb.GetDeploymentGroupResponse:
        """Show a deployment group."""
        found = await self._catalog.group(request.application_name, request.deployment_group_name)
        return pb.GetDeploymentGroupResponse(deployment_group=messages.deployment_group(found), notice=await self._catalog.notice(found))

    async def ListDeploymentGroups(self, request: pb.ListDeploymentGroupsRequest, context: Context) -> pb.ListDeploymentGroupsResponse:
        """List deployment groups."""
        page = await self._catalog.groups(request.application_name, size=page_size(request), after=cursor(request, request.page_token))
        groups = [messages.deployment_group(one) for one in page.items]
        return pb.ListDeploymentGroupsResponse(deployment_groups=groups, next_page_token=token(request, page.next))

    async def UpdateDeploymentGroup(self, request: pb.UpdateDeploymentGroupRequest, context: Context) -> pb.UpdateDeploymentGroupResponse:
        """Change a deployment group."""
        group = request.deployment_group
        rules = _rules(group, _masked(request))
        key = request_key("UpdateDeploymentGroup", request)
        now = await self._catalog.update_group(group.application_name, group.deployment_group_name, rules, key, etag=group.etag)
        return pb.UpdateDeploymentGroupResponse(deployment_group=messages.deployment_group(now), notice=await self._catalog.notice(now))

    async def DeleteDeploymentGroup(self, request: pb.DeleteDeploymentGroupRequest, context: Context) -> pb.DeleteDeploymentGroupResponse:
        """Remove a deployment group."""
        key = request_key("DeleteDeploymentGroup", request)
        await self._catalog.delete_group(request.application_name, request.deployment_group_name, key)
        return pb.DeleteDeploymentGroupResponse()

    async def CreateDeploymentConfig(
        self, request: pb.CreateDeploymentConfigRequest, context: Context
    ) -> pb.CreateDeploymentConfigResponse:
        """Make a deployment config."""
        minimum = wire.read_minimum_healthy_hosts(request.minimum_healthy_hosts, field="minimum_healthy_hosts")
        key = request_key("CreateDeploymentConfig", request)
        made = await self._catalog.create_config(request.deployment_config_name, minimum, stages.read_shape(request), key)
        return pb.CreateDeploymentConfigResponse(deployment_config=messages.deployment_config(made))

    async def GetDeploymentConfig(self, request: pb.GetDeploymentConfigRequest, context: Context) -> pb.GetDeploymentConfigResponse:
        """Show a deployment config."""
        found = await self._catalog.config(request.deployment_config_name)
        return pb.GetDeploymentConfigResponse(deployment_config=messages.deployment_config(found))

    async def ListDeploymentConfigs(self, request: pb.ListDeploymentConfigsRequest, context: Context) -> pb.ListDeploymentConfigsResponse:
        """List deployment configs."""
        page = await self._catalog.configs(size=page_size(request), after=cursor(request, request.page_token))
        configs = [messages.deployment_config(one) for one in page.items]
        return pb.ListDeploymentConfigsResponse(deployment_configs=configs, next_page_token=token(request, page.next))

    async def DeleteDeploymentConfig(
        self, request: pb.DeleteDeploymentConfigRequest, context: Context
    ) -> pb.DeleteDeploymentConfigResponse:
        """Remove a deployment config."""
        await self._catalog.delete_config(request.deployment_config_name, request_key("DeleteDeploymentConfig", request))
        return pb.DeleteDeploymentConfigResponse()

    async def PushRevision(self, request: AsyncIterator[pb.PushRevisionRequest], context: Context) -> pb.PushRevisionResponse:
        """Take a bundle in."""
        parts = aiter(request)
        first = await _next(parts)
        if first is None or first.WhichOneof("message") != "header":
            raise Invalid("cannot take the bundle in: the first message must be the header", field="header")
        header = first.header
        push = Push(
            application_name=header.application_name,
            sha256=header.sha256,
            size=header.size,
            bundle_type=wire.read_bundle_type(header.bundle_type, field="header.bundle_type"),
            description=header.description,
            signature=wire.read_signature(header.signature, field="header.signature") if header.HasField("signature") else None,
        )
        made = await self._revisions.push(push, _chunks(parts), request_key("PushRevision", header))
        return pb.PushRevisionResponse(revision=messages.revision(made))

    async def RegisterRevision(self, request: pb.RegisterRevisionRequest, context: Context) -> pb.RegisterRevisionResponse:
        """Make a revision of a bundle that lies elsewhere."""
        location = request.location
        made = await self._revisions.register(
            request.application_name,
            Registered(
                place=wire.read_place(location, field="location"),
                bundle_type=wire.read_bundle_type(location.bundle_type, field="location.bundle_type"),
                sha256=location.sha256,
                signature=wire.read_signature(request.signature, field="signature") if request.HasField("signature") else None,
            ),
            description=request.description,
            key=request_key("RegisterRevision", request),
        )
        return pb.RegisterRevisionResponse(revision=messages.revision(made))

    async def GetRevision(self, request: pb.GetRevisionRequest, context: Context) -> pb.GetRevisionResponse:
        """Show a revision."""
        found = await self._revisions.revision(request.application_name, request.revision_id)
        return pb.GetRevisionResponse(revision=messages.revision(found))

    async def ListRevisions(self, request: pb.ListRevisionsRequest, context: Context) -> pb.ListRevisionsResponse:
        """List revisions."""
        page = await self._revisions.revisions(request.application_name, size=page_size(request), after=cursor(request, request.page_token))
        revisions = [messages.revision(one) for one in page.items]
        return pb.ListRevisionsResponse(revisions=revisions, next_page_token=token(request, page.next))


def _masked(request: pb.UpdateDeploymentGroupRequest) -> frozenset[str]:
    paths = frozenset(request.update_mask.paths)
    if not paths or paths == {"*"}:
        return GROUP_FIELDS
    if strange := sorted(paths - GROUP_FIELDS - ALARM_FIELDS.keys()):
        raise Invalid(
            f'cannot update {strange[0]!r}: update_mask may name {", ".join(sorted(GROUP_FIELDS))}, or be "*" alone', field="update_mask"
        )
    return paths


def _rules(group: pb.DeploymentGroup, fields: frozenset[str]) -> GroupRules:
    filters, config, rollback = ("tag_filters" in fields, "deployment_config_name" in fields, "auto_rollback_configuration" in fields)
    where = "deployment_group"
    return GroupRules(
        tag_filters=wire.read_tag_filters(group.tag_filters, field=f"{where}.tag_filters") if filters else None,
        config_name=group.deployment_config_name if config else None,
        auto_rollback=wire.read_auto_rollback(group.auto_rollback_configuration, field=f"{where}.auto_rollback_configuration")
        if rollback
        else None,
        require_signature=group.require_signature if "require_signature" in fields else None,
        offline=wire.read_offline_policy(group.offline_policy, field=f"{where}.offline_policy") if "offline_policy" in fields else None,
        require_approval=group.require_approval if "require_approval" in fields else None,
        outdated_strategy=wire.read_outdated_strategy(group.outdated_instances_strategy, field=f"{where}.outdated_instances_strategy")
        if "outdated_instances_strategy" in fields
        else None,
        rollback_config_name=group.rollback_deployment_config_name if "rollback_deployment_config_name" in fields else None,
        queueing=wire.read_queueing(group.queueing, field=f"{where}.queueing") if "queueing" in fields else None,
        service_role=wire.read_service_role(group.service_role) if "service_role" in fields else None,
        triggers=read_triggers(group.triggers, field=f"{where}.triggers") if "triggers" in fields else None,
        tag_sets=wire.read_tag_sets(group.tag_sets, field=f"{where}.tag_sets") if "tag_sets" in fields else None,
        alarms=_alarm_rules(wire.read_alarm_configuration(group.alarm_configuration), fields),
    )


def _alarm_rules(said: AlarmConfiguration, fields: frozenset[str]) -> AlarmRules:
    """What of a group's alarms is changed: all of it, or the parts that are named."""
    names = (name for path, name in ALARM_FIELDS.items() if fields & {path, ALARMS})
    return AlarmRules(**{name: getattr(said, name) for name in names})


async def _chunks(parts: AsyncIterator[pb.PushRevisionRequest]) -> AsyncIterator[bytes]:
    while (part := await _next(parts)) is not None:
        if part.WhichOneof("message") != "chunk":
            raise Invalid("cannot take the bundle in: after the header only chunks may follow", field="chunk")
        yield part.chunk


async def _next(parts: AsyncIterator[pb.PushRevisionRequest]) -> pb.PushRevisionRequest | None:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await anext(parts, None)
    except TimeoutError:
        raise Unavailable(f"cannot take the bundle in: nothing arrived for {SILENCE_SECONDS:g} s; push it again") from None
