"""Somebody wants a revision deployed."""

from dataclasses import replace

from coordinator.core.deployment import batches, bounds, newcomers, reasons, selection
from coordinator.core.deployment.decision import Decision
from coordinator.core.facts import DeploymentRequested
from coordinator.core.model import Creator, Member
from coordinator.core.orders import Answer
from coordinator.core.stages import shaping


def create(now: Decision, fact: DeploymentRequested) -> None:
    """Make the deployment, or say why it cannot be."""
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
    chosen = selection.selected(group, fact)
    layout = shaping.laid_out(group, fact, batches.in_line(group, chosen))
    hosts = [(host.host_id, host.name) for host in chosen]
    bounds.create(now, replace(plan, stages=layout.stages), hosts, frozenset(host.host_id for host in fact.hosts), layout)
