"""How a deployment comes to be, and how it ends: in one step with its rollback, if there is to be one.

Pure. Between the two stands `core/machine.py`; which revision a rollback deploys, and where, says `rollback`.
"""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.core.deployment import batches, newcomers, reasons, rollback, selection, watching
from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import late
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, Deployment, Group, HostId, Member, Plan, Snapshot, Success, Target
from coordinator.core.orders import Entry
from coordinator.core.queue import line
from coordinator.core.stages import counting, shaping
from coordinator.core.stages.shaping import ONE_STAGE, Layout


def get_to_know(now: Decision, hosts: Sequence[Snapshot]) -> None:
    """These are the group's hosts now: those that it has not seen before become members of it."""
    group = now.group
    for host in hosts:
        member = group.members.get(host.host_id)
        if member is None:
            member = group.members[host.host_id] = Member(host_id=host.host_id)
            now.changes.members[group.group_id, host.host_id] = member
        member.lost = host.lost


def begin(now: Decision, deployment: Deployment, plan: Plan, hosts: Sequence[Snapshot]) -> int:
    """Make a deployment the live one whose group has these hosts now; how many of them become its targets."""
    group = now.group
    chosen = selection.selected(group, plan, hosts)
    layout = shaping.laid_out(group, plan, hosts, batches.in_line(group, chosen))
    deployment.plan = replace(plan, stages=layout.stages)
    admit(now, deployment, [(host.host_id, host.name) for host in chosen], frozenset(host.host_id for host in hosts), layout)
    return len(chosen)


def make(now: Decision, plan: Plan) -> Deployment:
    """Write down a deployment that has no hosts yet."""
    waits = plan.require_approval
    status = DeploymentStatus.Created if waits else DeploymentStatus.Queued
    deployment = Deployment(plan=plan, status=status, targets={}, members=frozenset())
    now.changes.created[plan.deployment_id] = deployment
    what = f"restarts revision {plan.revision.revision_id}" if plan.restarts else ""
    now.tell(deployment, Entry.Created, ": ".join(part for part in (what, plan.description) if part))
    if waits:
        now.tell(deployment, Entry.ApprovalAwaited, f"somebody other than {plan.created_by} has to approve it")
    else:
        now.tell(deployment, Entry.Queued)
    return deployment


def admit(
    now: Decision, deployment: Deployment, hosts: list[tuple[HostId, str]], members: frozenset[HostId], layout: Layout = ONE_STAGE
) -> None:
    """Make it the live one, with these hosts as its targets, in the order of the line. They begin as soon as they may."""
    group, deployment_id = now.group, deployment.deployment_id
    made = [
        Target(deployment_id=deployment_id, host_id=host_id, host_name=name, stage=layout.stage_of.get(host_id, 0))
        for host_id, name in hosts
    ]
    made.sort(key=lambda one: batches.place(group, one))
    deployment.targets, deployment.members = {one.host_id: one for one in made}, members
    deployment.zones, deployment.zone_of = layout.zones, layout.zone_of
    deployment.counts, deployment.clock_at = dict.fromkeys(TargetStatus, 0), now.elapsed
    _occupy(group, deployment, deployment)
    watching.begin(now, deployment)
    deployment.counts[TargetStatus.Pending] = len(made)
    counting.count(group, deployment)
    deployment.available = batches.available(group, deployment)
    deployment.floor = min(batches.minimum(deployment), deployment.available)
    batches.line_up(group, deployment)


def _occupy(group: Group, deployment: Deployment, by: Deployment | None) -> None:
    """The place of a deployment among the live ones is taken, or is free again."""
    if deployment.plan.creator is Creator.CodeDeployAutoUpdate:
        group.newcomers, group.called = by, None  # whose turn could not come because of it is called once more
    else:
        group.deployment = by


def finish(now: Decision, deployment: Deployment) -> None:
    """Nothing is in progress and nothing waits: the deployment ends, in one step with its rollback if there is to be one."""
    group = now.group
    deployment.completed_at = now.at
    _occupy(group, deployment, None)
    now.changes.deployments[deployment.deployment_id] = deployment
    if deployment.plan.creator is Creator.CodeDeployAutoUpdate:
        late.join(now, deployment)
    if deployment.stopping is None and deployment.counts[TargetStatus.Succeeded] > 0:
        deployment.status = DeploymentStatus.Succeeded
        plan = deployment.plan
        if selection.covers(group, deployment):
            newcomers.leave_behind(now, deployment)
            success = Success(deployment_id=plan.deployment_id, revision=plan.revision, file_exists_behavior=plan.file_exists_behavior)
            _succeed(now, success)
        now.tell(deployment, Entry.Succeeded)
        if not late.begin(now, deployment):
            watching.end(now, deployment)
        return
    watching.end(now, deployment)
    deployment.error = deployment.stopping or reasons.nobody_succeeded(deployment)
    if deployment.error.code in rollback.STOPPED_BY:
        deployment.status = DeploymentStatus.Stopped
        now.tell(deployment, Entry.Stopped, deployment.error.message)
    else:
        deployment.status = DeploymentStatus.Failed
        now.tell(deployment, Entry.Failed, deployment.error.message)
    if rollback.wanted(deployment):
        _roll_back(now, deployment)


def take_back(now: Decision, watched: Deployment) -> None:
    """What was watched after its success has regressed, and nothing of the group is live: it is rolled back. It has not succeeded after
    all, so nobody else goes back to it, and no newcomer gets it."""
    group = now.group
    assert watched.stopping is not None
    late.end(now, watched.stopping.message)
    last, before = group.last_successful, watched.plan.last_successful
    if last is not None and before is not None and last.revision.revision_id == watched.plan.revision.revision_id:
        _succeed(now, before)
    _roll_back(now, watched)


def _succeed(now: Decision, last: Success) -> None:
    """Another deployment has succeeded last: by that hosts stand elsewhere in line that wait in what goes on."""
    group = now.group
    group.last_successful = last
    now.changes.groups[group.group_id] = group
    for deployment in group.live:
        batches.line_up(group, deployment)


def _roll_back(now: Decision, deployment: Deployment) -> None:
    plan = rollback.plan(deployment, now.at)
    if isinstance(plan, str):
        deployment.rollback_message = plan
        now.tell(deployment, Entry.RollbackSkipped, plan)
        return
    deployment.rollback_deployment_id = plan.deployment_id
    deployment.rollback_message = f"{plan.deployment_id} rolls back to revision {plan.revision.revision_id}"
    now.because = f"rollback of {deployment.deployment_id}"
    line.drop(now, deployment)
    touched = {one.host_id: one.host_name for one in rollback.touched(deployment)} | deployment.joined
    late.replaced(now, plan)
    admit(now, make(now, plan), list(touched.items()), deployment.members | deployment.joined.keys())
