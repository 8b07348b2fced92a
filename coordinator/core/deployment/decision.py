"""One fact being decided: where its rows and orders go, and what the history says of it."""

from dataclasses import dataclass
from typing import Final

from coordinator.core.facts import RequestKey
from coordinator.core.lifecycle import TARGET_AGAIN, TARGET_NEXT, TargetStatus
from coordinator.core.model import Deployment, Group, HostId, Plan, Target
from coordinator.core.orders import Changes, Entry, HistoryEntry, Order
from coordinator.core.stages import counting


@dataclass(slots=True)
class Decision:
    """What a step has written so far, and the fact at hand; `because` and `principal` are what the history calls it."""

    group: Group
    changes: Changes
    orders: list[Order]
    at: int = 0
    elapsed: int = 0
    because: str = ""
    principal: str = "coordinator"

    def move(self, deployment: Deployment, target: Target, status: TargetStatus, told: str = "") -> None:
        """Change a target's status: the one place where that is done, so the counters are right."""
        moves = status in TARGET_NEXT[target.status] or status in TARGET_AGAIN.get(target.status, ())
        assert moves, f"{target.host_name} cannot go from {target.status.name} to {status.name}"
        before, target.status = target.status, status
        counting.moved(deployment, target, before)
        self.store(target)
        self.tell(deployment, _ENTRIES[status], told or target.message, target.host_id)

    def store(self, target: Target) -> None:
        """The target's row has changed. Targets of a deployment that gets them in the same commit are stored with it."""
        if target.deployment_id not in self.changes.created and target.deployment_id not in self.changes.begun:
            self.changes.targets[target] = None

    def tell(self, deployment: Deployment, entry: Entry, message: str = "", host_id: HostId | None = None) -> None:
        """Write an entry into the history of a deployment, and store its row."""
        deployment_id = deployment.plan.deployment_id
        told = HistoryEntry(self.at, entry, self.because, self.group.group_id, deployment_id, host_id, message, self.principal)
        self.changes.history.append(told)
        self.changes.deployments[deployment_id] = deployment

    def remember(self, request: RequestKey | None, plan: Plan) -> None:
        """The operator's call is done, and a repeat of it must not do it again."""
        if request is not None and request.request_id:
            self.changes.requests.append((request, plan.deployment_id))


_ENTRIES: Final[dict[TargetStatus, Entry]] = {
    status: Entry.Retried if status is TargetStatus.Pending else Entry(status.name) for status in TargetStatus
}
