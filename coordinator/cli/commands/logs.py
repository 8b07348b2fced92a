"""`hookline logs`: what the hooks of a deployment print."""

import json
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos, suggestions
from coordinator.cli.arguments import DEPLOYMENT, command
from coordinator.cli.console import Console
from coordinator.cli.following.output import read
from coordinator.cli.following.wording import has_ended
from coordinator.cli.refusals import Interrupted
from coordinator.cli.text import clean, clean_output

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment, ReadLogsResponse


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
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended and everything has come.")
def logs(console: Console, deployment: str, host: str, *, follow: bool) -> None:
    """Show what the hooks of a deployment print, as it comes.

    Of several hosts each line begins with its host. Ctrl-C detaches: the deployment goes on.
    """
    asked = protos.deployments.GetDeploymentRequest(deployment_id=deployment)
    found = console.connection.ask(console.connection.deployments.GetDeployment, asked).deployment
    request = protos.deployments.ReadLogsRequest(deployment_id=deployment, host=host, follow=follow)
    overview = found.deployment_overview
    hosts = overview.pending + overview.in_progress + overview.succeeded + overview.failed + overview.skipped
    pages = Pages(console, named=not host and hosts != 1)
    try:
        for piece in read(console.connection, console.clock, request, pages.reconnecting):
            pages.add(piece)
    except KeyboardInterrupt:
        again = f"hookline logs {clean(deployment)}{f' --host {clean(host)}' if host else ''}{' -f' if follow else ''}"
        live = "" if has_ended(found) else f"{clean(deployment)} goes on without you\n"
        raise Interrupted(f"detached: {live}Read on with: {again}") from None
    pages.end()
    _remark(console, found, host, pages, follow=follow)


class Pages:
    """Puts the pieces of each host together and shows whole lines."""

    def __init__(self, console: Console, *, named: bool) -> None:
        self._console = console
        self._named = named
        self._away = False
        self._rests: dict[str, bytes] = {}
        self._offsets: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._open: dict[str, bool] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing has come."""
        return not self._names

    @property
    def unfinished(self) -> list[str]:
        """The hosts whose output has begun to come and has no end yet."""
        return sorted(clean(self._names[host_id]) for host_id, still in self._open.items() if still)

    def reconnecting(self) -> None:
        """The coordinator is away."""
        if not self._away:
            self._console.remark("the connection to the coordinator broke; connecting again")
        self._away = True

    def add(self, piece: "ReadLogsResponse") -> None:
        """Show what a piece completes."""
        host_id, self._away = piece.host_id, False
        self._names[host_id] = piece.host_name
        self._open[host_id] = not piece.complete
        rest = self._rests.pop(host_id, b"")
        begin = piece.offset - len(rest)
        *lines, rest = (rest + piece.content).split(b"\n")
        for line in lines:
            self._show(host_id, begin, line)
            begin += len(line) + 1
        if rest and (piece.complete or piece.dropped_bytes):
            self._show(host_id, begin, rest)
        elif rest:
            self._rests[host_id], self._offsets[host_id] = rest, begin
        if piece.dropped_bytes:
            self._dropped(host_id, piece.offset + len(piece.content), piece.dropped_bytes)

    def end(self) -> None:
        """Show what has no end of line."""
        for host_id, rest in self._rests.items():
            self._show(host_id, self._offsets[host_id], rest)
        self._rests.clear()

    def _show(self, host_id: str, offset: int, line: bytes) -> None:
        text = line.decode(errors="replace")
        if self._console.json:
            self._object(host_id, offset=offset, line=text)
        else:
            self._line(host_id, clean_output(text))

    def _dropped(self, host_id: str, offset: int, size: int) -> None:
        if self._console.json:
            self._object(host_id, offset=offset, dropped_bytes=size)
        else:
            self._line(host_id, f"[hookline]dropped {size} bytes of output")

    def _line(self, host_id: str, text: str) -> None:
        self._console.line(f"{clean(self._names[host_id])} | {text}" if self._named else text)

    def _object(self, host_id: str, **more: str | int) -> None:
        click.echo(json.dumps({"host_id": host_id, "host_name": self._names[host_id], **more}))


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
