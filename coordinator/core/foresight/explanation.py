"""Why a live deployment, or one host's part in it, is where it is: in one sentence, with the rule that holds it and until when.

The rules are asked, in the order in which `deployment/course.py` asks them; none of them is told here a second time.

Pure: asks the running group, changes nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from coordinator.core.deployment import batches, deadlines, watching
from coordinator.core.deployment.batches import Obstacle
from coordinator.core.lifecycle import EventStatus, TargetStatus
from coordinator.core.model import Deployment, Group, Hold, Target, Waiting
from coordinator.core.stages import gates, pauses

NAMED = 3
"""So many hosts are named, the rest is counted."""


class Explanation(NamedTuple):
    """Why something is where it is."""

    sentence: str
    reason: str = ""
    """The rule that holds it, in a word; empty when it waits for nothing."""
    until: int | None = None
    """Until when at most, by the deployment's own clock; None: nobody knows, or it does not wait."""


def of_deployment(group: Group, deployment: Deployment) -> Explanation:
    """Of the live deployment of a group."""
    name = deployment.deployment_id
    if (held := _held(deployment)) is not None:
        return held._replace(sentence=f"{name} {held.sentence}")
    busy = _in_progress(deployment)
    if deployment.stopping is not None:
        until = max((deadlines.until(deployment, one) for one in busy), default=None)
        ended = "has ended or is given up" if len(busy) == 1 else "have ended or are given up"
        return Explanation(f"{name} stops ({deployment.stopping.message}): it waits until {_hosts(busy)} {ended}", "Stopping", until)
    if busy:
        doing = f"{name} deploys to {_hosts(busy)}"
        first = min((one for one in deployment.targets.values() if one.status is TargetStatus.Pending), key=_by_stage, default=None)
        obstacle = None if first is None else batches.obstacle(group, deployment, first)
        if first is None or obstacle is None:
            return Explanation(doing, "Hosts")
        pending = deployment.counts[TargetStatus.Pending]
        return Explanation(f"{doing}; {pending} wait: {_why(group, deployment, first, obstacle)}", obstacle.value)
    return Explanation(f"{name} is about to go on")


def of_waiting(group: Group, deployment: Deployment) -> Explanation:
    """Of a deployment that waits for its turn in a group."""
    name = deployment.deployment_id
    live = group.deployment or group.newcomers
    ahead = [*([] if live is None else [live]), *group.waiting[: group.waiting.index(deployment)]]
    if deployment.plan.start_at is not None and not ahead:
        return Explanation(f"{name} waits for the time at which it is to start", "Schedule")
    first, more = (ahead or [deployment])[0].deployment_id, len(ahead) - 1
    before = f"{first} and {more} more of its group come" if more > 0 else f"{first} of its group comes"
    return Explanation(f"{name} waits for its turn: {before} before it", "Queue")


def of_target(group: Group, deployment: Deployment, target: Target) -> Explanation:
    """Of one host's part in the live deployment of a group."""
    match target.status:
        case TargetStatus.Pending:
            return _pending(group, deployment, target)
        case TargetStatus.InProgress:
            return _running(group, deployment, target)
        case status:
            why = f": {target.message}" if target.message else ""
            return Explanation(f"{target.host_name} has ended {status.name} in {deployment.deployment_id}{why}")


def _pending(group: Group, deployment: Deployment, target: Target) -> Explanation:
    name = target.host_name
    obstacle = batches.obstacle(group, deployment, target)
    if obstacle is not Obstacle.Stage and (held := _held(deployment)) is not None:
        return held._replace(sentence=f"{name} waits: {deployment.deployment_id} {held.sentence}")
    if obstacle is not None:
        until = None
        if obstacle is Obstacle.Stage and (hold := pauses.due(deployment)) is not None:
            until = hold.until
        return Explanation(f"{name} waits: {_why(group, deployment, target, obstacle)}", obstacle.value, until)
    if group.members[target.host_id].lost:
        return Explanation(f"{name} waits: it is offline, so it is last in line", "Offline")
    return Explanation(f"{name} waits for its turn: another host stands before it in line", "Line")


def _running(group: Group, deployment: Deployment, target: Target) -> Explanation:
    name, due = target.host_name, deadlines.until(deployment, target)
    event = target.event.name if target.event is not None and target.event_status is EventStatus.InProgress else ""
    if target.lost_at is not None and target.accepted:
        what = f" while it ran {event}" if event else ""
        return Explanation(f"{name} was lost{what}: it is given time to come back", "Lost", min(due, target.lost_at + deadlines.TO_RETURN))
    if target.cancelled:
        what = f"finishes {event}" if event else "has to answer its Cancel"
        return Explanation(f"{name} was cancelled ({target.cancelled}) and {what}", "Cancelled", due)
    if target.lost_at is not None:
        return Explanation(f"{name} is offline: it has its turn, and is given time to come back", "Offline", due)
    if not target.accepted:
        return Explanation(f"{name} has been sent its instruction and has not answered yet", "Accept", due)
    if target.message:
        return Explanation(f"{name} waits: {target.message}", "Host", due)
    return Explanation(f"{name} runs {event}" if event else f"{name} goes on with its next lifecycle event", "Event", due)


def _held(deployment: Deployment) -> Explanation | None:
    """Why nobody else begins in the whole deployment, and it does not end."""
    plan = deployment.plan
    if deployment.stopping is not None:
        return None
    if deployment.waits_for_approval:
        return Explanation(f"waits for approval by somebody other than {plan.created_by}", "Approval", deadlines.TO_APPROVE)
    hold = pauses.due(deployment)
    if hold is not None and deployment.progress.paused is not None:
        paused = deployment.progress.paused
        return Explanation(f"is paused by {paused.by}{f': {paused.why}' if paused.why else ''}", "Paused", hold.until)
    if deployment.blind_since is not None:
        alarms = ", ".join(watching.unknown(deployment)) or "its alarms"
        since = (deployment.clock - deployment.blind_since) // 1000
        return Explanation(
            f"lets no host begin and does not end: for {since} s nobody can say whether {alarms} is active",
            "Blind",
            deadlines.blind_until(deployment),
        )
    return None if hold is None else _paused_between(deployment, hold)


def _paused_between(deployment: Deployment, hold: Hold) -> Explanation | None:
    """What is waited for once the hosts of a stage have ended."""
    plan, stage = deployment.plan, deployment.progress.stage
    of = f" {gates.called(plan, stage)}" if plan.stages else ""
    match hold.waiting:
        case Waiting.Bake:
            return Explanation(f"bakes{of}: every host of it has ended, and the alarms are watched", "Bake", hold.until)
        case Waiting.Analysis:
            return Explanation(f"analyses{of}: what is measured does not say yet that it may go on", "Analysis", hold.until)
        case Waiting.Gate:
            return Explanation(f"waits at a gate: {gates.awaited(plan, stage)}", "Gate", hold.until)
        case _:
            return None


def _why(group: Group, deployment: Deployment, target: Target, obstacle: Obstacle) -> str:
    busy, failed = deployment.counts[TargetStatus.InProgress], batches.failed(deployment)
    match obstacle:
        case Obstacle.Stage:
            plan = deployment.plan
            return f"{gates.called(plan, target.stage)} comes after {gates.called(plan, deployment.progress.stage)}"
        case Obstacle.WindowFull:
            also = f" and {failed} failed" if failed else ""
            take = "takes" if busy + failed == 1 else "take"
            return f"{busy} in progress{also} {take} every place there is ({batches.window(deployment)})"
        case Obstacle.ZoneFull:
            return f"{deployment.zones[deployment.zone_of[target.host_id]].name} has as many hosts in progress or failed as may be"
        case Obstacle.Floor:
            zone = ", in its zone too" if deployment.zones else ""
            counted = f"of {deployment.available} hosts that are healthy and not being deployed to {deployment.floor} have to stay{zone}"
            return f"{target.host_name} is healthy, and {counted}"


def _in_progress(deployment: Deployment) -> list[Target]:
    return [one for one in deployment.targets.values() if one.status is TargetStatus.InProgress]


def _by_stage(target: Target) -> tuple[int, str]:
    return target.stage, target.host_name


def _hosts(of: Iterable[Target]) -> str:
    names = sorted(one.host_name for one in of)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
