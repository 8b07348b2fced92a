"""What a deployment stands on, read in one transaction: no other call can come between its parts, and it costs one hop to a reader."""

import sqlite3

from coordinator.core.model import RevisionId
from coordinator.service.records import Ground
from coordinator.store.catalog import groups, revisions
from coordinator.store.catalog.catalog import existing_config
from coordinator.store.fleet import matching


def read(db: sqlite3.Connection, application_name: str, group_name: str, revision_id: RevisionId, config_name: str) -> Ground:
    """See `service.ports.Grounds`."""
    group = groups.get(db, application_name, group_name)
    return Ground(
        group=group,
        revision=revisions.get(db, application_name, revision_id).revision,
        config=existing_config(db, config_name or group.config_name),
        hosts=tuple(matching(db, group.selection)),
    )
