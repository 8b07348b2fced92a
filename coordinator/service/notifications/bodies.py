"""What is sent: CodeDeploy's bodies with its field names (spec 3.3), and CloudEvents' headers around them.

Pure. Counts and lifecycle events are as they stand when the body is made; the status is that of the event.
"""

import datetime
import json
from dataclasses import dataclass
from typing import Final

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import TriggerEvent
from coordinator.service.notifications.ports import Notice
from coordinator.service.records import DeploymentGroup, DeploymentRecord, TargetRecord

ACCOUNT: Final = "000000000000"
"""There is none; who reads CodeDeploy's bodies may want twelve digits."""

TYPE: Final = "hookline.v1."
"""What the types of CloudEvents begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, and all that is said of it."""

    trigger_name: str
    cluster: str
    """What tells this coordinator from others."""
    event: TriggerEvent
    notice: Notice
    deployment: DeploymentRecord
    target: TargetRecord | None
    """Of an event of a host; None also when nothing is known of that host any more."""

    @property
    def id(self) -> str:
        """The same whenever this is sent, and that of no other event. History ids alone come again after an old backup was restored."""
        return f"{self.notice.history_id}-{self.notice.at}"


def body(told: Told) -> dict[str, object]:
    """CodeDeploy's JSON."""
    return _of_host(told) if told.notice.host_id else _of_deployment(told)


def test_body(cluster: str, group: DeploymentGroup, trigger_name: str, message: str) -> dict[str, object]:
    """CodeDeploy's JSON of a deployment that there is not."""
    return {
        "region": cluster,
        "accountId": ACCOUNT,
        "eventTriggerName": trigger_name,
        "applicationName": group.application_name,
        "deploymentId": "d-TEST",
        "deploymentGroupName": group.name,
        "deploymentOverview": dict.fromkeys(("Failed", "InProgress", "Pending", "Skipped", "Succeeded"), "0"),
        "status": "Test",
        "errorInformation": {"ErrorCode": "TEST", "ErrorMessage": message},
    }


def encoded(body: dict[str, object]) -> bytes:
    """A body as it is sent."""
    return json.dumps(body, ensure_ascii=False).encode()


def cloud_event(told: Told) -> dict[str, str]:
    """The headers of CloudEvents 1.0, in its binary mode."""
    notice = told.notice
    host = f"/{notice.host_id}" if notice.host_id else ""
    return headers(
        told.id,
        told.event.name,
        source(told.cluster, notice.application_name, notice.group_name),
        at=notice.at,
        subject=f"{notice.deployment_id}{host}",
    )


def headers(id: str, kind: str, source: str, *, at: int, subject: str) -> dict[str, str]:
    """The headers of any event."""
    time = datetime.datetime.fromtimestamp(at / 1000, tz=datetime.UTC)
    return {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": id,
        "ce-type": f"{TYPE}{kind}",
        "ce-source": source,
        "ce-time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce-subject": subject,
    }


def source(cluster: str, application_name: str, group_name: str) -> str:
    """Where events of a group come from."""
    return f"/hookline/{cluster}/{application_name}/{group_name}"


def _of_deployment(told: Told) -> dict[str, object]:
    notice, deployment = told.notice, told.deployment
    said: dict[str, object] = {
        **_where(told),
        "applicationName": notice.application_name,
        "deploymentId": notice.deployment_id,
        "deploymentGroupName": notice.group_name,
        "createTime": _time(deployment.plan.created_at),
    }
    ended = told.event in (TriggerEvent.DeploymentSuccess, TriggerEvent.DeploymentFailure, TriggerEvent.DeploymentStop)
    if ended:
        said["completeTime"] = _time(notice.at)
    counts = deployment.counts
    others = (TargetStatus.InProgress, TargetStatus.Pending, TargetStatus.Skipped, TargetStatus.Succeeded)
    failed = counts.get(TargetStatus.Failed, 0) + counts.get(TargetStatus.Unknown, 0)
    said["deploymentOverview"] = {"Failed": str(failed)} | {status.name: str(counts.get(status, 0)) for status in others}
    said["status"] = notice.entry
    if ended and deployment.error is not None:
        said["errorInformation"] = {"ErrorCode": deployment.error.code.name, "ErrorMessage": deployment.error.message}
    if notice.rolls_back:
        said["rollbackInformation"] = {
            "RollbackTriggeringDeploymentId": notice.rolls_back,
            "RollbackMessage": deployment.plan.description,
        }
    return said


def _of_host(told: Told) -> dict[str, object]:
    notice = told.notice
    events = [
        {"LifecycleEvent": one.event.name, "LifecycleEventStatus": one.status.name}
        | ({} if one.started_at is None else {"StartTime": _time(one.started_at)})
        | ({} if one.ended_at is None else {"EndTime": _time(one.ended_at)})
        for one in (() if told.target is None else told.target.events)
    ]
    return {
        **_where(told),
        "deploymentId": notice.deployment_id,
        "instanceId": notice.host_name,
        "lastUpdatedAt": _time(notice.at),
        "instanceStatus": notice.entry,
        "lifecycleEvents": events,
    }


def _where(told: Told) -> dict[str, object]:
    return {"region": told.cluster, "accountId": ACCOUNT, "eventTriggerName": told.trigger_name}


def _time(milliseconds: int) -> str:
    """Seconds since 1970, as CodeDeploy writes them."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}"
