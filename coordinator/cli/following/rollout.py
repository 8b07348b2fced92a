"""What was seen of one deployment while it is followed: pure bookkeeping, whose cost goes with what changes and not with the fleet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from coordinator.cli import protos
from coordinator.cli.wording.spelling import spelt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry, Target, WatchDeploymentResponse
    from hookline.v1.resources_pb2 import LifecycleEventRecord

ORDER = ("InProgress", "Failed", "Unknown", "Pending", "Succeeded", "Skipped")  # what matters most comes first
COUNTED = ("Succeeded", "Failed", "Unknown", "InProgress", "Pending", "Skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentChanged:
    """The deployment was seen, with the status it had before ("" the first time)."""

    deployment: "Deployment"
    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetChanged:
    """A target was seen, with how it was before (None the first time)."""

    target: "Target"
    before: "Target | None"

    @property
    def status_changed(self) -> bool:
        """Whether the target itself is in another status; Pending is where all begin."""
        before = self.before.status if self.before else protos.resources.TARGET_STATUS_PENDING
        return self.target.status != before

    def events(self) -> "Iterator[LifecycleEventRecord]":
        """The lifecycle events that began or ended. Those that are skipped say no more than their target does."""
        silent = (protos.resources.LIFECYCLE_EVENT_STATUS_PENDING, protos.resources.LIFECYCLE_EVENT_STATUS_SKIPPED)
        known = {event.lifecycle_event: event.status for event in self.before.lifecycle_events} if self.before else {}
        for event in self.target.lifecycle_events:
            if event.status and event.status not in silent and event.status != known.get(event.lifecycle_event):
                yield event


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmTold:
    """The history has told something of the deployment's alarms."""

    entry: "HistoryEntry"


Change: TypeAlias = DeploymentChanged | TargetChanged | AlarmTold


class Rollout:
    """A deployment and its targets, as far as they were seen."""

    def __init__(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self.deployment: Deployment | None = None
        self.targets: dict[str, Target] = {}
        self.by_status: dict[str, dict[str, None]] = {status: {} for status in ORDER}
        self.name_width = 0
        self.told: list[HistoryEntry] = []
        """What was told of its alarms, the newest first."""

    def apply(self, response: "WatchDeploymentResponse") -> list[Change]:
        """Take in one message; returns what is new in it."""
        match response.WhichOneof("message"):
            case "deployment":
                before = spelt(self.deployment, "status") if self.deployment else ""
                self.deployment = response.deployment
                return [DeploymentChanged(deployment=response.deployment, before=before)]
            case "targets":
                return [self._target(target) for target in response.targets.targets]
            case _:
                return []

    def tell(self, newest_first: "list[HistoryEntry]") -> list[Change]:
        """Take in what was told of the alarms since the last time; returns it in order."""
        self.told[:0] = newest_first
        return [AlarmTold(entry=entry) for entry in reversed(newest_first)]

    def _target(self, target: "Target") -> TargetChanged:
        before = self.targets.get(target.host_id)
        if before is not None:
            self.by_status[spelt(before, "status")].pop(target.host_id, None)
        self.by_status.setdefault(spelt(target, "status"), {})[target.host_id] = None
        self.targets[target.host_id] = target
        self.name_width = max(self.name_width, len(target.host_name))
        return TargetChanged(target=target, before=before)

    @property
    def total(self) -> int:
        """How many targets the deployment has."""
        overview = self.deployment.deployment_overview if self.deployment else None
        counted = overview.pending + overview.in_progress + overview.succeeded + overview.failed + overview.skipped if overview else 0
        return max(counted, len(self.targets))

    def counts(self) -> dict[str, int]:
        """How many of the targets seen have which status."""
        return {status: len(self.by_status[status]) for status in COUNTED}

    def worth_showing(self, rows: int) -> "list[Target]":
        """As many targets as there are rows: all by name where they fit, else those that matter most."""
        if len(self.targets) <= rows:
            return sorted(self.targets.values(), key=lambda target: target.host_name)
        chosen: list[Target] = []
        for hosts in self.by_status.values():
            for host_id in hosts:
                if len(chosen) >= rows:
                    return chosen
                chosen.append(self.targets[host_id])
        return chosen

    def failed(self) -> "list[Target]":
        """Targets that failed or were lost, by name."""
        hosts = [*self.by_status["Failed"], *self.by_status["Unknown"]]
        return sorted((self.targets[host_id] for host_id in hosts), key=lambda target: target.host_name)
