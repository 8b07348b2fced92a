"""Hosts that were not there when their group was deployed to: who they are, and what they get (spec 4.3).

They get the revision of the group's last successful deployment, by a deployment of the coordinator's own. While another one is live they
wait for its end, and get what is the last successful revision then.

Whatever goes wrong is bounded: each such deployment leaves fewer newcomers. A host on which it fails is none any more: as any host that
failed, it is first in line for the next deployment. One that is lost in it, again and again, is let be after the third time.

Pure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from coordinator.core.errors import NoInstances
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Creator, Group, Member, Plan, RevisionId, Snapshot

MISSED_AT_MOST: Final = 3
"""How often a host is brought up to date by itself and lost meanwhile: one that a revision brings down comes back for ever, as instances
of an Auto Scaling group do with CodeDeploy."""


def note(member: Member, plan: Plan, ended: TargetStatus) -> None:
    """A deployment to a host has ended: whether the host was there. Whoever misses a restart misses no revision."""
    if plan.restarts:
        return
    if ended is TargetStatus.Succeeded or not member.lost:
        member.missed = 0
    else:
        miss(member, plan)


def miss(member: Member, plan: Plan) -> None:
    """A host was away for a deployment. However many it was away for, it gets what it missed; what it misses of that is counted."""
    member.missed = max(member.missed, 1) + 1 if plan.creator is Creator.CodeDeployAutoUpdate else 1


def let_be(member: Member) -> None:
    """Somebody stopped what newcomers were to get: who had not begun does not get it by itself any more."""
    member.missed = MISSED_AT_MOST + 1


def is_newcomer(member: Member | None, revision_id: RevisionId) -> bool:
    """Whether a host has not its group's last successful revision because it was away: no deployment of the group has ever claimed it,
    or it missed the last one."""
    if member is None:
        return True
    never = member.target_epoch == 0 and member.missed == 0
    return (never or 0 < member.missed <= MISSED_AT_MOST) and not member.has(revision_id)


def chosen(group: Group, plan: Plan, hosts: Sequence[Snapshot]) -> list[Snapshot]:
    """The newcomers among a group's hosts, or among those that the plan names, if they are there."""
    revision_id = plan.revision.revision_id
    there = [host for host in hosts if not host.lost and (plan.chosen is None or host.host_id in plan.chosen)]
    return [host for host in there if is_newcomer(group.members.get(host.host_id), revision_id)]


def refusal(group: Group, plan: Plan) -> NoInstances | None:
    """Why newcomers do not get what was found for them: meanwhile another revision has succeeded."""
    last = group.last_successful
    if plan.creator is not Creator.CodeDeployAutoUpdate or (last is not None and last.revision.revision_id == plan.revision.revision_id):
        return None
    return NoInstances(f"cannot bring revision {plan.revision.revision_id} to newcomers of {plan.group_name}: it did not succeed last")


def frozen(group: Group, plan: Plan) -> Plan:
    """Newcomers' files that exist are treated as those of the deployment whose revision they get."""
    last = group.last_successful
    if plan.creator is not Creator.CodeDeployAutoUpdate or last is None:
        return plan
    return replace(plan, file_exists_behavior=last.file_exists_behavior)
