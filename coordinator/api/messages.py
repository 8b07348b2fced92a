"""The services' records as operators see them."""

from coordinator.core.identity.enrolment import Enrolment, JoinToken
from coordinator.core.model import AlarmConfiguration, ErrorInformation, Hold, Plan, Waiting
from coordinator.core.stages import pauses
from coordinator.service.logs import Printed
from coordinator.service.records import (
    Application,
    CatalogAlarm,
    CatalogRevision,
    DeploymentConfig,
    DeploymentGroup,
    DeploymentRecord,
    EventRecord,
    HistoryRecord,
    Host,
    HostHolding,
    LastDeployment,
    TargetRecord,
)
from coordinator.wire import alarms, stages, triggers
from coordinator.wire import operators as wire
from hookline.v1 import alarms_pb2, catalog_pb2, deployments_pb2, fleet_pb2
from hookline.v1 import resources_pb2 as pb


def application(record: Application) -> catalog_pb2.Application:
    """An application."""
    return catalog_pb2.Application(application_name=record.name, create_time=wire.time(record.created_at))


def deployment_group(record: DeploymentGroup) -> catalog_pb2.DeploymentGroup:
    """A deployment group."""
    return catalog_pb2.DeploymentGroup(
        application_name=record.application_name,
        deployment_group_name=record.name,
        deployment_group_id=record.group_id,
        tag_filters=[wire.tag_filter(one) for one in record.tag_filters],
        tag_sets=[wire.tag_filter_list(one) for one in record.tag_sets],
        deployment_config_name=record.config_name,
        auto_rollback_configuration=wire.auto_rollback(record.auto_rollback),
        require_signature=record.require_signature,
        offline_policy=wire.offline_policy(record.offline),
        require_approval=record.require_approval,
        alarm_configuration=wire.alarm_configuration(record.alarms),
        outdated_instances_strategy=pb.OutdatedInstancesStrategy.ValueType(record.outdated_strategy),
        rollback_deployment_config_name=record.rollback_config_name,
        queueing=pb.Queueing.ValueType(record.queueing),
        service_role=wire.service_role(record.service_role),
        triggers=[triggers.trigger(one) for one in record.triggers],
        create_time=wire.time(record.created_at),
        last_successful_deployment=_last(record.last_successful),
        last_attempted_deployment=_last(record.last_attempted),
        etag=record.etag,
    )


def deployment_config(record: DeploymentConfig) -> catalog_pb2.DeploymentConfig:
    """A deployment config."""
    return catalog_pb2.DeploymentConfig(
        deployment_config_name=record.name,
        minimum_healthy_hosts=wire.minimum_healthy_hosts(record.minimum_healthy_hosts),
        predefined=record.predefined,
        create_time=None if record.predefined else wire.time(record.created_at),
        canaries=stages.canaries(record.shape.canaries),
        steps=[stages.step(one) for one in record.shape.steps],
        zonal_config=stages.zonal_config(record.shape.zonal),
    )


def revision(record: CatalogRevision) -> catalog_pb2.Revision:
    """A revision."""
    return catalog_pb2.Revision(
        application_name=record.application_name,
        revision_id=record.revision.revision_id,
        location=wire.location(record.revision),
        description=record.description,
        register_time=wire.time(record.registered_at),
        first_used_time=wire.time(record.first_used_at),
        last_used_time=wire.time(record.last_used_at),
        signature=None if record.revision.signature is None else wire.signature(record.revision.signature),
    )


def alarm(record: CatalogAlarm) -> alarms_pb2.Alarm:
    """An alarm."""
    message = alarms.alarm(record.alarm)
    message.create_time.CopyFrom(wire.instant(record.created_at))
    message.update_time.CopyFrom(wire.instant(record.updated_at))
    return message


def host(record: Host) -> fleet_pb2.Host:
    """A host."""
    return fleet_pb2.Host(
        host_id=record.host_id,
        name=record.name,
        status=pb.HostStatus.ValueType(record.status),
        tags=record.tags,
        operator_tags=record.operator_tags,
        sources=record.sources,
        facts=record.facts,
        agent_version=record.agent_version,
        connect_time=wire.time(record.connected_at),
        register_time=wire.time(record.registered_at),
        holdings=[_holding(one) for one in record.holdings],
    )


def deployment(record: DeploymentRecord) -> deployments_pb2.Deployment:
    """A deployment."""
    plan = record.plan
    return deployments_pb2.Deployment(
        deployment_id=plan.deployment_id,
        application_name=plan.application_name,
        deployment_group_name=plan.group_name,
        revision_id=plan.revision.revision_id,
        previous_revision_id=plan.last_successful.revision.revision_id if plan.last_successful else "",
        deployment_config_name=plan.config_name,
        minimum_healthy_hosts=wire.minimum_healthy_hosts(plan.minimum_healthy_hosts),
        status=pb.DeploymentStatus.ValueType(record.status),
        error_information=error_information(record.error or record.stopping),
        deployment_overview=stages.overview(record.counts),
        creator=pb.DeploymentCreator.ValueType(plan.creator),
        created_by=plan.created_by,
        description=plan.description,
        rollback_info=_rollback(record),
        auto_rollback_configuration=wire.auto_rollback(plan.auto_rollback),
        file_exists_behavior=pb.FileExistsBehavior.ValueType(plan.file_exists_behavior),
        create_time=wire.time(plan.created_at),
        start_time=wire.time(record.started_at),
        complete_time=wire.time(record.completed_at),
        ignore_application_stop_failures=plan.ignore_application_stop_failures,
        update_outdated_instances_only=plan.outdated_only,
        deployment_mode=_mode(plan),
        offline_policy=wire.offline_policy(plan.offline),
        require_approval=plan.require_approval,
        approved_by=record.approved_by,
        alarm_configuration=wire.alarm_configuration(_watched(plan)),
        watched=record.watched,
        stages=stages.stages(plan, record.progress, record.stages, ended=record.status.terminal),
        waiting=_waiting(record),
        scheduled_time=wire.time(plan.start_at),
        queue_place=_queue_place(record),
        rollback_deployment_config_name=plan.rollback_config.name if plan.rollback_config is not None else "",
    )


def _mode(plan: Plan) -> deployments_pb2.DeploymentMode.ValueType:
    if not plan.lifecycle_events:
        return deployments_pb2.DEPLOYMENT_MODE_UNSPECIFIED
    return deployments_pb2.DEPLOYMENT_MODE_RESTART if plan.restarts else deployments_pb2.DEPLOYMENT_MODE_DEPLOY


def _queue_place(record: DeploymentRecord) -> deployments_pb2.QueuePlace | None:
    place = record.queue
    return None if place is None else deployments_pb2.QueuePlace(position=place.position, behind_deployment_id=place.behind or "")


def target(record: TargetRecord) -> deployments_pb2.Target:
    """A target with its lifecycle events."""
    return deployments_pb2.Target(
        deployment_id=record.deployment_id,
        host_id=record.host_id,
        host_name=record.host_name,
        status=pb.TargetStatus.ValueType(record.status),
        message=record.message,
        lifecycle_events=[_event(one) for one in record.events],
        start_time=wire.time(record.started_at),
        end_time=wire.time(record.ended_at),
        instance_health=pb.InstanceHealth.ValueType(record.health),
        revision_health=pb.RevisionHealth.ValueType(record.revision_health),
        stage=record.stage,
        attempt=record.attempt,
    )


def history_entry(record: HistoryRecord) -> deployments_pb2.HistoryEntry:
    """One thing that happened."""
    return deployments_pb2.HistoryEntry(
        history_id=record.history_id,
        time=wire.time(record.at),
        application_name=record.application_name,
        deployment_group_name=record.group_name,
        deployment_id=record.deployment_id,
        host_name=record.host_name,
        entry=record.entry,
        because=record.because,
        message=record.message,
        principal=record.principal,
    )


def _last(record: LastDeployment | None) -> catalog_pb2.LastDeployment | None:
    if record is None:
        return None
    return catalog_pb2.LastDeployment(
        deployment_id=record.deployment_id,
        status=pb.DeploymentStatus.ValueType(record.status),
        revision_id=record.revision_id,
        create_time=wire.time(record.created_at),
        complete_time=wire.time(record.completed_at),
    )


def _holding(record: HostHolding) -> fleet_pb2.HostHolding:
    return fleet_pb2.HostHolding(
        application_name=record.application_name,
        deployment_group_name=record.group_name,
        installed_revision_id=record.installed,
        deployed_revision_id=record.deployed,
        instance_health=pb.InstanceHealth.ValueType(record.health),
        revision_health=pb.RevisionHealth.ValueType(record.revision_health),
    )


def error_information(error: ErrorInformation | None) -> deployments_pb2.ErrorInformation | None:
    """Why a deployment ended badly; None: it did not."""
    if error is None:
        return None
    return deployments_pb2.ErrorInformation(code=pb.DeploymentErrorCode.ValueType(error.code), message=error.message)


def _waiting(record: DeploymentRecord) -> deployments_pb2.Waiting | None:
    """What it waits for; None once it has ended, or while it stops."""
    if record.status.terminal or record.stopping is not None:
        return None
    hold = pauses.held(record.plan, record.progress, record.clock) or Hold(Waiting.Hosts)
    if record.plan.require_approval and not record.approved_by:
        hold = Hold(Waiting.Approval)
    return stages.waiting(record.plan, record.progress, hold)


def _watched(plan: Plan) -> AlarmConfiguration:
    return AlarmConfiguration(
        enabled=bool(plan.alarms),
        ignore_poll_alarm_failure=plan.ignore_poll_alarm_failure,
        alarms=tuple(one.name for one in plan.alarms),
        bake_time=plan.bake_time,
        watch_after_success=plan.watch_after_success,
    )


def _rollback(record: DeploymentRecord) -> deployments_pb2.RollbackInfo | None:
    if not (record.rollback_deployment_id or record.plan.rolls_back or record.rollback_message):
        return None
    return deployments_pb2.RollbackInfo(
        rollback_deployment_id=record.rollback_deployment_id or "",
        rollback_triggering_deployment_id=record.plan.rolls_back or "",
        rollback_message=record.rollback_message,
    )


def _event(record: EventRecord) -> pb.LifecycleEventRecord:
    return pb.LifecycleEventRecord(
        lifecycle_event=pb.LifecycleEvent.ValueType(record.event),
        status=pb.LifecycleEventStatus.ValueType(record.status),
        start_time=wire.time(record.started_at),
        end_time=wire.time(record.ended_at),
        diagnostics=wire.diagnostics(record.diagnostics),
    )


def printed(piece: Printed, resume_token: str) -> deployments_pb2.ReadLogsResponse:
    """A piece of a host's output."""
    return deployments_pb2.ReadLogsResponse(
        host_id=piece.host_id,
        host_name=piece.host_name,
        offset=piece.offset,
        content=piece.content,
        dropped_bytes=piece.dropped,
        complete=piece.complete,
        resume_token=resume_token,
    )


def join_token(record: JoinToken) -> fleet_pb2.JoinToken:
    """A join token."""
    return fleet_pb2.JoinToken(
        join_token_id=record.token_id,
        expire_time=wire.time(record.expires_at),
        uses_left=record.uses_left,
        tags=record.tags,
        auto_approve=record.auto_approve,
        trust_tags=record.trust_tags,
        name_pattern=record.name_pattern,
        create_time=wire.time(record.created_at),
        created_by=record.created_by,
    )


def enrolment(record: Enrolment) -> fleet_pb2.Enrolment:
    """A machine that asked to become a host."""
    return fleet_pb2.Enrolment(
        host_id=record.host_id,
        name=record.name,
        status=fleet_pb2.EnrolmentStatus.ValueType(record.status),
        generation=record.generation,
        key_fingerprint=record.key,
        expire_time=wire.time(record.expires_at),
        request_time=wire.time(record.requested_at),
        address=record.address,
        join_token_id=record.token_id,
        tags=record.tags,
        name_of_host_id=record.name_of or "",
    )
