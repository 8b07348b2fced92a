"""Operators: they create deployments, stop them, create twice at once, and repeat a call with its request id until they get an answer.

Stands in for `api` and `service`, whose rule for repeats it follows; what may be is decided by the real core.
"""

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TypeVar

from coordinator.core.errors import DeployError, DeploymentLimitExceeded, Limit, StorageFailed, StorageFull, Unavailable
from coordinator.core.facts import (
    ApprovalGiven,
    DeploymentRequested,
    LiveRequest,
    PauseRequested,
    PromotionRequested,
    Request,
    RequestKey,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
    StopRequested,
)
from coordinator.core.lifecycle import RESTART, TargetStatus
from coordinator.core.model import (
    AutoRollbackEvent,
    BundleType,
    Creator,
    DeploymentId,
    FileExistsBehavior,
    GroupId,
    HostId,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Plan,
    Queueing,
    Revision,
    RevisionId,
)
from coordinator.service.rollouts.shapes import snapshots
from tests.simulation import wishes
from tests.simulation.coordinator import Coordinator, Life

W = TypeVar("W", PauseRequested, ResumeRequested, PromotionRequested, RetryRequested, SkipRequested)

AGAIN = (Unavailable, StorageFull, StorageFailed)
"""What an operator's client tries again after."""

EVENT_TIMEOUT = 400_000
"""Milliseconds; no script takes as long, so only one of a stuck agent is ever overdue."""


@dataclass
class DeploymentGroup:
    """A group of hosts, and what its operators are used to."""

    group_id: GroupId
    hosts: list[HostId]
    minimum: MinimumHealthyHosts
    rolls_back: bool
    revisions: list[str]
    offline: OfflinePolicy = OfflinePolicy()
    queueing: Queueing = Queueing.REFUSE
    absent: list[HostId] = field(default_factory=list)
    """Hosts that are to get its tags, or to get them back."""


@dataclass
class Operators:
    """Everybody who calls the coordinator."""

    coordinator: Coordinator
    chance: random.Random
    groups: list[DeploymentGroup]
    created: dict[DeploymentId, int] = field(default_factory=dict)
    """Deployments whose creation was acknowledged, and at which commit."""
    stopped: dict[DeploymentId, int] = field(default_factory=dict)
    """Deployments whose stop was acknowledged."""
    refused: set[DeploymentId] = field(default_factory=set)
    _calls: int = 0

    async def work(self, group: DeploymentGroup, until: float, pace: float) -> None:
        """Deploy to a group again and again."""
        chance = self.chance
        async with asyncio.TaskGroup() as calls:
            while self.coordinator.loop.time() < until:
                await asyncio.sleep(chance.expovariate(1 / pace))
                for _ in range(2 if chance.random() < 0.1 else 1):
                    calls.create_task(self._deploy(group, until))

    async def deploy_to_all(self, group: DeploymentGroup, away: OfflineAction = OfflineAction.WAIT) -> DeploymentId:
        """Deploy to all hosts of a group at once, whoever is away, and return the deployment's id."""
        everybody = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=0)
        plan = replace(self._plan(group), minimum_healthy_hosts=everybody, offline=OfflinePolicy(action=away, budget=None))
        if not await self._create(plan, group):
            self.coordinator.witness.stop("P8", f"everybody is well, and nothing can be deployed to {group.group_id}")
        return plan.deployment_id

    async def look_for_newcomers(self, group: DeploymentGroup, until: float) -> None:
        """What the service for newcomers does, from time to time, while hosts join and leave the group."""
        chance = self.chance
        while self.coordinator.loop.time() < until:
            await asyncio.sleep(chance.expovariate(1 / 5))
            if group.absent and self.coordinator.store.succeeded_last(group.group_id) is not None and chance.random() < 0.4:
                group.hosts.append(group.absent.pop(0))
            elif len(group.hosts) > 1 and chance.random() < 0.2:
                group.absent.append(group.hosts.pop(chance.randrange(len(group.hosts))))
            await self.bring_newcomers(group, group.minimum)
        group.hosts += group.absent
        group.absent.clear()

    async def bring_newcomers(self, group: DeploymentGroup, minimum: MinimumHealthyHosts) -> bool:
        """Give a group's newcomers what succeeded last; whether a deployment was made of it."""
        last = self.coordinator.store.succeeded_last(group.group_id)
        if last is None:
            return False
        plan = replace(self._plan(group), revision=last.revision, creator=Creator.CodeDeployAutoUpdate, auto_rollback=frozenset())
        return await self._create(replace(plan, minimum_healthy_hosts=minimum, offline=group.offline), group)

    async def _deploy(self, group: DeploymentGroup, until: float) -> None:
        if self.chance.random() < 0.2:
            group.minimum = wishes.minimum(self.chance, len(group.hosts))
        plan = wishes.watched(self.chance, replace(self._plan(group), outdated_only=self.chance.random() < 0.1, offline=group.offline))
        some = self.chance.sample(group.hosts, self.chance.randint(1, len(group.hosts)))
        chosen, shape = frozenset(some) if self.chance.random() < 0.2 else None, wishes.shape(self.chance, group.hosts)
        plan = replace(plan, chosen=chosen, shape=shape, require_approval=self._calls % 6 == 1)
        if self._calls % 8 == 3:
            plan = replace(plan, start_at=(await self._life()).clock.now() + 15_000)
        last = self.coordinator.store.succeeded_last(group.group_id)
        if self._calls % 9 == 5 and last is not None:
            self.coordinator.witness.count("restarts")
            plan = replace(plan, revision=last.revision, lifecycle_events=RESTART, outdated_only=False, watch_after_success=0)
        if not await self._create(plan, group):
            return
        async with asyncio.TaskGroup() as others:
            others.create_task(self._not_wait_for_ever(plan, until))
            others.create_task(self._meddle(plan, until))
            if plan.require_approval:
                others.create_task(self._approve(plan, until))
            if self.chance.random() < 0.2:
                await asyncio.sleep(20 * self.chance.random())
                await self._stop(plan)

    async def _not_wait_for_ever(self, plan: Plan, until: float) -> None:
        """Take off what waits when everybody is well, such as for a time that a jump of the clock has moved a year away."""
        if plan.start_at is None:
            return
        await asyncio.sleep(max(0.0, until + 30 - self.coordinator.loop.time()))
        known, now = self.coordinator.store.deployments.get(plan.deployment_id), (await self._life()).clock.now()
        if known is not None and known.waits_for_turn and plan.start_at > now + 60_000:
            await self._stop(plan)

    async def _create(self, plan: Plan, group: DeploymentGroup) -> bool:
        """Whether it was created."""
        key = self._key("CreateDeployment")
        while True:
            life, restores = await self._life(), self.coordinator.restores
            try:
                if await self.coordinator.store.replayed(key) is None:
                    ground = await life.catalogue.ground("shop", group.group_id, plan.revision.revision_id, "")
                    hosts = snapshots(ground, plan.shape, life.engine)
                    at, elapsed = life.clock.now(), life.clock.elapsed()
                    fact = DeploymentRequested(at=at, elapsed=elapsed, plan=plan, hosts=hosts, queueing=group.queueing, request=key)
                    if not await self._asked(life, fact):
                        continue
            except DeploymentLimitExceeded as error:
                if await self.coordinator.store.replayed(key) is None:
                    return self._refused(plan, error)
            except AGAIN:
                await asyncio.sleep(1.0)
                continue
            except (DeployError, Limit) as error:
                return self._refused(plan, error)
            if restores != self.coordinator.restores:
                continue
            self.created[plan.deployment_id] = self.coordinator.store.commits
            self.coordinator.witness.count("deployments")
            if self.coordinator.store.side_by_side(plan.group_id):
                self.coordinator.witness.count("newcomers beside" if plan.creator is Creator.CodeDeployAutoUpdate else "beside newcomers")
            self.coordinator.witness.tell("operator", f"{plan.deployment_id} is created")
            return True

    async def _stop(self, plan: Plan) -> None:
        key, wish = self._key("StopDeployment"), (None, None, True, False)[self._calls % 4]
        while True:
            life, restores = await self._life(), self.coordinator.restores
            try:
                if await self.coordinator.store.replayed(key) is None:
                    at, elapsed = life.clock.now(), life.clock.elapsed()
                    fact = StopRequested(
                        at=at, elapsed=elapsed, deployment_id=plan.deployment_id, requested_by="operator", reason="", request=key
                    )
                    fact = replace(fact, auto_rollback_enabled=wish)
                    if not await self._asked(life, fact):
                        continue
            except AGAIN:
                await asyncio.sleep(1.0)
                continue
            except DeployError:
                return
            if restores != self.coordinator.restores:
                continue
            self.stopped[plan.deployment_id] = self.coordinator.store.commits
            self.coordinator.witness.tell("operator", f"{plan.deployment_id} is asked to stop")
            return

    async def _approve(self, plan: Plan, until: float) -> None:
        """Somebody else approves it, and again when the coordinator has forgotten that."""
        while True:
            await asyncio.sleep(10.0)
            known = self.coordinator.store.deployments.get(plan.deployment_id)
            if known is None or not known.waits_for_approval:
                if self.coordinator.loop.time() > until + 10:
                    return  # nothing is forgotten any more
                continue
            life = await self._life()
            at, elapsed = life.clock.now(), life.clock.elapsed()
            for who in (plan.created_by, "another operator"):
                fact = ApprovalGiven(at=at, elapsed=elapsed, deployment_id=plan.deployment_id, approved_by=who, reason="")
                try:
                    done = await self._asked(life, fact)
                except (DeployError, Limit):
                    continue
                if done and who == plan.created_by:
                    self.coordinator.witness.accuse("P8", f"{who} created {plan.deployment_id} and approves it as well")

    async def _meddle(self, plan: Plan, until: float) -> None:
        """Somebody pauses it, cuts bakes short, has hosts tried again or left out; and lets it go on, until it has ended."""
        chance = self.chance
        while True:
            await asyncio.sleep(chance.expovariate(1 / 8))
            known = self.coordinator.store.deployments.get(plan.deployment_id)
            if known is None or known.status.terminal:
                if self.coordinator.loop.time() > until + 10:
                    return  # nothing is forgotten any more
                continue
            life = await self._life()
            said = (life.clock.now(), life.clock.elapsed(), plan.deployment_id)
            wishes: list[LiveRequest] = [
                _wish(ResumeRequested, said),
                _wish(ResumeRequested, said),
                replace(_wish(PromotionRequested, said), past_gate=True),
            ]
            if self.coordinator.loop.time() < until:
                waiting = [one.host_id for one in known.targets.values() if one.status is TargetStatus.Pending]
                wishes += [_wish(PauseRequested, said), _wish(RetryRequested, said), _wish(RetryRequested, said)]
                wishes.append(replace(_wish(SkipRequested, said), hosts=frozenset(waiting[-1:])))
            wish = wishes[chance.randrange(len(wishes))]
            try:
                if await self._asked(life, wish):
                    self.coordinator.witness.count("wishes")
                    self.coordinator.witness.tell("operator", f"{type(wish).__name__} of {plan.deployment_id}")
            except (DeployError, Limit):
                continue

    async def _asked(self, life: Life, fact: Request) -> bool:
        """Ask, and wait for the answer while that coordinator lives; whether there was one."""
        if life.ended.is_set():
            return False
        async with asyncio.TaskGroup() as call:
            answer = life.call(call.create_task(_answer(life, fact)))
        if answer.cancelled():
            return False
        error = answer.result()
        if error is not None:
            raise error
        return True

    async def _life(self) -> Life:
        await asyncio.sleep(0.2)  # to find the server
        while (life := self.coordinator.life) is None or not life.engine.started.is_set():
            await self.coordinator.alive.wait()
            await asyncio.sleep(0.5)
        return life

    def _refused(self, plan: Plan, error: DeployError) -> bool:
        self.refused.add(plan.deployment_id)
        self.coordinator.witness.count("refusals")
        self.coordinator.witness.tell("operator", f"{plan.deployment_id} is refused: {error}")
        return False

    def _key(self, method: str) -> RequestKey:
        self._calls += 1
        return RequestKey(principal="operator", method=method, request_id=f"call-{self._calls}", digest=b"")

    def _plan(self, group: DeploymentGroup) -> Plan:
        number = self._calls = self._calls + 1  # never minted again, whatever the database has forgotten
        revision = self.chance.choice(group.revisions)
        return Plan(
            deployment_id=DeploymentId(f"d-{number}-{group.group_id}"),
            rollback_id=DeploymentId(f"d-{number}r-{group.group_id}"),
            group_id=group.group_id,
            application_name="shop",
            group_name=group.group_id,
            revision=Revision(
                revision_id=RevisionId(revision), place=HttpLocation(url=f"http://{revision}"), bundle_type=BundleType.tar, sha256=b""
            ),
            config_name="some",
            minimum_healthy_hosts=group.minimum,
            auto_rollback=frozenset(AutoRollbackEvent) if group.rolls_back else frozenset(),
            file_exists_behavior=FileExistsBehavior.Unspecified,
            creator=Creator.user,
            created_by="operator",
            description="",
            created_at=number,
            event_timeout=EVENT_TIMEOUT,
            ignore_application_stop_failures=number % 4 == 0,
        )


def _wish(kind: type[W], said: tuple[int, int, DeploymentId]) -> W:
    at, elapsed, deployment_id = said
    return kind(at=at, elapsed=elapsed, deployment_id=deployment_id, requested_by="another operator")


async def _answer(life: Life, fact: Request) -> DeployError | None:
    try:
        await life.engine.ask(fact)
    except DeployError as error:
        return error
    return None
