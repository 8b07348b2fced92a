"""What a deployment stands on, read in one transaction: no other call can come between its parts, and it costs one hop to a reader."""

import sqlite3
from collections.abc import Sequence

from coordinator.core.model import RevisionId
from coordinator.service.records import Ground
from coordinator.store.access.operators import approvers
from coordinator.store.catalog import alarms, groups, revisions
from coordinator.store.catalog.catalog import existing_config
from coordinator.store.fleet import matching, profiles, tags


def read(
    db: sqlite3.Connection, names: tuple[str, str], revision_id: RevisionId, config_name: str, watched: Sequence[str] | None
) -> Ground:
    """See `service.ports.Grounds`; `names` are the application's and the group's."""
    application_name, group_name = names
    group = groups.get(db, application_name, group_name)
    return Ground(
        group=group,
        revision=revisions.get(db, application_name, revision_id).revision,
        config=existing_config(db, config_name or group.config_name),
        rollback_config=existing_config(db, group.rollback_config_name) if group.rollback_config_name else None,
        hosts=tuple(matching(db, group.selection)),
        profiles=profiles(db),
        tags=tags(db),
        approvers=tuple(approvers(db, application_name, group_name)),
        alarms=alarms.named(
            db, group.alarms.watched if watched is None else watched, field="override_alarm_configuration.alarms" if watched else ""
        ),
    )
