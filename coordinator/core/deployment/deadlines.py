"""Until when a host may be silent, by the deployment's own clock.

The clock is the time that the deployment has been live under a running coordinator. It is stored with progress, at least every
10 s while a deadline runs, so a restart resumes what was left, and a wall clock that jumps changes nothing.

The agent keeps the deadline of each event by itself. Those here are for an agent that does not: whose word does not come although
its heartbeats do.
"""

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from coordinator.core.lifecycle import EventStatus, LifecycleEvent, TargetStatus
from coordinator.core.model import Deployment, Look, Plan, Target, Waiting
from coordinator.core.stages import pauses

TO_ACCEPT: Final = 300_000
"""Milliseconds within which a host must answer its instruction (spec 4.7)."""

TO_ANSWER: Final = 300_000
"""Milliseconds within which a host on which nothing runs must answer a Cancel."""

TO_REPORT: Final = 600_000
"""Milliseconds past the deadline of an event within which its end must be reported: its agent ends the scripts and waits for their
output (30 s), may be away and not yet be lost (60 s), and may come back from being lost (300 s)."""

LOOK_EVERY: Final = min(TO_ACCEPT, TO_ANSWER)
"""Milliseconds after which a host in progress is looked at again. No other deadline is shorter, so none is missed, and what a host
reports meanwhile costs nothing here."""

TO_APPROVE: Final = 86_400_000
"""Milliseconds within which a deployment that needs it must be approved: whoever asked for it should still know why."""

TO_RETURN: Final = 300_000
"""Milliseconds within which a lost host must return before its target ends."""

TO_SEE: Final = 60_000
"""Milliseconds for which an alarm may be unknown while no further host begins (threat 16)."""

CHECKPOINT_EVERY: Final = 10_000
"""Milliseconds of the clock that a crash may forget, at most."""


def tick(deployment: Deployment, elapsed: int) -> None:
    """Let the deployment's clock go on to a monotonic reading. An older reading changes nothing."""
    if elapsed > deployment.clock_at:
        deployment.clock += elapsed - deployment.clock_at
        deployment.clock_at = elapsed


def allowance(plan: Plan, target: Target) -> int:
    """Milliseconds within which the next word of a host in progress must come.

    A host that waits for its turn, be it to begin or to download, may wait for as long as all events of a deployment may take.
    """
    if not target.accepted:
        return TO_ACCEPT if target.lost_at is None else max(TO_ACCEPT, plan.offline.wait)
    running = target.event_status is EventStatus.InProgress
    if target.cancelled and not running:
        return TO_ANSWER
    if target.event is None or (running and target.event is LifecycleEvent.DownloadBundle):
        return plan.event_timeout * len(plan.lifecycle_events) + TO_REPORT
    return plan.event_timeout + TO_REPORT


def watch_word(deployment: Deployment, target: Target) -> None:
    """The host was instructed just now."""
    target.awaited_since = deployment.clock
    heappush(deployment.awaited, _look(deployment, target))


def watch_return(deployment: Deployment, target: Target) -> None:
    """The host of a target in progress was lost just now, or was lost already when the target began, or when its first word came: until
    then it was waited for as one that has not accepted."""
    target.lost_at = deployment.clock
    deployment.lost.append((deployment.clock, target))


def resume(deployment: Deployment, elapsed: int) -> None:
    """After a load: the clock goes on from where it was stored, and deadlines run by what was left of them."""
    deployment.clock_at = elapsed
    deployment.checkpoint = deployment.clock
    deployment.blind_since = deployment.clock if deployment.plan.alarms else None
    busy = [one for one in deployment.targets.values() if one.status is TargetStatus.InProgress]
    deployment.awaited = [_look(deployment, one) for one in busy]
    heapify(deployment.awaited)
    lost = [(one.lost_at, one) for one in busy if one.lost_at is not None]
    deployment.lost = deque(sorted(lost, key=lambda entry: entry[0]))


def overdue(deployment: Deployment) -> Target | None:
    """A target whose host was silent for too long; None when there is none."""
    awaited, lost = deployment.awaited, deployment.lost
    while awaited and awaited[0][0] <= deployment.clock:
        target = deployment.targets[awaited[0][1]]
        if target.status is not TargetStatus.InProgress:
            heappop(awaited)
        elif until(deployment, target) <= deployment.clock:
            heappop(awaited)
            return target
        else:
            heapreplace(awaited, _look(deployment, target))
    _pass_over(deployment)
    if lost and deployment.clock - lost[0][0] >= TO_RETURN:
        return lost.popleft()[1]
    return None


def next_wake(deployment: Deployment) -> int | None:
    """The monotonic time of the next deadline or checkpoint; None while no deadline runs."""
    _pass_over(deployment)
    sight = _sight_due(deployment)
    if not deployment.awaited and not deployment.lost and sight is None:
        word = _word_due(deployment)
        return None if word is None else deployment.clock_at + min(LOOK_EVERY, max(0, word - deployment.clock))
    due = deployment.checkpoint + CHECKPOINT_EVERY
    if sight is not None:
        due = min(due, sight)
    if deployment.awaited:
        due = min(due, deployment.awaited[0][0])
    if deployment.lost:
        due = min(due, deployment.lost[0][0] + TO_RETURN)
    return deployment.clock_at + max(0, due - deployment.clock)


def blind_until(deployment: Deployment) -> int | None:
    """Until when, by its own clock, a deployment waits for an alarm of which nothing is known; None while it waits for none."""
    return None if deployment.blind_since is None else deployment.blind_since + TO_SEE


def watched(deployment: Deployment) -> bool:
    """Whether every target in progress ends one day, whatever its host does. Looks at them all: for tests."""
    looks = {host_id: look for look, host_id in deployment.awaited}
    busy = (one for one in deployment.targets.values() if one.status is TargetStatus.InProgress)
    return all(one.host_id in looks and looks[one.host_id] <= until(deployment, one) for one in busy)


def _sight_due(deployment: Deployment) -> int | None:
    """Until when an alarm may be unknown, or a stage bakes."""
    hold = pauses.due(deployment)
    baked = hold.until if hold is not None and hold.waiting is Waiting.Bake else None
    dues = (due for due in (blind_until(deployment), baked) if due is not None and due > deployment.clock)
    return min(dues, default=None)


def _word_due(deployment: Deployment) -> int | None:
    """Until when somebody may say a word, for which hours are left."""
    if deployment.waits_for_approval:
        return TO_APPROVE
    hold = pauses.due(deployment)
    return None if hold is None else hold.until


def until(deployment: Deployment, target: Target) -> int:
    """Until when, by the deployment's own clock, the next word of a host in progress is waited for."""
    return target.awaited_since + allowance(deployment.plan, target)


def _look(deployment: Deployment, target: Target) -> Look:
    return min(until(deployment, target), deployment.clock + LOOK_EVERY), target.host_id


def _pass_over(deployment: Deployment) -> None:
    """Drop from the heads what waits no more. Who has not accepted is waited for as `awaited` says, lost or not."""
    awaited, lost = deployment.awaited, deployment.lost
    while awaited and deployment.targets[awaited[0][1]].status is not TargetStatus.InProgress:
        heappop(awaited)
    while lost and not _waits(*lost[0]):
        lost.popleft()


def _waits(lost_at: int, target: Target) -> bool:
    return target.lost_at == lost_at and target.accepted and target.status is TargetStatus.InProgress
