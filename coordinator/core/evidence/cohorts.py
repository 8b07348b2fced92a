"""Which hosts of a group can be compared while a deployment goes on: those that try a revision out, and as many that still have the old.

The *canary* are the hosts that have the new revision before the others: targets of the stages before the last, or, where a deployment goes
to a part of its group, all of its targets. The *control* is as large a part of those that nobody has touched yet and that have the old
revision. Which of them is told by a digest of deployment and host: it is nobody's choice, the same at every look, and a host only leaves
it when its own turn comes; then the next one in that order takes its place. Everybody else is the *rest*, and all are while nothing runs.

Pure.
"""

from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import Creator, Deployment, DeploymentId, HostId


class Cohort(StrEnum):
    """Which part of its group a host is."""

    CANARY = "canary"
    CONTROL = "control"
    REST = "rest"


class Standing(NamedTuple):
    """How a host of a group stands to its deployment."""

    host_id: HostId
    status: TargetStatus | None
    """Of its target; None: it is none."""
    tries: bool
    """It gets the revision before others do."""
    has_old: bool
    """It has the group's last successful revision, and nothing went wrong there since."""


def cohorts(deployment_id: DeploymentId, hosts: Iterable[Standing]) -> dict[HostId, Cohort]:
    """The canary and the control; whoever is in neither is the rest."""
    canary: list[HostId] = []
    untouched: list[HostId] = []
    for host_id, status, tries, has_old in hosts:
        if tries and status is TargetStatus.Succeeded:
            canary.append(host_id)
        elif has_old and (status is None or status is TargetStatus.Pending):
            untouched.append(host_id)
    untouched.sort(key=lambda host_id: _lot(deployment_id, host_id))
    found = dict.fromkeys(untouched[: len(canary)], Cohort.CONTROL)
    return found | dict.fromkeys(canary, Cohort.CANARY)


def has_canary(deployment: Deployment) -> bool:
    """Whether any host of a deployment is a canary now."""
    if not compares(deployment.plan.creator):
        return False
    if len(deployment.targets) < len(deployment.members):
        return deployment.counts[TargetStatus.Succeeded] > 0
    early = deployment.tally[: deployment.plan.last_stage]
    return not deployment.status.terminal and any(one.succeeded for one in early)


def compares(creator: Creator) -> bool:
    """Whether a deployment tries anything out: a rollback and one for newcomers bring what has succeeded before."""
    return creator is Creator.user


def _lot(deployment_id: DeploymentId, host_id: HostId) -> bytes:
    return blake2b(f"{deployment_id}/{host_id}".encode(), digest_size=8).digest()
