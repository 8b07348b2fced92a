"""`hookline pause`, `resume`, `promote`, `retry` and `skip`: what may be wished of a deployment while it goes on."""

from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import DEPLOYMENT, command
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console
from coordinator.cli.following import wording
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment

REASON = click.option("--reason", default="", metavar="TEXT", help="Why; shown in the history.")


@command(
    "pause",
    examples=["hookline pause d-8A1B2C3D4", 'hookline pause d-8A1B2C3D4 --reason "lunch"'],
    related=["resume", "stop", "status"],
)
@DEPLOYMENT
@REASON
def pause(console: Console, deployment: str, reason: str) -> None:
    """Let nothing new begin.

    What runs on hosts goes on, and alarms still stop it; bakes and gates stand still. One that nobody resumes within 7 days stops.
    """
    request = protos.deployments.PauseDeploymentRequest(deployment_id=deployment, reason=reason, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.deployments.PauseDeployment, request).deployment, "is paused")


@command("resume", examples=["hookline resume d-8A1B2C3D4"], related=["pause", "status"])
@DEPLOYMENT
@REASON
def resume(console: Console, deployment: str, reason: str) -> None:
    """Let a paused deployment go on."""
    request = protos.deployments.ResumeDeploymentRequest(deployment_id=deployment, reason=reason, request_id=new_request_id())
    _tell(console, console.connection.ask(console.connection.deployments.ResumeDeployment, request).deployment, "goes on")


@command(
    "promote",
    examples=["hookline promote d-8A1B2C3D4", 'hookline promote d-8A1B2C3D4 --past-gate --reason "hotfix"'],
    related=["approve", "pause", "skip", "status"],
)
@DEPLOYMENT
@click.option("--past-gate", is_flag=True, help="Pass the gate after the bake as well; takes the permission to approve deployments.")
@REASON
def promote(console: Console, deployment: str, reason: str, *, past_gate: bool) -> None:
    """End the present bake now: the next stage begins, or the deployment ends.

    Who may deploy may do so. A gate is passed with hookline approve, or with --past-gate.
    """
    request = protos.deployments.PromoteDeploymentRequest(
        deployment_id=deployment, reason=reason, request_id=new_request_id(), past_gate=past_gate or None
    )
    _tell(console, console.connection.ask(console.connection.deployments.PromoteDeployment, request).deployment, "is promoted")


@command(
    "retry",
    examples=["hookline retry d-8A1B2C3D4", "hookline retry d-8A1B2C3D4 web-3 web-7"],
    related=["target", "skip", "status"],
)
@DEPLOYMENT
@click.argument("hosts", metavar="[HOST]...", nargs=-1, shell_complete=suggestions.hosts)
@REASON
def retry(console: Console, deployment: str, hosts: tuple[str, ...], reason: str) -> None:
    """Try hosts again on which a live deployment has failed, or that were lost or skipped; all that failed when none is named.

    They get a further attempt, from the first lifecycle event on, and their places among the hosts that may fail are free again. The
    bake of a stage that was over begins anew. To have time for it, pause the deployment.
    """
    request = protos.deployments.RetryTargetsRequest(deployment_id=deployment, hosts=hosts, reason=reason, request_id=new_request_id())
    made = console.connection.ask(console.connection.deployments.RetryTargets, request).deployment
    _tell(console, made, f"tries {', '.join(map(clean, hosts)) or 'the hosts that failed'} again")


@command(
    "skip",
    examples=['hookline skip d-8A1B2C3D4 web-9 --reason "its disk is broken"'],
    related=["targets", "retry", "stop"],
)
@DEPLOYMENT
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, shell_complete=suggestions.hosts)
@REASON
def skip(console: Console, deployment: str, hosts: tuple[str, ...], reason: str) -> None:
    """Leave out hosts that have not begun.

    They end Skipped, which is no failure, keep what they have, and are left alone until the next deployment.
    """
    request = protos.deployments.SkipTargetsRequest(deployment_id=deployment, hosts=hosts, reason=reason, request_id=new_request_id())
    made = console.connection.ask(console.connection.deployments.SkipTargets, request).deployment
    _tell(console, made, f"leaves out {', '.join(map(clean, hosts))}")


def _tell(console: Console, now: "Deployment", how: str) -> None:
    if console.json:
        console.json_value(to_json(now))
        return
    console.line(f"{clean(now.deployment_id)} {how}")
    if waits := wording.waits(now, console.clock.now()):
        console.remark(f"It waits: {waits}")
    console.remark(f"Next: hookline follow {clean(now.deployment_id)}")
