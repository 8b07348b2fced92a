"""Guards of a group's queue."""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import DeploymentRequested, TurnCame
from coordinator.core.model import Deployment, Group, Queueing
from coordinator.core.queue import line, turn
from coordinator.core.requests import creation
from tests.simulation.mutants.mutant import Mutant, swapped, together

_call, _take, _create = turn.call, turn.take, creation.create


def _nobody_is_in_the_way(_group: Group, _fact: DeploymentRequested) -> None:
    pass


def _put_back(group: Group, live: Deployment | None) -> None:
    if group.deployment is None:
        group.deployment = live


def _call_too_early(now: Decision) -> int | None:
    live, now.group.deployment = now.group.deployment, None
    look = _call(now)
    now.group.deployment = live
    return look


def _take_too_early(now: Decision, fact: TurnCame) -> None:
    live, now.group.deployment = now.group.deployment, None
    _take(now, fact)
    _put_back(now.group, live)


def _drop_the_newest(now: Decision, fact: DeploymentRequested) -> None:
    before = now.group.waiting[:1]
    if not before or fact.queueing is not Queueing.SUPERSEDE:
        _create(now, fact)
        return
    _create(now, replace(fact, queueing=Queueing.QUEUE))
    newest = line.find(now.group, fact.plan.deployment_id)
    if newest is not None:
        line.leave(now, newest, line.superseded(before[0].plan))


def _replaces_nobody(_group: Group, _fact: DeploymentRequested) -> list[Deployment]:
    return []


_TOO_EARLY = together(swapped(turn, "call", _call_too_early), swapped(turn, "take", _take_too_early))

MUTANTS: Sequence[Mutant] = (
    Mutant("a newer one does not begin over a live one", swap=swapped(line, "in_the_way", _nobody_is_in_the_way)),
    Mutant("a turn comes when nothing is live", swap=_TOO_EARLY),
    Mutant("the newest supersedes", swap=swapped(creation, "create", _drop_the_newest)),
    Mutant("the older ones are superseded", swap=swapped(line, "_replaced", _replaces_nobody)),
)
