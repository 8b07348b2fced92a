"""What follows from a fact: who is overdue ends, who may begin begins, and a deployment with nothing left to wait for ends.

Every change of a target's status goes through `begin`, `end` or `stop`, which keep the counters beside the targets right.

Pure: changes the running group, and writes rows and orders into the decision at hand.
"""

from coordinator.core.deployment import batches, bounds, deadlines, newcomers, offline, reasons, watching
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import late
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, EventStatus, TargetStatus
from coordinator.core.model import Creator, Deployment, ErrorInformation, InstanceHealth, Target
from coordinator.core.orders import Entry, HoldingChange, Instruct, SendCancel, Settled, WakeAt
from coordinator.core.stages import counting, pauses


def go_on(now: Decision) -> None:
    """End what is overdue, begin what may begin, and end each live deployment when there is nothing left to wait for."""
    late.pass_time(now)
    _mind_regression(now)
    while any(_goes_further(now, deployment) for deployment in now.group.live):
        _mind_regression(now)


def _goes_further(now: Decision, deployment: Deployment) -> bool:
    """Let a live deployment go on; whether anything has ended, so that there is more to see to."""
    advance(now, deployment)
    if deployment.status.terminal:
        return True
    target = deadlines.overdue(deployment)
    if target is None:
        return False
    lost = target.accepted and target.lost_at is not None
    end(now, deployment, target, targets.given_up(target, "lost deadline") if lost else offline.timed_out(deployment, target))
    return True


def _mind_regression(now: Decision) -> None:
    """Where what had succeeded has regressed, newcomers do not get it any more, and its rollback is the next to be live."""
    group, watched = now.group, now.group.watched
    if watched is None or watched.stopping is None:
        return
    spreading = late.spreading(group)
    if spreading is None:
        bounds.take_back(now, watched)
    elif spreading.stopping is None:
        stop(now, spreading, watched.stopping)


def advance(now: Decision, deployment: Deployment) -> None:
    """Begin whoever may, stage after stage; stop when nobody may and somebody waits; end when nobody is left."""
    counts = deployment.counts
    if deployment.waits_for_approval and counts[TargetStatus.Pending] > 0:
        if deployment.clock < deadlines.TO_APPROVE:
            return
        stop(now, deployment, reasons.nobody_approved(deployment, deadlines.TO_APPROVE))
    if deployment.stopping is None and (why := watching.give_up_seeing(now, deployment) or pauses.expired(deployment)) is not None:
        stop(now, deployment, why)
    while deployment.stopping is None and _goes_on(now, deployment):
        pauses.begin_next(now, deployment)
    assert 0 <= deployment.available <= len(deployment.members)
    if counts[TargetStatus.InProgress] == counts[TargetStatus.Pending] == 0 and not _waits(now, deployment):
        bounds.finish(now, deployment)


def _goes_on(now: Decision, deployment: Deployment) -> bool:
    """Begin whoever may in the present stage; whether it is over, and another may begin."""
    if deployment.progress.paused is not None:
        return False
    if deployment.blind_since is None:
        _begin_whoever_may(now, deployment)
        if deployment.counts[TargetStatus.InProgress] == 0 and not pauses.is_over(deployment):
            stop(now, deployment, reasons.cannot_go_on(now.group, deployment))
            return False
    if deployment.progress.stage == deployment.plan.last_stage or not pauses.is_over(deployment):
        return False
    if (why := reasons.no_further_stage(now.group, deployment)) is not None:
        stop(now, deployment, why)
        return False
    return not _waits(now, deployment)


def _waits(now: Decision, deployment: Deployment) -> bool:
    """Whether something is waited for, though all hosts that had begun have ended."""
    if deployment.stopping is not None:
        return False
    blind = deployment.blind_since is not None and deployment.counts[TargetStatus.Succeeded] > 0
    return pauses.hold(now, deployment) is not None or blind


def _begin_whoever_may(now: Decision, deployment: Deployment) -> None:
    group, counts = now.group, deployment.counts
    while (target := batches.next_target(group, deployment)) is not None:
        if group.members[target.host_id].lost and not offline.is_tried(deployment):
            pass_over(now, deployment, target)
        else:
            begin(now, deployment, target, epoch=group.members[target.host_id].target_epoch + 1)
        assert counts[TargetStatus.InProgress] + batches.failed(deployment) <= batches.window(deployment)


def begin(now: Decision, deployment: Deployment, target: Target, *, epoch: int) -> None:
    """Send a host its instruction, under a fence."""
    group = now.group
    member = group.members[target.host_id]
    assert not any(other.awaits(target.host_id) for other in group.live if other is not deployment), "a host has one plan at a time"
    if member.serves:
        counting.serving(group, target.host_id, -1)
    if deployment.started_at is None:
        deployment.started_at, deployment.status = now.at, DeploymentStatus.InProgress
        now.tell(deployment, Entry.InProgress)
        pauses.tell_stage(now, deployment)
    member.target_epoch = epoch
    now.changes.members[group.group_id, target.host_id] = member
    target.target_epoch, target.started_at = member.target_epoch, now.at
    deadlines.watch_word(deployment, target)
    if member.lost:
        deadlines.watch_return(deployment, target)
    now.move(deployment, target, TargetStatus.InProgress)
    now.orders.append(Instruct(targets.instruction(deployment.plan, target)))


def pass_over(now: Decision, deployment: Deployment, target: Target) -> None:
    """A host is offline in its turn: it is left out, or fails, without an instruction. Its health stays as it is."""
    ending = offline.passed_over(deployment, target)
    member = now.group.members[target.host_id]
    if not deployment.plan.restarts:
        newcomers.miss(member, deployment.plan)
    now.changes.members[now.group.group_id, target.host_id] = member
    target.message, target.ended_at = ending.message, now.at
    now.move(deployment, target, ending.status)


def end(now: Decision, deployment: Deployment, target: Target, ending: targets.Ending) -> None:
    """A target in progress has ended: its host is as healthy as it left it, and its place in the window is free unless it failed."""
    group = now.group
    assert target.status is TargetStatus.InProgress
    now.because = ending.because
    target.message, target.ended_at = ending.message, now.at
    member = group.members[target.host_id]
    newcomers.note(group, member, deployment.plan, ending.status)
    now.changes.members[group.group_id, target.host_id] = member
    if ending.status is not TargetStatus.Skipped:
        succeeded = ending.status is TargetStatus.Succeeded
        member.health = InstanceHealth.Healthy if succeeded else InstanceHealth.Unhealthy
        if not member.installed:  # it holds nothing, and that is known from now on
            now.changes.holdings[group.group_id, target.host_id] = HoldingChange(None, None)
    if member.serves:
        counting.serving(group, target.host_id, 1)
    now.move(deployment, target, ending.status, ending.told)
    if ending.revoked:
        target.cancelled = target.cancelled or ending.message
        now.orders.append(SendCancel(targets.cancel(deployment.plan, target)))
    now.orders.append(Settled(target.host_id, targets.instruction_id(target)))


def stop(now: Decision, deployment: Deployment, why: ErrorInformation) -> None:
    """Begin nothing more, and end what is in progress: a stored Cancel for whoever can hear it; the lost are given up."""
    deployment.stopping = why
    now.tell(deployment, Entry.Stopping, why.message)
    because = now.because
    for target in deployment.targets.values():
        if target.status is TargetStatus.Pending:
            target.ended_at = now.at
            now.move(deployment, target, TargetStatus.Skipped)
            if deployment.plan.creator is Creator.CodeDeployAutoUpdate and why.code is DeploymentErrorCode.MANUAL_STOP:
                newcomers.let_be(now.group.members[target.host_id])
                now.changes.members[now.group.group_id, target.host_id] = now.group.members[target.host_id]
        elif target.status is TargetStatus.InProgress and now.group.members[target.host_id].lost:
            end(now, deployment, target, targets.given_up(target, because))
        elif target.status is TargetStatus.InProgress:
            target.cancelled = why.message
            if target.event_status is not EventStatus.InProgress:
                target.awaited_since = deployment.clock
            now.store(target)
            now.orders.append(SendCancel(targets.cancel(deployment.plan, target)))
    deployment.pending, deployment.pending_lost = [], []


def watch_time(now: Decision, look: int | None) -> None:
    """Store the clocks with progress, and ask to be woken for the next deadline or checkpoint, or at `look`, if that comes first."""
    wakes = [wake for wake in (*(_wake(now, one) for one in now.group.live), late.wake(now), look) if wake is not None]
    if wakes:
        now.orders.append(WakeAt(now.group.group_id, min(wakes)))


def _wake(now: Decision, deployment: Deployment) -> int | None:
    stored, deployment_id = now.changes.deployments, deployment.deployment_id
    if deployment.clock - deployment.checkpoint >= deadlines.CHECKPOINT_EVERY and deadlines.next_wake(deployment) is not None:
        stored[deployment_id] = deployment
    if deployment_id in stored:
        deployment.checkpoint = deployment.clock
    return deadlines.next_wake(deployment)
