"""Which groups have newcomers among hosts that have come; see `service.ports.Newcomers`."""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

from coordinator.core.deployment.newcomers import is_newcomer
from coordinator.core.model import Creator, HostId, InstanceHealth, Member, OutdatedInstancesStrategy, RevisionId
from coordinator.service.records import Awaiting
from coordinator.store.catalog.groups import UNDER_WAY, WAITED
from coordinator.store.fleet import matcher
from coordinator.store.rows.columns import tag_filters, tag_sets
from coordinator.store.snapshots.running import member, members

HOSTS: Final = "SELECT host_id, host_no, tags, operator_tags FROM host WHERE removed_at IS NULL"
MANY: Final = 500
"""For more hosts than this all are read: that is cheaper than to name them."""
GROUPS: Final = f"""
    SELECT g.group_no, a.name, g.name, g.tag_filters, g.tag_sets, r.revision_id
    FROM deployment_group g JOIN application a ON a.application_no = g.application_no
    LEFT JOIN deployment l ON l.deployment_no = g.last_successful_no LEFT JOIN revision r ON r.revision_no = l.revision_no
    WHERE g.deleted_at IS NULL AND g.outdated_strategy = {OutdatedInstancesStrategy.UPDATE.value}"""
LIVE: Final = f"{UNDER_WAY.replace('deployment_id', 'creator, deployment_no')} AND NOT ({WAITED})"


def read(db: sqlite3.Connection, hosts: Collection[HostId]) -> list[Awaiting]:
    """By group; what is asked of each host is told by the core."""
    wanted = set(hosts)
    named = f" AND host_id IN ({', '.join('?' * len(wanted))})" if len(wanted) <= MANY else ""
    come = [row for row in db.execute(HOSTS + named, tuple(wanted) if named else ()) if row[0] in wanted]
    found = []
    for group_no, application_name, name, filters, sets, revision_id in db.execute(GROUPS).fetchall():
        live = {row[0] == Creator.CodeDeployAutoUpdate: row[1] for row in db.execute(LIVE, (group_no,))}
        if revision_id is None and not live:
            continue
        matches = matcher(tag_sets(sets) or (tag_filters(filters),))
        matching = {host_no: HostId(host_id) for host_id, host_no, own, operators in come if matches(own, operators)}
        current = RevisionId(revision_id or "")
        known = {host_no: member(db, group_no, host_no) for host_no in matching}
        newcomers = {host_no for host_no in matching if is_newcomer(known[host_no], current)}
        now, later = (newcomers, set[int]()) if not live else _parted(db, live, known, newcomers)
        if revision_id is None:
            now, later = set(), now | later
        if now or later:
            hosts, others = (tuple(host_id for host_no, host_id in matching.items() if host_no in part) for part in (now, later))
            found.append(Awaiting(application_name, name, current, hosts, others, live=False in live))
    return found


def _parted(
    db: sqlite3.Connection, live: Mapping[bool, int], known: Mapping[int, Member | None], newcomers: set[int]
) -> tuple[set[int], set[int]]:
    """Who may get something now, beside what is live, and who is to be looked at later. `live`: the deployment for newcomers (True), and
    the one that somebody has asked for."""
    counted = members(db, live[False]) if False in live else set(known)
    brought = members(db, live[True], only_targets=True) if True in live else set[int]()
    free = {host_no for host_no, one in known.items() if one is None or one.health is not InstanceHealth.Healthy}
    now = newcomers & free - counted if True not in live else set[int]()
    return now, (newcomers | brought & known.keys() | known.keys() - counted) - now
