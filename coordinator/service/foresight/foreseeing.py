"""Foresees deployments: the production rules on a copy of the group, run in slices, so that everybody else is served meanwhile.

Nothing reaches the inbox, and nothing is stored.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from coordinator.core.deployment import batches
from coordinator.core.errors import DeployError, Unavailable
from coordinator.core.facts import DeploymentRequested
from coordinator.core.foresight.durations import Durations
from coordinator.core.foresight.run import Run
from coordinator.core.foresight.story import Story
from coordinator.core.foresight.world import MEDIAN, World
from coordinator.core.machine import restore, step
from coordinator.core.model import Deployment, DeploymentId, Group, Plan
from coordinator.core.orders import Changes
from coordinator.core.queue import line
from coordinator.core.requests import creation
from coordinator.engine.ports import Clock
from coordinator.service.deployments import DeploymentService, Wanted
from coordinator.service.foresight.faults import Faults, world_of
from coordinator.service.foresight.ports import Experience, Groups
from coordinator.service.ports import Fleet, Presence
from coordinator.service.records import DeploymentRecord

SLICE: Final = 100
"""Facts that are looked at before everybody else has a turn: about a millisecond."""

AT_ONCE: Final = 8
"""Calls that may wait for their turn; those beyond are told to try again."""

FORESEEN: Final = DeploymentId("foreseen")
ITS_ROLLBACK: Final = DeploymentId("foreseen-rollback")
"""Ids that no deployment has. They are always the same, because chance is drawn by them."""

EARLY: Final = 0.1
LATE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would happen, in which group."""

    story: Story
    deployments: Sequence[DeploymentRecord]
    hosts: int
    minimum: int
    floor: int
    known_targets: int
    rollback: Plan | str | None
    host_names: dict[str, str]
    """By id, for the story's entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A deployment as it would be made, and how it would go."""

    refusals: Sequence[DeployError]
    offline: Sequence[str]
    deployment: DeploymentRecord | None = None
    foreseen: Foreseen | None = None
    earliest_end: int | None = None
    latest_end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the service looks things up."""

    groups: Groups
    experience: Experience
    fleet: Fleet
    presence: Presence


class ForesightService:
    """Plans, simulates and validates."""

    def __init__(self, deployments: DeploymentService, sources: Sources, *, clock: Clock) -> None:
        """`deployments` says what would be asked of the core."""
        self._deployments = deployments
        self._sources = sources
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def validate(self, wanted: Wanted, *, created_by: str) -> DeploymentRecord:
        """A deployment as it would be created now, without an id. Raises what CreateDeployment would."""
        fact, objections = await self._deployments.asked(wanted, created_by=created_by)
        group = await self._group(fact)
        for error in (*objections, *creation.refusals(group, fact)):
            raise error
        return _made(group, fact)

    async def plan(self, wanted: Wanted, *, created_by: str) -> Planned:
        """How a deployment would go if nothing failed, and everything that would refuse it."""
        fact, objections = await self._deployments.asked(wanted, created_by=created_by)
        group = await self._group(fact)
        refusals = [*objections, *creation.refusals(group, fact)]
        waits, fact, free = line.waits(group, fact), _foreseen(fact), _freed(group)
        unfit = list(creation.refusals(free, fact))
        if waits:
            refusals += unfit
        if unfit:
            return Planned(refusals=refusals, offline=_offline(fact))
        made = _made(free, fact)
        durations = await self._sources.experience.durations(fact.plan.group_id)
        earliest, latest, run = [
            await self._run(_freed(await self._group(fact)), fact, World(durations=durations, quantile=quantile))
            for quantile in (EARLY, LATE, MEDIAN)
        ]
        return Planned(
            refusals=refusals,
            offline=_offline(fact),
            deployment=made,
            foreseen=_told(run, fact, durations),
            earliest_end=earliest.story.ended_at,
            latest_end=latest.story.ended_at,
        )

    async def simulate(self, wanted: Wanted, faults: Faults, *, created_by: str) -> Foreseen:
        """How a deployment would go when this and that goes wrong. Raises what CreateDeployment would, but for a live deployment."""
        fact, objections = await self._deployments.asked(wanted, created_by=created_by)
        group = await self._group(fact)
        if line.waits(group, fact):
            objections += [error for error in [line.refusal(group, fact)] if error is not None]
        fact, group = _foreseen(fact), _freed(group)
        for error in (*objections, *creation.refusals(group, fact)):
            raise error
        durations = await self._sources.experience.durations(fact.plan.group_id)
        world = await world_of(faults, fact, durations, self._sources.fleet)
        return _told(await self._run(group, fact, world), fact, durations)

    async def _group(self, fact: DeploymentRequested) -> Group:
        group = await self._sources.groups.group(fact.plan.group_id)
        restore(group, [one for one in group.members if self._sources.presence.lost(one)], 0)
        return group

    async def _run(self, group: Group, fact: DeploymentRequested, world: World) -> Run:
        """One at a time, in slices. Who has hung up is looked at no further."""
        if self._waiting >= AT_ONCE:
            raise Unavailable(f"cannot foresee this now: {AT_ONCE} calls wait for their turn already; try again")
        self._waiting += 1
        try:
            async with self._turn:
                run = Run(group, fact, world)
                while run.go_on(SLICE):
                    await self._clock.sleep(0)
                return run
        finally:
            self._waiting -= 1


def _foreseen(fact: DeploymentRequested) -> DeploymentRequested:
    """As it is once its turn has come."""
    return replace(fact, plan=replace(fact.plan, deployment_id=FORESEEN, rollback_id=ITS_ROLLBACK, start_at=None))


def _freed(group: Group) -> Group:
    """The group as if its live deployments had ended now, and nobody waited for their turn."""
    group.deployment, group.newcomers, group.waiting = None, None, []
    return group


def _made(group: Group, fact: DeploymentRequested) -> DeploymentRecord:
    """The deployment as it is in the instant after its creation."""
    changes = Changes()
    step(group, [fact], changes)
    made = changes.created[fact.plan.deployment_id]
    return _record(made, DeploymentId(""))


def _offline(fact: DeploymentRequested) -> list[str]:
    return [host.name for host in fact.hosts if host.lost and (fact.plan.chosen is None or host.host_id in fact.plan.chosen)]


def _told(run: Run, fact: DeploymentRequested, durations: Durations) -> Foreseen:
    story = run.story
    first = story.deployments[0]
    return Foreseen(
        story=story,
        deployments=[_record(one, one.deployment_id) for one in story.deployments],
        hosts=len(first.members),
        minimum=batches.minimum(first),
        floor=first.floor,
        known_targets=durations.targets,
        rollback=run.rollback,
        host_names={host.host_id: host.name for host in fact.hosts},
    )


def _record(deployment: Deployment, deployment_id: DeploymentId) -> DeploymentRecord:
    return DeploymentRecord(
        plan=replace(deployment.plan, deployment_id=deployment_id),
        status=deployment.status,
        counts=dict(deployment.counts),
        error=deployment.error,
        stopping=deployment.stopping,
        approved_by=deployment.approved_by,
        watched=False,
        rollback_deployment_id=deployment.rollback_deployment_id,
        rollback_message=deployment.rollback_message,
        started_at=deployment.started_at,
        completed_at=deployment.completed_at,
        commit=0,
    )
