"""`hookline explain`: why a deployment or a host is where it is."""

import re
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import command
from coordinator.cli.console import Console
from coordinator.cli.wording.spelling import to_json
from coordinator.cli.wording.text import clean, moment, span

if TYPE_CHECKING:
    from hookline.v1.foresight_pb2 import Explanation

DEPLOYMENT = re.compile(r"d-[A-Z0-9]{9}")
SCHEDULE = "Schedule"
"""Of what waits for the time at which it is to start, the coordinator gives this reason: it begins no sooner either."""


@command(
    "explain",
    examples=["hookline explain d-8A1B2C3D4", "hookline explain d-8A1B2C3D4 --host web-3", "hookline explain web-3"],
    related=["status", "target", "history", "plan"],
)
@click.argument("what", metavar="DEPLOYMENT|HOST", shell_complete=suggestions.deployments)
@click.option("--host", metavar="HOST", shell_complete=suggestions.hosts, help="Only this host's part in the deployment.")
def explain(console: Console, what: str, host: str | None) -> None:
    """Say in one sentence why a deployment or a host is where it is, what it waits for, and until when.

    The rules that decide are asked. Of a host: of its part in every live deployment.
    """
    asking = console.connection.foresight
    if DEPLOYMENT.fullmatch(what):
        request = protos.foresight.ExplainDeploymentRequest(deployment_id=what, host=host or "")
        explanation = console.connection.ask(asking.ExplainDeployment, request).explanation
        if console.json:
            console.json_value(to_json(explanation))
        else:
            _show(console, explanation)
        return
    if host:
        raise click.UsageError(f"cannot find the deployment {clean(what)[:40]!r}: a deployment's id is like d-8A1B2C3D4")
    explanations = console.connection.ask(asking.ExplainHost, protos.foresight.ExplainHostRequest(host=what)).explanations
    if console.json:
        console.json_value([to_json(one) for one in explanations])
        return
    for one in explanations:
        _show(console, one)


def _show(console: Console, of: "Explanation") -> None:
    place = f" ({clean(of.application_name)}/{clean(of.deployment_group_name)})" if of.application_name else ""
    until = moment(of.until)
    left = ""
    if until is not None:
        now = console.clock.now().astimezone()
        when = f"{until:%H:%M:%S}" if until.date() == now.date() else f"{until:%Y-%m-%d %H:%M:%S}"
        left = f", until {when}{'' if of.reason == SCHEDULE else ' at most'} ({span((until - now).total_seconds())} from now)"
    console.line(f"{clean(of.sentence)}{left}{place}")
