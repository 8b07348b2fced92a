"""What a caller wants to go wrong, checked against the deployment in which it should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coordinator.core.errors import Invalid
from coordinator.core.facts import DeploymentRequested
from coordinator.core.foresight.durations import Durations
from coordinator.core.foresight.world import World
from coordinator.core.lifecycle import LifecycleEvent
from coordinator.core.model import HostId, Plan
from coordinator.service.ports import Fleet

LATEST = 366 * 86_400_000
"""Milliseconds: nothing is looked at that is further away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """As the caller names them. Times are milliseconds from the creation of the deployment."""

    failing: Sequence[tuple[str, LifecycleEvent | None]] = ()
    failing_percent: float = 0.0
    lost: Sequence[tuple[str, int | None]] = ()
    lost_percent: float = 0.0
    back_after: int | None = None
    alarms: Sequence[tuple[str, int]] = ()
    """An empty name is the first alarm that is watched."""
    stop_at: int | None = None
    seed: int = 0


async def world_of(faults: Faults, fact: DeploymentRequested, durations: Durations, fleet: Fleet) -> World:
    """The world in which they happen. Raises Invalid, InstanceDoesNotExist."""
    hosts = {name: host.host_id for host in fact.hosts for name in (host.name, host.host_id)}
    for name in [name for name, _ in (*faults.failing, *faults.lost) if name not in hosts]:
        known = await fleet.host(name)
        raise Invalid(f"cannot let {known.name} fail or be lost: it is not among the hosts of {fact.plan.group_name}", field="host")
    return World(
        durations=durations,
        quantile=None,
        seed=faults.seed,
        failing={hosts[name]: _planned_event(fact.plan, event) for name, event in faults.failing},
        failing_share=_share(faults.failing_percent, "failing_percent", "fail"),
        lost=_losses(faults, hosts),
        lost_share=_share(faults.lost_percent, "lost_percent", "be lost"),
        back_after=None if faults.back_after is None else _time(faults.back_after, "back_after"),
        alarms={_watched(fact.plan, name): _time(when, "firing_alarms.at") for name, when in faults.alarms},
        stop_at=None if faults.stop_at is None else _time(faults.stop_at, "stop_at"),
    )


def _losses(faults: Faults, hosts: Mapping[str, HostId]) -> dict[HostId, int | None]:
    return {hosts[name]: None if when is None else _time(when, "lost_hosts.at") for name, when in faults.lost}


def _planned_event(plan: Plan, event: LifecycleEvent | None) -> LifecycleEvent | None:
    if event is not None and event not in plan.lifecycle_events:
        events = ", ".join(one.name for one in plan.lifecycle_events)
        raise Invalid(f"cannot let {event.name} fail: the deployment has no such event; it has {events}", field="failing_hosts")
    return event


def _share(percent: float, field: str, what: str) -> float:
    if not 0 <= percent <= 100:  # neither is NaN
        raise Invalid(f"cannot let {percent:g} % of the hosts {what}: it is a number from 0 to 100", field=field)
    return percent / 100


def _time(milliseconds: int, field: str) -> int:
    if milliseconds < 0:
        raise Invalid(f"cannot look at {milliseconds / 1000:g} s: times count from the creation of the deployment, from 0 on", field=field)
    if milliseconds > LATEST:
        raise Invalid(f"cannot look further ahead than {LATEST // 86_400_000} days", field=field)
    return milliseconds


def _watched(plan: Plan, name: str) -> str:
    names = [one.name for one in plan.alarms]
    if not names:
        raise Invalid("cannot let an alarm fire: the deployment watches none; name some for it, or for its group", field="firing_alarms")
    if name and name not in names:
        raise Invalid(
            f"cannot let alarm {name[:60]} fire: the deployment does not watch it; it watches {', '.join(names)}", field="firing_alarms"
        )
    return name or names[0]
