"""What operators may wish for: any rollout that the core knows."""

import random
from collections.abc import Sequence
from dataclasses import replace

from coordinator.core.model import (
    Alarm,
    AlertmanagerAlert,
    Analysis,
    Canaries,
    Gate,
    HostId,
    Measurement,
    Metric,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Pause,
    Plan,
    Shape,
    Step,
    ZonalConfig,
)


def watched(chance: random.Random, plan: Plan) -> Plan:
    """With alarms: none, or any."""
    alarms = tuple(Alarm(name=name, source=AlertmanagerAlert(labels={})) for name in chance.choice(("", "", "", "A", "AB")))
    bake = chance.choice((0, 0, 20_000)) if alarms else 0
    late = chance.choice((0, 60_000, 300_000)) if alarms else 0
    blind = chance.random() < 0.5
    return replace(plan, alarms=alarms, ignore_poll_alarm_failure=blind, bake_time=bake, watch_after_success=late)


def shape(chance: random.Random, hosts: Sequence[HostId]) -> Shape:
    """Mostly none; else canaries, and steps or zones, with bakes, analyses and gates."""
    if chance.random() < 0.4:
        return Shape()
    canaries = Canaries(hosts=(chance.choice(hosts),), pause=_pause(chance)) if chance.random() < 0.4 else None
    if chance.random() < 0.5:
        kept = chance.choice((MinimumHealthyHostsType.HOST_COUNT, MinimumHealthyHostsType.FLEET_PERCENT))
        floor = MinimumHealthyHosts(type=kept, value=chance.choice((0, 1, 1)) if kept is MinimumHealthyHostsType.HOST_COUNT else 50)
        return Shape(
            canaries=canaries, zonal=ZonalConfig(first_monitor=chance.choice((0, 5_000)), monitor=chance.choice((0, 3_000)), minimum=floor)
        )
    last = Step(value=60, percent=True, pause=Pause(bake=chance.choice((0, 3_000))))
    return Shape(canaries=canaries, steps=(Step(value=1 if canaries is None else 2, pause=_pause(chance)), last))


def _pause(chance: random.Random) -> Pause:
    gate = Gate(timeout=120_000) if chance.random() < 0.3 else None
    return Pause(bake=chance.choice((0, 5_000)), analysis=_analysis(chance) if chance.random() < 0.5 else None, gate=gate)


def _analysis(chance: random.Random) -> Analysis:
    """Of one metric. What nobody sees is mostly borne; else somebody has to resume."""
    errors = Measurement(name="errors", expression="errors{{{cohort}}}", interval=5_000)
    metric = Metric(measurement=errors, count=3, failure_limit=chance.randint(0, 1), inconclusive_limit=chance.choice((0, 1, 3)))
    return Analysis(metrics=(metric,), initial_delay=5_000)


def offline(chance: random.Random) -> OfflinePolicy:
    """Any policy for hosts that are offline."""
    return OfflinePolicy(
        action=chance.choice((*OfflineAction, OfflineAction.WAIT)),
        wait=chance.choice((300_000, 600_000)),
        budget=chance.choice((0, 0, 1, None)),
    )


def minimum(chance: random.Random, hosts: int) -> MinimumHealthyHosts:
    """Any kind of minimum healthy hosts, mostly a possible one."""
    kind = chance.choice(list(MinimumHealthyHostsType))
    match kind:
        case MinimumHealthyHostsType.FLEET_PERCENT:
            return MinimumHealthyHosts(type=kind, value=chance.choice((0, 25, 50, 75, 90)))
        case MinimumHealthyHostsType.MOST_CONCURRENCY:
            return MinimumHealthyHosts(type=kind, value=chance.randint(1, 3))
        case MinimumHealthyHostsType.HOST_COUNT:
            return MinimumHealthyHosts(type=kind, value=chance.randint(0, hosts))
