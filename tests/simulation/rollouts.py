"""Rollouts by chance, on the bare core: one seed is one group, one deployment to it, and everything that goes wrong meanwhile.

What is promised is held against an account that knows only what was done to hosts and what was ordered of them. Hundreds a second.
"""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Final

from coordinator.core.lifecycle import IN_PLACE, EventStatus, InstructionStatus
from coordinator.core.model import (
    AlarmStatus,
    AutoRollbackEvent,
    Canaries,
    DeploymentId,
    Gate,
    InstanceHealth,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Pause,
    Shape,
    Step,
    ZonalConfig,
)
from tests.core.rollout import Rollout, host_id
from tests.simulation.account import Account

TURNS: Final = 60
"""Things that may happen before everybody is let come to an end."""

PATIENCE: Final = 400
"""Turns within which everything has to have ended then."""

HEALTHY: Final = InstanceHealth.Healthy

TASTES: Final = ("fail", "lose", "stop", "alarm", "restart", "journal", "wait", "pause", "promote", "retry", "skip")
"""What goes wrong, and what is wished, in some worlds and not in others."""


class World:
    """A group, its hosts, and what happens to them."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.rollout = Rollout()
        self.names = [f"h{number:02}" for number in range(self.chance.choice((1, 2, 3, 4, 5, 8, 8, 12, 20)))]
        self.walked: dict[tuple[DeploymentId, str], int] = {}
        self.seen: Counter[str] = Counter()
        self.taste = {what: self.chance.choice((0, 0, 1, 3)) for what in TASTES}
        self.zones: dict[str, str] = {}
        self.alarms = tuple("AB"[: self.chance.choice((0, 0, 1, 2))])
        healthy, lost = self._given(), {name for name in self.names if self.taste["lose"] and self.chance.random() < 0.1}
        hosts = frozenset(map(host_id, self.names))
        self.account = Account(hosts, {host_id(one) for one in healthy}, {host_id(one) for one in lost}, unseen=set(self.alarms))
        self._deploy(lost)

    def _given(self) -> set[str]:
        """What the group has behind it; the healthy ones."""
        share = self.chance.choice((1.0, 1.0, 0.8, 0.3, 0.0))
        healthy = {name for name in self.names if self.chance.random() < share}
        old = {name for name in self.names if name not in healthy and self.chance.random() < 0.5}
        if self.chance.random() < 0.9:
            self.rollout.given(sorted(healthy))
            self.rollout.given(sorted(old), health=InstanceHealth.Unhealthy)
            return healthy
        return set()

    def _minimum(self) -> MinimumHealthyHosts:
        hosts, kind = len(self.names), self.chance.choice(list(MinimumHealthyHostsType))
        most = 99 if kind is MinimumHealthyHostsType.FLEET_PERCENT else hosts
        value = self.chance.choice((0, 1, self.chance.randint(0, most), self.chance.randint(0, most)))
        found = MinimumHealthyHosts(type=kind, value=value)
        return (
            found if hosts == 1 or found.of(hosts) < hosts else MinimumHealthyHosts(type=MinimumHealthyHostsType.MOST_CONCURRENCY, value=1)
        )

    def _shape(self) -> Shape:
        """One stage; or canaries, and steps with bakes and gates between them; or one zone after another."""
        if self.chance.random() < 0.4:
            return Shape()
        pauses = [Pause(bake=self.chance.choice((0, 45_000)), gate=self.chance.choice((None, Gate()))) for _ in range(2)]
        canaries = Canaries(hosts=(self.names[0],), pause=pauses[1]) if self.chance.random() < 0.5 and len(self.names) > 4 else None
        if self.chance.random() < 0.4:
            return Shape(canaries=canaries, zonal=self._zonal())
        steps = (Step(value=self.chance.randint(1, 3), pause=pauses[0]), Step(value=100, percent=True))
        return Shape(canaries=canaries, steps=steps if canaries is None else ())

    def _zonal(self) -> ZonalConfig:
        """A floor that leaves room in each zone of more than one host."""
        self.zones = {name: self.chance.choice(("", "a", "b", "c")) for name in self.names} | {self.names[0]: "b"}
        minimum = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=self.chance.choice((0, 0, 30, 50, 80)))
        sizes = Counter(self.zones.values()).values()
        if any(size > 1 and minimum.of(size) >= size for size in sizes):
            minimum = replace(minimum, type=MinimumHealthyHostsType.HOST_COUNT, value=1)
        bakes = self.chance.choice((0, 60_000)), self.chance.choice((0, 30_000))
        return ZonalConfig(first_monitor=bakes[0], monitor=bakes[1], minimum=minimum)

    def _deploy(self, lost: set[str]) -> None:
        chance = self.chance
        before = self.account.serving()
        shape = self._shape()
        only = chance.sample(self.names, chance.randint(1, len(self.names))) if chance.random() < 0.2 else None
        self.rollout.deploy(
            chance.choice(("r2", "r2", "r2", "r1")),
            self.names,
            self._minimum(),
            events=[one for one in AutoRollbackEvent if chance.random() < 0.6],
            lost=sorted(lost),
            only=only,
            alarms=self.alarms,
            blind=chance.random() < 0.3,
            bake=chance.choice((0, 0, 30_000, 600_000)) if self.alarms else 0,
            watch=chance.choice((0, 0, 600_000)) if self.alarms else 0,
            approval=chance.random() < 0.1,
            shape=shape if only is None or shape.canaries is None else Shape(),
            zones=self.zones,
            back=self._minimum() if chance.random() < 0.4 else None,
            offline=OfflinePolicy(
                action=chance.choice(list(OfflineAction)), wait=chance.choice((60_000, 900_000)), budget=chance.choice((None, 0, 1, 2))
            ),
        )
        assert self.rollout.answer().error is None, self.rollout.answer().error
        plan = self.rollout.deployment.plan
        self.account.floors[plan.deployment_id] = min(plan.minimum_healthy_hosts.of(len(self.names)), before)
        if plan.shape.zonal is not None:
            self.account.part(plan.deployment_id, plan.shape.zonal, {name: self.zones[name] for name in self.names})
        self._look()

    # what can happen ------------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether something is being deployed, or watched after its success."""
        return self.rollout.group.deployment is not None or self.rollout.group.watched is not None

    def turn(self) -> None:
        """One thing happens."""
        weights = {"walk": 12, "return": 2, "approve": 1, "see": 2, **self.taste}
        (what,) = self.chance.choices(list(weights), weights=list(weights.values()))
        self.seen[what] += 1
        getattr(self, f"_{what}")()
        self._look()

    def settle(self, turn: int) -> None:
        """Nothing goes wrong any more: hosts that are there end, and time passes for those that are not."""
        if self.rollout.group.deployment is not None:
            self.rollout.resume()
            self._look()
        if self.rollout.group.deployment is not None:
            self.rollout.approve("eve")
            self._look()
        self._see()
        busy = self._there()
        if busy:
            self._walk_to_the_end(busy[turn % len(busy)])
        else:
            self.rollout.wait(60_000)
        self._look()

    def _look(self) -> None:
        self.account.obey(self.rollout.orders, self.rollout)
        self.rollout.orders = []

    def _there(self) -> list[str]:
        """Hosts in progress that can be heard."""
        busy = self.rollout.in_progress if self.rollout.group.deployment is not None else []
        return [name for name in busy if host_id(name) not in self.account.lost]

    def _step_of(self, name: str) -> tuple[DeploymentId, str]:
        return self.rollout.deployment.deployment_id, name

    def _walk(self) -> None:
        """A host goes on by a few events, or answers its Cancel."""
        if there := self._there():
            name = self.chance.choice(there)
            if self.rollout.target(name).cancelled:
                self.rollout.report(name, self.rollout.whole(name, InstructionStatus.Cancelled))
                return
            begun = self.walked.get(self._step_of(name), 0)
            upto = min(len(IN_PLACE), begun + self.chance.choice((1, 3, 7)))
            self.walked[self._step_of(name)] = upto
            self.rollout.elapsed += self.chance.choice((0, 1, 500, 20_000))
            for event in IN_PLACE[begun:upto]:
                reports = [self.rollout.event(name, event, status) for status in (EventStatus.InProgress, EventStatus.Succeeded)]
                self.rollout.report(name, *reports)
                self._look()

    def _walk_to_the_end(self, name: str) -> None:
        if self.rollout.target(name).cancelled:
            self.rollout.report(name, self.rollout.whole(name, InstructionStatus.Cancelled))
        else:
            self.rollout.succeed(name)

    def _fail(self) -> None:
        if there := self._there():
            name = self.chance.choice(there)
            at = IN_PLACE[min(len(IN_PLACE) - 1, self.walked.get(self._step_of(name), 0))]
            self.rollout.fail(name, at=at)

    def _lose(self) -> None:
        name = self.chance.choice(self.names)
        self.account.lost.add(host_id(name))
        self.rollout.lose(name)

    def _return(self) -> None:
        name = self.chance.choice(self.names)
        self.account.lost.discard(host_id(name))
        self.rollout.welcome_back(name)

    def _journal(self) -> None:
        if there := self._there():
            self.rollout.lose_journal(self.chance.choice(there))

    def _stop(self) -> None:
        if self.rollout.group.deployment is not None and self.chance.random() < 0.2:
            self.rollout.stop(roll_back=self.chance.choice((None, True, False)))

    def _alarm(self) -> None:
        if self.alarms and self.chance.random() < 0.3:
            self._tell(self.chance.choice(self.alarms), self.chance.choice((AlarmStatus.ALARM, AlarmStatus.UNKNOWN)))

    def _see(self) -> None:
        for name in self.alarms:
            self._tell(name, AlarmStatus.OK)
            self._look()

    def _tell(self, name: str, status: AlarmStatus) -> None:
        (self.account.unseen.discard if status is AlarmStatus.OK else self.account.unseen.add)(name)
        self.rollout.see(name, status)

    def _approve(self) -> None:
        if self.rollout.group.deployment is not None:
            self.rollout.approve(self.chance.choice(("ann", "eve")))

    def _pause(self) -> None:
        if self.rollout.group.deployment is not None:
            (self.rollout.pause if self.chance.random() < 0.5 else self.rollout.resume)()

    def _promote(self) -> None:
        if self.rollout.group.deployment is not None:
            self.rollout.promote("eve", past_gate=self.chance.random() < 0.5)

    def _retry(self) -> None:
        """All that have failed are tried again, or one host, whatever its status."""
        if self.rollout.group.deployment is not None:
            names = [] if self.chance.random() < 0.5 else [self.chance.choice(self.names)]
            self.rollout.retry(*names)

    def _skip(self) -> None:
        if self.rollout.group.deployment is not None and self.chance.random() < 0.5:
            self.rollout.skip(self.chance.choice(self.names))

    def _restart(self) -> None:
        if self.rollout.group.deployment is not None:
            self.account.unseen = set(self.alarms)
            self.rollout.restart(away=self.chance.choice((0, 1_000, 3_600_000)))

    def _wait(self) -> None:
        self.rollout.wait(self.chance.choice((1_000, 10_000, 60_000, 300_000, 900_000)))


def play(seed: int) -> Counter[str]:
    """One rollout and what follows from it; what has happened in it. Raises AssertionError for the first broken promise."""
    world = World(seed)
    for _ in range(world.chance.randint(5, TURNS)):
        if not world.live:
            break
        world.turn()
    for turn in range(PATIENCE):
        if not world.live:
            break
        world.settle(turn)
    assert not world.live, f"it does not end: {world.rollout.deployment}"
    assert not world.account.busy, f"{set(world.account.busy)} have instructions of deployments that have ended"
    members = world.rollout.group.members.values()
    assert {one.host_id for one in members if one.health is HEALTHY} == world.account.healthy
    ended = world.rollout.ended
    world.seen.clear()
    world.seen["rollouts"] = 1
    world.seen["rollbacks"] = sum(1 for one in ended if one.plan.rolls_back is not None)
    return world.seen
