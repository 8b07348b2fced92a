"""Somebody wants the next stage, or the end, before its time."""

from dataclasses import replace

from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeployError, InvalidOperation
from coordinator.core.evidence import analysis
from coordinator.core.facts import PromotionRequested
from coordinator.core.model import Deployment, Hold, Waiting
from coordinator.core.orders import Answer, Entry
from coordinator.core.requests import live
from coordinator.core.stages import gates, pauses


def promote(now: Decision, fact: PromotionRequested) -> None:
    """Cut the present bake, and the analysis, short, and pass the gate after it where that is asked for."""
    deployment = live.found(now, fact)
    if deployment is None:
        return
    hold = pauses.held(deployment.plan, deployment.progress, deployment.clock)
    error = _refusal(deployment, fact, hold)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "PromoteDeployment", fact.requested_by
    if hold is not None and hold.waiting is not Waiting.Gate:
        deployment.progress = replace(deployment.progress, promoted=True, waits_until=None)
        analysis.end(now, deployment)
        now.tell(deployment, Entry.Promoted, fact.reason)
    if fact.past_gate and deployment.plan.pause_after(deployment.progress.stage).gate is not None:
        pauses.pass_gate(now, deployment, fact.requested_by, fact.reason)


def _refusal(deployment: Deployment, fact: PromotionRequested, hold: Hold | None) -> DeployError | None:
    cannot = f"cannot promote deployment {deployment.deployment_id}"
    gate = deployment.plan.pause_after(deployment.progress.stage).gate
    if deployment.waits_for_approval:
        return InvalidOperation(f"{cannot}: nobody has approved it yet")
    match None if hold is None else hold.waiting:
        case Waiting.Resumption:
            return InvalidOperation(f"{cannot}: it is paused; resume it first")
        case Waiting.Gate if not fact.past_gate:
            return InvalidOperation(f"{cannot}: it bakes no more, it waits at a gate; approve it")
        case Waiting.Hosts | None:
            return InvalidOperation(f"{cannot}: nothing is waited for but its hosts; skip those that are not to be deployed to")
        case _:
            return gates.refusal(deployment, fact.requested_by) if fact.past_gate and gate is not None else None
