"""Why a deployment is refused, and why one ends badly: sentences for people, with counts, and hosts by name.

CodeDeploy accepts a deployment without hosts, or with a minimum that leaves none to deploy to, and lets it fail at once. Here the call
is refused: whoever asked learns it in the same breath, and nothing is written.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from coordinator.core.deployment import batches, newcomers, selection
from coordinator.core.errors import Denied, DeployError, DeploymentLimitExceeded, HealthConstraintsInvalid, InvalidOperation, NoInstances
from coordinator.core.lifecycle import DeploymentErrorCode, TargetStatus
from coordinator.core.model import Creator, Deployment, ErrorInformation, Group, Plan, Snapshot, Target
from coordinator.core.stages import gates, shaping, zones

NAMED: Final = 5
"""So many hosts are named, the rest is counted."""


Unfit = NoInstances | HealthConstraintsInvalid
"""Why a deployment cannot begin with the hosts that there are."""


def in_the_way(plan: Plan, other: Deployment) -> DeployError:
    """Another deployment of the group is under way, and this one may not wait for its end."""
    if other.waits_for_turn:
        what = " is about to begin; wait until it has ended, or stop it"
    elif other.status.terminal:
        what = " has regressed and is about to be rolled back; wait until that has ended"
    elif other.plan.creator is Creator.CodeDeployAutoUpdate:
        what = ", which brings newcomers up to date, is still going on; wait until it has ended, or stop it"
    else:
        what = " is still going on; wait until it has ended, or stop it"
    return DeploymentLimitExceeded(f"cannot deploy to {plan.group_name}: deployment {other.deployment_id}{what}")


def unfit(group: Group, plan: Plan, snapshots: Sequence[Snapshot]) -> Iterator[Unfit]:
    """Every reason why a deployment cannot begin with these hosts of its group, the first one first."""
    hosts, by_itself = len(snapshots), plan.creator is Creator.CodeDeployAutoUpdate
    if hosts == 0 and by_itself:
        yield _nobody_selected(plan, snapshots)
        return
    if hosts == 0:
        yield NoInstances(
            f"cannot deploy to {plan.group_name}: no host matches its tag filters, so nothing is deployed; tag hosts, or change the filters"
        )
        return  # nothing else can be said of no hosts
    if (stale := newcomers.refusal(group, plan)) is not None:
        yield stale
    chosen = selection.selected(group, plan, snapshots)
    if not chosen:
        yield _nobody_selected(plan, snapshots)
    elif (misshapen := shaping.refusal(group, plan, snapshots, chosen)) is not None:
        yield misshapen
    if by_itself and chosen and (full := newcomers.no_room(group, plan, snapshots, chosen)) is not None:
        yield full
    minimum = plan.minimum_healthy_hosts.of(hosts)
    beside = by_itself and group.deployment is not None  # it takes nobody who serves
    if hosts > 1 and minimum >= hosts and not beside:
        yield HealthConstraintsInvalid(
            f"cannot deploy to {plan.group_name}: {plan.config_name} keeps {minimum} of {hosts} hosts healthy, which leaves none to "
            "deploy to, so nothing is deployed; use a config with a lower minimum, or add hosts"
        )
    back = plan.rollback_config
    if back is not None and hosts > 1 and (kept := back.minimum_healthy_hosts.of(hosts)) >= hosts:
        yield HealthConstraintsInvalid(
            f"cannot deploy to {plan.group_name}: its rollbacks go by {back.name}, which keeps {kept} of {hosts} hosts healthy and leaves "
            "none to roll back, so nothing is deployed; name another config for rollbacks, or add hosts"
        )


def _nobody_selected(plan: Plan, snapshots: Sequence[Snapshot]) -> NoInstances:
    if plan.creator is Creator.CodeDeployAutoUpdate:
        return NoInstances(f"cannot bring revision {plan.revision.revision_id} to newcomers of {plan.group_name}: there are none")
    if plan.chosen is not None and not plan.chosen & {one.host_id for one in snapshots}:
        return NoInstances(f"cannot deploy to {plan.group_name}: none of the hosts that were named is among its hosts any more")
    last = plan.last_successful
    if plan.restarts and last is not None and last.revision.revision_id != plan.revision.revision_id:  # it has waited for its turn
        return NoInstances(
            f"cannot restart {plan.group_name}: revision {last.revision.revision_id} has succeeded meanwhile, and no host has revision "
            f"{plan.revision.revision_id} installed any more; restart it again if that is still wanted"
        )
    if plan.restarts:
        return NoInstances(
            f"cannot restart {plan.group_name}: none of its hosts, or of those that were named, has revision {plan.revision.revision_id} "
            "installed; deploy it"
        )
    named = "each host that was named" if plan.chosen is not None else "every host"
    return NoInstances(
        f"cannot deploy to {plan.group_name}: {named} has revision {plan.revision.revision_id} already and is healthy, so nothing is "
        "deployed; to deploy it again, do not ask for outdated hosts only"
    )


def stopped_by(who: str, reason: str) -> str:
    """Somebody asked to stop."""
    return f"stopped by {who}: {reason}" if reason else f"stopped by {who}"


def wished(who: str, *, roll_back: bool) -> str:
    """Somebody said of a deployment that stops already whether it is to be rolled back."""
    return f"{who} wants it rolled back" if roll_back else f"{who} wants no rollback"


def no_approval(deployment: Deployment, by: str) -> DeployError | None:
    """Why an approval is refused; None when it counts."""
    plan = deployment.plan
    if any(stage.pause.gate is not None for stage in plan.stages) and not deployment.waits_for_approval and deployment.stopping is None:
        return InvalidOperation(f"cannot approve deployment {plan.deployment_id}: it waits at no gate now")
    if not plan.require_approval:
        begun = "it begins by itself when its turn has come" if deployment.waits_for_turn else "it has begun already"
        return InvalidOperation(f"cannot approve deployment {plan.deployment_id}: it needs no approval, {begun}")
    if deployment.stopping is not None:
        return InvalidOperation(f"cannot approve deployment {plan.deployment_id}: {deployment.stopping.message}")
    if deployment.approved_by:
        return InvalidOperation(f"cannot approve deployment {plan.deployment_id}: {deployment.approved_by} has approved it already")
    if by == plan.created_by:
        return Denied(f"cannot approve deployment {plan.deployment_id}: {by} created it, and {plan.group_name} takes the word of a second")
    return None


def nobody_approved(deployment: Deployment, within: int) -> ErrorInformation:
    """It has waited in vain."""
    message = f"nobody other than {deployment.plan.created_by} approved it within {within // 3_600_000} h"
    return ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message)


def cannot_go_on(group: Group, deployment: Deployment) -> ErrorInformation:
    """Targets wait, and none of them may begin."""
    failed, hosts, minimum = _failed(deployment), len(deployment.members), batches.minimum(deployment)
    if len(failed) >= batches.window(deployment):
        must = f"at least {minimum} must stay healthy"
        if len(deployment.targets) != hosts:
            must = f"at least {minimum} of the group's {hosts} must stay healthy"
        return _error(failed, f"cannot go on: {len(failed)} of {len(deployment.targets)} hosts failed ({_names(failed)}), {must}")
    also = f"; {len(failed)} failed ({_names(failed)})" if failed else ""
    if (zone := zones.in_the_way(deployment)) is not None:
        return _error(failed, f"cannot go on in {zone.name}: at least {zone.minimum} of its {zone.hosts} hosts must stay healthy{also}")
    return _error(
        failed, f"cannot go on: {deployment.available} of {hosts} hosts are healthy, at least {deployment.floor} must stay healthy{also}"
    )


def no_further_stage(group: Group, deployment: Deployment) -> ErrorInformation | None:
    """Why no stage may follow the present one, whose hosts have all ended; None when one may."""
    index = deployment.progress.stage
    tally = deployment.tally[index]
    if tally.failed > 0 and tally.succeeded == 0:
        failed = [one for one in _failed(deployment) if one.stage == index]
        return _error(failed, f"cannot go on: no host of {gates.called(deployment.plan, index)} succeeded ({_names(failed)})")
    waits = deployment.counts[TargetStatus.Pending] > 0
    return cannot_go_on(group, deployment) if waits and batches.failed(deployment) >= batches.window(deployment) else None


def nobody_succeeded(deployment: Deployment) -> ErrorInformation:
    """Every target has ended, none of them well."""
    failed = _failed(deployment)
    if not failed:
        return _error(failed, f"no host succeeded: all {len(deployment.targets)} were left out")
    if len(failed) == 1:
        return _error(failed, f"no host succeeded: the only one failed ({failed[0].host_name})")
    return _error(failed, f"no host succeeded: all {len(failed)} failed ({_names(failed)})")


def _error(failed: Sequence[Target], message: str) -> ErrorInformation:
    """HEALTH_CONSTRAINTS, or AGENT_ISSUE when no agent of those that failed has ever answered (spec 4.7)."""
    if failed and not any(one.accepted for one in failed):
        message += "; their agents never answered: see whether they run and can reach the coordinator"
        return ErrorInformation(code=DeploymentErrorCode.AGENT_ISSUE, message=message)
    return ErrorInformation(code=DeploymentErrorCode.HEALTH_CONSTRAINTS, message=message)


def _failed(deployment: Deployment) -> list[Target]:
    bad = (TargetStatus.Failed, TargetStatus.Unknown)
    return sorted((one for one in deployment.targets.values() if one.status in bad), key=lambda one: one.host_name)


def _names(failed: Sequence[Target]) -> str:
    names = [one.host_name for one in failed[:NAMED]]
    if len(failed) > NAMED:
        names.append(f"and {len(failed) - NAMED} more")
    return ", ".join(names)
