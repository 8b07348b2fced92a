"""`hookline status`, `deployments`, `targets`, `target` and `history`: what is and what was."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import DEPLOYMENT, HOST, LIMIT, AnyCommand, command
from coordinator.cli.console import Console
from coordinator.cli.following import alarms, past, wording
from coordinator.cli.wording.spelling import number, spelt, to_json
from coordinator.cli.wording.text import Columns, clean, columns, date_time, duration, moment, with_age

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.v1.catalog_pb2 import DeploymentGroup
    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry, Target
    from hookline.v1.resources_pb2 import LifecycleEventRecord

SHOWN_FAILURES = 10


def _status_option(*statuses: str) -> "Callable[[AnyCommand], AnyCommand]":
    kind = click.Choice(statuses, case_sensitive=False)
    return click.option(
        "--status", "statuses", type=kind, multiple=True, metavar="STATUS", help=f"Only with this status: {', '.join(statuses)}."
    )


@command(
    "status",
    examples=["hookline status", "hookline status d-8A1B2C3D4", "hookline status --output json | jq '.running[].deployment_id'"],
    related=["deployments", "targets", "follow", "history"],
)
@click.argument("deployment", metavar="[DEPLOYMENT]", required=False, shell_complete=suggestions.deployments)
def status(console: Console, deployment: str | None) -> None:
    """Show what runs now and the last of each group; or one deployment."""
    if deployment is None:
        _overview(console)
    else:
        _one(console, deployment)


def _overview(console: Console) -> None:
    resources, connection = protos.resources, console.connection
    live = [resources.DEPLOYMENT_STATUS_CREATED, resources.DEPLOYMENT_STATUS_QUEUED, resources.DEPLOYMENT_STATUS_IN_PROGRESS]
    pages = connection.pages(connection.deployments.ListDeployments, protos.deployments.ListDeploymentsRequest(statuses=live))
    running = [deployment for page in pages for deployment in page.deployments]
    groups = _every_group(console)
    if console.json:
        console.json_value({"running": [to_json(each) for each in running], "groups": [to_json(each) for each in groups]})
        return
    console.rows(running, _deployment_columns(console), "Nothing runs now.", title="Running now")
    console.line()
    now = console.clock.now()
    shown: Columns[DeploymentGroup] = columns(
        ("GROUP", lambda group: clean(f"{group.application_name}/{group.deployment_group_name}")),
        ("STATUS", lambda group: spelt(group.last_attempted_deployment, "status")),
        ("DEPLOYMENT", lambda group: clean(group.last_attempted_deployment.deployment_id)),
        ("REVISION", lambda group: clean(group.last_attempted_deployment.revision_id)),
        ("CREATED", lambda group: with_age(group.last_attempted_deployment.create_time, now)),
        whole="GROUP STATUS DEPLOYMENT REVISION",
    )
    console.rows(groups, shown, "There is no group yet. Begin with: hookline app create APP", title="The last deployment of each group")


def _every_group(console: Console) -> "list[DeploymentGroup]":
    catalog = console.connection.catalog
    found: list[DeploymentGroup] = []
    for page in console.connection.pages(catalog.ListApplications, protos.catalog.ListApplicationsRequest()):
        for application in page.applications:
            request = protos.catalog.ListDeploymentGroupsRequest(application_name=application.application_name)
            for groups in console.connection.pages(catalog.ListDeploymentGroups, request):
                found.extend(groups.deployment_groups)
    return found


def _one(console: Console, deployment_id: str) -> None:
    connection = console.connection
    request = protos.deployments.GetDeploymentRequest(deployment_id=deployment_id)
    found = connection.ask(connection.deployments.GetDeployment, request).deployment
    if console.json:
        console.json_value(to_json(found))
        return
    about, now = found.rollback_info, console.clock.now()
    told = alarms.entries(connection, found.deployment_id) if found.alarm_configuration.enabled else []
    console.details(
        [
            ("deployment", clean(found.deployment_id)),
            ("status", spelt(found, "status")),
            ("why", wording.error(found)),
            ("waits", alarms.waits(found, told, now) or wording.waits(found, now)),
            ("group", wording.place(found)),
            (
                "revision",
                clean(found.revision_id) + (f" (before: {clean(found.previous_revision_id)})" if found.previous_revision_id else ""),
            ),
            ("mode", "RESTART" if found.deployment_mode == protos.deployments.DEPLOYMENT_MODE_RESTART else ""),
            ("config", clean(f"{found.deployment_config_name}")),
            ("rollback config", clean(found.rollback_deployment_config_name)),
            ("made", f"{wording.made_by(found)}, {with_age(found.create_time, now)}"),
            ("description", clean(found.description)),
            ("turn", wording.turn(found)),
            ("approval", wording.approval(found) or (f"by {clean(found.approved_by)}" if found.approved_by else "")),
            ("hosts", wording.hosts(found.deployment_overview)),
            ("stages", "\n".join(wording.stages(found))),
            ("alarms", "\n".join(one.line(now) for one in alarms.sights(found, told))),
            ("ended", with_age(found.complete_time, now)),
            ("rolled back by", clean(about.rollback_deployment_id)),
            ("rollback", clean(about.rollback_message)),
        ]
    )
    if found.deployment_overview.failed:
        _show_failures(console, found.deployment_id, found.deployment_overview.failed)
    if not wording.has_ended(found):
        console.remark(f"Next: hookline follow {deployment_id}")


def _show_failures(console: Console, deployment_id: str, failed: int) -> None:
    resources = protos.resources
    request = protos.deployments.ListTargetsRequest(
        deployment_id=deployment_id, statuses=[resources.TARGET_STATUS_FAILED, resources.TARGET_STATUS_UNKNOWN], page_size=SHOWN_FAILURES
    )
    targets = console.connection.ask(console.connection.deployments.ListTargets, request).targets
    console.line("failed")
    for target in targets:
        console.line(f"  {clean(target.host_name)}  {wording.reason(target)}")
    if failed > len(targets):
        console.line(f"  {failed - len(targets):,} more: hookline targets {deployment_id} --status Failed")
    if targets:
        console.remark(f"Next: hookline target {deployment_id} {clean(targets[0].host_name)}")


@command(
    "deployments",
    examples=["hookline deployments", "hookline deployments shop production --limit 10", "hookline deployments shop --status Failed"],
    related=["status", "targets", "history"],
)
@click.argument("application", metavar="[APP", required=False, shell_complete=suggestions.applications)
@click.argument("group", metavar="[GROUP]]", required=False, shell_complete=suggestions.groups)
@_status_option("Created", "Queued", "InProgress", "Succeeded", "Failed", "Stopped")
@LIMIT
def deployments(console: Console, application: str | None, group: str | None, statuses: tuple[str, ...], limit: int) -> None:
    """List deployments, newest first."""
    kinds = protos.resources.DeploymentStatus
    request = protos.deployments.ListDeploymentsRequest(
        application_name=application or "",
        deployment_group_name=group or "",
        statuses=[kinds.ValueType(number(kinds, status)) for status in statuses],
    )
    pages = console.connection.pages(console.connection.deployments.ListDeployments, request, limit)
    found = console.limited((deployment for page in pages for deployment in page.deployments), limit)
    console.listing(found, _deployment_columns(console), "There is no such deployment.")


def _deployment_columns(console: Console) -> "Columns[Deployment]":
    now = console.clock.now()
    return columns(
        ("DEPLOYMENT", lambda deployment: clean(deployment.deployment_id)),
        ("GROUP", wording.place),
        ("REVISION", wording.revision),
        ("STATUS", lambda deployment: spelt(deployment, "status")),
        ("HOSTS", lambda deployment: wording.hosts(deployment.deployment_overview) or wording.turn(deployment)),
        ("CREATED", lambda deployment: with_age(deployment.create_time, now)),
        ("MADE", wording.made_by),
        whole="DEPLOYMENT GROUP REVISION STATUS",
    )


@command(
    "targets",
    examples=[
        "hookline targets d-8A1B2C3D4",
        "hookline targets d-8A1B2C3D4 --status Failed",
        "hookline targets d-8A1B2C3D4 --output json | jq -r '.[] | .host_name + \" \" + .status'",
    ],
    related=["target", "status", "follow"],
)
@DEPLOYMENT
@_status_option("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Unknown")
def targets(console: Console, deployment: str, statuses: tuple[str, ...]) -> None:
    """List the targets of a deployment: each host's part in it."""
    kinds = protos.resources.TargetStatus
    wanted = [kinds.ValueType(number(kinds, status)) for status in statuses]
    request = protos.deployments.ListTargetsRequest(deployment_id=deployment, statuses=wanted)
    pages = console.connection.pages(console.connection.deployments.ListTargets, request)
    found = [target for page in pages for target in page.targets]
    shown: Columns[Target] = columns(
        ("HOST", lambda target: clean(target.host_name)),
        ("STATUS", lambda target: spelt(target, "status")),
        ("EVENT", _current_event),
        ("TOOK", _took),
        ("HEALTH", _health),
        ("WHY", wording.reason),
        whole="HOST STATUS EVENT",
    )
    console.listing(found, shown, "There is no such target.")


def _current_event(target: "Target") -> str:
    """The event that runs or failed, else the last one that ended well."""
    wanted = [event for event in target.lifecycle_events if spelt(event, "status") in ("InProgress", "Failed", "Unknown")]
    ended = [event for event in target.lifecycle_events if spelt(event, "status") == "Succeeded"]
    chosen = wanted[:1] or ended[-1:]
    return spelt(chosen[0], "lifecycle_event") if chosen else ""


def _health(target: "Target") -> str:
    """The host's two healths in the group, as they are now."""
    return ", ".join(filter(None, (spelt(target, "instance_health"), spelt(target, "revision_health"))))


def _took(of: "Target | LifecycleEventRecord") -> str:
    began, ended = moment(of.start_time), moment(of.end_time)
    return duration((ended - began).total_seconds()) if began and ended else ""


@command(
    "target",
    examples=["hookline target d-8A1B2C3D4 web-3", "hookline target d-8A1B2C3D4 web-3 --output json"],
    related=["targets", "hosts", "history"],
)
@DEPLOYMENT
@HOST
def target(console: Console, deployment: str, host: str) -> None:
    """Show one host's part in a deployment.

    Its lifecycle events, and the diagnostics and last output of what failed.
    """
    request = protos.deployments.GetTargetRequest(deployment_id=deployment, host=host)
    found = console.connection.ask(console.connection.deployments.GetTarget, request).target
    if console.json:
        console.json_value(to_json(found))
        return
    pairs = [("deployment", found.deployment_id), ("host", f"{found.host_name} ({found.host_id})"), ("status", spelt(found, "status"))]
    console.details((name, clean(value)) for name, value in [*pairs, ("why", found.message)])
    console.line()
    shown: Columns[LifecycleEventRecord] = columns(
        ("EVENT", lambda event: spelt(event, "lifecycle_event")),
        ("STATUS", lambda event: spelt(event, "status")),
        ("BEGAN", lambda event: date_time(event.start_time)),
        ("TOOK", _took),
        ("DIAGNOSTICS", lambda event: wording.diagnosis(event.diagnostics) if event.HasField("diagnostics") else ""),
        whole="EVENT STATUS",
    )
    console.rows(found.lifecycle_events, shown, "Its lifecycle events are kept no more.")
    failed = wording.failed_event(found)
    tail = wording.log_tail(failed.diagnostics, lines=1000) if failed else []
    if failed and tail:
        console.line(f"\nThe last output of {spelt(failed, 'lifecycle_event')}:")
        for line in tail:
            console.line(f"  | {line}")


@command(
    "history",
    examples=[
        "hookline history",
        "hookline history --deployment d-8A1B2C3D4",
        "hookline history --app shop --group production --limit 200",
        "hookline history --host web-1 --at 2026-11-23T14:03",
    ],
    related=["deployments", "target"],
)
@click.option("--app", "application", default="", metavar="APP", shell_complete=suggestions.applications, help="Only of this application.")
@click.option("--group", default="", metavar="GROUP", shell_complete=suggestions.groups, help="Only of this group; needs --app.")
@click.option("--deployment", default="", metavar="DEPLOYMENT", shell_complete=suggestions.deployments, help="Only of this deployment.")
@click.option("--host", default="", metavar="HOST", shell_complete=suggestions.hosts, help="Only of this host, by name or id.")
@click.option(
    "--at", default="", metavar="TIME", help="With --host: what ran there then. 14:03, or 2026-11-23T14:03, local; with Z in UTC."
)
@LIMIT
def history(console: Console, /, *, limit: int, **typed: str) -> None:
    """List what happened, newest first; or what ran on a host at a time.

    Every change of status, and the fact that caused it. With --host and --at: which revision of each group the host had then, whose files
    lay there, and what was on its way.
    """
    if typed["group"] and not typed["application"]:
        raise click.UsageError("cannot look for --group without --app: groups of several applications may have the same name")
    request = protos.deployments.ListHistoryRequest(
        application_name=typed["application"], deployment_group_name=typed["group"], deployment_id=typed["deployment"], host=typed["host"]
    )
    if typed["at"]:
        if not typed["host"] or typed["deployment"]:
            raise click.UsageError("cannot use --at without --host, nor with --deployment: it says what ran on one host")
        past.show(console, request, past.parsed(typed["at"], console.clock.now()))
        return
    pages = console.connection.pages(console.connection.deployments.ListHistory, request, limit)
    found = console.limited((entry for page in pages for entry in page.entries), limit)
    shown: Columns[HistoryEntry] = columns(
        ("TIME", lambda entry: date_time(entry.time)),
        ("GROUP", lambda entry: clean("/".join(part for part in (entry.application_name, entry.deployment_group_name) if part))),
        ("DEPLOYMENT", lambda entry: clean(entry.deployment_id)),
        ("HOST", lambda entry: clean(entry.host_name)),
        ("ENTRY", lambda entry: clean(entry.entry)),
        ("BECAUSE", lambda entry: clean(entry.because)),
        ("BY", lambda entry: clean(entry.principal)),
        ("MESSAGE", lambda entry: clean(entry.message)),
        whole="TIME DEPLOYMENT HOST ENTRY",
    )
    console.listing(found, shown, "Nothing of that has happened yet.")
