"""Somebody wants nothing new to begin, for a while. What runs goes on, and alarms still stop it."""

from dataclasses import replace

from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import PauseRequested
from coordinator.core.model import Paused
from coordinator.core.orders import Answer, Entry
from coordinator.core.requests import live


def pause(now: Decision, fact: PauseRequested) -> None:
    """Pause it. A deployment that is paused stays as it is."""
    deployment = live.found(now, fact)
    if deployment is None:
        return
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, deployment.plan)
    if deployment.progress.paused is not None:
        return
    now.because, now.principal = "PauseDeployment", fact.requested_by
    paused = Paused(fact.requested_by, deployment.clock, fact.reason)
    deployment.progress = replace(deployment.progress, paused=paused, waits_until=None)
    now.tell(deployment, Entry.Paused, fact.reason)
