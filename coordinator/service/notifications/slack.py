"""The same for people: messages for Slack, and for what takes its incoming webhooks. Pure."""

from typing import Final

from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import TriggerEvent
from coordinator.service.notifications.bodies import Told

SIGNS: Final = {
    TriggerEvent.DeploymentStart: ":arrow_forward:",
    TriggerEvent.DeploymentSuccess: ":white_check_mark:",
    TriggerEvent.DeploymentFailure: ":x:",
    TriggerEvent.DeploymentStop: ":octagonal_sign:",
    TriggerEvent.DeploymentRollback: ":rewind:",
    TriggerEvent.InstanceStart: ":arrow_forward:",
    TriggerEvent.InstanceSuccess: ":white_check_mark:",
    TriggerEvent.InstanceFailure: ":x:",
}
WORDS: Final = {
    TriggerEvent.DeploymentStart: "has begun",
    TriggerEvent.DeploymentSuccess: "has succeeded",
    TriggerEvent.DeploymentFailure: "has failed",
    TriggerEvent.DeploymentStop: "was stopped",
    TriggerEvent.InstanceStart: "has begun on",
    TriggerEvent.InstanceSuccess: "has succeeded on",
    TriggerEvent.InstanceFailure: "has failed on",
}
LONGEST: Final = 1_000
"""Characters of why something failed."""


def message(told: Told) -> dict[str, object]:
    """A text for notifications, and blocks that are shown."""
    notice, plan = told.notice, told.deployment.plan
    where = f"{notice.application_name}/{notice.group_name}"
    if told.event is TriggerEvent.DeploymentRollback:
        words = f"{notice.deployment_id} rolls back {notice.rolls_back} of *{escaped(where)}*"
    else:
        host = f" {notice.host_name}" if notice.host_id else ""
        words = f"Deployment {notice.deployment_id} of *{escaped(where)}* {WORDS[told.event]}{escaped(host)}"
    line = f"{SIGNS[told.event]} {words}"
    blocks: list[dict[str, object]] = [_section(line)]
    if notice.message and told.event not in (TriggerEvent.DeploymentStart, TriggerEvent.DeploymentRollback):
        blocks.append(_section(f">{escaped(notice.message[:LONGEST])}".replace("\n", "\n>")))
    counts = ", ".join(f"{count} {status.name}" for status in TargetStatus if (count := told.deployment.counts.get(status, 0)))
    context = f"revision {escaped(plan.revision.revision_id)} · by {escaped(plan.created_by)} · hosts: {counts}"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]})
    return {"text": line, "blocks": blocks}


def escaped(text: str) -> str:
    """Text in which Slack sees no link, channel or person."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
