"""The running groups and hosts as the engine wants them after a start: read back exactly as they were committed."""

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import (
    Creator,
    Deployment,
    DeploymentId,
    FileExistsBehavior,
    Group,
    GroupId,
    HostId,
    HostStatus,
    InstanceHealth,
    Member,
    RevisionId,
    Session,
    Success,
    Target,
)
from coordinator.store.rows import columns
from coordinator.store.rows import running as rows
from coordinator.store.rows.hosts import SESSION_QUERY, session
from coordinator.store.rows.running import DEPLOYMENT_QUERY, TARGET_COLUMNS
from coordinator.store.rows.stages import Named

LIVE_GROUPS: Final = """
    SELECT group_id FROM deployment_group
    WHERE group_no IN (SELECT group_no FROM deployment WHERE status <= 3) OR watched_no IS NOT NULL ORDER BY group_no"""
STANDING: Final = """
    SELECT a.name, g.name, r.revision_id, d.completed_at FROM deployment_group g
    JOIN application a ON a.application_no = g.application_no
    JOIN deployment d ON d.deployment_no = g.last_successful_no JOIN revision r ON r.revision_no = d.revision_no
    WHERE g.deleted_at IS NULL AND d.completed_at IS NOT NULL ORDER BY d.completed_at DESC, g.group_no"""
UNDER_WAY: Final = f"{DEPLOYMENT_QUERY} WHERE d.group_no = ? AND d.status <= 3 ORDER BY coalesce(d.due_at, 0), d.deployment_no"
"""A group's deployments that have not ended: the live ones, and those that wait for their turn, in their order."""
GROUP: Final = f"""
    SELECT g.group_no, g.watched_no, d.deployment_id, d.file_exists_behavior,
           {", ".join(f"r.{column}" for column in columns.REVISION_COLUMNS)}
    FROM deployment_group g
    LEFT JOIN deployment d ON d.deployment_no = g.last_successful_no LEFT JOIN revision r ON r.revision_no = d.revision_no
    WHERE g.group_id = ?"""
MEMBERS: Final = """
    SELECT host_id, target_epoch, health, missed, coalesce(i.name, ''), coalesce(d.name, '')
    FROM member m JOIN host h ON h.host_no = m.host_no
    LEFT JOIN holding o ON o.host_no = m.host_no AND o.group_no = m.group_no
    LEFT JOIN name i ON i.name_no = o.installed_no LEFT JOIN name d ON d.name_no = o.deployed_no
    WHERE m.group_no = ?"""
MemberRow = tuple[str, int, int, int, str, str]
EPOCH: Final = """
    SELECT coalesce(m.target_epoch, 0) FROM deployment_group g
    LEFT JOIN host h ON h.host_id = ? LEFT JOIN member m ON m.group_no = g.group_no AND m.host_no = h.host_no
    WHERE g.group_id = ?"""
TARGETS: Final = f"""
    SELECT host_id, name, {", ".join(f"t.{column}" for column in TARGET_COLUMNS)}, stage, zone
    FROM target t JOIN host h ON h.host_no = t.host_no JOIN name ON name.name_no = t.host_name_no
    WHERE deployment_no = ? ORDER BY place_in_line"""
PRESENT_TARGETS: Final = TARGETS.replace("WHERE", "WHERE h.removed_at IS NULL AND")
JOINED: Final = f"""
    SELECT h.host_id, name.name
    FROM deployment w JOIN deployment d ON d.group_no = w.group_no AND d.deployment_no > w.deployment_no AND d.revision_no = w.revision_no
    JOIN target t ON t.deployment_no = d.deployment_no
    JOIN host h ON h.host_no = t.host_no JOIN name ON name.name_no = t.host_name_no
    WHERE w.deployment_no = ? AND d.completed_at IS NOT NULL AND h.removed_at IS NULL
      AND t.started_at IS NOT NULL AND t.status <> {TargetStatus.Skipped.value}"""
BYSTANDERS: Final = "SELECT host_id, zone FROM bystander JOIN host USING (host_no) WHERE deployment_no = ?"
PRESENT_BYSTANDERS: Final = f"{BYSTANDERS} AND removed_at IS NULL"
CHAIN: Final = """
    WITH RECURSIVE chain (deployment_no, rolls_back_no) AS (
        SELECT deployment_no, rolls_back_no FROM deployment WHERE deployment_no = ?
        UNION ALL
        SELECT d.deployment_no, d.rolls_back_no FROM deployment d JOIN chain c ON d.deployment_no = c.rolls_back_no)"""
FIRST_OF_CHAIN: Final = f"""{CHAIN}
    SELECT host_id FROM chain JOIN target USING (deployment_no) JOIN host USING (host_no) WHERE chain.rolls_back_no IS NULL
    UNION ALL
    SELECT host_id FROM chain JOIN bystander USING (deployment_no) JOIN host USING (host_no) WHERE chain.rolls_back_no IS NULL"""
COUNTED: Final = f"""{CHAIN}
    SELECT host_no FROM chain JOIN target USING (deployment_no)
    UNION SELECT host_no FROM chain JOIN bystander USING (deployment_no)"""


def last_commit(db: sqlite3.Connection) -> int:
    """The number of the last commit; 0 when there is none."""
    return int(db.execute("SELECT commit_no FROM last_commit").fetchone()[0])


def sessions(db: sqlite3.Connection) -> list[Session]:
    """Every known host."""
    return [session(tuple(row)) for row in db.execute(SESSION_QUERY)]


def disconnect_everybody(db: sqlite3.Connection) -> None:
    """Say of every host that nobody knows yet whether it is there, unless it is lost."""
    db.execute("UPDATE host SET status = ? WHERE status IN (?, ?)", (HostStatus.Unknown, HostStatus.Connected, HostStatus.Suspect))


class Standing(NamedTuple):
    """A group, what was deployed to it last with success, and when that ended."""

    application_name: str
    group_name: str
    revision_id: str
    completed_at: int


def standing(db: sqlite3.Connection) -> list[Standing]:
    """Of every group that was ever deployed to with success, the newest first."""
    return [Standing(*row) for row in db.execute(STANDING)]


def live_groups(db: sqlite3.Connection) -> list[GroupId]:
    """Groups with a deployment that has not ended."""
    return [GroupId(row[0]) for row in db.execute(LIVE_GROUPS)]


def group(db: sqlite3.Connection, group_id: GroupId) -> Group:
    """A group with its members, its live deployments and those that wait; an empty one where there is none."""
    found = db.execute(GROUP, (group_id,)).fetchone()
    if found is None:
        return Group(group_id=group_id)
    group_no, watched_no, last_id, behavior, *revision = found
    success = None
    if last_id is not None:
        success = Success(
            deployment_id=DeploymentId(last_id), revision=columns.revision(*revision), file_exists_behavior=FileExistsBehavior(behavior)
        )
    under_way = [_deployment(db, row) for row in db.execute(UNDER_WAY, (group_no,))]
    live = {one.plan.creator is Creator.CodeDeployAutoUpdate: one for one in under_way if not one.waits_for_turn}
    return Group(
        group_id=group_id,
        deployment=live.get(False),
        newcomers=live.get(True),
        watched=None if watched_no is None else _watched(db, watched_no),
        waiting=[one for one in under_way if one.waits_for_turn],
        last_successful=success,
        members={member.host_id: member for member in map(_member, db.execute(MEMBERS, (group_no,)))},
    )


def member(db: sqlite3.Connection, group_no: int, host_no: int) -> Member | None:
    """What a group knows of one host; None where nothing."""
    row = db.execute(f"{MEMBERS} AND m.host_no = ?", (group_no, host_no)).fetchone()
    return None if row is None else _member(row)


def members(db: sqlite3.Connection, deployment_no: int, *, only_targets: bool = False) -> set[int]:
    """The numbers of the hosts that a deployment counts, or of those that it goes to."""
    query = "SELECT host_no FROM target WHERE deployment_no = ?" if only_targets else COUNTED
    return {row[0] for row in db.execute(query, (deployment_no,))}


def _member(row: MemberRow) -> Member:
    host_id, epoch, health, missed, installed, deployed = row
    return Member(
        host_id=HostId(host_id),
        target_epoch=epoch,
        health=InstanceHealth(health),
        missed=missed,
        installed=RevisionId(installed),
        deployed=RevisionId(deployed),
    )


def behind(db: sqlite3.Connection, epochs: Mapping[tuple[GroupId, HostId], int]) -> list[GroupId]:
    """Known groups of which a host knows a higher epoch than is stored."""
    found: dict[GroupId, None] = {}
    for (group_id, host_id), epoch in epochs.items():
        stored = db.execute(EPOCH, (host_id, group_id)).fetchone()
        if stored is not None and epoch > stored[0]:
            found[group_id] = None
    return list(found)


def _deployment(db: sqlite3.Connection, row: Named) -> Deployment:
    deployment_id, number = DeploymentId(row["deployment_id"]), row["deployment_no"]
    targets, zone_of = _targets(db, TARGETS, deployment_id, number)
    if row["rolls_back"] is None:
        others = {HostId(host_id): zone for host_id, zone in db.execute(BYSTANDERS, (number,))}
        members = frozenset(targets).union(others)
        zone_of |= {host_id: zone for host_id, zone in others.items() if zone is not None}
    else:  # a rollback has only the hosts that were touched; its members are those of the deployment it rolls back, and who came since
        members = frozenset(targets).union(HostId(one[0]) for one in db.execute(FIRST_OF_CHAIN, (number,)))
    return rows.deployment(row, targets, members, zone_of)


def _targets(
    db: sqlite3.Connection, query: str, deployment_id: DeploymentId, number: int
) -> tuple[dict[HostId, Target], dict[HostId, int]]:
    """Targets in the order of the line, and the zones of those that have one."""
    targets, zone_of = dict[HostId, Target](), dict[HostId, int]()
    for *said, stage, zone in db.execute(query, (number,)):
        target = rows.target(deployment_id, tuple(said))
        target.stage = stage
        targets[target.host_id] = target
        if zone is not None:
            zone_of[target.host_id] = zone
    return targets, zone_of


def _watched(db: sqlite3.Connection, number: int) -> Deployment:
    """A deployment that has succeeded, with the hosts that are there still and those that were given its revision since."""
    row = db.execute(f"{DEPLOYMENT_QUERY} WHERE d.deployment_no = ?", (number,)).fetchone()
    deployment_id = DeploymentId(row["deployment_id"])
    targets, _ = _targets(db, PRESENT_TARGETS, deployment_id, number)
    members = frozenset(targets).union(HostId(one[0]) for one in db.execute(PRESENT_BYSTANDERS, (number,)))
    watched = rows.deployment(row, targets, members, {})
    watched.joined = {HostId(one[0]): str(one[1]) for one in db.execute(JOINED, (number,))}
    return watched
