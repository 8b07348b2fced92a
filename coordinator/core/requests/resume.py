"""Somebody wants a paused deployment to go on."""

from dataclasses import replace

from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import ResumeRequested
from coordinator.core.orders import Answer, Entry
from coordinator.core.requests import live


def resume(now: Decision, fact: ResumeRequested) -> None:
    """Let it go on, with as much left of a bake or a gate as there was. One that is not paused goes on anyhow."""
    deployment = live.found(now, fact)
    if deployment is None:
        return
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, deployment.plan)
    progress = deployment.progress
    if progress.paused is None:
        return
    now.because, now.principal = "ResumeDeployment", fact.requested_by
    away = deployment.clock - progress.paused.since
    deployment.progress = replace(
        progress,
        paused=None,
        baked_from=None if progress.baked_from is None else progress.baked_from + away,
        gate_from=None if progress.gate_from is None else progress.gate_from + away,
        waits_until=None,
    )
    now.tell(deployment, Entry.Resumed, fact.reason)
