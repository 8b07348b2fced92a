"""How long lifecycle events took on the hosts of a group, by its newest deployments."""

import sqlite3
from typing import Final

from coordinator.core.foresight.durations import Durations, quantiles
from coordinator.core.lifecycle import EventStatus, LifecycleEvent
from coordinator.core.model import GroupId

DEPLOYMENTS: Final = 5
"""So many of the newest are looked at."""

EVENTS: Final = 20_000
"""So many events are enough."""

NEWEST: Final = f"""
    SELECT deployment_no FROM deployment
    WHERE group_no = (SELECT group_no FROM deployment_group WHERE group_id = ?)
    ORDER BY deployment_no DESC LIMIT {DEPLOYMENTS}"""
TOOK: Final = f"""
    SELECT host_no, event, ended_at - started_at FROM lifecycle_event
    WHERE deployment_no = ? AND status = {EventStatus.Succeeded.value} AND started_at IS NOT NULL AND ended_at IS NOT NULL LIMIT ?"""


def read(db: sqlite3.Connection, group_id: GroupId) -> Durations:
    """Both times of an event are its host's, so whatever its clock says, their difference is right."""
    sample: dict[LifecycleEvent, list[int]] = {}
    targets: set[tuple[int, int]] = set()
    left = EVENTS
    for (number,) in db.execute(NEWEST, (group_id,)).fetchall():
        for host, event, took in db.execute(TOOK, (number, left)):
            targets.add((number, host))
            sample.setdefault(LifecycleEvent(event), []).append(took)
            left -= 1
    return Durations(quantiles={event: quantiles(took) for event, took in sample.items()}, targets=len(targets))
