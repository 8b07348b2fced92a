"""`hookline rollback`: back to what worked, whether or not something is running."""

from typing import TYPE_CHECKING, Final

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import APPLICATION, GROUP, command
from coordinator.cli.clock import new_request_id
from coordinator.cli.commands.rollouts.deployments import FOLLOW, create
from coordinator.cli.console import Console
from coordinator.cli.following import wording
from coordinator.cli.refusals import REFUSED, Refusal
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from hookline.v1.catalog_pb2 import DeploymentGroup
    from hookline.v1.deployments_pb2 import Deployment

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether a deployment that was stopped has ended."""


def _no_stages(context: click.Context, parameter: click.Parameter, typed: str | None) -> None:
    if typed is not None:
        raise click.UsageError(
            f"cannot roll back with {parameter.opts[0]}: a rollback has no canaries, for it goes to what worked; to go there in stages, "
            "type hookline deploy APP GROUP --revision REVISION --outdated-only with the same options",
            context,
        )


@command(
    "rollback",
    examples=[
        "hookline rollback shop production --follow",
        "hookline rollback shop production --to r-0123456789abcdef --follow",
        "hookline rollback shop production --no-alarms            # takes the permission to configure the group",
        "hookline rollback shop production --output json",
    ],
    related=["deploy", "deployments", "stop"],
)
@APPLICATION
@GROUP
@click.option("--to", metavar="REVISION", shell_complete=suggestions.revisions, help="The revision to go back to. [the last good one]")
@click.option("--no-alarms", is_flag=True, help="Watch none of the group's alarms: one that is active stops the way back too.")
@click.option("--canary", hidden=True, expose_value=False, callback=_no_stages)
@click.option("--canary-bake", hidden=True, expose_value=False, callback=_no_stages)
@click.option("--canary-gate", hidden=True, expose_value=False, callback=_no_stages)
@FOLLOW
def rollback(console: Console, application: str, group: str, to: str | None, *, no_alarms: bool, follow: bool) -> None:
    """Take the hosts of a group back to a revision that worked.

    While a deployment runs, it is stopped, and the hosts that it has touched go back to what had succeeded before, or to --to. When none
    runs, hosts that have another revision go back: after a failure to the last that succeeded, after a success to the one before it.

    A rollback has no canaries. The coordinator's own, of what runs, has no stages and gates either; when none runs it is a deployment like
    any other, by the group's config for rollbacks where it has one (group update --rollback-config), else by the group's config.

    Deployments that wait for their turn are taken off first: they would go on over it. Those that have a start time stay.
    """
    connection = console.connection
    asked = protos.catalog.GetDeploymentGroupRequest(application_name=application, deployment_group_name=group)
    found = connection.ask(connection.catalog.GetDeploymentGroup, asked).deployment_group
    place = f"{application}/{group}"
    if not found.last_attempted_deployment.deployment_id:
        raise Refusal(f"cannot roll back {place}: it has no deployment yet")
    last = protos.deployments.GetDeploymentRequest(deployment_id=found.last_attempted_deployment.deployment_id)
    newest = connection.ask(connection.deployments.GetDeployment, last).deployment
    if to is not None:  # before anything is stopped
        wanted = protos.catalog.GetRevisionRequest(application_name=application, revision_id=to)
        connection.ask(connection.catalog.GetRevision, wanted)
    _take_off(console, application, group)
    if not wording.has_ended(newest):
        if to in (None, newest.previous_revision_id):
            _undo(console, place, newest, follow=follow)
            return
        _stop_and_wait(console, newest)
    revision = to or _last_good(console, place, found, newest)
    source = f"{clean(newest.revision_id)} ({clean(newest.deployment_id)})"
    again = newest.revision_id == revision
    console.remark(f"{place} gets {source} again where it failed" if again else f"{place} goes back from {source} to {clean(revision)}")
    request = protos.deployments.CreateDeploymentRequest(
        application_name=application,
        deployment_group_name=group,
        revision_id=revision,
        deployment_config_name=found.rollback_deployment_config_name,
        description=f"rollback of {newest.deployment_id} to {revision}",
        update_outdated_instances_only=True,
    )
    if no_alarms:
        request.override_alarm_configuration.SetInParent()
    elif found.alarm_configuration.enabled:
        console.remark("The group's alarms are watched on the way back too: one that is active stops it; --no-alarms watches none")
    create(console, request, follow=follow)


def _take_off(console: Console, application: str, group: str) -> None:
    """Stop what waits for its turn, and name what is to start later."""
    resources, connection = protos.resources, console.connection
    request = protos.deployments.ListDeploymentsRequest(
        application_name=application,
        deployment_group_name=group,
        statuses=[resources.DEPLOYMENT_STATUS_CREATED, resources.DEPLOYMENT_STATUS_QUEUED],
    )
    under_way = [one for page in connection.pages(connection.deployments.ListDeployments, request) for one in page.deployments]
    for waiting in [one for one in under_way if one.HasField("queue_place")]:
        if waiting.HasField("scheduled_time"):
            stays = clean(waiting.deployment_id)
            console.remark(f"{stays} {wording.turn(waiting)}; it stays: hookline stop {stays}")
        else:
            _stop(console, waiting, roll_back=False)
            console.remark(f"{clean(waiting.deployment_id)} has waited for its turn and is taken off")


def _undo(console: Console, place: str, running: "Deployment", *, follow: bool) -> None:
    """Let the coordinator stop what runs and roll it back, in one go."""
    deployment_id, previous = clean(running.deployment_id), clean(running.previous_revision_id)
    if running.rollback_info.rollback_triggering_deployment_id:
        raise Refusal(f"cannot roll back {place}: {deployment_id} is doing that already; see hookline follow {deployment_id}, or say --to")
    if not previous:
        raise Refusal(f"cannot roll back {place}: nothing has succeeded there before; end it with: hookline stop {deployment_id}")
    if _restarts(running):
        raise Refusal(
            f"cannot roll back {place}: {deployment_id} restarts {previous} and brings nothing; end it with: hookline stop {deployment_id}"
        )
    if previous == clean(running.revision_id):
        raise Refusal(f"cannot roll back {place}: {deployment_id} deploys {previous}, which is also what succeeded last; say --to REVISION")
    _stop(console, running, roll_back=True)
    console.remark(f"{place} goes back from {clean(running.revision_id)} ({deployment_id}) to {previous} as soon as nothing runs any more")
    if follow:
        from coordinator.cli.following.follow import follow_to_the_last

        if not follow_to_the_last(console, deployment_id):
            click.get_current_context().exit(REFUSED)
        return
    if console.json:
        console.json_value({"deployment_id": deployment_id})
    else:
        console.line(deployment_id)
    console.remark(f"Next: hookline follow {deployment_id}")


def _stop(console: Console, running: "Deployment", *, roll_back: bool) -> None:
    request = protos.deployments.StopDeploymentRequest(
        deployment_id=running.deployment_id, reason="hookline rollback", request_id=new_request_id(), auto_rollback_enabled=roll_back
    )
    console.connection.ask(console.connection.deployments.StopDeployment, request)


def _stop_and_wait(console: Console, running: "Deployment") -> None:
    """Stop what runs, without a rollback of its own, and wait until nothing runs any more."""
    _stop(console, running, roll_back=False)
    console.remark(f"{clean(running.deployment_id)} is stopped; waiting until its hosts have finished their running events")
    request = protos.deployments.GetDeploymentRequest(deployment_id=running.deployment_id)
    while not wording.has_ended(console.connection.ask(console.connection.deployments.GetDeployment, request).deployment):
        console.clock.wait(LOOK_EVERY)


def _last_good(console: Console, place: str, group: "DeploymentGroup", newest: "Deployment") -> str:
    """The revision to go back to when nothing runs."""
    last = group.last_successful_deployment.revision_id
    if not last:
        raise Refusal(f"cannot roll back {place}: none of its deployments has succeeded yet")
    succeeded = protos.resources.DEPLOYMENT_STATUS_SUCCEEDED
    if _restarts(newest) and newest.status != succeeded:
        again = f"hookline deploy {place.replace('/', ' ')} --revision {last} --outdated-only"
        raise Refusal(
            f"cannot roll back {place}: {clean(newest.deployment_id)} only restarted {last}, which succeeded last; "
            f"say --to REVISION, or deploy it again where that failed: {again}"
        )
    if newest.status != succeeded or newest.revision_id != last:  # it failed, or succeeded on a part of the group
        return last
    connection = console.connection
    good = protos.deployments.ListDeploymentsRequest(
        application_name=newest.application_name, deployment_group_name=newest.deployment_group_name, statuses=[succeeded]
    )
    for page in connection.pages(connection.deployments.ListDeployments, good):
        for deployment in page.deployments:
            if deployment.revision_id != newest.revision_id:
                return deployment.revision_id
    raise Refusal(f"cannot roll back {place}: {clean(newest.revision_id)} is the only revision that ever succeeded there")


def _restarts(deployment: "Deployment") -> bool:
    return deployment.deployment_mode == protos.deployments.DEPLOYMENT_MODE_RESTART
