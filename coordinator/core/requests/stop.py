"""Somebody wants a deployment stopped."""

from coordinator.core.deployment import course, reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted
from coordinator.core.facts import StopRequested
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import ErrorInformation
from coordinator.core.orders import Answer, Entry


def stop(now: Decision, fact: StopRequested) -> None:
    """Stop it, once; the last word on whether it is rolled back counts."""
    deployment = now.group.deployment
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
