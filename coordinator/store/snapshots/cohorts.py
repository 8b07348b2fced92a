"""Every host with what it holds of each group, and its cohort there, read in one transaction; see `service.discovery.Standings`."""

import json
import sqlite3
from typing import Final, NamedTuple

from coordinator.core.evidence.cohorts import Cohort, Standing, cohorts, compares
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, DeploymentId, HostId, InstanceHealth
from coordinator.service.discovery import Found, Wanted

GROUPS: Final = """
    SELECT g.group_no, a.name AS application_name, g.name AS group_name, r.revision_id AS old,
           d.deployment_no, d.deployment_id, d.creator, d.status, d.stages,
           EXISTS (SELECT 1 FROM bystander b WHERE b.deployment_no = d.deployment_no) AS part
    FROM deployment_group g JOIN application a ON a.application_no = g.application_no
    LEFT JOIN deployment d ON d.deployment_no = coalesce(
        (SELECT n.deployment_no FROM deployment n
         WHERE n.group_no = g.group_no AND n.status <= 3 AND (n.due_at IS NULL OR n.turn_at IS NOT NULL)),
        g.watched_no)
    LEFT JOIN deployment l ON l.deployment_no = coalesce(d.last_successful_no, g.last_successful_no)
    LEFT JOIN revision r ON r.revision_no = l.revision_no
    WHERE g.deleted_at IS NULL AND (? IN ('', a.name)) AND (? IN ('', g.name))"""
MEMBERS: Final = """
    SELECT m.host_no, h.host_id, m.health, i.name AS installed, b.name AS deployed
    FROM member m JOIN host h ON h.host_no = m.host_no
    LEFT JOIN holding o ON o.host_no = m.host_no AND o.group_no = m.group_no
    LEFT JOIN name i ON i.name_no = o.installed_no LEFT JOIN name b ON b.name_no = o.deployed_no
    WHERE m.group_no = ? AND h.removed_at IS NULL ORDER BY m.host_no"""
TARGETS: Final = "SELECT host_no, status, stage FROM target WHERE deployment_no = ?"
HOSTS: Final = """
    SELECT h.host_no, h.host_id, n.name, h.tags, h.operator_tags, h.facts FROM host h JOIN name n ON n.name_no = h.name_no
    WHERE h.removed_at IS NULL ORDER BY n.name, h.host_no"""
ADDRESS: Final = "address"
"""The tag in which people say where a host is to be found, and the fact in which its agent does."""


class _Part(NamedTuple):
    """A host's part in one group."""

    application_name: str
    group_name: str
    revision_id: str
    deployment_id: str
    cohort: Cohort


def read(db: sqlite3.Connection, wanted: Wanted) -> list[Found]:
    """By host name; a host of several groups once for each. Hosts of no group are there as well where no group is asked for."""
    parts: dict[int, list[_Part]] = {}
    for group in db.execute(GROUPS, (wanted.application_name, wanted.group_name)).fetchall():
        for host_no, part in _parts(db, group):
            parts.setdefault(host_no, []).append(part)
    nowhere = _Part("", "", "", "", Cohort.REST)
    everybody = not (wanted.application_name or wanted.group_name)
    found: list[Found] = []
    for host_no, host_id, name, tags, operator_tags, facts in db.execute(HOSTS):
        mine = parts.get(host_no, [nowhere] if everybody else [])
        if mine:
            address = _address(operator_tags) or _address(tags) or _address(facts)
            found += [Found(HostId(host_id), name, address, *part) for part in mine]
    return found


def _parts(db: sqlite3.Connection, group: sqlite3.Row) -> list[tuple[int, _Part]]:
    members = db.execute(MEMBERS, (group["group_no"],)).fetchall()
    chosen = _cohorts(db, group, members) if group["deployment_no"] is not None and compares(Creator(group["creator"])) else {}
    deployment_id = group["deployment_id"] or ""
    named = group["application_name"], group["group_name"]
    return [
        (one["host_no"], _Part(*named, one["installed"] or "", deployment_id, chosen.get(one["host_id"], Cohort.REST))) for one in members
    ]


def _cohorts(db: sqlite3.Connection, group: sqlite3.Row, members: list[sqlite3.Row]) -> dict[HostId, Cohort]:
    targets = {host_no: (TargetStatus(status), stage) for host_no, status, stage in db.execute(TARGETS, (group["deployment_no"],))}
    early = 0 if DeploymentStatus(group["status"]).terminal else len(json.loads(group["stages"])) - 1
    old = group["old"]
    nowhere = None, early
    return cohorts(
        DeploymentId(group["deployment_id"]),
        (
            Standing(
                HostId(one["host_id"]),
                (target := targets.get(one["host_no"], nowhere))[0],
                bool(group["part"]) or target[1] < early,
                old is not None and one["health"] == InstanceHealth.Healthy and one["installed"] == one["deployed"] == old,
            )
            for one in members
        ),
    )


def _address(text: str) -> str:
    """The address in tags or facts as JSON."""
    return str(json.loads(text).get(ADDRESS, "")) if f'"{ADDRESS}"' in text else ""
