"""Somebody wants a deployment stopped."""

from coordinator.core.deployment import course, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted
from coordinator.core.evidence import late
from coordinator.core.facts import StopRequested
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import Deployment, ErrorInformation
from coordinator.core.orders import Answer, Entry


def stop(now: Decision, fact: StopRequested) -> None:
    """Stop it, once; the last word on whether it is rolled back counts."""
    deployment, watched = now.group.deployment, now.group.watched
    if watched is not None and watched.deployment_id == fact.deployment_id:
        _stop_watching(now, fact, watched)
        return
    if deployment is None or deployment.deployment_id != fact.deployment_id:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"cannot stop deployment {fact.deployment_id}: it has ended")))
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
