"""`hookline plan` and `hookline simulate`: a deployment before it is made, by the rules that would decide it."""

import re
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import APPLICATION, GROUP, Command, Parsed, command, show_auto_rollback, show_minimum
from coordinator.cli.commands.rollouts.deployments import Typed, asked, deploy
from coordinator.cli.console import Console
from coordinator.cli.following import wording
from coordinator.cli.foresight import shown
from coordinator.cli.refusals import REFUSED
from coordinator.cli.wording.spelling import number, spelt, to_json
from coordinator.cli.wording.text import clean
from coordinator.cli.wording.watched import length

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.deployments_pb2 import CreateDeploymentRequest, Deployment
    from hookline.v1.foresight_pb2 import FailingHost, LostHost, PlanDeploymentResponse, PlannedRollback, SimulateDeploymentResponse

REVISION = click.argument("named", metavar="[REVISION]", required=False, shell_complete=suggestions.revisions)
RESTART = click.option("--restart", is_flag=True, help="A restart of what succeeded last, as hookline restart makes it; no REVISION.")
ALL = click.option("--all", "everything", is_flag=True, help="Show every wave, however many there are.")


def _fault(typed: str) -> tuple[str, str, str]:
    """`host=NAME`, `host=NAME@WHAT` or `p=3%`: the share, the host, what stands behind it."""
    if found := re.fullmatch(r"p=(-?\d{1,6}(?:\.\d{1,6})?)%?", typed):
        return found[1], "", ""
    if found := re.fullmatch(r"host=([^@\s]+)(?:@(\S+))?", typed):
        return "", found[1], found[2] or ""
    raise ValueError(f"cannot read {typed!r}: write host=NAME, or p=3% for three in a hundred")


def _failing(typed: str) -> "float | FailingHost":
    share, host, event = _fault(typed)
    if share:
        return float(share)
    failing = protos.foresight.FailingHost(host=host)
    if event:
        kinds = protos.resources.LifecycleEvent
        try:
            failing.lifecycle_event = kinds.ValueType(number(kinds, event))
        except (KeyError, ValueError):
            raise ValueError(f"cannot read {event!r}: write a lifecycle event such as host={host}@Install") from None
    return failing


def _losing(typed: str) -> "float | LostHost":
    share, host, when = _fault(typed)
    if share:
        return float(share)
    lost = protos.foresight.LostHost(host=host)
    if when:
        lost.at.CopyFrom(length(when))
    return lost


class Planned(Typed):
    """The deployment that was typed, or that it is a restart."""

    restart: bool


class Faults(TypedDict):
    """What was typed of what goes wrong."""

    fail: "tuple[float | FailingHost, ...]"
    lose: "tuple[float | LostHost, ...]"
    back_after: "Duration | None"
    alarm_at: "Duration | None"
    alarm_name: str | None
    stop_at: "Duration | None"
    seed: int


class TypedFaults(Planned, Faults):
    """The deployment, and what goes wrong in it."""


@command(
    "plan",
    examples=[
        "hookline plan shop production r-0123456789abcdef",
        "hookline plan shop production --config CodeDeployDefault.HalfAtATime      # the newest revision",
        "hookline plan shop production --restart",
        "hookline plan shop production r-0123456789abcdef --output json | jq .foresight.waves",
    ],
    related=["deploy", "restart", "simulate", "explain"],
)
@APPLICATION
@GROUP
@REVISION
@RESTART
@ALL
def plan(console: Console, /, application: str, group: str, named: str | None, *, everything: bool, **typed: Unpack[Planned]) -> None:
    """Show how a deployment would go if nothing failed. Nothing is made.

    Who begins when, how many hosts stay healthy, which hosts are offline, what would refuse it, where a rollback would go.
    It takes the options of deploy, and without a REVISION the newest one. Exit code 1 when it would be refused now, or not succeed.
    """
    request = _request(console, application, group, named, typed)
    planned = console.connection.ask(
        console.connection.foresight.PlanDeployment, protos.foresight.PlanDeploymentRequest(deployment=request)
    )
    if console.json:
        console.json_value(to_json(planned))
    else:
        _show_plan(console, request, planned, everything=everything)
    if planned.refusals or _fails(planned):
        click.get_current_context().exit(REFUSED)


@command(
    "simulate",
    examples=[
        "hookline simulate shop production r-0123456789abcdef --fail host=web-3",
        "hookline simulate shop production --fail host=web-3@ValidateService --lose host=web-5@10m --back-after 2m",
        "hookline simulate shop production --fail p=3% --lose p=1% --seed 7",
        "hookline simulate shop production --alarm HighErrors --alarm-at 20m --auto-rollback alarm",
    ],
    related=["plan", "deploy", "explain"],
)
@APPLICATION
@GROUP
@REVISION
@click.option(
    "--fail",
    type=Parsed("fail", _failing),
    multiple=True,
    metavar="host=NAME[@EVENT]|p=N%",
    help="Let this host fail, at a lifecycle event or at any; or so many in a hundred.",
)
@click.option(
    "--lose",
    type=Parsed("lose", _losing),
    multiple=True,
    metavar="host=NAME[@TIME]|p=N%",
    help="Let this host fall silent, so long after the beginning or while it is deployed to; or so many in a hundred.",
)
@click.option("--back-after", type=Parsed("time", length), metavar="TIME", help="Let the lost come back after so long. [never]")
@click.option("--alarm-at", type=Parsed("time", length), metavar="TIME", help="Let an alarm fire so long after the beginning.")
@click.option("--alarm-name", metavar="NAME", help="Which one. [the first that is watched]")
@click.option("--stop-at", type=Parsed("time", length), metavar="TIME", help="Let somebody stop it so long after the beginning.")
@click.option("--seed", type=click.IntRange(min=0, max=2**63), default=0, show_default=True, help="The same seed is the same chance.")
@RESTART
@ALL
def simulate(
    console: Console, /, application: str, group: str, named: str | None, *, everything: bool, **typed: Unpack[TypedFaults]
) -> None:
    """Tell how a deployment would go when this and that goes wrong. Nothing is made.

    The rules that decide real ones decide it, on a clock of its own. It takes the options of deploy, and without a REVISION the newest one.
    Gates are passed at once; in the rollback nothing fails.
    """
    if typed["alarm_name"] and typed["alarm_at"] is None:
        raise click.UsageError("cannot tell when the alarm fires: say --alarm-at TIME too")
    request = protos.foresight.SimulateDeploymentRequest(
        deployment=_request(console, application, group, named, typed),
        failing_hosts=[one for one in typed["fail"] if not isinstance(one, float)],
        failing_percent=sum(one for one in typed["fail"] if isinstance(one, float)),
        lost_hosts=[one for one in typed["lose"] if not isinstance(one, float)],
        lost_percent=sum(one for one in typed["lose"] if isinstance(one, float)),
        back_after=typed["back_after"],
        stop_at=typed["stop_at"],
        seed=typed["seed"],
    )
    if typed["alarm_at"] is not None:
        request.firing_alarms.add(alarm_name=typed["alarm_name"] or "", at=typed["alarm_at"])
    told = console.connection.ask(console.connection.foresight.SimulateDeployment, request)
    if console.json:
        console.json_value(to_json(told))
    else:
        _show_story(console, told, everything=everything)


def _as_deploy(mine: Command) -> None:
    """Give a command the options of deploy, whatever they are, but those about following."""
    own = {parameter.name for parameter in mine.params}
    options = [one for one in deploy.params if isinstance(one, click.Option) and one.name not in own | {"follow", "revision"}]
    mine.params += [*options, click.Option(["--revision"], metavar="REVISION", help="The revision, as deploy takes it.")]


_as_deploy(plan)
_as_deploy(simulate)


def _request(console: Console, application: str, group: str, named: str | None, typed: Planned) -> "CreateDeploymentRequest":
    if typed["restart"]:
        if named or typed["revision"]:
            raise click.UsageError("cannot restart a revision that is named: a restart takes what succeeded last")
        typed["revision"] = ""
        request = asked(console, application, group, typed)
        request.deployment_mode = protos.deployments.DEPLOYMENT_MODE_RESTART
        return request
    if named and typed["revision"] and named != typed["revision"]:
        raise click.UsageError("cannot tell which revision is meant: name one of them")
    typed["revision"] = named or typed["revision"] or _newest(console, application)
    return asked(console, application, group, typed)


def _newest(console: Console, application: str) -> str:
    ask = protos.catalog.ListRevisionsRequest(application_name=application, page_size=1)
    found = console.connection.ask(console.connection.catalog.ListRevisions, ask).revisions
    if not found:
        raise click.UsageError(f"cannot plan without a revision: {clean(application)} has none; push one first")
    console.remark(f"Revision {clean(found[0].revision_id)} is the newest of {clean(application)}.")
    return found[0].revision_id


def _show_plan(console: Console, request: "CreateDeploymentRequest", planned: "PlanDeploymentResponse", *, everything: bool) -> None:
    if planned.HasField("foresight"):
        foresight, made = planned.foresight, planned.deployment
        _head(console, made)
        shown.waves(console, foresight, everything=everything)
        console.line()
        if foresight.HasField("end"):
            console.line(f"ends after {shown.after(foresight.end)}{_between(planned)}; {shown.known(foresight)}")
        else:
            console.line("takes so long that nobody looked to its end")
        for sentence in shown.promises(foresight):
            console.line(sentence)
        if _fails(planned):
            why = clean(foresight.error_information.message)
            console.line(f"it would end {spelt(foresight, 'status')}{f': {why}' if why else ''}")
        if planned.offline_hosts:
            console.line(f"offline now: {shown.names(planned.offline_hosts)}")
        console.line(f"rollback: {_rollback(planned.rollback, made)}")
    for refusal in planned.refusals:
        console.line(f"refused: {clean(refusal.message)}")
    if not planned.refusals and not _fails(planned):
        place = f"{clean(request.application_name)} {clean(request.deployment_group_name)}"
        restarts = request.deployment_mode == protos.deployments.DEPLOYMENT_MODE_RESTART
        what = f"restart {place}" if restarts else f"deploy {place} --revision {clean(request.revision_id)}"
        console.remark(f"Next: hookline {what}, with the same options")


def _fails(planned: "PlanDeploymentResponse") -> bool:
    """Whether it would not succeed, although nothing fails: because hosts are offline."""
    told = protos.resources
    bad = (told.DEPLOYMENT_STATUS_FAILED, told.DEPLOYMENT_STATUS_STOPPED)
    return planned.HasField("foresight") and planned.foresight.status in bad


def _head(console: Console, made: "Deployment") -> None:
    before = f" over {clean(made.previous_revision_id)}" if made.previous_revision_id not in ("", made.revision_id) else ""
    place = f"{clean(made.application_name)}/{clean(made.deployment_group_name)}"
    minimum = show_minimum(made.minimum_healthy_hosts)
    console.line(f"{place}: {wording.revision(made)}{before}, {clean(made.deployment_config_name)} (keeps {minimum} healthy)")
    console.line()


def _rollback(of: "PlannedRollback", made: "Deployment") -> str:
    if not of.revision_id:
        return clean(of.message)
    by_itself, config = show_auto_rollback(of.auto_rollback_configuration), clean(made.rollback_deployment_config_name)
    when = "never by itself" if by_itself == "none" else f"by itself on {by_itself}"
    return f"to {clean(of.revision_id)}{f' with {config}' if config else ''}, {when}"


def _between(planned: "PlanDeploymentResponse") -> str:
    early, late = planned.earliest_end, planned.latest_end
    if not (planned.HasField("earliest_end") and planned.HasField("latest_end")) or early == late:
        return ""
    soonest, latest = shown.after(early), shown.after(late)
    return "" if soonest == latest else f" (between {soonest} and {latest})"


def _show_story(console: Console, told: "SimulateDeploymentResponse", *, everything: bool) -> None:
    _head(console, told.deployments[0])
    shown.entries(console, told.entries)
    if told.entries_left_out:
        console.line(f"... and {told.entries_left_out} entries about single hosts more")
    console.line()
    shown.waves(console, told.foresight, everything=everything)
    console.line()
    for deployment in told.deployments:
        why = f": {clean(deployment.error_information.message)}" if deployment.error_information.message else ""
        what = f"; {clean(deployment.rollback_info.rollback_message)}" if deployment.rollback_info.rollback_message else ""
        console.line(f"{clean(deployment.deployment_id)} ends {spelt(deployment, 'status')}{why}{what}")
    if told.foresight.HasField("end"):
        console.line(f"all has ended after {shown.after(told.foresight.end)}; {shown.known(told.foresight)}")
    for sentence in shown.promises(told.foresight):
        console.line(sentence)
