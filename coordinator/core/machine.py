"""THE HEART. Facts about a deployment group go in; what to store and what to do comes out.

    fact → the live deployments' clocks go on → what the fact says → targets whose deadline has passed → whoever may begin, begins
         → nobody may, and nobody is in progress: stop → nothing is left and no alarm is watched: the deployment ends, its
           rollback begins
         → nothing is live any more: whoever has waited for its turn is called

What operators ask stands in `requests/`, what is learned of hosts in `hosts.py`, what follows from both in `deployment/course.py`.
The cost of a fact does not grow with the number of hosts; only creation, a stop and the end of a deployment touch every target, once.
No clock, no chance, no I/O: the same group and the same facts always give the same rows and the same orders.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import assert_never

from coordinator.core import hosts
from coordinator.core.deployment import batches, course, deadlines, watching
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import analysis, late
from coordinator.core.facts import (
    AlarmSeen,
    ApprovalGiven,
    DeploymentRequested,
    EpochSeen,
    GroupFact,
    HoldingSeen,
    HostLost,
    HostRemoved,
    HostReturned,
    JournalLost,
    LiveRequest,
    PauseRequested,
    PromotionRequested,
    Reported,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
    StopRequested,
    TurnCame,
    Woken,
)
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, DeploymentId, Group, HostId
from coordinator.core.orders import Cancel, Changes, Instruction, Order
from coordinator.core.queue import turn
from coordinator.core.requests import approval, creation, pause, promotion, resume, retry, skip, stop
from coordinator.core.stages import counting


def step(group: Group, facts: Sequence[GroupFact], changes: Changes) -> list[Order]:
    """Decide about facts, in order. Add the rows that change to `changes`; return the orders to carry out once they are stored."""
    orders: list[Order] = []
    now = Decision(group, changes, orders)
    for fact in facts:
        now.at, now.elapsed, now.principal = fact.at, fact.elapsed, "coordinator"
        for deployment in group.live:
            deadlines.tick(deployment, fact.elapsed)
        if group.watched is not None:
            deadlines.tick(group.watched, fact.elapsed)
        if type(fact) is Reported:
            if not _report(now, fact):
                continue
        else:
            _take(now, fact)
        course.go_on(now)
    course.watch_time(now, turn.call(now))
    return orders


def restore(group: Group, lost: Collection[HostId], elapsed: int) -> None:
    """Work out all that is not stored, after a load: who is lost, the line, the counters, the deadlines' order."""
    for member in group.members.values():
        member.lost = member.host_id in lost
    if group.watched is not None:
        late.resume(group.watched, elapsed)
    for deployment in group.live:
        _restore(group, deployment, elapsed)


def _restore(group: Group, deployment: Deployment, elapsed: int) -> None:
    deployment.counts = dict.fromkeys(TargetStatus, 0)
    for one in deployment.targets.values():
        deployment.counts[one.status] += 1
        if one.status is TargetStatus.InProgress and group.members[one.host_id].lost is (one.lost_at is None):
            one.lost_at = deployment.clock if one.lost_at is None else None
    counting.count(group, deployment)
    deployment.progress = replace(deployment.progress, waits_until=None)  # it was not waited for while the coordinator was away
    batches.line_up(group, deployment)
    deadlines.resume(deployment, elapsed)
    deployment.available = batches.available(group, deployment)


def outstanding(group: Group, host_id: HostId) -> tuple[Instruction | None, Cancel | None]:
    """What a Welcome repeats for a host: its instruction while its target is in progress, and the stored Cancel of it."""
    deployment = group.at_work_on(host_id)
    if deployment is None:
        return None, None
    plan, target = deployment.plan, deployment.targets[host_id]
    return targets.instruction(plan, target), targets.cancel(plan, target) if target.cancelled else None


def _report(now: Decision, fact: Reported) -> bool:
    """Take a host's reports; whether anything follows for others. The hot path: 140,000 reports come by here in a large rollout."""
    deployment = _reported(now.group, fact)
    target = None if deployment is None else deployment.targets.get(fact.host_id)
    if deployment is None or target is None or target.status is TargetStatus.Pending:
        # True, though nothing follows from it: its deployment has ended a fact ago, or it is of a forgotten history, and the host has taken
        # something newer since.
        now.changes.late.extend((fact.host_id, one) for one in fact.reports)
        return False
    target.awaited_since, knew = deployment.clock, target.accepted
    ending = targets.record(deployment.plan, target, now.group.members[fact.host_id], fact.reports, now.changes)
    if target.lost_at is not None and target.accepted and not knew:
        deadlines.watch_return(deployment, target)
    now.store(target)
    if ending is None:
        return False
    course.end(now, deployment, target, ending)
    return True


def _reported(group: Group, fact: Reported) -> Deployment | None:
    """The deployment that a host reports of."""
    if group.newcomers is None:
        return group.deployment
    return group.find_live(DeploymentId(fact.reports[0].instruction_id.partition("/")[0]))


def _take(now: Decision, fact: GroupFact) -> None:
    if isinstance(fact, DeploymentRequested | TurnCame | LiveRequest):
        _take_request(now, fact)
        return
    match fact:
        case HostLost(host_id=host_id):
            now.because = "host lost"
            hosts.lose(now, host_id)
        case HostReturned(host_id=host_id):
            now.because = "host returned"
            hosts.welcome_back(now, host_id)
        case HostRemoved(host_id=host_id):
            now.because = "host removed"
            late.forget(now, host_id)
        case JournalLost(host_id=host_id):
            if (deployment := now.group.at_work_on(host_id)) is not None:
                target = deployment.targets[host_id]
                course.end(now, deployment, target, targets.interrupted(target, now.at, now.changes))
        case EpochSeen():
            hosts.raise_epoch(now, fact)
        case HoldingSeen():
            hosts.see_holding(now, fact)
        case AlarmSeen():
            _see_alarm(now, fact)
        case Woken():
            now.because = "time passed"
        case Reported():
            _report(now, fact)
        case _:
            assert_never(fact)


def _take_request(now: Decision, fact: DeploymentRequested | TurnCame | LiveRequest) -> None:
    match fact:
        case DeploymentRequested():
            creation.create(now, fact)
        case TurnCame():
            turn.take(now, fact)
        case StopRequested():
            stop.stop(now, fact)
        case ApprovalGiven():
            approval.approve(now, fact)
        case PauseRequested():
            pause.pause(now, fact)
        case ResumeRequested():
            resume.resume(now, fact)
        case PromotionRequested():
            promotion.promote(now, fact)
        case RetryRequested():
            retry.retry(now, fact)
        case SkipRequested():
            skip.skip(now, fact)


def _see_alarm(now: Decision, fact: AlarmSeen) -> None:
    deployment = now.group.deployment
    active = None if deployment is None else watching.see(now, deployment, fact) or analysis.see(now, deployment, fact)
    if deployment is not None and active is not None:
        course.stop(now, deployment, active)
    if now.group.watched is not None:
        late.see(now, now.group.watched, fact)
