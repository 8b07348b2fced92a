"""`hookline trigger`: who is told of what happens to a group's deployments."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from coordinator.cli import arguments, protos
from coordinator.cli.arguments import APPLICATION, GROUP, Parsed, command
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.refusals import REFUSED, Overtaken
from coordinator.cli.wording.spelling import number, spell, spellings, to_json
from coordinator.cli.wording.text import Columns, clean, columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookline.v1.catalog_pb2 import DeploymentGroup
    from hookline.v1.triggers_pb2 import SlackWebhook, Trigger, Webhook

TRIGGER = click.argument("trigger", metavar="NAME")
READY = ("deploymentready", "instanceready")
SECRET = "secret:"
KINDS = ("deployments", "instances")
TRIES = 5
"""So often a change is tried while others change the same group."""


class Said(TypedDict):
    """What was said of a trigger."""

    webhook: str | None
    slack: str | None
    events: tuple[int, ...]
    sign: str | None


def _events(typed: str) -> tuple[int, ...]:
    """Events by CodeDeploy's names, or all that are of deployments, or of instances."""
    kinds = protos.triggers.TriggerEvent
    found: set[int] = set()
    for word in typed.split(","):
        if word.lower() in READY:
            raise ValueError(f"cannot tell of {word}: it is of blue/green deployments, and there are none here")
        if word.lower() in KINDS:
            found |= {number(kinds, name) for name in spellings(kinds) if name.lower().startswith(word.lower()[:-1])}
        else:
            found.add(number(kinds, word))
    return tuple(sorted(found))


@command(
    "set",
    examples=[
        "hookline trigger set shop production chat --slack secret:shop-slack --on DeploymentFailure,DeploymentRollback",
        "hookline trigger set shop production pager --webhook https://hooks.example.org/deployments --sign shop-hook",
        "hookline trigger set shop production inventory --webhook https://cmdb.example.org/x --on instances",
    ],
    related=["trigger test", "trigger list", "group show"],
)
@APPLICATION
@GROUP
@TRIGGER
@click.option("--webhook", metavar="URL|secret:NAME", help="Send CodeDeploy's JSON there, with CloudEvents headers.")
@click.option("--slack", metavar="URL|secret:NAME", help="Send messages for people to an incoming webhook of Slack, or one like it.")
@click.option(
    "--on",
    "events",
    type=Parsed("events", _events),
    default="deployments",
    metavar="EVENT,...",
    help="Of what: DeploymentStart, DeploymentSuccess, DeploymentFailure, DeploymentStop, DeploymentRollback, InstanceStart, "
    "InstanceSuccess, InstanceFailure; or deployments, or instances, for all of them. [deployments]",
)
@click.option("--sign", metavar="NAME", help="Sign what is sent to a webhook with this secret of the coordinator's (--notify-secrets).")
def set_trigger(console: Console, /, application: str, group: str, trigger: str, **said: Unpack[Said]) -> None:
    """Tell somebody of what happens to a group's deployments from now on, or tell them otherwise.

    A URL that is a secret, as Slack's are, is better kept with the coordinator: secret:NAME names a file in its --notify-secrets.
    """
    wanted = _said(trigger, **said)

    def beside(others: "Sequence[Trigger]") -> "list[Trigger]":
        place = next((index for index, one in enumerate(others) if one.trigger_name == trigger), len(others))
        return [*others[:place], wanted, *others[place + 1 :]]

    _change(console, application, group, beside)
    if console.json:
        console.json_value(to_json(wanted))
        return
    console.line(f"trigger {clean(trigger)} of {clean(application)}/{clean(group)}: {show(wanted)}")
    console.remark(f"Next: hookline trigger test {application} {group} {trigger}")


@command("list", examples=["hookline trigger list shop production"], related=["trigger set", "group show"])
@APPLICATION
@GROUP
def list_triggers(console: Console, application: str, group: str) -> None:
    """List who is told of what happens to a group's deployments."""
    shown: Columns[Trigger] = columns(
        ("TRIGGER", lambda one: clean(one.trigger_name)),
        ("KIND", lambda one: one.WhichOneof("target") or ""),
        ("TO", _where),
        ("SIGNED BY", lambda one: clean(one.webhook.signing_secret)),
        ("EVENTS", _shown_events),
        whole="TRIGGER",
    )
    nobody = f"nobody is told. Tell somebody with: hookline trigger set {application} {group} NAME --webhook URL"
    console.listing(list(_group(console, application, group).triggers), shown, nobody)


@command("remove", examples=["hookline trigger remove shop production pager"], related=["trigger list"])
@APPLICATION
@GROUP
@TRIGGER
def remove(console: Console, application: str, group: str, trigger: str) -> None:
    """Tell somebody nothing any more, not even what waits to be told."""

    def without(others: "Sequence[Trigger]") -> "list[Trigger]":
        left = [one for one in others if one.trigger_name != trigger]
        if len(left) == len(others):
            raise click.UsageError(f"{application}/{group} has no trigger {trigger} (hookline trigger list {application} {group})")
        return left

    _change(console, application, group, without)
    if console.json:
        console.json_value({})
    else:
        console.line(f"trigger {clean(trigger)} of {clean(application)}/{clean(group)} is removed")


@command("test", examples=["hookline trigger test shop production pager"], related=["trigger list", "trigger set"])
@APPLICATION
@GROUP
@TRIGGER
def test(console: Console, application: str, group: str, trigger: str) -> None:
    """Send a test event, once and now, and show what was answered. Exits with 1 when it was not taken."""
    request = protos.triggers.TestTriggerRequest(application_name=application, deployment_group_name=group, trigger_name=trigger)
    answer = console.connection.ask(console.connection.triggers.TestTrigger, request)
    if console.json:
        console.json_value(to_json(answer))
    else:
        console.line(f"{'taken' if answer.delivered else 'not taken'} in {answer.duration.ToMilliseconds()} ms: {clean(answer.answer)}")
    if not answer.delivered:
        click.get_current_context().exit(REFUSED)


def show(trigger: "Trigger") -> str:
    """A trigger in a line, without its name."""
    signed = f", signed by {clean(trigger.webhook.signing_secret)}" if trigger.webhook.signing_secret else ""
    return f"{trigger.WhichOneof('target')} {_where(trigger)}{signed}, of {_shown_events(trigger)}"


def _said(name: str, /, **said: Unpack[Said]) -> "Trigger":
    trigger = protos.triggers.Trigger(trigger_name=name)
    trigger.trigger_events.extend(protos.triggers.TriggerEvent.ValueType(event) for event in said["events"])
    if (said["webhook"] is None) == (said["slack"] is None):
        raise click.UsageError("cannot tell nobody, or two at once: say one of --webhook and --slack")
    if said["webhook"] is not None:
        _aim(trigger.webhook, said["webhook"])
        trigger.webhook.signing_secret = said["sign"] or ""
    elif said["slack"] is not None:
        if said["sign"] is not None:
            raise click.UsageError("cannot sign for Slack, which does not look at signatures: leave --sign out")
        _aim(trigger.slack, said["slack"])
    return trigger


def _aim(target: "Webhook | SlackWebhook", typed: str) -> None:
    if typed.startswith(SECRET):
        target.url_secret = typed.removeprefix(SECRET)
    else:
        target.url = typed


def _where(trigger: "Trigger") -> str:
    target = trigger.slack if trigger.WhichOneof("target") == "slack" else trigger.webhook
    return clean(target.url or f"{SECRET}{target.url_secret}")


def _shown_events(trigger: "Trigger") -> str:
    return ",".join(spell(protos.triggers.TriggerEvent, event) for event in trigger.trigger_events)


def _group(console: Console, application: str, group: str) -> "DeploymentGroup":
    request = protos.catalog.GetDeploymentGroupRequest(application_name=application, deployment_group_name=group)
    return console.connection.ask(console.connection.catalog.GetDeploymentGroup, request).deployment_group


def _change(console: Console, application: str, group: str, change: "Callable[[Sequence[Trigger]], list[Trigger]]") -> None:
    """Put what `change` makes of a group's triggers in their place; once more with what somebody else has put there meanwhile."""
    for left in reversed(range(TRIES)):
        now = _group(console, application, group)
        wanted = protos.catalog.DeploymentGroup(
            application_name=application, deployment_group_name=group, triggers=change(now.triggers), etag=now.etag
        )
        request = protos.catalog.UpdateDeploymentGroupRequest(
            deployment_group=wanted, update_mask=protos.field_mask.FieldMask(paths=["triggers"]), request_id=new_request_id()
        )
        try:
            console.connection.ask(console.connection.catalog.UpdateDeploymentGroup, request)
        except Overtaken:
            if not left:
                raise
        else:
            return


trigger = arguments.group(
    "trigger", "Who is told of what happens to deployments: set, list, remove, test.", set_trigger, list_triggers, remove, test
)
