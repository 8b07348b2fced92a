"""Who waits for their turn in a deployment group, and in which order.

A deployment waits because another one is under way and its group queues, or for the time at which it is to start. Those that wait stand
in the order of the times from which on they may begin: when they were asked for, or when they are to start. They have no hosts yet;
everything else was frozen when they were asked for. To leave the queue costs no host anything.

Pure.
"""

from collections.abc import Sequence
from typing import Final

from coordinator.core.deployment import newcomers, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeployError, DeploymentLimitExceeded, Invalid
from coordinator.core.facts import DeploymentRequested
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, Deployment, DeploymentId, ErrorInformation, Group, Plan, Queueing, Snapshot
from coordinator.core.orders import Entry

SUPERSEDED: Final = "superseded by"
"""How the reason begins why a deployment ended that a newer one has replaced."""

AT_MOST: Final = 10
"""So many deployments of a group wait at once, those that are to start later among them: whoever waits for more has lost count."""

AHEAD: Final = 30 * 86_400_000
"""Milliseconds that a deployment may be to start in: who asked for it should still be there, and what it deploys still be wanted."""


def is_due(deployment: Deployment, at: int) -> bool:
    """Whether a deployment that waits may begin as soon as nothing else of its group is under way."""
    return deployment.plan.start_at is None or deployment.plan.start_at <= at


def first_due(group: Group, at: int) -> Deployment | None:
    """Who begins next; None while nobody may."""
    return next((one for one in group.waiting if is_due(one, at)), None)


def find(group: Group, deployment_id: DeploymentId) -> Deployment | None:
    """The one with this id, if it waits."""
    return next((one for one in group.waiting if one.deployment_id == deployment_id), None)


def in_the_way(group: Group, fact: DeploymentRequested) -> Deployment | None:
    """What has to end before a deployment that is asked for may begin; what it supersedes is not in its way."""
    live, newer = group.deployment, _replaces(fact)
    if fact.plan.creator is Creator.CodeDeployAutoUpdate:
        return group.newcomers or (first_due(group, fact.at) if live is None else None)
    if group.goes_back is not None:
        return group.goes_back
    if live is not None and not (newer and _is_unapproved(live)):
        return live
    return (None if newer else first_due(group, fact.at)) or not_yet(group, fact.plan, fact.hosts)


def not_yet(group: Group, plan: Plan, hosts: Sequence[Snapshot]) -> Deployment | None:
    """The deployment that brings newcomers up to date, where another one cannot do without the hosts that it has not done with. Where it
    can, they get by it what had succeeded before, and catch up when the other one has succeeded."""
    live = group.newcomers
    if live is None:
        return None
    named = any(live.awaits(host_id) for host_id in plan.chosen or ())
    left = newcomers.apart(group, plan, hosts)
    unfit = next(reasons.unfit(group, plan, left), None) is not None and next(reasons.unfit(group, plan, hosts), None) is None
    return live if named or unfit else None


def waits(group: Group, fact: DeploymentRequested) -> bool:
    """Whether a deployment that is asked for does not begin at once. Newcomers' never wait: they are looked for again anyway."""
    if fact.plan.start_at is not None:
        return True
    may = fact.queueing is not Queueing.REFUSE and fact.plan.creator is Creator.user
    return may and in_the_way(group, fact) is not None


def refusal(group: Group, fact: DeploymentRequested) -> DeployError | None:
    """Why a deployment may neither begin now nor wait for its turn; None when it may do one of the two."""
    plan, start_at = fact.plan, fact.plan.start_at
    if start_at is not None and start_at <= fact.at:
        return Invalid("cannot start a deployment in the past; leave start_time out to start it now", field="start_time")
    if start_at is not None and start_at > fact.at + AHEAD:
        return Invalid(f"cannot start a deployment so late: {AHEAD // 86_400_000} days ahead is the most", field="start_time")
    will_wait, other = waits(group, fact), in_the_way(group, fact)
    if not will_wait and other is not None:
        return reasons.in_the_way(plan, other)
    if will_wait and len(group.waiting) - len(_replaced(group, fact)) >= AT_MOST:
        names = ", ".join(one.deployment_id for one in group.waiting[: reasons.NAMED])
        return DeploymentLimitExceeded(
            f"cannot deploy to {plan.group_name}: {AT_MOST} deployments of it wait already, which is the most ({names} and others); "
            "stop some of them, or wait until one has begun"
        )
    return None


def supersede(now: Decision, fact: DeploymentRequested) -> Deployment | None:
    """Take off whatever a deployment that is asked for replaces. Returns the live one, if it is to be stopped for the same reason."""
    group = now.group
    if not _replaces(fact):
        return None
    for one in _replaced(group, fact):
        leave(now, one, superseded(fact.plan))
    live = group.deployment
    return live if live is not None and fact.plan.start_at is None and _is_unapproved(live) else None


def superseded(plan: Plan) -> ErrorInformation:
    """Why a deployment ends that is replaced by a newer one."""
    message = f"{SUPERSEDED} {plan.deployment_id}, which deploys revision {plan.revision.revision_id}"
    return ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message)


def join(now: Decision, deployment: Deployment) -> None:
    """Let a deployment wait for its turn."""
    group, start_at = now.group, deployment.plan.start_at
    asked = [one.due_at for one in group.waiting if one.due_at is not None and one.plan.start_at is None]
    # Of two that start as soon as they can, the one that was asked for first goes first, even when the wall clock was set back meanwhile.
    deployment.due_at = max(now.at, *asked) if start_at is None and asked else start_at or now.at
    group.waiting.append(deployment)
    group.waiting.sort(key=_place)
    place = group.waiting.index(deployment)
    before = group.waiting[place - 1] if place else group.deployment or group.newcomers
    what = "for the time at which it is to start" if start_at is not None or before is None else f"behind {before.deployment_id}"
    now.tell(deployment, Entry.Waiting, f"waits {what}")


def leave(now: Decision, deployment: Deployment, why: ErrorInformation) -> None:
    """It ends without having begun: stopped, or failed because it cannot begin."""
    now.group.waiting.remove(deployment)
    stopped = why.code is DeploymentErrorCode.MANUAL_STOP
    deployment.status = DeploymentStatus.Stopped if stopped else DeploymentStatus.Failed
    deployment.error, deployment.completed_at = why, now.at
    now.tell(deployment, Entry.Stopped if stopped else Entry.Failed, why.message)


def drop(now: Decision, rolled_back: Deployment) -> None:
    """A deployment is rolled back: whoever waits to deploy the very same revision does not try it again by itself."""
    revision_id = rolled_back.plan.revision.revision_id
    for one in [one for one in now.group.waiting if one.plan.revision.revision_id == revision_id]:
        message = f"{rolled_back.deployment_id} has deployed the same revision and is rolled back; create it again if it is still wanted"
        leave(now, one, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message))


def _replaces(fact: DeploymentRequested) -> bool:
    """Whether it takes the place of what has begun nowhere: what restarts brings nothing that would be newer."""
    return fact.queueing is Queueing.SUPERSEDE and fact.plan.creator is Creator.user and not fact.plan.restarts


def _replaced(group: Group, fact: DeploymentRequested) -> list[Deployment]:
    """Those that would begin after a newer one: of a group in which only the newest is wanted they would undo it."""
    start_at = fact.plan.start_at
    if not _replaces(fact):
        return []
    return [one for one in group.waiting if start_at is None or (one.plan.start_at or 0) >= start_at]


def _is_unapproved(live: Deployment) -> bool:
    """Whether a live deployment has begun nowhere because nobody has approved it."""
    return live.waits_for_approval and live.counts[TargetStatus.Pending] == len(live.targets)


def _place(deployment: Deployment) -> int:
    assert deployment.due_at is not None
    return deployment.due_at
