"""Following without a terminal: one line for each change, or one JSON object."""

import datetime
import json
from typing import TYPE_CHECKING, Protocol, Self

import click

from coordinator.cli.console import Console
from coordinator.cli.following import alarms, wording
from coordinator.cli.following.rollout import AlarmTold, Change, DeploymentChanged, Rollout, TargetChanged
from coordinator.cli.wording.spelling import spelt, to_json
from coordinator.cli.wording.text import clean, clock_time

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry, Target
    from hookline.v1.resources_pb2 import LifecycleEventRecord


class View(Protocol):
    """A way to show a deployment that is followed."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def show(self, change: Change) -> None:
        """Something changed."""

    def reconnecting(self) -> None:
        """The stream broke and is opened again."""

    def end(self) -> None:
        """The deployment has ended."""


class JsonView:
    """A line of JSON for each change: `{"deployment": ...}`, `{"target": ...}`, or `{"entry": ...}` where its alarms were seen. The last
    one is the deployment as it ended."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, change: Change) -> None:
        """Print what changed, whole."""
        match change:
            case DeploymentChanged(deployment=deployment):
                self._line("deployment", deployment)
            case TargetChanged(target=target):
                self._line("target", target)
            case AlarmTold(entry=entry):
                self._line("entry", entry)

    def reconnecting(self) -> None:
        """Say so beside the answer."""
        click.echo("reconnecting...", err=True)

    def end(self) -> None:
        """A deployment that had ended before came first, its targets after it: say it again."""
        if self._last in ("target", "entry") and self._rollout.deployment is not None:
            self._line("deployment", self._rollout.deployment)

    def _line(self, key: str, message: "Deployment | Target | HistoryEntry") -> None:
        click.echo(json.dumps({key: to_json(message)}))
        self._last = key


class PlainView:
    """A line of text for each change of the deployment, of a target and of a lifecycle event."""

    def __init__(self, console: Console, rollout: Rollout) -> None:
        self._console = console
        self._rollout = rollout
        self._said_reconnecting = False
        self._said = ("", "")
        """In which stage it was, and what it waited for, when that was said last."""
        self._outcome = ""
        """The last line: that of a deployment that had ended before comes before its targets, and has to wait for them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, change: Change) -> None:
        """Print what is new."""
        self._said_reconnecting = False
        match change:
            case DeploymentChanged(deployment=deployment, before=before):
                self._deployment(deployment, before)
            case TargetChanged():
                self._target(change)
            case AlarmTold(entry=entry):
                self._line(clock_time(entry.time, self._now()), self._rollout.deployment_id, alarms.told(entry), "")

    def _deployment(self, deployment: "Deployment", before: str) -> None:
        status = spelt(deployment, "status")
        if status == before:
            self._pause(deployment)
            return
        at = clock_time(deployment.complete_time, self._now())
        ended = wording.has_ended(deployment)
        if not before:
            words = f"{wording.place(deployment)}  {wording.revision(deployment)}  {clean(deployment.deployment_config_name)}"
            self._line(
                clock_time(deployment.create_time, self._now()),
                self._rollout.deployment_id,
                "Created" if ended else status,
                f"{words}  {wording.made_by(deployment)}",
            )
            if waits := wording.awaited(deployment):
                self._line(clock_time(deployment.create_time, self._now()), self._rollout.deployment_id, status, waits)
        elif not ended:
            self._line(clock_time(deployment.start_time, self._now()), self._rollout.deployment_id, status, "")
        if ended:
            took = wording.elapsed(deployment, self._now())
            told = f"{wording.outcome(deployment).partition(': ')[2]} ({took})"
            self._outcome = self._worded(at, self._rollout.deployment_id, status, told)

    def _pause(self, deployment: "Deployment") -> None:
        """A stage has begun, or something is waited for after one."""
        said = (wording.stage(deployment), spelt(deployment.waiting, "waiting_for"))
        if said == self._said or wording.has_ended(deployment):
            return
        self._said = said
        told = wording.waits(deployment, self._now()) or said[0]
        if told:
            self._line(f"{self._now().astimezone():%H:%M:%S}", self._rollout.deployment_id, told, "")

    def _target(self, change: TargetChanged) -> None:
        target = change.target
        begins = spelt(target, "status") == "InProgress"
        waits = change.before is not None and not change.status_changed and target.message != change.before.message
        if (begins and change.status_changed) or waits:
            self._line(clock_time(target.start_time, self._now()), target.host_name, spelt(target, "status"), clean(target.message))
        for event in change.events():
            self._event(target.host_name, event)
        if change.status_changed and not begins:
            at = clock_time(target.end_time if target.HasField("end_time") else target.start_time, self._now())
            self._line(at, target.host_name, spelt(target, "status"), clean(target.message))

    def _event(self, host: str, event: "LifecycleEventRecord") -> None:
        at = clock_time(event.end_time if event.HasField("end_time") else event.start_time, self._now())
        told = wording.diagnosis(event.diagnostics) if event.HasField("diagnostics") else ""
        self._line(at, host, f"{spelt(event, 'lifecycle_event')}  {spelt(event, 'status')}", told)
        for line in wording.log_tail(event.diagnostics):
            self._console.line(f"{'':9}{'':{self._width}}  | {line}")

    @property
    def _width(self) -> int:
        return max(self._rollout.name_width, len(self._rollout.deployment_id))

    def reconnecting(self) -> None:
        """Say so, once for each time that the coordinator is away."""
        if not self._said_reconnecting:
            self._console.remark("reconnecting...")
        self._said_reconnecting = True

    def end(self) -> None:
        """Say how it ended."""
        if self._outcome:
            self._console.line(self._outcome)

    def _line(self, at: str, who: str, what: str, more: str) -> None:
        self._console.line(self._worded(at, who, what, more))

    def _worded(self, at: str, who: str, what: str, more: str) -> str:
        return f"{at} {clean(who):{self._width}}  {what}{f'  {more}' if more else ''}"

    def _now(self) -> datetime.datetime:
        return self._console.clock.now()
