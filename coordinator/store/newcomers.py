"""Which groups have newcomers among hosts that have come; see `service.ports.Newcomers`."""

import sqlite3
from collections.abc import Collection
from typing import Final

from coordinator.core.deployment.newcomers import is_newcomer
from coordinator.core.model import HostId, OutdatedInstancesStrategy, RevisionId
from coordinator.service.records import Awaiting
from coordinator.store.catalog.groups import live_deployment
from coordinator.store.fleet import matcher
from coordinator.store.rows.columns import tag_filters, tag_sets
from coordinator.store.running import member

HOSTS: Final = "SELECT host_id, host_no, tags, operator_tags FROM host WHERE removed_at IS NULL"
MANY: Final = 500
"""For more hosts than this all are read: that is cheaper than to name them."""
GROUPS: Final = f"""
    SELECT g.group_no, a.name, g.name, g.tag_filters, g.tag_sets, r.revision_id
    FROM deployment_group g JOIN application a ON a.application_no = g.application_no
    LEFT JOIN deployment l ON l.deployment_no = g.last_successful_no LEFT JOIN revision r ON r.revision_no = l.revision_no
    WHERE g.deleted_at IS NULL AND g.outdated_strategy = {OutdatedInstancesStrategy.UPDATE.value}"""


def read(db: sqlite3.Connection, hosts: Collection[HostId]) -> list[Awaiting]:
    """By group; what is asked of each host is told by the core."""
    wanted = set(hosts)
    named = f" AND host_id IN ({', '.join('?' * len(wanted))})" if len(wanted) <= MANY else ""
    come = [row for row in db.execute(HOSTS + named, tuple(wanted) if named else ()) if row[0] in wanted]
    found = []
    for group_no, application_name, name, filters, sets, revision_id in db.execute(GROUPS).fetchall():
        live = live_deployment(db, group_no) is not None
        if revision_id is None and not live:
            continue
        matches = matcher(tag_sets(sets) or (tag_filters(filters),))
        matching = [(HostId(host_id), host_no) for host_id, host_no, own, operators in come if matches(own, operators)]
        current = RevisionId(revision_id or "")
        newcomers = [host_id for host_id, host_no in matching if is_newcomer(member(db, group_no, host_no), current)]
        if newcomers:
            found.append(Awaiting(application_name, name, current, tuple(newcomers), live))
    return found
