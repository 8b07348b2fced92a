"""Somebody wants hosts on which a deployment has failed tried once more."""

from coordinator.core.deployment import batches
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeployError, DeploymentTargetDoesNotExist, InvalidOperation
from coordinator.core.facts import RetryRequested
from coordinator.core.lifecycle import TARGET_AGAIN, EventStatus, TargetStatus
from coordinator.core.model import Deployment, Group, HostId, Target
from coordinator.core.orders import Answer
from coordinator.core.requests import live
from coordinator.core.stages import pauses


def retry(now: Decision, fact: RetryRequested) -> None:
    """Put them back into the line, as a further attempt: their places in the window are free again. All of them, or none."""
    deployment = live.found(now, fact)
    if deployment is None:
        return
    bad = (TargetStatus.Failed, TargetStatus.Unknown)
    wanted = fact.hosts
    if wanted is None:
        wanted = frozenset(one.host_id for one in deployment.targets.values() if one.status in bad)
    error = _refusal(deployment, fact, wanted) or _elsewhere(now.group, deployment, wanted)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "RetryTargets", fact.requested_by
    for target in deployment.targets.values():
        if target.host_id in wanted:
            _begin_anew(target)
            now.move(deployment, target, TargetStatus.Pending, f"attempt {target.attempt}{': ' if fact.reason else ''}{fact.reason}")
            batches.join(now.group, deployment, target)
    pauses.reopen(deployment)


def _refusal(deployment: Deployment, fact: RetryRequested, wanted: frozenset[HostId]) -> DeployError | None:
    cannot = "cannot retry"
    if not wanted:
        return InvalidOperation(f"{cannot} hosts of deployment {deployment.deployment_id}: none has failed")
    for host_id in sorted(wanted):
        target = deployment.targets.get(host_id)
        if target is None:
            return DeploymentTargetDoesNotExist(f"{cannot} {host_id}: it has no part in deployment {deployment.deployment_id}")
        if target.status not in TARGET_AGAIN:
            status = "has succeeded" if target.status is TargetStatus.Succeeded else "has not ended"
            return InvalidOperation(f"{cannot} {target.host_name}: it {status} in deployment {deployment.deployment_id}")
    return None


def _elsewhere(group: Group, deployment: Deployment, wanted: frozenset[HostId]) -> DeployError | None:
    """A newcomer that has failed may belong to a deployment that was made since."""
    other = group.deployment
    if deployment is other or other is None or not (taken := sorted(wanted & other.members)):
        return None
    name = deployment.targets[taken[0]].host_name
    return InvalidOperation(f"cannot retry {name}: it is among the hosts of deployment {other.deployment_id} by now")


def _begin_anew(target: Target) -> None:
    """What is left of the attempt before: its lifecycle events, and that it was."""
    if target.started_at is not None:
        target.attempt += 1
    target.target_epoch = 0
    target.event, target.event_status, target.accepted = None, EventStatus.Pending, False
    target.cancelled, target.message = "", ""
    target.lost_at = target.started_at = target.ended_at = None
