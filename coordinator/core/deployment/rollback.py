"""Whether a deployment that did not succeed is rolled back, what its rollback deploys, and to whom (spec 4.4).

A rollback is a new deployment of the revision that was the group's last successful one when the failed or stopped deployment was created,
with that one's word on files that exist, to the hosts that were touched: the others still have what they had. It is never rolled back
itself. It never fails for a host that is offline before it has gone to those that are not.

Pure: everything was frozen in the plan.
"""

from dataclasses import replace
from typing import Final

from coordinator.core.lifecycle import DeploymentErrorCode, TargetStatus
from coordinator.core.model import (
    AutoRollbackEvent,
    Creator,
    Deployment,
    DeploymentId,
    OfflineAction,
    OfflinePolicy,
    Plan,
    RollbackConfig,
    Shape,
    Target,
)

STOPPED_BY: Final = {
    DeploymentErrorCode.MANUAL_STOP: AutoRollbackEvent.DEPLOYMENT_STOP_ON_REQUEST,
    DeploymentErrorCode.ALARM_ACTIVE: AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM,
    DeploymentErrorCode.ANALYSIS_FAILED: AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM,
    DeploymentErrorCode.ALARM_POLL_FAILED: None,  # nobody knows whether anything is wrong: an operator decides
}
"""Which event the end of a deployment is that was stopped. Every other bad end is a failure."""


def wanted(deployment: Deployment) -> bool:
    """Whether this deployment, which has failed or stopped, is to be rolled back: who stopped it decides, else its events."""
    if deployment.roll_back is not None:
        return deployment.roll_back
    assert deployment.error is not None
    return STOPPED_BY.get(deployment.error.code, AutoRollbackEvent.DEPLOYMENT_FAILURE) in deployment.plan.auto_rollback


def touched(deployment: Deployment) -> list[Target]:
    """Targets whose hosts an instruction was sent to and that did not answer that nothing had begun, in the order of the line. Of a target
    that is tried again it counts what was tried before."""
    return [one for one in deployment.targets.values() if one.attempt > 1 or _began(one)]


def _began(target: Target) -> bool:
    return target.started_at is not None and target.status is not TargetStatus.Skipped


def plan(deployment: Deployment, at: int) -> Plan | str:
    """The rollback's plan, or a sentence that says why there cannot be one."""
    frozen = deployment.plan
    before = frozen.last_successful
    if frozen.rolls_back is not None:
        return f"cannot roll back: {frozen.deployment_id} is itself the rollback of {frozen.rolls_back}; deploy a revision that works"
    if not touched(deployment):
        return "cannot roll back: nothing had begun on any host, so all of them have what they had"
    if frozen.restarts:
        return f"cannot roll back: it restarts revision {frozen.revision.revision_id} and changes nothing else; deploy another revision"
    if before is None:
        return "cannot roll back: no deployment of this group had succeeded before; deploy a revision that works"
    revision = before.revision
    if revision.revision_id == frozen.revision.revision_id:
        return (
            f"cannot roll back: revision {revision.revision_id} is also the one that succeeded last; "
            "find out what else has changed, or deploy another revision"
        )
    lane = frozen.rollback_config or RollbackConfig(name=frozen.config_name, minimum_healthy_hosts=frozen.minimum_healthy_hosts)
    return replace(
        frozen,
        config_name=lane.name,
        minimum_healthy_hosts=lane.minimum_healthy_hosts,
        rollback_config=None,
        deployment_id=frozen.rollback_id,
        rollback_id=DeploymentId(""),
        revision=revision,
        file_exists_behavior=before.file_exists_behavior,
        creator=Creator.codeDeployRollback,
        created_by="coordinator",
        created_at=at,
        description=f"rolls back {frozen.deployment_id} to revision {revision.revision_id}",
        rolls_back=frozen.deployment_id,
        alarms=(),  # the one that made it necessary is active still, and nobody rolls back a rollback
        bake_time=0,
        watch_after_success=0,
        outdated_only=False,
        offline=OfflinePolicy() if frozen.offline.action is OfflineAction.FAIL else frozen.offline,
        require_approval=False,
        stages=(),  # whoever wants to go back wants it now: no stages, no gates, no floors of zones
        shape=Shape(),
        start_at=None,
        chosen=None,
    )
