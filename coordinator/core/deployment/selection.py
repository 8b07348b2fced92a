"""To which of a group's hosts a deployment goes: to all, to those that were named, to those that do not have the
revision (spec 3.4), to newcomers, or, to restart it, to those that have it installed.

Whatever is chosen, the deployment's members are all hosts of the group but those that belong to another live one: N, M and the floor
count them.

Pure: asks the running group, changes nothing.
"""

from collections.abc import Sequence

from coordinator.core.deployment import newcomers
from coordinator.core.model import Creator, Deployment, Group, HostId, Plan, RevisionId, Snapshot


def selected(group: Group, plan: Plan, hosts: Sequence[Snapshot]) -> list[Snapshot]:
    """Those of a group's hosts that become targets, as they were listed."""
    if plan.creator is Creator.CodeDeployAutoUpdate:
        return newcomers.chosen(group, plan, hosts)
    named = [host for host in hosts if plan.chosen is None or host.host_id in plan.chosen]
    if plan.restarts:
        return [host for host in named if _installed(group, host.host_id) == plan.revision.revision_id]
    if not plan.outdated_only:
        return named
    return [host for host in named if not up_to_date(group, host.host_id, plan.revision.revision_id)]


def up_to_date(group: Group, host_id: HostId, revision_id: RevisionId) -> bool:
    """Whether a host has a revision and nothing went wrong there since: it has no need of a deployment of it."""
    member = group.members.get(host_id)
    return member is not None and member.has(revision_id)


def _installed(group: Group, host_id: HostId) -> RevisionId | None:
    member = group.members.get(host_id)
    return None if member is None else member.installed


def covers(group: Group, deployment: Deployment) -> bool:
    """Whether the success of a deployment is the whole group's: what it did not go to has its revision as well.

    What was tried on a few hosts is nothing to roll back to, nor to bring to newcomers.
    """
    revision_id = deployment.plan.revision.revision_id
    if deployment.plan.restarts:  # what succeeded last has succeeded already, with its own word on files
        return False
    if group.last_successful is not None and group.last_successful.revision.revision_id == revision_id:
        return True
    if deployment.plan.creator is Creator.CodeDeployAutoUpdate:  # another one has succeeded meanwhile
        return False
    if len(deployment.targets) == len(deployment.members):
        return True
    return all(host_id in deployment.targets or up_to_date(group, host_id, revision_id) for host_id in deployment.members)
