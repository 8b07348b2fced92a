"""What becomes of a host that is offline when its turn has come: by the group's policy it is waited for, left out, or fails.

CodeDeploy targets stopped instances and lets them fail (spec 4.2). Pure: asks the running deployment, changes nothing.
"""

from coordinator.core.deployment import target as targets
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Deployment, OfflineAction, Target


def goes_first(deployment: Deployment) -> bool:
    """Whether offline hosts are decided about before anybody else begins: then a deployment that may not go without them ends early."""
    return deployment.plan.offline.action is OfflineAction.FAIL


def is_tried(deployment: Deployment) -> bool:
    """Whether an offline host is instructed in its turn, in the hope that it comes back."""
    return deployment.plan.offline.action is OfflineAction.WAIT


def passed_over(deployment: Deployment, target: Target) -> targets.Ending:
    """How an offline host ends that is not tried."""
    name = target.host_name
    if _may_go_without(deployment):
        return targets.Ending(TargetStatus.Skipped, "", f"{name} was offline when its turn came: it is left out")
    budget = deployment.plan.offline.budget
    more = f", and no more than {budget} may be left out" if budget else ""
    return targets.Ending(TargetStatus.Failed, "", f"{name} was offline when its turn came{more}")


def timed_out(deployment: Deployment, target: Target) -> targets.Ending:
    """How a host ends that has not accepted its instruction in time: one that has been offline since may be gone without. Of one that was
    there nobody can say that it has not begun."""
    failed = targets.silent(deployment.plan, target)
    all_the_time = target.lost_at is not None and target.lost_at <= target.awaited_since
    if target.accepted or not all_the_time or not _may_go_without(deployment):
        return failed
    message = f"{target.host_name} was offline and did not come back in time: it is left out"
    return failed._replace(status=TargetStatus.Skipped, message=message)


def _may_go_without(deployment: Deployment) -> bool:
    """Whether one host more may be left out. While a deployment does not stop, nobody else is Skipped."""
    budget = deployment.plan.offline.budget
    return deployment.stopping is None and (budget is None or deployment.counts[TargetStatus.Skipped] < budget)
