"""Following a deployment, and the rollback it may lead to, until all is over or the operator has seen enough."""

import contextlib
import sys
from typing import TYPE_CHECKING

from coordinator.cli.console import Console, rich_console
from coordinator.cli.following.plain import JsonView, PlainView, View
from coordinator.cli.following.rollout import Rollout
from coordinator.cli.following.watch import watch
from coordinator.cli.refusals import Interrupted
from coordinator.cli.spelling import spelt

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment


def follow(console: Console, deployment_id: str) -> bool:
    """Show a deployment until it has ended, then the one that rolls it back if there is one. Returns whether the first succeeded."""
    succeeded: bool | None = None
    current, followed = deployment_id, set[str]()
    try:
        while current and current not in followed:
            followed.add(current)
            deployment = _follow_one(console, current)
            if succeeded is None:
                succeeded = deployment is not None and spelt(deployment, "status") == "Succeeded"
            current = _rollback(console, deployment)
    except KeyboardInterrupt:
        raise Interrupted(
            f"detached: {current} goes on without you\n"
            f"Follow it again with: hookline follow {current}; stop it with: hookline stop {current}"
        ) from None
    return bool(succeeded)


def _follow_one(console: Console, deployment_id: str) -> "Deployment | None":
    rollout = Rollout(deployment_id)
    view, lock = _view(console, rollout)
    with view:
        for response in watch(console.connection, console.clock, deployment_id, view.reconnecting):
            with lock:
                changes = rollout.apply(response)
            for change in changes:
                view.show(change)
        view.end()
    return rollout.deployment


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
