"""Names in the history's filters, as numbers. What was deleted or removed can still be asked for by name."""

import sqlite3
from collections.abc import Sized

from coordinator.core.errors import (
    ApplicationDoesNotExist,
    DeploymentDoesNotExist,
    DeploymentGroupDoesNotExist,
    InstanceDoesNotExist,
)


def applications(db: sqlite3.Connection, name: str) -> list[int]:
    """Every application that ever had this name. Raises ApplicationDoesNotExist."""
    found = [row[0] for row in db.execute("SELECT application_no FROM application WHERE name = ?", (name,))]
    if not found:
        raise ApplicationDoesNotExist(f"cannot find application {name}", field="application_name")
    return found


def groups(db: sqlite3.Connection, application_name: str, name: str) -> list[int]:
    """Every group that ever had this name (any, when empty) in the application (any, when empty).

    Raises ApplicationDoesNotExist, DeploymentGroupDoesNotExist.
    """
    query, values = "SELECT group_no FROM deployment_group WHERE 1 = 1", list[str | int]()
    if application_name:
        owners = applications(db, application_name)
        query += f" AND application_no IN ({marks(owners)})"
        values += owners
    if name:
        query += " AND name = ?"
        values.append(name)
    found = [row[0] for row in db.execute(query, values)]
    if name and not found:
        raise DeploymentGroupDoesNotExist(
            f"cannot find deployment group {name} of application {application_name}", field="deployment_group_name"
        )
    return found


def deployment(db: sqlite3.Connection, deployment_id: str) -> int:
    """Raises DeploymentDoesNotExist."""
    row = db.execute("SELECT deployment_no FROM deployment WHERE deployment_id = ?", (deployment_id,)).fetchone()
    if row is None:
        raise DeploymentDoesNotExist(f"cannot find deployment {deployment_id}", field="deployment_id")
    return int(row[0])


def hosts(db: sqlite3.Connection, host: str) -> list[int]:
    """The host with this id, or every one that has this name. Raises InstanceDoesNotExist."""
    found = db.execute("SELECT host_no FROM host WHERE host_id = ?", (host,)).fetchall()
    found = found or db.execute("SELECT host_no FROM name JOIN host USING (name_no) WHERE name = ?", (host,)).fetchall()
    if not found:
        raise InstanceDoesNotExist(f"cannot find host {host}", field="host")
    return [row[0] for row in found]


def marks(values: Sized) -> str:
    """As many question marks as there are values."""
    return ", ".join("?" * len(values))
