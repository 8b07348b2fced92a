"""Explains deployments and hosts: the live ones as the engine has them, by the rules that hold them; the others as the history tells."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from coordinator.core.errors import Unavailable
from coordinator.core.foresight import explanation
from coordinator.core.foresight.explanation import Explanation
from coordinator.core.model import Deployment, DeploymentId, Group, GroupId, HostId, Plan
from coordinator.core.queue import line
from coordinator.engine.ports import Clock
from coordinator.service.foresight.ports import Standing
from coordinator.service.ports import Fleet, History
from coordinator.service.records import DeploymentRecord, Host, TargetRecord

T = TypeVar("T")

PATIENCE: Final = 5
"""Seconds within which the engine must have come between two turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A sentence, and what it is about; until when, in UTC milliseconds. What is not concerned is empty."""

    said: Explanation
    until: int | None = None
    plan: Plan | None = None
    host_name: str = ""


class ExplainingService:
    """Says why things are where they are."""

    def __init__(self, standing: Standing, history: History, fleet: Fleet, *, clock: Clock) -> None:
        """`standing` has the live groups; `history` and `fleet` know the rest."""
        self._standing = standing
        self._history = history
        self._fleet = fleet
        self._clock = clock

    async def deployment(self, deployment_id: DeploymentId) -> Explained:
        """Why a deployment is where it is. Raises DeploymentDoesNotExist."""
        plan = (await self._history.deployment(deployment_id)).plan
        live = await self._live(lambda groups: self._of_deployment(groups.get(plan.group_id), deployment_id))
        return live or Explained(said=_ended(await self._history.deployment(deployment_id)), plan=plan)

    async def target(self, deployment_id: DeploymentId, host: str) -> Explained:
        """Why one host's part in it is where it is. Raises DeploymentDoesNotExist, DeploymentTargetDoesNotExist."""
        plan = (await self._history.deployment(deployment_id)).plan
        found = await self._history.target(deployment_id, host)
        live = await self._live(lambda groups: self._of_target(groups.get(plan.group_id), deployment_id, found))
        return live or Explained(said=_told(found), plan=plan, host_name=found.host_name)

    async def host(self, host: str) -> list[Explained]:
        """Why a host is where it is: in each live deployment, or at all. Raises InstanceDoesNotExist."""
        found = await self._fleet.host(host)

        def every(groups: Mapping[GroupId, Group]) -> list[Explained]:
            live = [one for group in groups.values() for one in group.live if found.host_id in one.targets]
            return [self._explained(groups[one.plan.group_id], one, found.host_id) for one in live]

        parts = await self._live(every)
        return parts or [Explained(said=_idle(found), host_name=found.name)]

    async def _live(self, look: Callable[[Mapping[GroupId, Group]], T]) -> T:
        try:
            async with asyncio.timeout(PATIENCE), self._standing.standing() as groups:
                return look(groups)
        except TimeoutError:
            raise Unavailable("cannot explain this now: the coordinator cannot store what it has decided; try again") from None

    def _of_deployment(self, group: Group | None, deployment_id: DeploymentId) -> Explained | None:
        if group is None:
            return None
        if (waiting := line.find(group, deployment_id)) is not None:
            return Explained(said=explanation.of_waiting(group, waiting), until=waiting.plan.start_at, plan=waiting.plan)
        live = group.find_live(deployment_id)
        return None if live is None else self._explained(group, live, None)

    def _of_target(self, group: Group | None, deployment_id: DeploymentId, target: TargetRecord) -> Explained | None:
        live = None if group is None else group.find_live(deployment_id)
        if group is None or live is None:
            return None
        return self._explained(group, live, target.host_id)

    def _explained(self, group: Group, live: Deployment, host_id: HostId | None) -> Explained:
        """The deployment's own clock goes on with ours."""
        if host_id is None:
            said, name = explanation.of_deployment(group, live), ""
        else:
            said, name = explanation.of_target(group, live, live.targets[host_id]), live.targets[host_id].host_name
        left = None if said.until is None else max(0, said.until - live.clock - (self._clock.elapsed() - live.clock_at))
        return Explained(said=said, until=None if left is None else self._clock.now() + left, plan=live.plan, host_name=name)


def _ended(record: DeploymentRecord) -> Explanation:
    name = record.plan.deployment_id
    if not record.status.terminal:
        return Explanation(f"{name} waits for its turn", "Queued")
    why = f": {record.error.message}" if record.error is not None else ""
    then = f"; {record.rollback_message}" if record.rollback_message else ""
    return Explanation(f"{name} has ended {record.status.name}{why}{then}")


def _told(record: TargetRecord) -> Explanation:
    why = record.message or next(
        (f"{one.event.name}: {one.diagnostics.message}" for one in record.events if one.diagnostics is not None), ""
    )
    return Explanation(f"{record.host_name} has ended {record.status.name} in {record.deployment_id}{f': {why}' if why else ''}")


def _idle(host: Host) -> Explanation:
    held = ", ".join(
        f"{one.application_name}/{one.group_name} has {one.deployed or 'nothing'} there ({one.health.name}, {one.revision_health.name})"
        for one in host.holdings
    )
    return Explanation(f"{host.name} is {host.status.name} and has no part in a live deployment{f'; {held}' if held else ''}")
