"""Until when a host may be silent, by the deployment's own clock.

The clock is the time that the deployment has been live under a running coordinator. It is stored with progress, at least every
10 s while a deadline runs, so a restart resumes what was left, and a wall clock that jumps changes nothing.
"""

from collections import deque
from typing import Final

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, Target

TO_ACCEPT: Final = 300_000
"""Milliseconds within which a host must answer its instruction (spec 4.7)."""

TO_RETURN: Final = 300_000
"""Milliseconds within which a lost host must return before its target ends."""

CHECKPOINT_EVERY: Final = 10_000
"""Milliseconds of the clock that a crash may forget, at most."""


def tick(deployment: Deployment, elapsed: int) -> None:
    """Let the deployment's clock go on to a monotonic reading. An older reading changes nothing."""
    if elapsed > deployment.clock_at:
        deployment.clock += elapsed - deployment.clock_at
        deployment.clock_at = elapsed


def watch_acceptance(deployment: Deployment, target: Target) -> None:
    """An instruction was ordered just now."""
    target.sent_at = deployment.clock
    deployment.unaccepted.append(target)


def watch_return(deployment: Deployment, target: Target) -> None:
    """The host of a target in progress was lost just now, or was lost already when the target began."""
    target.lost_at = deployment.clock
    deployment.lost.append((deployment.clock, target))


def resume(deployment: Deployment, elapsed: int) -> None:
    """After a load: the clock goes on from where it was stored, and deadlines run by what was left of them."""
    deployment.clock_at = elapsed
    deployment.checkpoint = deployment.clock
    busy = [one for one in deployment.targets.values() if one.status is TargetStatus.InProgress]
    deployment.unaccepted = deque(sorted((one for one in busy if not one.accepted), key=lambda one: one.sent_at))
    lost = [(one.lost_at, one) for one in busy if one.lost_at is not None]
    deployment.lost = deque(sorted(lost, key=lambda entry: entry[0]))


def overdue(deployment: Deployment) -> Target | None:
    """A target whose host was silent for too long; None when there is none."""
    unaccepted, lost = deployment.unaccepted, deployment.lost
    if not unaccepted and not lost:
        return None
    _pass_over(deployment)
    if unaccepted and deployment.clock - unaccepted[0].sent_at >= TO_ACCEPT:
        return unaccepted.popleft()
    if lost and deployment.clock - lost[0][0] >= TO_RETURN:
        return lost.popleft()[1]
    return None


def next_wake(deployment: Deployment) -> int | None:
    """The monotonic time of the next deadline or checkpoint; None while no deadline runs."""
    _pass_over(deployment)
    if not deployment.unaccepted and not deployment.lost:
        return None
    due = deployment.checkpoint + CHECKPOINT_EVERY
    if deployment.unaccepted:
        due = min(due, deployment.unaccepted[0].sent_at + TO_ACCEPT)
    if deployment.lost:
        due = min(due, deployment.lost[0][0] + TO_RETURN)
    return deployment.clock_at + max(0, due - deployment.clock)


def _pass_over(deployment: Deployment) -> None:
    """Drop from the heads what waits no more."""
    unaccepted, lost = deployment.unaccepted, deployment.lost
    while unaccepted and (unaccepted[0].accepted or unaccepted[0].status is not TargetStatus.InProgress):
        unaccepted.popleft()
    while lost and (lost[0][1].lost_at != lost[0][0] or lost[0][1].status is not TargetStatus.InProgress):
        lost.popleft()
