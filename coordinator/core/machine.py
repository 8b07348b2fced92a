"""THE HEART. Facts about a deployment group go in; what to store and what to do comes out.

    fact → the deployment's clock goes on → what the fact says → targets whose deadline has passed → whoever may begin, begins
         → nobody may, and nobody is in progress: stop → nothing is left and no alarm is watched: the deployment ends, its
           rollback begins

What follows from a fact stands in `deployment/course.py`. The cost
of a fact does not grow with the number of hosts; only creation, a stop and the end of a deployment touch every target, once.
No clock, no chance, no I/O: the same group and the same facts always give the same rows and the same orders.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, assert_never

from coordinator.core.deployment import batches, bounds, course, deadlines, newcomers, reasons, selection, watching
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import DeploymentAlreadyCompleted
from coordinator.core.facts import (
    AlarmSeen,
    ApprovalGiven,
    DeploymentRequested,
    EpochSeen,
    GroupFact,
    HoldingSeen,
    HostLost,
    HostReturned,
    JournalLost,
    Reported,
    StopRequested,
    Woken,
)
from coordinator.core.lifecycle import DeploymentErrorCode, DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, ErrorInformation, Group, HostId, Member, Target
from coordinator.core.orders import (
    Answer,
    Cancel,
    Changes,
    Entry,
    HistoryEntry,
    HoldingChange,
    Instruction,
    Order,
)

FORGOTTEN: Final = "begun in a history that is forgotten"
"""Because of which a host is in progress that was never begun with, as far as the store knows."""


def step(group: Group, facts: Sequence[GroupFact], changes: Changes) -> list[Order]:
    """Decide about facts, in order. Add the rows that change to `changes`; return the orders to carry out once they are stored."""
    orders: list[Order] = []
    now = Decision(group, changes, orders)
    for fact in facts:
        now.at, now.elapsed, now.principal = fact.at, fact.elapsed, "coordinator"
        if group.deployment is not None:
            deadlines.tick(group.deployment, fact.elapsed)
        if type(fact) is Reported:
            if not _report(now, fact):
                continue
        else:
            _take(now, fact)
        course.go_on(now)
    course.watch_time(now)
    return orders


def restore(group: Group, lost: Collection[HostId], elapsed: int) -> None:
    """Work out all that is not stored, after a load: who is lost, the line, the counters, the deadlines' order."""
    for member in group.members.values():
        member.lost = member.host_id in lost
    deployment = group.deployment
    if deployment is None:
        group.available = 0
        return
    deployment.counts = dict.fromkeys(TargetStatus, 0)
    for one in deployment.targets.values():
        deployment.counts[one.status] += 1
        if one.status is TargetStatus.InProgress and group.members[one.host_id].lost is (one.lost_at is None):
            one.lost_at = deployment.clock if one.lost_at is None else None
    batches.line_up(group, deployment)
    deadlines.resume(deployment, elapsed)
    group.available = batches.available(group, deployment)


def outstanding(group: Group, host_id: HostId) -> tuple[Instruction | None, Cancel | None]:
    """What a Welcome repeats for a host: its instruction while its target is in progress, and the stored Cancel of it."""
    deployment = group.deployment
    target = None if deployment is None else deployment.targets.get(host_id)
    if deployment is None or target is None or target.status is not TargetStatus.InProgress:
        return None, None
    plan = deployment.plan
    return targets.instruction(plan, target), targets.cancel(plan, target) if target.cancelled else None


def _report(now: Decision, fact: Reported) -> bool:
    """Take a host's reports; whether anything follows for others. The hot path: 140,000 reports come by here in a large rollout."""
    deployment = now.group.deployment
    target = None if deployment is None else deployment.targets.get(fact.host_id)
    if deployment is None or target is None:
        return False
    if target.status is TargetStatus.Pending:
        # Of a forgotten history: true, though nobody goes on from there, because the host has taken something newer since.
        now.changes.late.extend((fact.host_id, one) for one in fact.reports)
        return False
    target.awaited_since = deployment.clock
    ending = targets.record(deployment.plan, target, now.group.members[fact.host_id], fact.reports, now.changes)
    now.store(target)
    if ending is None:
        return False
    course.end(now, target, ending)
    return True


def _take(now: Decision, fact: GroupFact) -> None:
    match fact:
        case DeploymentRequested() | StopRequested() | ApprovalGiven():
            _take_request(now, fact)
        case HostLost(host_id=host_id):
            now.because = "host lost"
            _lose(now, host_id)
        case HostReturned(host_id=host_id):
            now.because = "host returned"
            _welcome_back(now, host_id)
        case JournalLost(host_id=host_id):
            target = _busy_target(now.group, host_id)
            if target is not None:
                course.end(now, target, targets.interrupted(target, now.at, now.changes))
        case EpochSeen():
            _raise_epoch(now, fact)
        case HoldingSeen():
            _see_holding(now, fact)
        case AlarmSeen():
            _see_alarm(now, fact)
        case Woken():
            now.because = "time passed"
        case Reported():
            _report(now, fact)
        case _:
            assert_never(fact)


def _take_request(now: Decision, fact: DeploymentRequested | StopRequested | ApprovalGiven) -> None:
    match fact:
        case DeploymentRequested():
            _request(now, fact)
        case StopRequested():
            _stop_on_request(now, fact)
        case ApprovalGiven():
            _approve(now, fact)


def _request(now: Decision, fact: DeploymentRequested) -> None:
    error = reasons.refusal(now.group, fact)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    group = now.group
    for host in fact.hosts:
        member = group.members.get(host.host_id)
        if member is None:
            member = group.members[host.host_id] = Member(host_id=host.host_id)
            now.changes.members[group.group_id, host.host_id] = member
        member.lost = host.lost
    plan = replace(newcomers.frozen(group, fact.plan), last_successful=group.last_successful)
    now.remember(fact.request, plan)
    by_itself = plan.creator is Creator.CodeDeployAutoUpdate
    now.because, now.principal = "newcomers" if by_itself else "CreateDeployment", plan.created_by
    hosts = [(host.host_id, host.name) for host in selection.selected(group, fact)]
    bounds.create(now, plan, hosts, frozenset(host.host_id for host in fact.hosts))


def _stop_on_request(now: Decision, fact: StopRequested) -> None:
    deployment = now.group.deployment
    if deployment is None or deployment.deployment_id != fact.deployment_id:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"cannot stop deployment {fact.deployment_id}: it has ended")))
        return
    now.orders.append(Answer(fact, None))
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "StopDeployment", fact.requested_by
    wish = fact.auto_rollback_enabled
    changed = wish is not None and wish is not deployment.roll_back
    if changed:
        deployment.roll_back = wish
    if deployment.stopping is None:
        message = reasons.stopped_by(fact.requested_by, fact.reason)
        course.stop(now, deployment, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message))
    elif changed:
        now.tell(deployment, Entry.Stopping, reasons.wished(fact.requested_by, roll_back=deployment.roll_back is True))


def _approve(now: Decision, fact: ApprovalGiven) -> None:
    deployment = now.group.deployment
    if deployment is None or deployment.deployment_id != fact.deployment_id:
        now.orders.append(Answer(fact, DeploymentAlreadyCompleted(f"cannot approve deployment {fact.deployment_id}: it has ended")))
        return
    error = reasons.no_approval(deployment, fact.approved_by)
    now.orders.append(Answer(fact, error))
    if error is not None:
        return
    now.remember(fact.request, deployment.plan)
    now.because, now.principal = "ApproveDeployment", fact.approved_by
    deployment.approved_by = fact.approved_by
    if deployment.blind_since is not None:
        deployment.blind_since = deployment.clock  # nobody had to see anything before
    now.tell(deployment, Entry.Approved, fact.reason)
    if deployment.status is DeploymentStatus.Created:
        deployment.status = DeploymentStatus.Queued
        now.tell(deployment, Entry.Queued)


def _lose(now: Decision, host_id: HostId) -> None:
    group, deployment = now.group, now.group.deployment
    member = group.members.get(host_id)
    if member is None or member.lost:
        return
    target = None if deployment is None else deployment.targets.get(host_id)
    busy = target is not None and target.status is TargetStatus.InProgress
    if deployment is not None and host_id in deployment.members and not busy and batches.serves(member):
        group.available -= 1
    member.lost = True
    if deployment is None or target is None:
        return
    if not busy:
        batches.join(group, deployment, target)
    elif deployment.stopping is not None:
        course.end(now, target, targets.given_up(target, "host lost"))
    else:
        deadlines.watch_return(deployment, target)
        now.store(target)
        now.changes.deployments[deployment.deployment_id] = deployment


def _welcome_back(now: Decision, host_id: HostId) -> None:
    group, deployment = now.group, now.group.deployment
    member = group.members.get(host_id)
    if member is None or not member.lost:
        return
    member.lost = False
    target = None if deployment is None else deployment.targets.get(host_id)
    if deployment is not None and target is not None and target.status is TargetStatus.InProgress:
        target.lost_at = None
        if not target.accepted:  # it has as much time to accept as anybody
            target.awaited_since = deployment.clock
        now.store(target)
    elif deployment is not None and host_id in deployment.members:
        group.available += batches.serves(member)
        if target is not None:
            batches.join(group, deployment, target)


def _raise_epoch(now: Decision, fact: EpochSeen) -> None:
    group = now.group
    member = group.members.get(fact.host_id, Member(host_id=fact.host_id))
    if fact.target_epoch <= member.target_epoch:
        return
    group.members[fact.host_id] = member
    message = f"an agent knows target epoch {fact.target_epoch}, the history only {member.target_epoch}: the database went back in time"
    member.target_epoch = fact.target_epoch
    now.because = "higher epoch seen"
    now.changes.members[group.group_id, fact.host_id] = member
    deployment_id = None if group.deployment is None else group.deployment.deployment_id
    entry = HistoryEntry(now.at, Entry.HistoryWentBack, now.because, group.group_id, deployment_id, fact.host_id, message)
    now.changes.history.append(entry)
    deployment = group.deployment
    target = None if deployment is None else deployment.targets.get(fact.host_id)
    if deployment is None or target is None or target.status is not TargetStatus.Pending:
        return
    if deployment.deployment_id == fact.deployment_id:
        # It has its instruction already: under another fence it would have to refuse the same one. That may be one host more than the
        # window has room for; it is true all the same.
        now.because = FORGOTTEN
        course.begin(now, deployment, target, epoch=fact.target_epoch)
    else:
        batches.join(group, deployment, target)


def _see_holding(now: Decision, fact: HoldingSeen) -> None:
    """What a host says of itself is newer than what is stored, and than the reports of it that came before."""
    group, deployment = now.group, now.group.deployment
    member = group.members.get(fact.host_id)
    if member is None or (member.installed, member.deployed) == (fact.installed, fact.deployed):
        return
    member.installed, member.deployed = fact.installed, fact.deployed
    now.changes.holdings[group.group_id, fact.host_id] = HoldingChange(fact.installed, fact.deployed)
    target = None if deployment is None else deployment.targets.get(fact.host_id)
    if deployment is not None and target is not None:
        batches.join(group, deployment, target)


def _see_alarm(now: Decision, fact: AlarmSeen) -> None:
    deployment = now.group.deployment
    active = None if deployment is None else watching.see(now, deployment, fact)
    if deployment is not None and active is not None:
        course.stop(now, deployment, active)


def _busy_target(group: Group, host_id: HostId) -> Target | None:
    """The host's target while it is in progress."""
    target = None if group.deployment is None else group.deployment.targets.get(host_id)
    return target if target is not None and target.status is TargetStatus.InProgress else None
