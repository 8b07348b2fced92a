"""Deployment groups in SQLite, and how applications and configs are found by name."""

import sqlite3
from typing import Final

from coordinator.core.errors import (
    ApplicationDoesNotExist,
    DeploymentConfigDoesNotExist,
    DeploymentGroupAlreadyExists,
    DeploymentGroupDoesNotExist,
    InvalidOperation,
)
from coordinator.core.facts import RequestKey
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Creator, DeploymentId, GroupId, OutdatedInstancesStrategy, Queueing, RevisionId
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import DeploymentGroup, LastDeployment
from coordinator.store import outbox
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.catalog import alarms
from coordinator.store.connections.numbers import Numbers
from coordinator.store.paging import Paging
from coordinator.store.rows.alarms import CONFIGURATION_COLUMNS, configuration, configuration_columns
from coordinator.store.rows.columns import (
    OFFLINE_COLUMNS,
    Column,
    filters_text,
    offline,
    offline_columns,
    role,
    role_text,
    rollback_bits,
    rollback_events,
    sets_text,
    tag_filters,
    tag_sets,
)
from coordinator.store.rows.stages import Named
from coordinator.store.rows.triggers import triggers, triggers_text

RULES: Final = (
    *("tag_filters", "config_no", "auto_rollback", "require_signature", "require_approval", "tag_sets", "service_role"),
    *OFFLINE_COLUMNS,
    *CONFIGURATION_COLUMNS,
    "outdated_strategy",
    "triggers",
    "queueing",
    "rollback_config_no",
)
"""What can be changed about a group."""
GROUPS: Final = f"""
    SELECT g.group_no, g.group_id, a.name AS application_name, g.name, c.name AS config_name, b.name AS rollback_config_name,
           g.created_at, g.last_successful_no,
           {", ".join(f"g.{column}" for column in RULES)}
    FROM deployment_group g
    JOIN application a ON a.application_no = g.application_no JOIN deployment_config c ON c.config_no = g.config_no
    LEFT JOIN deployment_config b ON b.config_no = g.rollback_config_no
    WHERE g.deleted_at IS NULL AND g.application_no = ?"""
LAST: Final = """
    SELECT deployment_id, status, revision_id, d.created_at, completed_at
    FROM deployment d JOIN revision r ON r.revision_no = d.revision_no"""


UNDER_WAY: Final = "SELECT deployment_id FROM deployment WHERE group_no = ? AND status <= 3"
"""A group's deployments that have not ended."""
WAITED: Final = "due_at IS NOT NULL AND turn_at IS NULL"
"""Of those that have not begun: they wait for their turn, or ended while they did."""
WAITS: Final = f"status <= 3 AND {WAITED}"
ASKED_FOR: Final = f"status <= 3 AND NOT ({WAITED}) AND creator <> {Creator.CodeDeployAutoUpdate.value}"
"""The live one that somebody asked for, or its rollback. What brings newcomers up to date beside it may be newer."""


def application_no(db: sqlite3.Connection, name: str) -> int | None:
    """The number of the application that has this name now."""
    row = db.execute("SELECT application_no FROM application WHERE name = ? AND deleted_at IS NULL", (name,)).fetchone()
    return None if row is None else int(row[0])


def existing_application_no(db: sqlite3.Connection, name: str) -> int:
    """The same. Raises ApplicationDoesNotExist."""
    number = application_no(db, name)
    if number is None:
        raise ApplicationDoesNotExist(f"cannot find application {name}", field="application_name")
    return number


def config_no(db: sqlite3.Connection, name: str) -> int | None:
    """The number of the config that has this name now."""
    row = db.execute("SELECT config_no FROM deployment_config WHERE name = ? AND deleted_at IS NULL", (name,)).fetchone()
    return None if row is None else int(row[0])


def live_deployment(db: sqlite3.Connection, group_no: int) -> str | None:
    """The id of the group's deployment that has not ended, unless it waits for its turn."""
    row = db.execute(f"{UNDER_WAY} AND NOT ({WAITS})", (group_no,)).fetchone()
    return None if row is None else str(row[0])


def create(db: sqlite3.Connection, numbers: Numbers, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
    """Make a group under the id that it brings."""
    refuse_replay(db, key)
    application = existing_application_no(db, group.application_name)
    if db.execute(f"{GROUPS} AND g.name = ?", (application, group.name)).fetchone() is not None:
        raise DeploymentGroupAlreadyExists(
            f"cannot create deployment group {group.name}: application {group.application_name} has one of this name",
            field="deployment_group_name",
        )
    named = ("group_id", "application_no", "name", "created_at", *RULES)
    made = db.execute(
        f"INSERT INTO deployment_group ({', '.join(named)}) VALUES ({', '.join('?' * len(named))}) RETURNING group_no",
        (group.group_id, application, group.name, at, *_rules(db, group)),
    ).fetchone()
    tell(db, numbers, Told(Entry.DeploymentGroupCreated, group.name, group_no=made[0]), at=at, key=key)
    outbox.keep_cursors(db, made[0], (one.name for one in group.triggers))
    finish(db, numbers, group.name, at=at, key=key)
    return get(db, group.application_name, group.name)


def update(db: sqlite3.Connection, numbers: Numbers, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
    """Give a group other rules."""
    number = _existing(db, group.application_name, group.name)["group_no"]
    changed = ", ".join(f"{column} = ?" for column in RULES)
    db.execute(f"UPDATE deployment_group SET {changed} WHERE group_no = ?", (*_rules(db, group), number))
    tell(db, numbers, Told(Entry.DeploymentGroupUpdated, group.name, group_no=number), at=at, key=key)
    outbox.keep_cursors(db, number, (one.name for one in group.triggers))
    finish(db, numbers, group.name, at=at, key=key)
    return get(db, group.application_name, group.name)


def delete(db: sqlite3.Connection, numbers: Numbers, names: tuple[str, str], *, at: int, key: RequestKey) -> None:
    """Delete the group with these names: its application's and its own."""
    refuse_replay(db, key)
    application_name, name = names
    number = _existing(db, application_name, name)["group_no"]
    live = live_deployment(db, number)
    if live is not None:
        raise InvalidOperation(f"cannot delete deployment group {name}: deployment {live} is running; stop it or wait for its end")
    watched = db.execute(
        "SELECT deployment_id FROM deployment_group g JOIN deployment d ON d.deployment_no = g.watched_no WHERE g.group_no = ?", (number,)
    ).fetchone()
    if watched is not None:
        raise InvalidOperation(
            f"cannot delete deployment group {name}: the alarms of deployment {watched[0]} are watched after its success; stop it first"
        )
    waiting = [str(row[0]) for row in db.execute(UNDER_WAY, (number,))]
    if waiting:
        raise InvalidOperation(f"cannot delete deployment group {name}: deployments wait for their turn ({', '.join(waiting)}); stop them")
    db.execute("UPDATE deployment_group SET deleted_at = ? WHERE group_no = ?", (at, number))
    tell(db, numbers, Told(Entry.DeploymentGroupDeleted, name, group_no=number), at=at, key=key)
    finish(db, numbers, name, at=at, key=key)


def get(db: sqlite3.Connection, application_name: str, name: str) -> DeploymentGroup:
    """A group with its last deployments."""
    return _group(db, _existing(db, application_name, name))


def page(db: sqlite3.Connection, application_name: str, *, size: int, after: Cursor) -> Page[DeploymentGroup]:
    """Groups of an application by name."""
    paging = Paging("groups", application_name)
    number = existing_application_no(db, application_name)
    rows = _named(db, f"{GROUPS} AND g.name > ? ORDER BY g.name LIMIT ?", (number, *paging.after(after, [""]), size + 1)).fetchall()
    return paging.page(rows, size, lambda row: [row["name"]], lambda row: _group(db, row))


def _named(db: sqlite3.Connection, query: str, values: tuple[Column, ...]) -> sqlite3.Cursor:
    """Ask in such a way that columns can be read by name, whoever's connection it is."""
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(query, values)


def _existing(db: sqlite3.Connection, application_name: str, name: str) -> Named:
    number = existing_application_no(db, application_name)
    row: Named | None = _named(db, f"{GROUPS} AND g.name = ?", (number, name)).fetchone()
    if row is None:
        raise DeploymentGroupDoesNotExist(
            f"cannot find deployment group {name} of application {application_name}", field="deployment_group_name"
        )
    return row


def _existing_config_no(db: sqlite3.Connection, name: str) -> int:
    number = config_no(db, name)
    if number is None:
        raise DeploymentConfigDoesNotExist(f"cannot find deployment config {name}", field="deployment_config_name")
    return number


def _rules(db: sqlite3.Connection, group: DeploymentGroup) -> tuple[Column, ...]:
    """RULES of a group. Raises DeploymentConfigDoesNotExist, InvalidAlarmConfig."""
    alarms.named(db, group.alarms.alarms, field="deployment_group.alarm_configuration.alarms")
    return (
        filters_text(group.tag_filters),
        _existing_config_no(db, group.config_name),
        rollback_bits(group.auto_rollback),
        int(group.require_signature),
        int(group.require_approval),
        sets_text(group.tag_sets),
        role_text(group.service_role),
        *offline_columns(group.offline),
        *configuration_columns(group.alarms),
        int(group.outdated_strategy),
        triggers_text(group.triggers),
        int(group.queueing),
        _existing_config_no(db, group.rollback_config_name) if group.rollback_config_name else None,
    )


def _group(db: sqlite3.Connection, row: Named) -> DeploymentGroup:
    successful_no = row["last_successful_no"]
    succeeded = None if successful_no is None else db.execute(f"{LAST} WHERE deployment_no = ?", (successful_no,)).fetchone()
    group_no = (row["group_no"],)
    attempted = db.execute(f"{LAST} WHERE group_no = ? AND {ASKED_FOR}", group_no).fetchone()
    if attempted is None:
        attempted = db.execute(f"{LAST} WHERE group_no = ? AND NOT ({WAITED}) ORDER BY deployment_no DESC LIMIT 1", group_no).fetchone()
    return DeploymentGroup(
        group_id=GroupId(row["group_id"]),
        application_name=row["application_name"],
        name=row["name"],
        tag_filters=tag_filters(row["tag_filters"]),
        config_name=row["config_name"],
        rollback_config_name=row["rollback_config_name"] or "",
        auto_rollback=rollback_events(row["auto_rollback"]),
        require_signature=bool(row["require_signature"]),
        require_approval=bool(row["require_approval"]),
        service_role=role(row["service_role"]),
        tag_sets=tag_sets(row["tag_sets"]),
        offline=offline(*(row[column] for column in OFFLINE_COLUMNS)),
        alarms=configuration(*(row[column] for column in CONFIGURATION_COLUMNS)),
        outdated_strategy=OutdatedInstancesStrategy(row["outdated_strategy"]),
        triggers=triggers(row["triggers"]),
        queueing=Queueing(row["queueing"]),
        created_at=row["created_at"],
        last_successful=_last(succeeded),
        last_attempted=_last(attempted),
    )


def _last(row: "tuple[str, int, str, int, int | None] | None") -> LastDeployment | None:
    if row is None:
        return None
    deployment_id, status, revision_id, created_at, completed_at = row
    return LastDeployment(
        deployment_id=DeploymentId(deployment_id),
        status=DeploymentStatus(status),
        revision_id=RevisionId(revision_id),
        created_at=created_at,
        completed_at=completed_at,
    )
