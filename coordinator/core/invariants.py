"""What must be true of a group between two facts. Counts every target anew: for tests.

Knows the rules of `core/deployment/batches.py` and `deadlines.py`, and nothing of how `core/machine.py` keeps them.
"""

from coordinator.core.deployment import batches, deadlines
from coordinator.core.evidence import late
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, Deployment, Group
from coordinator.core.stages import counting, pauses


def check(group: Group, *, went_back: bool = False) -> None:
    """Assert all of it. `went_back`: the history has been forgotten once, so hosts may be in progress that nobody would have begun."""
    deployment, watched = group.deployment, group.watched
    if watched is not None:
        assert watched.status is DeploymentStatus.Succeeded, f"{watched.deployment_id} is watched and has not succeeded"
        assert watched.watched_from is not None
        assert watched.clock >= watched.watched_from, "its watch begins later"
        assert watched.stopping is None or late.spreading(group) is not None, f"{watched.deployment_id} has regressed, and nothing happens"
        assert deployment is None, "something else is deployed over what is watched"
    assert all(one.waits_for_turn and not one.targets for one in group.waiting), "something else than a deployment without hosts waits"
    assert [one.due_at for one in group.waiting] == sorted(one.due_at or 0 for one in group.waiting), "the queue is out of order"
    _check_places(group)
    for one in group.live:
        _check_live(group, one, went_back=went_back)


def _check_places(group: Group) -> None:
    """One host, one fence, one plan."""
    deployment, newcomers = group.deployment, group.newcomers
    assert deployment is None or deployment.plan.creator is not Creator.CodeDeployAutoUpdate, "newcomers are in the place of others"
    assert newcomers is None or newcomers.plan.creator is Creator.CodeDeployAutoUpdate, "something else is in the place of newcomers"
    if deployment is not None and newcomers is not None:
        shared = [host_id for host_id in deployment.members if newcomers.awaits(host_id)]
        assert not shared, f"{', '.join(shared)} belong to two deployments"


def _check_live(group: Group, deployment: Deployment, *, went_back: bool) -> None:
    assert not deployment.status.terminal, f"{deployment.deployment_id} has ended and is still live"
    counted = dict.fromkeys(TargetStatus, 0)
    for host_id, one in deployment.targets.items():
        counted[one.status] += 1
        member = group.members[host_id]
        assert (one.status is TargetStatus.Pending) == (one.started_at is None and one.ended_at is None), one
        assert (one.lost_at is not None) <= (member.lost or one.status.terminal), f"{one.host_name} is not lost"
        assert (one.started_at is None) == (one.target_epoch == 0), f"{one.host_name} began without a fence"
        assert one.target_epoch <= member.target_epoch, f"the fence of {one.host_name} went back"
        assert one.status is not TargetStatus.Pending or one.event is None, f"{one.host_name} reported before it began"
    assert deployment.counts == counted, f"counts {deployment.counts} are not {counted}"
    assert set(deployment.targets) <= deployment.members <= set(group.members)
    assert deployment.available == batches.available(group, deployment), f"available {deployment.available} is wrong"
    assert deployment.floor <= batches.minimum(deployment)
    assert batches.lined_up(group, deployment), "a pending target stands in no line"
    assert deadlines.watched(deployment), "a target in progress has no deadline"
    in_progress, pending = counted[TargetStatus.InProgress], counted[TargetStatus.Pending]
    assert went_back or in_progress + batches.failed(deployment) <= batches.window(deployment), "too many hosts are in progress"
    waiting = deployment.blind_since is not None or deployment.progress.baked_from is not None or deployment.progress.paused is not None
    watching = deployment.stopping is None and waiting
    waits = deployment.waits_for_approval
    assert in_progress > 0 or watching or (waits and pending > 0), "nothing is in progress: it should have ended"
    began = waits and any(one.started_at is not None for one in deployment.targets.values())
    assert went_back or not began, "hosts have begun before anybody has approved it"
    assert deployment.approved_by != deployment.plan.created_by, "who created it has approved it"
    assert deployment.stopping is None or pending == 0, "hosts wait for a deployment that stops"
    _check_stages(group, deployment, went_back=went_back)


def _check_stages(group: Group, deployment: Deployment, *, went_back: bool) -> None:
    tally, available, held = deployment.tally, deployment.zone_available, deployment.zone_held
    counting.count(group, deployment)
    assert (tally, available, held) == (deployment.tally, deployment.zone_available, deployment.zone_held), "stages or zones are miscounted"
    progress, plan = deployment.progress, deployment.plan
    for one in deployment.targets.values():
        assert went_back or one.stage <= progress.stage or one.started_at is None, f"{one.host_name} began before its stage"
    gates = {one.stage for one in progress.passed}
    assert all(plan.stages[stage].pause.gate is None or stage in gates for stage in range(progress.stage)), "a gate was not waited for"
    assert progress.baked_from is None or pauses.is_over(deployment) or deployment.stopping is not None, "it bakes before the last host"
    for index, zone in enumerate(deployment.zones):
        assert went_back or held[index] <= zone.window, f"too many hosts of {zone.name} are in progress"
