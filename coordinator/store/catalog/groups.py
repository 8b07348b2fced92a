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
from coordinator.core.model import DeploymentId, GroupId, RevisionId
from coordinator.core.orders import Entry
from coordinator.service.ports import Cursor, Page
from coordinator.service.records import DeploymentGroup, LastDeployment
from coordinator.store.calls import Told, finish, refuse_replay, tell
from coordinator.store.connections.numbers import Numbers
from coordinator.store.paging import Paging
from coordinator.store.rows.columns import filters_text, rollback_bits, rollback_events, sets_text, tag_filters, tag_sets

GROUPS: Final = """
    SELECT g.group_no, g.group_id, a.name, g.name, g.tag_filters, c.name, g.auto_rollback, g.require_signature,
           g.tag_sets, g.created_at, g.last_successful_no
    FROM deployment_group g
    JOIN application a ON a.application_no = g.application_no JOIN deployment_config c ON c.config_no = g.config_no
    WHERE g.deleted_at IS NULL AND g.application_no = ?"""
LAST: Final = """
    SELECT deployment_id, status, revision_id, d.created_at, completed_at
    FROM deployment d JOIN revision r ON r.revision_no = d.revision_no"""
GroupRow = tuple[int, str, str, str, str, str, int, int, str, int, int | None]


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
    """The id of the group's deployment that has not ended."""
    row = db.execute(
        "SELECT deployment_id, status FROM deployment WHERE group_no = ? ORDER BY deployment_no DESC LIMIT 1", (group_no,)
    ).fetchone()
    return None if row is None or DeploymentStatus(row[1]).terminal else str(row[0])


def create(db: sqlite3.Connection, numbers: Numbers, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
    """Make a group under the id that it brings."""
    refuse_replay(db, key)
    application = existing_application_no(db, group.application_name)
    if db.execute(f"{GROUPS} AND g.name = ?", (application, group.name)).fetchone() is not None:
        raise DeploymentGroupAlreadyExists(
            f"cannot create deployment group {group.name}: application {group.application_name} has one of this name",
            field="deployment_group_name",
        )
    made = db.execute(
        """INSERT INTO deployment_group
               (group_id, application_no, name, tag_filters, config_no, auto_rollback, require_signature, tag_sets, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING group_no""",
        (
            *(group.group_id, application, group.name, filters_text(group.tag_filters), _existing_config_no(db, group.config_name)),
            *(rollback_bits(group.auto_rollback), int(group.require_signature), sets_text(group.tag_sets), at),
        ),
    ).fetchone()
    tell(db, numbers, Told(Entry.DeploymentGroupCreated, group.name, group_no=made[0]), at=at, key=key)
    finish(db, numbers, group.name, at=at, key=key)
    return get(db, group.application_name, group.name)


def update(db: sqlite3.Connection, numbers: Numbers, group: DeploymentGroup, *, at: int, key: RequestKey) -> DeploymentGroup:
    """Give a group other rules."""
    refuse_replay(db, key)
    number = _existing(db, group.application_name, group.name)[0]
    db.execute(
        """UPDATE deployment_group SET tag_filters = ?, config_no = ?, auto_rollback = ?, require_signature = ?, tag_sets = ?
           WHERE group_no = ?""",
        (
            *(filters_text(group.tag_filters), _existing_config_no(db, group.config_name)),
            *(rollback_bits(group.auto_rollback), int(group.require_signature), sets_text(group.tag_sets), number),
        ),
    )
    tell(db, numbers, Told(Entry.DeploymentGroupUpdated, group.name, group_no=number), at=at, key=key)
    finish(db, numbers, group.name, at=at, key=key)
    return get(db, group.application_name, group.name)


def delete(db: sqlite3.Connection, numbers: Numbers, names: tuple[str, str], *, at: int, key: RequestKey) -> None:
    """Delete the group with these names: its application's and its own."""
    refuse_replay(db, key)
    application_name, name = names
    number = _existing(db, application_name, name)[0]
    live = live_deployment(db, number)
    if live is not None:
        raise InvalidOperation(f"cannot delete deployment group {name}: deployment {live} is running; stop it or wait for its end")
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
    rows = db.execute(f"{GROUPS} AND g.name > ? ORDER BY g.name LIMIT ?", (number, *paging.after(after, [""]), size + 1)).fetchall()
    return paging.page(rows, size, lambda row: [row[3]], lambda row: _group(db, tuple(row)))


def _existing(db: sqlite3.Connection, application_name: str, name: str) -> GroupRow:
    number = existing_application_no(db, application_name)
    row = db.execute(f"{GROUPS} AND g.name = ?", (number, name)).fetchone()
    if row is None:
        raise DeploymentGroupDoesNotExist(
            f"cannot find deployment group {name} of application {application_name}", field="deployment_group_name"
        )
    group: GroupRow = tuple(row)
    return group


def _existing_config_no(db: sqlite3.Connection, name: str) -> int:
    number = config_no(db, name)
    if number is None:
        raise DeploymentConfigDoesNotExist(f"cannot find deployment config {name}", field="deployment_config_name")
    return number


def _group(db: sqlite3.Connection, row: GroupRow) -> DeploymentGroup:
    number, group_id, application_name, name, filters, config_name, rollback, require_signature, sets, created_at, last_successful_no = row
    succeeded = None if last_successful_no is None else db.execute(f"{LAST} WHERE deployment_no = ?", (last_successful_no,)).fetchone()
    attempted = db.execute(f"{LAST} WHERE group_no = ? ORDER BY deployment_no DESC LIMIT 1", (number,)).fetchone()
    return DeploymentGroup(
        group_id=GroupId(group_id),
        application_name=application_name,
        name=name,
        tag_filters=tag_filters(filters),
        config_name=config_name,
        auto_rollback=rollback_events(rollback),
        require_signature=bool(require_signature),
        tag_sets=tag_sets(sets),
        created_at=created_at,
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
