"""Following a deployment, and the rollback it may lead to, until all is over or the operator has seen enough."""

import contextlib
import sys
from typing import TYPE_CHECKING

from coordinator.cli.clock import Clock
from coordinator.cli.console import Console, rich_console
from coordinator.cli.following import alarms
from coordinator.cli.following.plain import JsonView, PlainView, View
from coordinator.cli.following.rollout import Rollout
from coordinator.cli.following.watch import watch
from coordinator.cli.refusals import Interrupted, Unreachable
from coordinator.cli.wording.spelling import spelt

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry

PAUSE = 1.0
"""Seconds at least between two looks at what was told of alarms."""


def follow(console: Console, deployment_id: str) -> bool:
    """Show a deployment until it has ended, then the one that rolls it back if there is one. Returns whether the first succeeded."""
    return _follow_all(console, deployment_id)[0]


def follow_to_the_last(console: Console, deployment_id: str) -> bool:
    """The same. Returns whether the last of them succeeded."""
    return _follow_all(console, deployment_id)[-1]


def _follow_all(console: Console, deployment_id: str) -> list[bool]:
    """Show a deployment and all that follows from it; whether each of them succeeded."""
    current, followed = deployment_id, dict[str, bool]()
    try:
        while current and current not in followed:
            followed[current] = False
            deployment = _follow_one(console, current)
            followed[current] = deployment is not None and spelt(deployment, "status") == "Succeeded"
            current = _rollback(console, deployment)
    except KeyboardInterrupt:
        raise Interrupted(
            f"detached: {current} goes on without you\n"
            f"Follow it again with: hookline follow {current}; stop it with: hookline stop {current}"
        ) from None
    return list(followed.values())


def _follow_one(console: Console, deployment_id: str) -> "Deployment | None":
    rollout, look = Rollout(deployment_id), _Looks(console.clock)
    view, lock = _view(console, rollout)
    with view:
        for response in watch(console.connection, console.clock, deployment_id, view.reconnecting):
            with lock:
                changes = rollout.apply(response)
            if response.WhichOneof("message") == "bookmark" and look.due(rollout, complete=response.bookmark.complete):
                news = _news(console, rollout)
                with lock:
                    changes += rollout.tell(news)
            for change in changes:
                view.show(change)
        view.end()
    return rollout.deployment


def _news(console: Console, rollout: Rollout) -> "list[HistoryEntry]":
    """What was told of the alarms meanwhile; nothing while the coordinator is away, for whose return the watch waits."""
    try:
        return alarms.entries(console.connection, rollout.deployment_id, rollout.told[0].history_id if rollout.told else 0)
    except Unreachable:
        return []


class _Looks:
    """When to read what was told of a deployment's alarms: whenever something is new, but not too often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: float | None = None

    def due(self, rollout: Rollout, *, complete: bool) -> bool:
        """Whether to read now; always once all is over."""
        if rollout.deployment is None or not rollout.deployment.alarm_configuration.enabled:
            return False
        now = self._clock.elapsed()
        if not complete and self._last is not None and now - self._last < PAUSE:
            return False
        self._last = now
        return True


def _view(console: Console, rollout: Rollout) -> tuple[View, contextlib.AbstractContextManager[object]]:
    if console.json:
        return JsonView(rollout), contextlib.nullcontext()
    if not sys.stdout.isatty():
        return PlainView(console, rollout), contextlib.nullcontext()
    from coordinator.cli.following.live import LiveView

    live = LiveView(console, rollout, rich_console())
    return live, live.lock


def _rollback(console: Console, deployment: "Deployment | None") -> str:
    """The deployment that rolls this one back, said aloud; "" if there is none."""
    if deployment is None:
        return ""
    about = deployment.rollback_info
    if about.rollback_deployment_id:
        console.remark(f"{deployment.deployment_id} is rolled back by {about.rollback_deployment_id}: following that one now")
    elif about.rollback_message and spelt(deployment, "status") != "Succeeded":
        console.remark(f"no rollback: {about.rollback_message}")
    return about.rollback_deployment_id
