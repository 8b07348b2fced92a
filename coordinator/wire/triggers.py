"""Triggers as operators say and hear them, in the core's words."""

from collections.abc import Iterable

from coordinator.core.errors import Invalid
from coordinator.core.model import TargetKind, Trigger, TriggerEvent, TriggerTarget
from coordinator.wire.operators import read_number
from hookline.v1 import triggers_pb2 as pb


def trigger(value: Trigger) -> pb.Trigger:
    """A trigger."""
    target = value.target
    message = pb.Trigger(trigger_name=value.name, trigger_events=[pb.TriggerEvent.ValueType(event) for event in value.events])
    if target.kind is TargetKind.Slack:
        message.slack.CopyFrom(pb.SlackWebhook(url=target.url, url_secret=target.url_secret))
    else:
        message.webhook.CopyFrom(pb.Webhook(url=target.url, url_secret=target.url_secret, signing_secret=target.signing_secret))
    return message


def read_triggers(messages: Iterable[pb.Trigger], *, field: str) -> tuple[Trigger, ...]:
    """The triggers that a caller wants."""
    return tuple(_read_trigger(message, f"{field}[{index}]") for index, message in enumerate(messages))


def _read_trigger(message: pb.Trigger, field: str) -> Trigger:
    events = {read_number(TriggerEvent, number, f"{field}.trigger_events") for number in message.trigger_events}
    return Trigger(name=message.trigger_name, events=tuple(sorted(events)), target=_read_target(message, field))


def _read_target(message: pb.Trigger, field: str) -> TriggerTarget:
    match message.WhichOneof("target"):
        case "webhook":
            said = message.webhook
            return TriggerTarget(kind=TargetKind.Webhook, url=said.url, url_secret=said.url_secret, signing_secret=said.signing_secret)
        case "slack":
            return TriggerTarget(kind=TargetKind.Slack, url=message.slack.url, url_secret=message.slack.url_secret)
        case None:
            raise Invalid(f"cannot read {field}: it does not say whom to tell; give one of webhook, slack", field=field)
