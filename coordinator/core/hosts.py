"""What a group learns of its hosts outside of their reports: they are lost and return, hold revisions, know a higher fence."""

from typing import Final

from coordinator.core.deployment import batches, course, deadlines
from coordinator.core.deployment import target as targets
from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import EpochSeen, HoldingSeen
from coordinator.core.lifecycle import DeploymentErrorCode, TargetStatus
from coordinator.core.model import ErrorInformation, Group, HostId, Member
from coordinator.core.orders import Entry, HistoryEntry, HoldingChange
from coordinator.core.queue import line
from coordinator.core.stages import counting

FORGOTTEN: Final = "begun in a history that is forgotten"
"""Because of which a host is in progress that was never begun with, as far as the store knows."""


def lose(now: Decision, host_id: HostId) -> None:
    """A host has been silent for too long."""
    group, deployment = now.group, now.group.at_work_on(host_id)
    member = group.members.get(host_id)
    if member is None or member.lost:
        return
    if deployment is None and member.serves:
        counting.serving(group, host_id, -1)
    member.lost = True
    if deployment is None:
        _stand_anew(group, host_id)
        return
    target = deployment.targets[host_id]
    if deployment.stopping is not None:
        course.end(now, deployment, target, targets.given_up(target, "host lost"))
    else:
        deadlines.watch_return(deployment, target)
        now.store(target)
        now.changes.deployments[deployment.deployment_id] = deployment


def welcome_back(now: Decision, host_id: HostId) -> None:
    """A lost host is back."""
    group, deployment = now.group, now.group.at_work_on(host_id)
    member = group.members.get(host_id)
    if member is None or not member.lost:
        return
    member.lost = False
    if deployment is None:
        counting.serving(group, host_id, int(member.serves))
        _stand_anew(group, host_id)
        return
    target = deployment.targets[host_id]
    target.lost_at = None
    if not target.accepted:  # it has as much time to accept as anybody
        target.awaited_since = deployment.clock
    now.store(target)


def raise_epoch(now: Decision, fact: EpochSeen) -> None:
    """A host knows a higher fence than the group: the next one must be higher still."""
    group = now.group
    member = group.members.get(fact.host_id, Member(host_id=fact.host_id))
    if fact.target_epoch <= member.target_epoch:
        return
    group.members[fact.host_id] = member
    message = f"an agent knows target epoch {fact.target_epoch}, the history only {member.target_epoch}: the database went back in time"
    member.target_epoch = fact.target_epoch
    now.because = "higher epoch seen"
    now.changes.members[group.group_id, fact.host_id] = member
    deployment = next((one for one in group.live if one.awaits(fact.host_id)), group.deployment)
    deployment_id = None if deployment is None else deployment.deployment_id
    entry = HistoryEntry(now.at, Entry.HistoryWentBack, now.because, group.group_id, deployment_id, fact.host_id, message)
    now.changes.history.append(entry)
    for waiting in list(group.waiting):  # under another fence hosts would have to refuse what they have of it
        why = "the database went back in time, so it may have begun already; create it again if it is still wanted"
        line.leave(now, waiting, ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=why))
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


def see_holding(now: Decision, fact: HoldingSeen) -> None:
    """What a host says of itself is newer than what is stored, and than the reports of it that came before."""
    group, member = now.group, now.group.members.get(fact.host_id)
    if member is None or (member.installed, member.deployed) == (fact.installed, fact.deployed):
        return
    member.installed, member.deployed = fact.installed, fact.deployed
    now.changes.holdings[group.group_id, fact.host_id] = HoldingChange(fact.installed, fact.deployed)
    _stand_anew(group, fact.host_id)


def _stand_anew(group: Group, host_id: HostId) -> None:
    """What is known of a host has changed, so it may stand elsewhere in line."""
    for deployment in group.live:
        if (target := deployment.targets.get(host_id)) is not None:
            batches.join(group, deployment, target)
