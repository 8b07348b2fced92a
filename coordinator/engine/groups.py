"""The groups in memory: those with a deployment under way, be it live or waiting, or one that is watched after its success, and for a turn
those that a fact is about.

All that is here was read from the store, and can be read from it again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager

from coordinator.core.facts import DeploymentRequested, Hello, HostRemovalRequested
from coordinator.core.machine import restore
from coordinator.core.model import Deployment, DeploymentId, Group, GroupId, HostId, InstructionId, Session
from coordinator.core.orders import Changes
from coordinator.core.session import Roster
from coordinator.engine.inbox import Asked, Inbox, Item
from coordinator.engine.ports import Clock, Store


def under_way(group: Group) -> list[Deployment]:
    """A group's deployments that have not ended."""
    return [*group.live, *group.waiting]


class Groups(dict[GroupId, Group]):
    """Groups by id."""

    def __init__(self, store: Store, clock: Clock, lost: Callable[[], Collection[HostId]]) -> None:
        """Nothing is read before it is needed; `lost` says which hosts are lost now."""
        super().__init__()
        self.live: dict[DeploymentId, GroupId] = {}
        """Which group a deployment belongs to, while it is live or waits for its turn."""
        self.watched: dict[DeploymentId, GroupId] = {}
        """The same for those whose alarms are watched after their success."""
        self.parked: set[GroupId] = set()
        """Groups whose facts cannot be decided before the coordinator is restarted."""
        self.between = asyncio.Lock()
        """Held by the engine from the first decision of a turn until it is committed."""
        self._standing: dict[GroupId, Group] = {}
        """Parked groups as they are stored, for as long as they stand still: read when somebody asks whom they wait for."""
        self._store = store
        self._clock = clock
        self._lost = lost

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Mapping[GroupId, Group]]:
        """The live groups as committed: nothing is decided for as long as this lasts, so nobody may wait for anything in it."""
        async with self.between:
            yield self

    async def load(self, group_id: GroupId) -> Group:
        """Read a group, unless it is here."""
        group = self.get(group_id)
        if group is None:
            group = await self._store.group(group_id)
            restore(group, self._lost(), self._clock.elapsed())
            self[group_id] = group
            self.live = {deployment_id: owner for deployment_id, owner in self.live.items() if owner != group_id}
            self.live |= {one.deployment_id: group_id for one in under_way(group)}
            self._keep_in_sight(group)
        return group

    async def load_for(self, items: Iterable[Item]) -> None:
        """Read the groups that are about to be stepped and are not here: live ones after a commit that failed, and those that facts
        are about. Of the groups that a host knows, only those are read of which it knows a higher epoch than the store."""
        present = [*self.live.values(), *self.watched.values()]
        for group_id in [one for one in present if one not in self and one not in self.parked]:
            await self.load(group_id)
        epochs: dict[tuple[GroupId, HostId], int] = {}
        for item in items:
            if isinstance(item, Asked) and isinstance(item.fact, DeploymentRequested):
                await self.load(item.fact.plan.group_id)
            elif isinstance(item, Asked) and isinstance(item.fact, HostRemovalRequested):
                for group_id in self.parked - self._standing.keys():
                    self._standing[group_id] = await self._store.group(group_id)
            elif isinstance(item, Hello):
                epochs |= {(one, item.host_id): fence.target_epoch for one, fence in item.fences.items() if one not in self}
        if epochs:
            for group_id in await self._store.behind(epochs):
                await self.load(group_id)

    def owner(self, deployment_id: DeploymentId) -> GroupId | None:
        """The group of a deployment that somebody can still do something about: it is live, or watched after its success."""
        return self.live.get(deployment_id) or self.watched.get(deployment_id)

    def of(self, instruction_id: InstructionId) -> GroupId | None:
        """The group of an instruction; None when its deployment is not live."""
        return self.live.get(DeploymentId(instruction_id.partition("/")[0]))

    def of_host(self, host_id: HostId) -> Iterator[GroupId]:
        """Groups that a host belongs to and that can be decided about; those that are not here work it out when they are read."""
        return (group_id for group_id, group in self.items() if host_id in group.members and group_id not in self.parked)

    def await_host(self, host_id: HostId) -> bool:
        """Whether a live deployment has not done with a host."""
        for group_id in self.live.values():
            group = self.get(group_id) or self._standing.get(group_id)
            if group is not None and any(one.awaits(host_id) for one in group.live):
                return True
        return False

    def settle(self, stepped: Iterable[GroupId], changes: Changes) -> None:
        """What was stepped is stored: know which deployments are under way, and let groups go that have none."""
        for deployment_id, deployment in changes.deployments.items():
            if deployment.status.terminal:
                self.live.pop(deployment_id, None)
            else:
                self.live[deployment_id] = deployment.plan.group_id
        for group_id in stepped:
            group = self[group_id]
            self._keep_in_sight(group)
            if not under_way(group) and group.watched is None:
                del self[group_id]

    def _keep_in_sight(self, group: Group) -> None:
        self.watched = {deployment_id: owner for deployment_id, owner in self.watched.items() if owner != group.group_id}
        if group.watched is not None:
            self.watched[group.watched.deployment_id] = group.group_id


class Overview:
    """What goes on just now, for whoever counts it: a `metrics.Sight`."""

    def __init__(self, groups: Groups, roster: Callable[[], Roster], inbox: Inbox) -> None:
        """To be looked at between two turns of the event loop."""
        self._groups = groups
        self._inbox = inbox
        self._roster = roster

    @property
    def groups(self) -> Iterable[Group]:
        """Groups in memory: those with a live deployment, and few others."""
        return self._groups.values()

    @property
    def sessions(self) -> Collection[Session]:
        """All known hosts."""
        return self._roster().sessions.values()

    @property
    def waiting(self) -> int:
        """How many facts wait for the engine."""
        return len(self._inbox)

    @property
    def parked(self) -> int:
        """How many groups stand still after an internal error."""
        return len(self._groups.parked)
