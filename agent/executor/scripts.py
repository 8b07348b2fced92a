"""Which scripts a lifecycle event runs on this host, and which follow them: those of the AppSpec of the revision that serves it.

Reads what DownloadBundle has left; runs nothing.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.appspec import CLOSING_SECONDS, PROBE_SECONDS, AppSpec
from agent.hooks import EventRun, ScriptRun
from agent.model import OLD_REVISION_EVENTS, Diagnostics, ErrorCode, EventStatus

if TYPE_CHECKING:
    from pathlib import Path

    from agent.appspec import Script
    from agent.executor.environment import Environment
    from agent.facts import Begin, Close, Recover
    from agent.model import Instruction
    from agent.workspace import DeploymentDirectory, Workspace

log = logging.getLogger("hookline.agent")


class EventScripts:
    """Finds the scripts of events in the bundles of a host."""

    def __init__(self, *, workspace: Workspace, environment: Environment) -> None:
        self._workspace = workspace
        self._environment = environment
        self._last: tuple[tuple[str, int, int, int], AppSpec] | None = None

    @property
    def root_prefix(self) -> Path:
        """Below which every absolute path of a deployment lies."""
        return self._workspace.root_prefix

    def of(self, order: Begin) -> EventRun | Diagnostics | None:
        """What the hooks have to run; None: nothing. Diagnostics: it cannot be run."""
        serving = self._serving(order)
        if serving is None:
            return None
        try:
            appspec = self._read(serving)
        except FileNotFoundError:
            if order.event in OLD_REVISION_EVENTS and not order.instruction.restart:
                # Somebody has cleaned the disk. Failing here would leave the host undeployable until somebody finds out why.
                log.warning("old revision is gone lifecycle_event=%s directory=%s", order.event, serving.path)
                return None
            message = f"cannot run {order.event}: the bundle is not unpacked in {serving.path}; deploy again"
            return Diagnostics(error_code=ErrorCode.UNKNOWN_ERROR, message=message)
        scripts = appspec.hooks.get(order.event, ())
        if not scripts:
            return None
        return self._run(order, serving, appspec, scripts, timeout=max(1, math.ceil(order.timeout_seconds)))

    def closing(self, order: Close) -> EventRun | None:
        """What the hooks have to run to close an event; None: nothing, also when somebody has removed it."""
        serving, appspec = self._appspec(order)
        scripts = appspec.closing(order.event, failed=order.diagnostics is not None)
        if serving is None or not scripts:
            return None
        run = self._run(order, serving, appspec, scripts, timeout=CLOSING_SECONDS)
        environment = {**run.environment, **_outcome(order.diagnostics)}
        return replace(run, lifecycle_event=f"{order.event} (closing)", environment=environment, closing=True)

    def probe(self, order: Begin | Recover) -> EventRun | None:
        """What the hooks have to run to learn how an interrupted event ended; None: nothing."""
        serving, appspec = self._appspec(order)
        if serving is None or appspec.probe is None or order.event not in appspec.probed:
            return None
        run = self._run(order, serving, appspec, (appspec.probe,), timeout=PROBE_SECONDS)
        return replace(run, lifecycle_event=f"{order.event} (probe)")

    def closes(self, order: Begin | Recover, *, failed: bool) -> bool:
        """Whether anything is to run after an event has ended so."""
        return bool(self._appspec(order)[1].closing(order.event, failed=failed))

    def may_repeat(self, order: Begin | Recover) -> bool:
        """Whether the author of an event's scripts says that they may run again; an AppSpec that is gone says nothing."""
        return order.event in self._appspec(order)[1].repeatable

    def tell_warnings(self, instruction: Instruction) -> None:
        """Log what is odd about the AppSpec that has just arrived."""
        for warning in self._read(self._new(instruction)).warnings:
            log.warning("appspec deployment=%s warning=%r", instruction.deployment_id, warning)

    def _run(
        self, order: Begin | Recover | Close, serving: DeploymentDirectory, appspec: AppSpec, scripts: tuple[Script, ...], *, timeout: int
    ) -> EventRun:
        instruction = order.instruction
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
            inherited=self._environment.own,
            cwd="/",
            scripts_log=str(self._new(instruction).scripts_log),
            timeout=timeout,
        )

    def _appspec(self, order: Begin | Recover | Close) -> tuple[DeploymentDirectory | None, AppSpec]:
        """Where the scripts of an event come from, and what they are; one that is gone says nothing."""
        serving = self._serving(order)
        try:
            return serving, AppSpec() if serving is None else self._read(serving)
        except FileNotFoundError:
            return serving, AppSpec()

    def _read(self, serving: DeploymentDirectory) -> AppSpec:
        """An AppSpec, which is asked for several times in a row."""
        found = os.stat(serving.appspec)
        seen = (str(serving.appspec), found.st_ino, found.st_mtime_ns, found.st_size)
        if self._last is None or self._last[0] != seen:
            self._last = seen, AppSpec.from_json(serving.appspec.read_bytes())
        return self._last[1]

    def _serving(self, order: Begin | Recover | Close) -> DeploymentDirectory | None:
        """Where the scripts of an event come from; None: there is no old revision whose scripts they would be."""
        if order.event not in OLD_REVISION_EVENTS and not order.instruction.restart:
            return self._new(order.instruction)
        if order.serving is None:
            return None
        return self._workspace.deployment(order.instruction.group_id, order.serving.deployment_id)

    def _new(self, instruction: Instruction) -> DeploymentDirectory:
        return self._workspace.deployment(instruction.group_id, instruction.deployment_id)


def _outcome(diagnostics: Diagnostics | None) -> dict[str, str]:
    """What closing hooks see of how the event ended."""
    if diagnostics is None:
        return {"HOOKLINE_EVENT_STATUS": EventStatus.SUCCEEDED.value}
    return {
        "HOOKLINE_EVENT_STATUS": EventStatus.FAILED.value,
        "HOOKLINE_EVENT_ERROR": (diagnostics.error_code or ErrorCode.UNKNOWN_ERROR).value,
        "HOOKLINE_EVENT_SCRIPT": diagnostics.script_name,
    }
