"""Which scripts a lifecycle event runs on this host: those of the AppSpec of the revision that serves it.

Reads what DownloadBundle has left; runs nothing.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from agent.appspec import AppSpec
from agent.hooks import EventRun, ScriptRun
from agent.model import OLD_REVISION_EVENTS, Diagnostics, ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

    from agent.environment import Environment
    from agent.facts import Begin, Recover
    from agent.model import Instruction
    from agent.workspace import DeploymentDirectory, Workspace

log = logging.getLogger("hookline.agent")


class EventScripts:
    """Finds the scripts of events in the bundles of a host."""

    def __init__(self, *, workspace: Workspace, environment: Environment) -> None:
        self._workspace = workspace
        self._environment = environment

    @property
    def root_prefix(self) -> Path:
        """Below which every absolute path of a deployment lies."""
        return self._workspace.root_prefix

    def of(self, order: Begin) -> EventRun | Diagnostics | None:
        """What the hooks have to run; None: nothing. Diagnostics: it cannot be run."""
        instruction, serving = order.instruction, self._serving(order)
        if serving is None:
            return None
        try:
            appspec = AppSpec.from_json(serving.appspec.read_bytes())
        except FileNotFoundError:
            if order.event in OLD_REVISION_EVENTS:
                # Somebody has cleaned the disk. Failing here would leave the host undeployable until somebody finds out why.
                log.warning("old revision is gone lifecycle_event=%s directory=%s", order.event, serving.path)
                return None
            message = f"cannot run {order.event}: the bundle is not unpacked in {serving.path}; deploy again"
            return Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message=message)
        scripts = appspec.hooks.get(order.event, ())
        if not scripts:
            return None
        return EventRun(
            instruction_id=instruction.instruction_id,
            attempt=order.attempt,
            lifecycle_event=order.event,
            deployment_id=instruction.deployment_id,
            scripts=tuple(
                ScriptRun(
                    location=script.location,
                    path=str(serving.archive / script.location.lstrip("/")),
                    timeout=script.timeout,
                    runas=script.runas,
                    sudo=script.sudo,
                    args=script.args,
                    env=(*appspec.env, *script.env),  # references are looked up there, and nowhere else
                )
                for script in scripts
            ),
            environment=self._environment.of(order, serving),
            cwd="/",
            scripts_log=str(self._new(instruction).scripts_log),
            timeout=max(1, math.ceil(order.timeout_seconds)),
        )

    def may_repeat(self, order: Begin | Recover) -> bool:
        """Whether the author of an event's scripts says that they may run again; an AppSpec that is gone says nothing."""
        serving = self._serving(order)
        try:
            return serving is not None and order.event in AppSpec.from_json(serving.appspec.read_bytes()).repeatable
        except FileNotFoundError:
            return False

    def tell_warnings(self, instruction: Instruction) -> None:
        """Log what is odd about the AppSpec that has just arrived."""
        for warning in AppSpec.from_json(self._new(instruction).appspec.read_bytes()).warnings:
            log.warning("appspec deployment=%s warning=%r", instruction.deployment_id, warning)

    def _serving(self, order: Begin | Recover) -> DeploymentDirectory | None:
        """Where the scripts of an event come from; None: there is no old revision whose scripts they would be."""
        if order.event not in OLD_REVISION_EVENTS:
            return self._new(order.instruction)
        if order.serving is None:
            return None
        return self._workspace.deployment(order.instruction.group_id, order.serving.deployment_id)

    def _new(self, instruction: Instruction) -> DeploymentDirectory:
        return self._workspace.deployment(instruction.group_id, instruction.deployment_id)
