"""`hookline logs`: what the hooks of a deployment print."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import DEPLOYMENT, command
from coordinator.cli.console import Console
from coordinator.cli.following.folding import Fold
from coordinator.cli.following.output import read
from coordinator.cli.following.pages import Pages
from coordinator.cli.following.wording import has_ended
from coordinator.cli.refusals import Interrupted
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment

WINDOW = 0.3
"""Seconds that a line waits for other hosts that print the same."""


@command(
    "logs",
    examples=[
        "hookline logs d-8A1B2C3D4",
        "hookline logs d-8A1B2C3D4 --host web-1 -f",
        "hookline logs d-8A1B2C3D4 -f --output json | jq -r .line",
    ],
    related=["follow", "target", "targets"],
)
@DEPLOYMENT
@click.option("--host", default="", metavar="HOST", shell_complete=suggestions.hosts, help="Only of this host, by name or id.")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="BYTE", help="With --host: from this byte of its output on.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended and everything has come.")
@click.option("--fold/--no-fold", default=True, help="Show lines that several hosts print alike once, as '37 hosts: ...'. [--fold]")
@click.option("--raw", is_flag=True, help="Escape sequences and control characters as they are: they may do anything to a terminal.")
def logs(console: Console, deployment: str, host: str, *, offset: int, follow: bool, fold: bool, raw: bool) -> None:
    """Show what the hooks of a deployment print, as it comes.

    Of several hosts each line begins with its host, and lines that differ in nothing but their time are shown once, with the time of the
    first; --no-fold shows all, in the order in which they came. Ctrl-C detaches: the deployment goes on.
    """
    if raw and console.json:
        raise click.UsageError("--raw is for terminals: what JSON says is exact without it")
    if offset and not host:
        raise click.UsageError("--offset counts the bytes of one host: name it with --host")
    asked = protos.deployments.GetDeploymentRequest(deployment_id=deployment)
    found = console.connection.ask(console.connection.deployments.GetDeployment, asked).deployment
    request = protos.deployments.ReadLogsRequest(deployment_id=deployment, host=host, offset=offset, follow=follow)
    overview = found.deployment_overview
    hosts = overview.pending + overview.in_progress + overview.succeeded + overview.failed + overview.skipped
    named = not host and hosts != 1
    folding = Fold(WINDOW if follow else None) if fold and named and not console.json else None
    pages = Pages(console, named=named, raw=raw, fold=folding)
    try:
        with pages.live() if follow and folding else nullcontext():
            for piece in read(console.connection, console.clock, request, pages.reconnecting):
                pages.add(piece)
    except KeyboardInterrupt:
        again = f"hookline logs {clean(deployment)}{f' --host {clean(host)}' if host else ''}{' -f' if follow else ''}"
        live = "" if has_ended(found) else f"{clean(deployment)} goes on without you\n"
        raise Interrupted(f"detached: {live}Read on with: {again}") from None
    finally:
        pages.end()
    _remark(console, found, host, pages, follow=follow)


def _remark(console: Console, deployment: "Deployment", host: str, pages: Pages, *, follow: bool) -> None:
    """Say what an operator would wonder about."""
    whose = f"{clean(deployment.deployment_id)}{f' on {clean(host)}' if host else ''}"
    if pages.empty and (follow or has_ended(deployment)):
        console.remark(f"no output of {whose}: its hooks printed nothing, or it was longer ago than the coordinator keeps output")
    elif pages.empty:
        console.remark(f"no output of {whose} yet; wait for it with: hookline logs {clean(deployment.deployment_id)} -f")
    elif pages.unfinished and (follow or has_ended(deployment)):
        console.remark(
            f"not all has come from {', '.join(pages.unfinished)}: what is missing may still come, see it with this command again"
        )
