"""`hookline deploy`, `approve`, `follow` and `stop`: what moves."""

import datetime
from typing import TYPE_CHECKING, Unpack

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import APPLICATION, AUTO_ROLLBACK, CONFIG, DEPLOYMENT, GROUP, command
from coordinator.cli.clock import clock_time_typed, new_request_id
from coordinator.cli.console import Console
from coordinator.cli.following import wording
from coordinator.cli.refusals import REFUSED
from coordinator.cli.wording import shapes, watched
from coordinator.cli.wording.spelling import number, spelt, to_json
from coordinator.cli.wording.text import clean
from coordinator.cli.wording.watched import SaidAlarms

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.deployments_pb2 import CreateDeploymentRequest
    from hookline.v1.resources_pb2 import AutoRollbackConfiguration, Gate

FOLLOW = click.option("--follow", is_flag=True, help="Show it until it has ended, and its rollback; exit code 1 unless it succeeds.")


class Typed(SaidAlarms):
    """What was typed of a deployment; None was not."""

    revision: str
    config: str | None
    description: str
    auto_rollback: "AutoRollbackConfiguration | None"
    rollback_config: str | None
    file_exists: str | None
    ignore_stop_failures: bool
    outdated_only: bool
    hosts: tuple[str, ...]
    start: str | None
    canaries: tuple[str, ...]
    canary_bake: "Duration | None"
    canary_gate: "Gate | None"


@command(
    "deploy",
    examples=[
        "hookline deploy shop production --revision r-0123456789abcdef --follow",
        "hookline deploy shop production --revision r-0123456789abcdef --config CodeDeployDefault.HalfAtATime",
        "hookline deploy shop production --revision r-0123456789abcdef --outdated-only",
        "hookline deploy shop production --revision r-0123456789abcdef --host web-1 --host web-2",
        "hookline deploy shop production --revision r-0123456789abcdef --canary web-1 --canary-bake 30m --follow",
        "hookline deploy shop production --revision r-0123456789abcdef --alarm HighErrors --bake 10m --follow",
        "hookline deploy shop production --revision r-0123456789abcdef --at 22:30",
        "id=$(hookline deploy shop production --revision r-0123456789abcdef)      # prints the deployment's id",
    ],
    related=["push", "follow", "status", "stop", "rollback"],
)
@APPLICATION
@GROUP
@click.option(
    "--revision", required=True, metavar="REVISION", shell_complete=suggestions.revisions, help="What to deploy: an id that push printed."
)
@CONFIG
@click.option("--description", default="", metavar="TEXT", help="Why.")
@AUTO_ROLLBACK
@click.option(
    "--rollback-config",
    metavar="NAME|same",
    shell_complete=suggestions.configs,
    help="The config by which it is rolled back: its minimum healthy hosts is the floor; same: its own. [the group's]",
)
@click.option(
    "--file-exists-behavior",
    "file_exists",
    type=click.Choice(["DISALLOW", "OVERWRITE", "RETAIN"], case_sensitive=False),
    metavar="DISALLOW|OVERWRITE|RETAIN",
    help="What Install does with a file that it did not put there, where the AppSpec does not say. [DISALLOW]",
)
@click.option(
    "--ignore-application-stop-failures",
    "ignore_stop_failures",
    is_flag=True,
    help="Go on where the old revision's own scripts fail: ApplicationStop, BeforeBlockTraffic, AfterBlockTraffic.",
)
@click.option("--outdated-only", is_flag=True, help="Only to hosts that do not have the revision, or on which the last deployment failed.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    shell_complete=suggestions.hosts,
    help="Only to this host of the group (and to others named so). The whole group counts for minimum healthy hosts.",
)
@click.option(
    "--at",
    "start",
    metavar="TIME",
    help="Begin then and not before: 22:30, 2027-01-31T22:30 (local time), 2027-01-31T22:30Z, or +2h; at most 30 days ahead.",
)
@shapes.CANARY
@shapes.CANARY_BAKE
@shapes.CANARY_GATE
@watched.options
@FOLLOW
def deploy(console: Console, /, application: str, group: str, *, follow: bool, **typed: Unpack[Typed]) -> None:
    """Deploy a revision to the hosts of a deployment group.

    While another deployment of the group is under way it is refused, or waits for its turn: as the group's --queueing says.

    What is said about alarms takes the place of what the group says, and takes the permission to configure the group.
    """
    create(console, asked(console, application, group, typed), follow=follow)


def asked(console: Console, application: str, group: str, typed: Typed) -> "CreateDeploymentRequest":
    """The request that was typed."""
    request = protos.deployments.CreateDeploymentRequest(
        application_name=application,
        deployment_group_name=group,
        revision_id=typed["revision"],
        deployment_config_name=typed["config"] or "",
        description=typed["description"],
        ignore_application_stop_failures=typed["ignore_stop_failures"],
        update_outdated_instances_only=typed["outdated_only"],
        hosts=typed["hosts"],
    )
    if typed["auto_rollback"] is not None:
        request.auto_rollback_configuration.CopyFrom(typed["auto_rollback"])
    if typed["rollback_config"] is not None:
        request.rollback_deployment_config_name = "" if typed["rollback_config"] == "same" else typed["rollback_config"]
    if typed["file_exists"]:
        kinds = protos.resources.FileExistsBehavior
        request.file_exists_behavior = kinds.ValueType(number(kinds, typed["file_exists"]))
    if typed["start"] is not None:
        request.start_time.FromDatetime(_start(typed["start"], console.clock.now()))
    shapes.put_canaries(request, typed["canaries"], typed["canary_bake"], typed["canary_gate"])
    _override_alarms(console, request, typed)
    return request


def _start(typed: str, now: datetime.datetime) -> datetime.datetime:
    try:
        return clock_time_typed(typed, now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from None


def _override_alarms(console: Console, request: "CreateDeploymentRequest", said: SaidAlarms) -> None:
    """Put what was said about alarms into a request; what was not said is as the group has it."""
    if not watched.apply(protos.resources.AlarmConfiguration(), said):
        return
    asked = protos.catalog.GetDeploymentGroupRequest(
        application_name=request.application_name, deployment_group_name=request.deployment_group_name
    )
    found = console.connection.ask(console.connection.catalog.GetDeploymentGroup, asked).deployment_group
    request.override_alarm_configuration.CopyFrom(found.alarm_configuration)
    watched.apply(request.override_alarm_configuration, said)
    if not request.override_alarm_configuration.enabled and said["watch"] is None and not said["alarms"]:
        place = f"{request.application_name}/{request.deployment_group_name}"
        raise click.UsageError(f"cannot watch the alarms of {place}: it watches none; name some with --alarm NAME, or say --alarms")


def create(console: Console, request: "CreateDeploymentRequest", *, follow: bool) -> None:
    """Create a deployment, then follow it or print its id."""
    request.request_id = new_request_id()
    made = console.connection.ask(console.connection.deployments.CreateDeployment, request).deployment
    if follow:
        _follow(console, made.deployment_id)
    elif console.json:
        console.json_value(to_json(made))
    else:
        console.line(clean(made.deployment_id))
        if waits := wording.awaited(made):
            console.remark(f"It {waits}")
        elif wording.has_ended(made):
            console.remark(f"It has ended {wording.outcome(made)}")
        console.remark(f"Next: hookline follow {clean(made.deployment_id)}")


@command(
    "approve",
    examples=["hookline approve d-8A1B2C3D4", 'hookline approve d-8A1B2C3D4 --reason "seen in staging" --follow'],
    related=["status", "follow", "stop", "group update"],
)
@DEPLOYMENT
@click.option("--reason", default="", metavar="TEXT", help="Why; shown in the history.")
@FOLLOW
def approve(console: Console, deployment: str, reason: str, *, follow: bool) -> None:
    """Approve a deployment that waits for the word of a second person, or at a gate after one of its stages: it goes on.

    Who created it cannot give the second person's word. One that nobody approves within 24 hours stops.
    """
    request = protos.deployments.ApproveDeploymentRequest(deployment_id=deployment, reason=reason, request_id=new_request_id())
    approved = console.connection.ask(console.connection.deployments.ApproveDeployment, request).deployment
    if follow:
        _follow(console, approved.deployment_id)
    elif console.json:
        console.json_value(to_json(approved))
    else:
        console.line(f"{clean(approved.deployment_id)} is approved")
        console.remark(f"Next: hookline follow {clean(approved.deployment_id)}")


@command(
    "follow",
    examples=["hookline follow d-8A1B2C3D4", "hookline follow d-8A1B2C3D4 --output json | jq -c .target.status"],
    related=["status", "targets", "target", "stop"],
)
@DEPLOYMENT
def follow(console: Console, deployment: str) -> None:
    """Show a deployment, and its rollback, until it has ended.

    Ctrl-C detaches: the deployment goes on. Exit code 1 unless it succeeds.
    """
    request = protos.deployments.GetDeploymentRequest(deployment_id=deployment)
    found = console.connection.ask(console.connection.deployments.GetDeployment, request).deployment
    _follow(console, found.deployment_id)


def _follow(console: Console, deployment_id: str) -> None:
    from coordinator.cli.following.follow import follow as follow_until_ended

    if not follow_until_ended(console, clean(deployment_id)):
        click.get_current_context().exit(REFUSED)


@command(
    "stop",
    examples=["hookline stop d-8A1B2C3D4", 'hookline stop d-8A1B2C3D4 --reason "wrong revision" --rollback'],
    related=["follow", "status", "rollback"],
)
@DEPLOYMENT
@click.option("--reason", default="", metavar="TEXT", help="Why; shown in the history.")
@click.option(
    "--rollback/--no-rollback",
    "roll_back",
    default=None,
    help="Take the hosts that were touched back to the last successful revision, or leave them. [as --auto-rollback stop says]",
)
def stop(console: Console, deployment: str, reason: str, *, roll_back: bool | None) -> None:
    """Stop a deployment.

    No further host begins; on hosts in progress the running lifecycle event finishes and the rest is skipped. A rollback begins once
    nothing runs any more; typed again, stop may still say whether there is to be one. Of one that has succeeded, the alarms are not watched
    any more (--watch-for); with --rollback it is taken back.
    """
    request = protos.deployments.StopDeploymentRequest(
        deployment_id=deployment, reason=reason, request_id=new_request_id(), auto_rollback_enabled=roll_back
    )
    reply = console.connection.ask(console.connection.deployments.StopDeployment, request)
    if console.json:
        console.json_value(to_json(reply))
        return
    stopped, succeeded = (spelt(one, "status") == "Succeeded" for one in (reply, reply.deployment))
    how = "has succeeded" if succeeded else "is stopped" if stopped else "is stopping"
    console.line(f"{deployment} {how}{f': {clean(reply.status_message)}' if reply.status_message else ''}")
    back = reply.deployment.rollback_info.rollback_deployment_id
    if back or not stopped:
        console.remark(f"Next: hookline follow {back or deployment}")
