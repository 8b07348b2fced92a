"""The views that people read: names instead of numbers, times as ISO 8601 in UTC, statuses as CodeDeploy spells them.

README.md beside this file describes every column; both are promises to those who wrote queries.
"""

from enum import IntEnum
from typing import Final

from sqlite_utils import Database

from coordinator.core.lifecycle import (
    RESTART,
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    LifecycleErrorCode,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model import Creator, HostStatus, InstanceHealth, RevisionHealth
from coordinator.store.rows.columns import MINIMUM_NUMBERS, event_bits


def _time(column: str) -> str:
    """Milliseconds since 1970 as ISO 8601, to the millisecond."""
    return f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000, 'unixepoch') || printf('.%03dZ', {column} % 1000)"


def _case(value: str, names: dict[int, str]) -> str:
    """A number as a name."""
    choices = " ".join(f"WHEN {number} THEN '{name}'" for number, name in names.items())
    return f"CASE {value} {choices} END"


def _name(value: str, enum: type[IntEnum]) -> str:
    """An enum's number as its name."""
    return _case(value, {member.value: member.name for member in enum})


EVENTS: Final = " UNION ALL ".join(f"SELECT {event.value} AS event, '{event.name}' AS name" for event in LifecycleEvent)

DEPLOYMENTS: Final = f"""
SELECT d.deployment_id, a.name AS application_name, g.name AS deployment_group_name, r.revision_id,
       {_name("d.status", DeploymentStatus)} AS status,
       {_time("d.created_at")} AS created_at, {_time("d.started_at")} AS started_at, {_time("d.completed_at")} AS completed_at,
       (d.completed_at - d.created_at) / 1000.0 AS duration_seconds,
       {_name("d.creator", Creator)} AS creator, p.name AS created_by, d.description,
       c.name AS deployment_config_name,
       {_case("d.minimum_type", {number: type.value for type, number in MINIMUM_NUMBERS.items()})} AS minimum_healthy_hosts_type,
       d.minimum_value AS minimum_healthy_hosts_value,
       s.revision_id AS previous_revision_id,
       b.deployment_id AS rolls_back_deployment_id, n.deployment_id AS rollback_deployment_id, d.rollback_message,
       {_name("d.error_code", DeploymentErrorCode)} AS error_code, d.error_message,
       {_time("d.start_at")} AS scheduled_at, d.rollback_config_name AS rollback_deployment_config_name,
       CASE d.lifecycle_events WHEN 0 THEN NULL WHEN {event_bits(RESTART)} THEN 'RESTART' ELSE 'DEPLOY' END AS deployment_mode
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

TARGETS: Final = f"""
SELECT d.deployment_id, a.name AS application_name, g.name AS deployment_group_name, r.revision_id,
       h.host_id, m.name AS host_name,
       {_name("t.status", TargetStatus)} AS status,
       {_time("t.started_at")} AS started_at, {_time("t.ended_at")} AS ended_at,
       (t.ended_at - t.started_at) / 1000.0 AS duration_seconds,
       {_name("t.event", LifecycleEvent)} AS last_lifecycle_event, t.attempt, coalesce(t.message, '') AS message,
       t.stage + 1 AS stage
FROM deployment d
JOIN target t ON t.deployment_no = d.deployment_no
JOIN deployment_group g ON g.group_no = d.group_no
JOIN application a ON a.application_no = g.application_no
JOIN revision r ON r.revision_no = d.revision_no
JOIN host h ON h.host_no = t.host_no
JOIN name m ON m.name_no = t.host_name_no"""

LIFECYCLE_EVENTS: Final = f"""
SELECT d.deployment_id, a.name AS application_name, g.name AS deployment_group_name,
       h.host_id, m.name AS host_name, k.name AS lifecycle_event,
       CASE WHEN e.status IS NULL AND t.status > {TargetStatus.InProgress.value} THEN '{EventStatus.Skipped.name}'
            WHEN e.status IS NULL THEN '{EventStatus.Pending.name}'
            WHEN e.status = {EventStatus.InProgress.value} AND t.status > {TargetStatus.InProgress.value} THEN '{EventStatus.Unknown.name}'
            ELSE {_name("e.status", EventStatus)} END AS status,
       coalesce(e.attempt, t.attempt) AS attempt,
       {_time("e.started_at")} AS started_at, {_time("e.ended_at")} AS ended_at,
       (e.ended_at - e.started_at) / 1000.0 AS duration_seconds,
       {_name("x.error_code", LifecycleErrorCode)} AS error_code, x.script_name, x.message, x.log_tail
FROM deployment d
JOIN target t ON t.deployment_no = d.deployment_no
JOIN ({EVENTS}) k ON (d.lifecycle_events >> k.event) & 1 = 1
LEFT JOIN lifecycle_event e ON e.deployment_no = t.deployment_no AND e.host_no = t.host_no AND e.event = k.event
LEFT JOIN diagnostics x
       ON x.deployment_no = e.deployment_no AND x.host_no = e.host_no AND x.event = e.event AND x.attempt = e.attempt
JOIN deployment_group g ON g.group_no = d.group_no
JOIN application a ON a.application_no = g.application_no
JOIN host h ON h.host_no = t.host_no
JOIN name m ON m.name_no = t.host_name_no"""

HISTORY: Final = f"""
SELECT y.history_id, {_time("y.at")} AS at, e.name AS entry, y.because, coalesce(y.message, '') AS message,
       a.name AS application_name, g.name AS deployment_group_name, d.deployment_id, h.host_id, m.name AS host_name,
       p.name AS principal
FROM history y
JOIN name e ON e.name_no = y.entry_no
JOIN name p ON p.name_no = y.principal_no
LEFT JOIN deployment d ON d.deployment_no = y.deployment_no
LEFT JOIN deployment_group g ON g.group_no = coalesce(y.group_no, d.group_no)
LEFT JOIN application a ON a.application_no = coalesce(y.application_no, g.application_no)
LEFT JOIN host h ON h.host_no = y.host_no
LEFT JOIN name m ON m.name_no = h.name_no"""

HOST_HEALTH: Final = f"""
SELECT a.name AS application_name, g.name AS deployment_group_name, h.host_id, n.name AS host_name,
       {_name("h.status", HostStatus)} AS host_status,
       {_name(f"coalesce(m.health, {InstanceHealth.Unhealthy.value})", InstanceHealth)} AS instance_health,
       CASE WHEN coalesce(f.name, '') = '' THEN '{RevisionHealth.Unknown.name}'
            WHEN f.name = r.revision_id AND i.name = r.revision_id THEN '{RevisionHealth.Current.name}'
            ELSE '{RevisionHealth.Old.name}' END AS revision_health,
       nullif(i.name, '') AS installed_revision_id, nullif(f.name, '') AS deployed_revision_id, r.revision_id AS group_revision_id
FROM (SELECT group_no, host_no FROM member UNION SELECT group_no, host_no FROM holding) b
JOIN deployment_group g ON g.group_no = b.group_no AND g.deleted_at IS NULL
JOIN application a ON a.application_no = g.application_no
JOIN host h ON h.host_no = b.host_no AND h.removed_at IS NULL
JOIN name n ON n.name_no = h.name_no
LEFT JOIN member m ON m.group_no = b.group_no AND m.host_no = b.host_no
LEFT JOIN holding o ON o.group_no = b.group_no AND o.host_no = b.host_no
LEFT JOIN name i ON i.name_no = o.installed_no
LEFT JOIN name f ON f.name_no = o.deployed_no
LEFT JOIN deployment l ON l.deployment_no = g.last_successful_no
LEFT JOIN revision r ON r.revision_no = l.revision_no"""

VIEWS: Final = {
    "v_deployments": DEPLOYMENTS,
    "v_targets": TARGETS,
    "v_lifecycle_events": LIFECYCLE_EVENTS,
    "v_host_health": HOST_HEALTH,
    "v_history": HISTORY,
}


def create_views(db: Database) -> None:
    """Make all views anew in the open transaction."""
    for name, query in VIEWS.items():
        db.create_view(name, query.strip(), replace=True)
