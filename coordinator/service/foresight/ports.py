"""What foresight needs of the world: how a group stands, and how long things took there."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from coordinator.core.foresight.durations import Durations
from coordinator.core.model import Group, GroupId


class Groups(Protocol):
    """Groups as committed last: `engine.ports.Store` is one."""

    async def group(self, group_id: GroupId) -> Group:
        """A copy for the caller alone, in which whatever is not stored is left for `core/machine.restore` to fill in."""
        ...


class Experience(Protocol):
    """The history, asked for how long things take."""

    async def durations(self, group_id: GroupId) -> Durations:
        """How long the lifecycle events of the group's last deployments took."""
        ...


class Standing(Protocol):
    """Whoever runs the groups: `engine/loop.Engine` is one."""

    def standing(self) -> AbstractAsyncContextManager[Mapping[GroupId, Group]]:
        """The groups that are live, as committed last, for as long as nobody waits for anything."""
        ...
