"""Which groups are to blame when the store can never take what a turn has decided: a bug, not a disk.

Each group's own part is decided again, stored, and taken back. It needs no group in memory, and leaves none there.
"""

from collections.abc import Mapping, Sequence

from coordinator.core.facts import GroupFact
from coordinator.core.machine import step
from coordinator.core.model import GroupId
from coordinator.core.orders import Changes
from coordinator.engine.groups import Groups
from coordinator.engine.ports import DeploymentsRefused, Store, StoreBroken


async def to_blame(store: Store, groups: Groups, facts: Mapping[GroupId, Sequence[GroupFact]]) -> list[GroupId]:
    """Groups whose facts the store can never take, not even alone."""
    found: list[GroupId] = []
    for group_id, own in facts.items():
        changes = Changes()
        step(await groups.load(group_id), own, changes)
        try:
            await store.rehearse(changes)
        except StoreBroken:
            found.append(group_id)
        except DeploymentsRefused:
            pass
        finally:
            groups.pop(group_id)
    return found
