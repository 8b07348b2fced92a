"""Somebody approves: a deployment that takes the word of a second person, or that it goes past the gate it waits at."""

from coordinator.core.deployment import reasons
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted
from coordinator.core.facts import ApprovalGiven
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Deployment, Waiting
from coordinator.core.orders import Answer, Entry
from coordinator.core.queue import line
from coordinator.core.stages import gates, pauses


def approve(now: Decision, fact: ApprovalGiven) -> None:
    """Let its hosts begin, now or when its turn has come, or its next stage; or say why not."""
    deployment = line.find(now.group, fact.deployment_id) or now.group.find_live(fact.deployment_id)
    if deployment is None:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"cannot approve deployment {fact.deployment_id}: it has ended")))
        return
    hold = pauses.held(deployment.plan, deployment.progress, deployment.clock)
    at_gate = hold is not None and hold.waiting is Waiting.Gate and not deployment.waits_for_approval
    error = gates.refusal(deployment, fact.approved_by) if at_gate else reasons.no_approval(deployment, fact.approved_by)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "ApproveDeployment", fact.approved_by
    if at_gate:
        pauses.pass_gate(now, deployment, fact.approved_by, fact.reason)
    else:
        _let_begin(now, deployment, fact)


def _let_begin(now: Decision, deployment: Deployment, fact: ApprovalGiven) -> None:
    deployment.approved_by = fact.approved_by
    if deployment.blind_since is not None:
        deployment.blind_since = deployment.clock  # nobody had to see anything before
    now.tell(deployment, Entry.Approved, fact.reason)
    if deployment.status is DeploymentStatus.Created:
        deployment.status = DeploymentStatus.Queued
        now.tell(deployment, Entry.Queued)
