"""Somebody wants a deployment stopped."""

from coordinator.core.deployment import course, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted
from coordinator.core.evidence import late
from coordinator.core.facts import StopRequested
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import Deployment, ErrorInformation
from coordinator.core.orders import Answer, Entry
from coordinator.core.queue import line


def stop(now: Decision, fact: StopRequested) -> None:
    """Stop it, once; the last word on whether it is rolled back counts. One that waits for its turn leaves the queue."""
    group, deployment_id = now.group, fact.deployment_id
    deployment, watched, waiting = group.find_live(deployment_id), group.watched, line.find(group, deployment_id)
    if waiting is not None:
        _take_off(now, fact, waiting)
        return
    if watched is not None and watched.deployment_id == deployment_id:
        _stop_watching(now, fact, watched)
        return
    if deployment is None:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"cannot stop deployment {deployment_id}: it has ended")))
        return
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "StopDeployment", fact.requested_by
    wish = fact.auto_rollback_enabled
    changed = wish is not None and wish is not deployment.roll_back
    if changed:
        deployment.roll_back = wish
    if deployment.stopping is None:
        message = reasons.stopped_by(fact.requested_by, fact.reason)
        course.stop(now, deployment, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message))
    elif changed:
        now.tell(deployment, Entry.Stopping, reasons.wished(fact.requested_by, roll_back=deployment.roll_back is True))


def _stop_watching(now: Decision, fact: StopRequested, watched: Deployment) -> None:
    """It has succeeded, and nobody watches it any more; who asks for it gets it rolled back. What has regressed goes back anyway."""
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, watched.plan)
    now.because, now.principal = "StopDeployment", fact.requested_by
    message = reasons.stopped_by(fact.requested_by, fact.reason)
    if watched.stopping is None and fact.auto_rollback_enabled:
        late.regress(now, watched, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message))
    elif watched.stopping is None:
        late.end(now, message)


def _take_off(now: Decision, fact: StopRequested, waiting: Deployment) -> None:
    """Nothing of it has begun, so there is nothing to roll back."""
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, waiting.plan)
    now.because, now.principal = "StopDeployment", fact.requested_by
    why = reasons.stopped_by(fact.requested_by, fact.reason)
    line.leave(now, waiting, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=why))
