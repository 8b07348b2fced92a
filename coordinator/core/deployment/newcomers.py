"""Hosts that were not there when their group was deployed to: who they are, and what they get (spec 4.3).

They get the revision of the group's last successful deployment, by a deployment of the coordinator's own. That goes beside the one that
somebody has asked for, if there is one: a host belongs to one of the two at a time. Those that came after that one was created get what
had succeeded before it, and what it brings when it has succeeded; those that it counts wait for its end.

Whatever goes wrong is bounded: each such deployment leaves fewer newcomers. A host on which it fails is none any more: as any host that
failed, it is first in line for the next deployment. One that is lost in it, again and again, is let be after the third time.

Pure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from coordinator.core.deployment.decision import Decision
from coordinator.core.errors import HealthConstraintsInvalid, NoInstances
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Creator, Deployment, Group, Member, Plan, RevisionId, Snapshot

MISSED_AT_MOST: Final = 3
"""How often a host is brought up to date by itself and lost meanwhile: one that a revision brings down comes back for ever, as instances
of an Auto Scaling group do with CodeDeploy."""


def note(group: Group, member: Member, plan: Plan, ended: TargetStatus) -> None:
    """A deployment to a host has ended: whether the host was there. Whoever misses a restart misses no revision."""
    if plan.restarts:
        return
    if member.lost and ended is not TargetStatus.Succeeded:
        miss(member, plan)
    else:
        member.missed = 1 if _is_outdated(group, plan) else 0


def leave_behind(now: Decision, deployment: Deployment) -> None:
    """A deployment has succeeded that some hosts have no part in, since they have come after it was made: they have missed it."""
    group, last = now.group, now.group.last_successful
    if last is not None and last.revision.revision_id == deployment.plan.revision.revision_id:
        return  # there is nothing to miss
    for host_id, member in group.members.items():
        if host_id not in deployment.members and member.target_epoch and not member.missed:
            member.missed = 1
            now.changes.members[group.group_id, host_id] = member


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


def apart(group: Group, plan: Plan, hosts: Sequence[Snapshot]) -> Sequence[Snapshot]:
    """Those of a group's hosts that a deployment may go to, and counts: not those that belong to the other one that is live."""
    other = group.deployment if plan.creator is Creator.CodeDeployAutoUpdate else group.newcomers
    if other is None:
        return hosts
    if other is group.deployment:
        return [host for host in hosts if host.host_id not in other.members]
    return [host for host in hosts if not other.awaits(host.host_id)]


def chosen(group: Group, plan: Plan, hosts: Sequence[Snapshot]) -> list[Snapshot]:
    """The newcomers among a group's hosts, or among those that the plan names, if they are there. Beside another deployment nobody is
    taken who serves: two windows must not open over the same floor."""
    revision_id, beside = plan.revision.revision_id, group.deployment is not None
    there = [host for host in hosts if not host.lost and (plan.chosen is None or host.host_id in plan.chosen)]
    found = [host for host in there if is_newcomer(group.members.get(host.host_id), revision_id)]
    return [host for host in found if not (beside and host.host_id in group.members and group.members[host.host_id].serves)]


def refusal(group: Group, plan: Plan) -> NoInstances | None:
    """Why newcomers do not get what was found for them: meanwhile another revision has succeeded."""
    if plan.creator is not Creator.CodeDeployAutoUpdate or not _is_outdated(group, plan):
        return None
    return NoInstances(f"cannot bring revision {plan.revision.revision_id} to newcomers of {plan.group_name}: it did not succeed last")


def no_room(group: Group, plan: Plan, hosts: Sequence[Snapshot], chosen: Sequence[Snapshot]) -> HealthConstraintsInvalid | None:
    """Why none of the newcomers who were chosen could begin: all of them serve, and no host may go down. They wait: else a deployment
    would be made of them that ends at once, and another one, for as long as that is so."""
    serving = {one.host_id for one in hosts if not one.lost and one.host_id in group.members and group.members[one.host_id].serves}
    minimum = plan.minimum_healthy_hosts.of(len(hosts))
    if len(hosts) == 1 or len(serving) > minimum or not all(host.host_id in serving for host in chosen):
        return None
    return HealthConstraintsInvalid(
        f"cannot bring revision {plan.revision.revision_id} to newcomers of {plan.group_name} now: they serve with what they have, and "
        f"{len(serving)} of {len(hosts)} hosts are healthy, of which none may go down, since {plan.config_name} keeps {minimum}; "
        "they get it when more hosts are healthy, or by a config with a lower minimum"
    )


def _is_outdated(group: Group, plan: Plan) -> bool:
    """Whether newcomers get what is not, or not any more, their group's last successful revision."""
    last = group.last_successful
    own = last is not None and last.revision.revision_id == plan.revision.revision_id
    return plan.creator is Creator.CodeDeployAutoUpdate and not own


def frozen(group: Group, plan: Plan) -> Plan:
    """Newcomers' files that exist are treated as those of the deployment whose revision they get."""
    last = group.last_successful
    if plan.creator is not Creator.CodeDeployAutoUpdate or last is None:
        return plan
    return replace(plan, file_exists_behavior=last.file_exists_behavior)
