"""Following on a terminal: a header, a bar, and a row for each host with a cell for each lifecycle event, as many as fit."""

import threading
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from coordinator.cli.console import Console
from coordinator.cli.following import alarms, wording
from coordinator.cli.following.rollout import Change, Rollout
from coordinator.cli.wording.spelling import spelt
from coordinator.cli.wording.text import STATUS_STYLES, clean, moment, span

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

    from hookline.v1.deployments_pb2 import Deployment, Target

REFRESHES = 8  # a second
OTHER_LINES = 4  # the bar, a blank line, the fold line, and the line of the cursor
BAR = 30
SHOWN_FAILURES = 10
SHOWN_ALARMS = 3
CELLS = {"Succeeded": "■", "InProgress": "▶", "Failed": "✖", "Unknown": "?", "Skipped": "–", "Pending": "·"}
ASCII_CELLS = {"Succeeded": "#", "InProgress": ">", "Failed": "x", "Unknown": "?", "Skipped": "-", "Pending": "."}


class LiveView:
    """The live picture of a rollout. Rich draws it in a thread of its own; a lock keeps it whole."""

    def __init__(self, console: Console, rollout: Rollout, rich: "RichConsole") -> None:
        self._console = console
        self._rollout = rollout
        self._rich = rich
        self._cells = CELLS if "utf" in rich.encoding.lower() else ASCII_CELLS
        self._lock = threading.Lock()
        self._reconnecting = False
        self._live = Live(get_renderable=self.picture, console=rich, refresh_per_second=REFRESHES, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, change: Change) -> None:
        """The rollout has changed already; the next picture shows it."""
        self._reconnecting = False

    def reconnecting(self) -> None:
        """Say so in the header."""
        self._reconnecting = True

    def end(self) -> None:
        """Leave the last picture, and below it what failed and why."""
        self._live.stop()
        failed = self._rollout.failed()
        for target in failed[:SHOWN_FAILURES]:
            self._rich.print(Text.assemble((clean(target.host_name), "bold"), "  ", (wording.reason(target), "red")))
            event = wording.failed_event(target)
            for line in wording.log_tail(event.diagnostics) if event else []:
                self._rich.print(Text(f"  | {line}", style="dim"))
        if len(failed) > SHOWN_FAILURES:
            self._rich.print(
                f"{len(failed) - SHOWN_FAILURES:,} more failed; see: hookline targets {self._rollout.deployment_id} --status Failed"
            )
        if self._rollout.deployment is not None:
            style = STATUS_STYLES.get(spelt(self._rollout.deployment, "status"), "")
            self._rich.print(Text(f"{self._rollout.deployment_id} {wording.outcome(self._rollout.deployment)}", style=style))

    @property
    def lock(self) -> threading.Lock:
        """Held while the rollout changes."""
        return self._lock

    def picture(self) -> "RenderableType":
        """Everything as it is now."""
        with self._lock:
            deployment = self._rollout.deployment
            if deployment is None:
                return Text(f"{self._rollout.deployment_id}  waiting for the coordinator...", style="dim")
            header = self._header(deployment)
            height = len(self._rich.render_lines(header)) + OTHER_LINES
            shown = self._rollout.worth_showing(max(1, self._rich.height - height))
            return Group(header, self._bar(deployment), Text(), self._rows(shown), self._fold(shown))

    def _header(self, deployment: "Deployment") -> Text:
        parts = [
            wording.place(deployment),
            wording.revision(deployment),
            clean(deployment.deployment_config_name),
            wording.made_by(deployment),
            wording.elapsed(deployment, self._console.clock.now()),
        ]
        header = Text(no_wrap=False)
        header.append(self._rollout.deployment_id, style="bold")
        header.append("  " + "  ".join(part for part in parts if part))
        if waits := wording.awaited(deployment):
            header.append(f"  {waits}", style="yellow")
        if self._reconnecting:
            header.append("  reconnecting...", style="yellow")
        now = self._console.clock.now()
        for line in filter(None, (wording.stage(deployment), wording.waits(deployment, now))):
            header.append(f"\n{line}", style="yellow")
        for line in self._alarms(deployment):
            header.append(f"\n{line}", style="yellow")
        return header

    def _alarms(self, deployment: "Deployment") -> list[str]:
        """What its alarms let it do, where they let it wait; else how they were seen last."""
        now, told = self._console.clock.now(), self._rollout.told
        if not deployment.alarm_configuration.enabled or wording.has_ended(deployment):
            return []
        waits = alarms.waits(deployment, told, now)
        return [f"waits: {waits}"] if waits else [f"alarm {one.line(now)}" for one in alarms.sights(deployment, told)][:SHOWN_ALARMS]

    def _bar(self, deployment: "Deployment") -> "RenderableType":
        numbers = self._rollout.counts()
        ended = sum(numbers[status] for status in ("Succeeded", "Failed", "Unknown", "Skipped"))
        status = spelt(deployment, "status")
        style = "red" if numbers["Failed"] or numbers["Unknown"] else "green"
        told = f"{ended:,}/{self._rollout.total:,}  {wording.counted(numbers)}"
        width = max(4, min(BAR, self._rich.width - len(status) - len(told) - 4))
        bar = ProgressBar(total=max(1, self._rollout.total), completed=ended, width=width, complete_style=style, finished_style=style)
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, min_width=width)
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(Text(status, style=STATUS_STYLES.get(status, "")), bar, Text(told))
        return line

    def _rows(self, shown: "list[Target]") -> Table:
        rows = Table.grid(padding=(0, 2, 0, 0), expand=False)
        rows.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
        rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True, overflow="ellipsis")
        for target in shown:
            status = spelt(target, "status")
            rows.add_row(
                Text(clean(target.host_name)), self._progress(target), Text(self._now_doing(target), style=STATUS_STYLES.get(status, ""))
            )
        return rows

    def _progress(self, target: "Target") -> Text:
        cells = Text()
        for event in target.lifecycle_events:
            status = spelt(event, "status") or "Pending"
            cells.append(self._cells.get(status, "?"), style=STATUS_STYLES.get(status, ""))
        return cells

    def _now_doing(self, target: "Target") -> str:
        status = spelt(target, "status")
        if status != "InProgress":
            why = wording.reason(target)
            return f"{status}  {why}" if why else status
        for event in target.lifecycle_events:
            if spelt(event, "status") == "InProgress":
                began = moment(event.start_time)
                lasts = span((self._console.clock.now() - began).total_seconds()) if began else ""
                return f"{spelt(event, 'lifecycle_event')} {lasts}".strip()
        return f"InProgress  {clean(target.message)}".strip()

    def _fold(self, shown: "list[Target]") -> Text:
        hidden = self._rollout.counts()
        for target in shown:
            hidden[spelt(target, "status")] -= 1
        more = sum(hidden.values())
        dots = "…" if self._cells is CELLS else "..."
        return Text(f"{dots} {more:,} more: {wording.counted(hidden)}" if more else "", style="dim")
