"""How the turn of a deployment comes that has waited: its group's hosts are looked up anew, and it begins, or ends because it cannot.

Hosts are those that the group has then, and a rollback goes back to what has succeeded last then; all else was frozen before.

Pure.
"""

from dataclasses import replace
from typing import Final

from coordinator.core.deployment import bounds, newcomers, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import NoInstances
from coordinator.core.evidence import late
from coordinator.core.facts import TurnCame
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import ErrorInformation, Group
from coordinator.core.orders import Answer, CallUp, Entry
from coordinator.core.queue import line

LOOK_EVERY: Final = 60_000
"""Milliseconds after which the wall clock is read again, which may have been set meanwhile, and hosts are asked for again."""


def call(now: Decision) -> int | None:
    """Nothing is live that somebody asked for: call whoever begins next. Returns when to look again, on the monotonic clock, for those that
    are to start later; None where nobody waits."""
    group = now.group
    if _is_taken(group) or not group.waiting:
        group.called = None
        return None
    first = line.first_due(group, now.at)
    wait = LOOK_EVERY
    if first is None:
        starts = [one.plan.start_at for one in group.waiting if one.plan.start_at is not None]
        wait = min(wait, min(starts) - now.at)
        group.called = None
    elif group.called is None or group.called[0] != first.deployment_id or now.elapsed - group.called[1] >= LOOK_EVERY:
        group.called = (first.deployment_id, now.elapsed)
        now.orders.append(CallUp(first.plan))
    return now.elapsed + wait


def take(now: Decision, fact: TurnCame) -> None:
    """Begin, or end because there is nothing to begin with. Whoever was called in vain goes on waiting, as does who cannot do without
    hosts that are being brought up to date."""
    group = now.group
    now.orders.append(Answer(fact, None))
    deployment = line.find(group, fact.deployment_id)
    if deployment is None or _is_taken(group) or deployment is not line.first_due(group, now.at):
        return
    now.because = "its turn came"
    bounds.get_to_know(now, fact.hosts)
    plan, hosts = replace(deployment.plan, last_successful=group.last_successful), newcomers.apart(group, deployment.plan, fact.hosts)
    if fact.refused is None and line.not_yet(group, plan, fact.hosts) is not None:
        return
    why = fact.refused or _unfit(next(reasons.unfit(group, plan, hosts), None))
    if why is not None:
        line.leave(now, deployment, why)
        return
    late.replaced(now, plan)
    group.waiting.remove(deployment)
    deployment.turn_at = now.at
    now.changes.begun[plan.deployment_id] = deployment
    targets = bounds.begin(now, deployment, plan, hosts)
    now.tell(deployment, Entry.TurnCame, f"goes to {targets} of the group's {len(fact.hosts)} hosts")


def _is_taken(group: Group) -> bool:
    """Whether something is live that somebody asked for, or its rollback, or that rollback is the next to be live."""
    return group.deployment is not None or group.goes_back is not None


def _unfit(error: reasons.Unfit | None) -> ErrorInformation | None:
    """It is too late to refuse it: it ends with what would have been said, as CodeDeploy's do."""
    if error is None:
        return None
    code = DeploymentErrorCode.NO_INSTANCES if isinstance(error, NoInstances) else DeploymentErrorCode.HEALTH_CONSTRAINTS_INVALID
    return ErrorInformation(code=code, message=str(error))
