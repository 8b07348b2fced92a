"""What rows of deployments and targets look like: the running objects of the core to rows and back.

Here are the lists of columns and the queries whose rows these are; empty texts are NULL where they mostly are.
"""

import json
from typing import Final

from coordinator.core.lifecycle import DeploymentStatus, EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import (
    Creator,
    Deployment,
    DeploymentId,
    FileExistsBehavior,
    GroupId,
    HostId,
    Plan,
    RollbackConfig,
    Success,
    Target,
)
from coordinator.store.rows.alarms import alarms, alarms_text
from coordinator.store.rows.columns import (
    MINIMUM_NUMBERS,
    OFFLINE_COLUMNS,
    REVISION_COLUMNS,
    Column,
    Row,
    error,
    error_columns,
    event_bits,
    lifecycle_events,
    minimum,
    offline,
    offline_columns,
    revision,
    rollback_bits,
    rollback_events,
    text_of,
)
from coordinator.store.rows.stages import PROGRESS_COLUMNS, Named, progress, progress_columns, shape, shape_text, stages, stages_text, zones

TARGET_COLUMNS: Final = (
    "status",
    "target_epoch",
    "attempt",
    "event",
    "event_status",
    "accepted",
    "cancelled",
    "sent_at",  # awaited_since: it was sent, or something was heard
    "lost_at",
    "started_at",
    "ended_at",
    "message",
)


def target_columns(target: Target) -> tuple[Column, ...]:
    """TARGET_COLUMNS of a target. `+ 0` makes a plain int of an IntEnum, which SQLite binds three times as fast."""
    event = target.event
    return (
        target.status + 0,
        target.target_epoch,
        target.attempt,
        None if event is None else event + 0,
        target.event_status + 0,
        target.accepted + 0,
        target.cancelled or None,
        target.awaited_since,
        target.lost_at,
        target.started_at,
        target.ended_at,
        target.message or None,
    )


TargetRow = tuple[
    str, str, int, int, int, int | None, int, int, str | None, int, int | None, int | None, int | None, str | None
]  # host_id, name, TARGET_COLUMNS
_TARGET_STATUSES: Final = {int(status): status for status in TargetStatus}
_EVENT_STATUSES: Final = {int(status): status for status in EventStatus}
_EVENTS: Final[dict[int | None, LifecycleEvent | None]] = {None: None, **{int(event): event for event in LifecycleEvent}}


def target(deployment_id: DeploymentId, row: TargetRow) -> Target:
    """A target from a row of host_id, host name and TARGET_COLUMNS."""
    host_id, name, status, epoch, attempt, event, event_status, accepted, cancelled, awaited, lost_at, started_at, ended_at, message = row
    return Target(
        deployment_id=deployment_id,
        host_id=HostId(host_id),
        host_name=name,
        status=_TARGET_STATUSES[status],
        target_epoch=epoch,
        attempt=attempt,
        event=_EVENTS[event],
        event_status=_EVENT_STATUSES[event_status],
        accepted=bool(accepted),
        cancelled=cancelled or "",
        awaited_since=awaited,
        lost_at=lost_at,
        started_at=started_at,
        ended_at=ended_at,
        message=message or "",
    )


DEPLOYMENT_COLUMNS: Final = (
    "status",
    "healthy_floor",
    "stopping_code",
    "stopping_message",
    "roll_back",
    "approved_by",
    "error_code",
    "error_message",
    "rollback_message",
    "started_at",
    "completed_at",
    "clock",
    *PROGRESS_COLUMNS,
    "watched_from",
    "due_at",
    "turn_at",
)


def deployment_columns(deployment: Deployment) -> Row:
    """DEPLOYMENT_COLUMNS of a deployment: all that changes but its links."""
    return (
        int(deployment.status),
        deployment.floor,
        *error_columns(deployment.stopping),
        None if deployment.roll_back is None else int(deployment.roll_back),
        deployment.approved_by,
        *error_columns(deployment.error),
        deployment.rollback_message,
        deployment.started_at,
        deployment.completed_at,
        deployment.clock,
        *progress_columns(deployment.progress),
        deployment.watched_from,
        deployment.due_at,
        deployment.turn_at,
    )


PLAN_COLUMNS: Final = (
    "minimum_type",
    "minimum_value",
    "auto_rollback",
    "file_exists_behavior",
    "creator",
    "description",
    "created_at",
    "rollback_id",
    "lifecycle_events",
    "event_timeout",
    "ignore_application_stop_failures",
    "outdated_only",
    "alarms",
    "ignore_poll_alarm_failure",
    "bake_time",
    "watch_after_success",
    *OFFLINE_COLUMNS,
    "require_approval",
    "stages",
    "start_at",
    "chosen",
    "shape",
    "rollback_config_name",
    "rollback_minimum_type",
    "rollback_minimum_value",
)


def plan_columns(plan: Plan) -> Row:
    """PLAN_COLUMNS of a plan: all of it but its references."""
    return (
        MINIMUM_NUMBERS[plan.minimum_healthy_hosts.type],
        plan.minimum_healthy_hosts.value,
        rollback_bits(plan.auto_rollback),
        int(plan.file_exists_behavior),
        int(plan.creator),
        plan.description,
        plan.created_at,
        plan.rollback_id,
        event_bits(plan.lifecycle_events),
        plan.event_timeout,
        int(plan.ignore_application_stop_failures),
        int(plan.outdated_only),
        alarms_text(plan.alarms),
        int(plan.ignore_poll_alarm_failure),
        plan.bake_time,
        plan.watch_after_success,
        *offline_columns(plan.offline),
        int(plan.require_approval),
        stages_text(plan.stages),
        plan.start_at,
        None if plan.chosen is None else text_of(sorted(plan.chosen)),
        shape_text(plan.shape),
        *_rollback_columns(plan.rollback_config),
    )


DEPLOYMENT_QUERY: Final = f"""
    SELECT d.deployment_no, d.deployment_id, g.group_id, a.name AS application_name, g.name AS group_name,
           {", ".join(f"r.{column}" for column in REVISION_COLUMNS)},
           c.name AS config_name, p.name AS created_by,
           {", ".join(f"s.{column} AS last_{column}" for column in REVISION_COLUMNS)},
           l.deployment_id AS last_id, l.file_exists_behavior AS last_file_exists_behavior,
           CASE WHEN g.watched_no = d.deployment_no THEN 1 ELSE 0 END AS watched,
           b.deployment_id AS rolls_back, n.deployment_id AS rollback_deployment_id, d.commit_no, d.first_history, d.last_history,
           {", ".join(f"d.{column}" for column in (*PLAN_COLUMNS, *DEPLOYMENT_COLUMNS, "zones"))}
    FROM deployment d
    JOIN deployment_group g ON g.group_no = d.group_no
    JOIN application a ON a.application_no = g.application_no
    JOIN revision r ON r.revision_no = d.revision_no
    JOIN name c ON c.name_no = d.config_name_no
    JOIN name p ON p.name_no = d.created_by_no
    LEFT JOIN deployment l ON l.deployment_no = d.last_successful_no
    LEFT JOIN revision s ON s.revision_no = l.revision_no
    LEFT JOIN deployment b ON b.deployment_no = d.rolls_back_no
    LEFT JOIN deployment n ON n.deployment_no = d.rollback_no"""
"""Deployments with all that they refer to; read its rows by the columns' names."""


def plan(row: Named) -> Plan:
    """The plan in a row of DEPLOYMENT_QUERY."""
    return Plan(
        deployment_id=DeploymentId(row["deployment_id"]),
        group_id=GroupId(row["group_id"]),
        application_name=row["application_name"],
        group_name=row["group_name"],
        revision=revision(*(row[column] for column in REVISION_COLUMNS)),
        config_name=row["config_name"],
        minimum_healthy_hosts=minimum(row["minimum_type"], row["minimum_value"]),
        auto_rollback=rollback_events(row["auto_rollback"]),
        file_exists_behavior=FileExistsBehavior(row["file_exists_behavior"]),
        creator=Creator(row["creator"]),
        created_by=row["created_by"],
        description=row["description"],
        created_at=row["created_at"],
        rollback_id=DeploymentId(row["rollback_id"]),
        last_successful=_success(row),
        rolls_back=row["rolls_back"],
        lifecycle_events=lifecycle_events(row["lifecycle_events"]),
        event_timeout=row["event_timeout"],
        ignore_application_stop_failures=bool(row["ignore_application_stop_failures"]),
        outdated_only=bool(row["outdated_only"]),
        alarms=alarms(row["alarms"]),
        ignore_poll_alarm_failure=bool(row["ignore_poll_alarm_failure"]),
        bake_time=row["bake_time"],
        watch_after_success=row["watch_after_success"],
        offline=offline(*(row[column] for column in OFFLINE_COLUMNS)),
        require_approval=bool(row["require_approval"]),
        stages=stages(row["stages"]),
        start_at=row["start_at"],
        chosen=None if row["chosen"] is None else frozenset(HostId(one) for one in json.loads(row["chosen"])),
        shape=shape(row["shape"]),
        rollback_config=_rollback_config(row),
    )


def _rollback_columns(config: RollbackConfig | None) -> Row:
    if config is None:
        return (None, None, None)
    return (config.name, MINIMUM_NUMBERS[config.minimum_healthy_hosts.type], config.minimum_healthy_hosts.value)


def _rollback_config(row: Named) -> RollbackConfig | None:
    name = row["rollback_config_name"]
    if name is None:
        return None
    return RollbackConfig(name=name, minimum_healthy_hosts=minimum(row["rollback_minimum_type"], row["rollback_minimum_value"]))


def _success(row: Named) -> Success | None:
    if row["last_id"] is None:
        return None
    return Success(
        deployment_id=DeploymentId(row["last_id"]),
        revision=revision(*(row[f"last_{column}"] for column in REVISION_COLUMNS)),
        file_exists_behavior=FileExistsBehavior(row["last_file_exists_behavior"]),
    )


def deployment(row: Named, targets: dict[HostId, Target], members: frozenset[HostId], zone_of: dict[HostId, int]) -> Deployment:
    """The running deployment in a row of DEPLOYMENT_QUERY."""
    return Deployment(
        plan=plan(row),
        status=DeploymentStatus(row["status"]),
        targets=targets,
        members=members,
        floor=row["healthy_floor"],
        stopping=error(row["stopping_code"], row["stopping_message"]),
        roll_back=None if row["roll_back"] is None else bool(row["roll_back"]),
        approved_by=row["approved_by"],
        error=error(row["error_code"], row["error_message"]),
        rollback_deployment_id=row["rollback_deployment_id"],
        rollback_message=row["rollback_message"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        clock=row["clock"],
        progress=progress(row),
        zones=zones(row["zones"]),
        zone_of=zone_of,
        watched_from=row["watched_from"],
        due_at=row["due_at"],
        turn_at=row["turn_at"],
    )
