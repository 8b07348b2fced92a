"""Somebody wants hosts left out that have not begun."""

from coordinator.core.deployment import newcomers
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeployError, DeploymentTargetDoesNotExist, InvalidOperation
from coordinator.core.facts import SkipRequested
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment
from coordinator.core.orders import Answer
from coordinator.core.requests import live


def skip(now: Decision, fact: SkipRequested) -> None:
    """Leave them out: that costs nothing of the window, and they keep what they have until the next deployment. All of them, or none."""
    deployment = live.found(now, fact)
    if deployment is None:
        return
    error = _refusal(deployment, fact)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "SkipTargets", fact.requested_by
    for host_id in sorted(fact.hosts):
        target, member = deployment.targets[host_id], now.group.members[host_id]
        if member.target_epoch == 0:
            newcomers.let_be(member)  # else it would get by itself what it is not to get
            now.changes.members[now.group.group_id, host_id] = member
        target.ended_at, target.message = now.at, f"left out by {fact.requested_by}{': ' if fact.reason else ''}{fact.reason}"
        now.move(deployment, target, TargetStatus.Skipped)


def _refusal(deployment: Deployment, fact: SkipRequested) -> DeployError | None:
    of = f"of deployment {deployment.deployment_id}"
    if not fact.hosts:
        return InvalidOperation(f"cannot skip hosts {of}: none is named")
    for host_id in sorted(fact.hosts):
        target = deployment.targets.get(host_id)
        if target is None:
            return DeploymentTargetDoesNotExist(f"cannot skip {host_id}: it has no part in deployment {deployment.deployment_id}")
        if target.status is TargetStatus.InProgress:
            return InvalidOperation(f"cannot skip {target.host_name} {of}: it has begun; wait until it has ended, or stop the deployment")
        if target.status is not TargetStatus.Pending:
            return InvalidOperation(f"cannot skip {target.host_name} {of}: it has ended, {target.status.name}")
    return None
