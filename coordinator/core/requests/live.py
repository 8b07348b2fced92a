"""What all wishes about a live deployment have in common: it has to have begun, to be live, and must not be stopping."""

from typing import Final

from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted, InvalidOperation
from coordinator.core.facts import (
    ApprovalGiven,
    LiveRequest,
    PauseRequested,
    PromotionRequested,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
    StopRequested,
)
from coordinator.core.model import Deployment
from coordinator.core.orders import Answer
from coordinator.core.queue import line

VERBS: Final[dict[type[LiveRequest], str]] = {
    StopRequested: "stop",
    ApprovalGiven: "approve",
    PauseRequested: "pause",
    ResumeRequested: "resume",
    PromotionRequested: "promote",
    RetryRequested: "retry hosts of",
    SkipRequested: "skip hosts of",
}

WAITS: Final = "it waits for its turn, and has no hosts yet; wait until it has begun, or stop it"
"""Why nothing but a stop or an approval can be wished of a deployment in the queue."""


def verb(fact: LiveRequest) -> str:
    """What somebody wants to do to a deployment."""
    return VERBS[type(fact)]


def found(now: Decision, fact: LiveRequest) -> Deployment | None:
    """The deployment that a wish is about; None, and an answer, when nothing can be wished of it any more."""
    deployment = now.group.find_live(fact.deployment_id)
    cannot = f"cannot {verb(fact)} deployment {fact.deployment_id}"
    if line.find(now.group, fact.deployment_id) is not None:
        now.orders.append(Answer(fact, InvalidOperation(f"{cannot}: {WAITS}")))
        return None
    if deployment is None:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"{cannot}: it has ended")))
        return None
    if deployment.stopping is not None:
        now.orders.append(Answer(fact, InvalidOperation(f"{cannot}: it stops ({deployment.stopping.message})")))
        return None
    return deployment
