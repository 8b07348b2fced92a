"""Why a deployment does not go on with its next stage, or end: its hosts first, then bake and analysis, then the gate.

Whatever else a stage is to wait for stands beside those two: a function in `WAITS` that says why, and until when.

Times are of the deployment's own clock; while somebody has paused it, neither bake nor gate goes on. Pure.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import analysis
from coordinator.core.lifecycle import DeploymentErrorCode, TargetStatus
from coordinator.core.model import Deployment, ErrorInformation, Hold, Passed, Plan, Progress, Waiting
from coordinator.core.orders import Entry
from coordinator.core.stages import gates

TO_RESUME: Final = 7 * 86_400_000
"""Milliseconds within which a paused deployment must be resumed: over a weekend, and not for ever."""


def held(plan: Plan, progress: Progress, clock: int) -> Hold | None:
    """Why a deployment does not go on with its next stage, or end; None: it may."""
    if progress.paused is not None:
        return Hold(Waiting.Resumption, progress.paused.since + TO_RESUME)
    if progress.baked_from is None:
        return Hold(Waiting.Hosts)
    for wait in WAITS:
        hold = wait(plan, progress)
        if hold is not None and (hold.until is None or clock < hold.until or hold.waiting is Waiting.Gate):
            return hold
    return None


def _bake(plan: Plan, progress: Progress) -> Hold | None:
    if progress.promoted or progress.baked_from is None:
        return None
    return Hold(Waiting.Bake, progress.baked_from + plan.pause_after(progress.stage).bake)


def _gate(plan: Plan, progress: Progress) -> Hold | None:
    gate = plan.pause_after(progress.stage).gate
    if gate is None or any(one.stage == progress.stage for one in progress.passed):
        return None
    return Hold(Waiting.Gate, None if progress.gate_from is None else progress.gate_from + gate.timeout)


def _analysis(plan: Plan, progress: Progress) -> Hold | None:
    wanted = plan.pause_after(progress.stage).analysis is not None and progress.verdict is None
    return Hold(Waiting.Analysis) if wanted else None


WAITS: Final[tuple[Callable[[Plan, Progress], Hold | None], ...]] = (_bake, _analysis, _gate)
"""What a stage waits for once its hosts have ended, one after the other."""


def is_over(deployment: Deployment) -> bool:
    """Whether all hosts of the present stage, and of those before, have ended."""
    return not any(one.unfinished for one in deployment.tally[: deployment.progress.stage + 1])


def hold(now: Decision, deployment: Deployment) -> Hold | None:
    """What the present stage, whose hosts have all ended, waits for; the history is told of each thing once."""
    plan, progress = deployment.plan, deployment.progress
    if progress.stage == plan.last_stage and deployment.counts[TargetStatus.Succeeded] == 0:
        return None if progress.paused is None else held(plan, progress, deployment.clock)
    if progress.baked_from is None and progress.paused is None:
        _begin(now, deployment)
    found = held(plan, deployment.progress, deployment.clock)
    if found is not None and found.waiting is Waiting.Gate and deployment.progress.gate_from is None:
        deployment.progress = replace(deployment.progress, gate_from=deployment.clock, waits_until=None)
        now.tell(deployment, Entry.GateAwaited, gates.awaited(plan, progress.stage))
        found = held(plan, deployment.progress, deployment.clock)
    show(now, deployment, found)
    return found


def _begin(now: Decision, deployment: Deployment) -> None:
    """The last host of the present stage has ended."""
    plan, stage = deployment.plan, deployment.progress.stage
    pause = plan.pause_after(stage)
    bakes = pause.bake > 0 and deployment.tally[stage].succeeded > 0
    deployment.progress = replace(deployment.progress, baked_from=deployment.clock, promoted=not bakes, waits_until=None)
    if bakes:
        of = f" of {gates.called(plan, stage)}" if plan.stages else ""
        what = "the alarms are watched" if plan.alarms or not plan.stages else "it bakes"
        now.tell(deployment, Entry.Baking, f"every host{of} has ended; {what} for {pause.bake // 1000} s more")
    analysis.begin(now, deployment, succeeded=deployment.tally[stage].succeeded > 0)


def show(now: Decision, deployment: Deployment, found: Hold | None) -> None:
    """Say when what is waited for ends by itself, as far as one can tell now."""
    progress = deployment.progress
    if found is None or found.until is None or progress.waits_until is not None:
        return
    deployment.progress = replace(progress, waits_until=now.at + found.until - deployment.clock)
    now.changes.deployments[deployment.deployment_id] = deployment


def begin_next(now: Decision, deployment: Deployment) -> None:
    """Go on to the stage after the present one."""
    progress = deployment.progress
    cleared = Progress(stage=progress.stage + 1, passed=progress.passed, paused=progress.paused)
    deployment.progress = cleared
    tell_stage(now, deployment)


def tell_stage(now: Decision, deployment: Deployment) -> None:
    """A stage begins, where there is more than one."""
    plan, index = deployment.plan, deployment.progress.stage
    if plan.stages:
        stage = plan.stages[index]
        hosts = f"{stage.hosts} host{'' if stage.hosts == 1 else 's'}"
        now.tell(deployment, Entry.StageBegan, f"{gates.called(plan, index)}, {index + 1} of {len(plan.stages)}, with {hosts}")


def pass_gate(now: Decision, deployment: Deployment, by: str, why: str) -> None:
    """Somebody who may lets the deployment go past the gate after its present stage."""
    progress = deployment.progress
    passed = (*progress.passed, Passed(progress.stage, by, now.at))
    deployment.progress = replace(progress, passed=passed, waits_until=None)
    now.tell(deployment, Entry.GatePassed, f"{gates.called(deployment.plan, progress.stage)}{': ' if why else ''}{why}")


def reopen(deployment: Deployment) -> None:
    """A host of the present stage, or of one before, begins again, and so does the bake after it. A gate that was passed stays so."""
    progress = deployment.progress
    deployment.progress = replace(progress, baked_from=None, promoted=False, gate_from=None, taken=(), verdict=None, waits_until=None)


def expired(deployment: Deployment) -> ErrorInformation | None:
    """Nobody has resumed it, or passed its gate, in time: why it has to stop."""
    plan, progress = deployment.plan, deployment.progress
    found = held(plan, progress, deployment.clock)
    if found is None or found.until is None or deployment.clock < found.until:
        return None
    if progress.paused is not None:
        message = f"nobody resumed it within {TO_RESUME // 86_400_000} days; {progress.paused.by} had paused it"
    else:
        message = gates.unpassed(plan, progress.stage)
    return ErrorInformation(code=DeploymentErrorCode.MANUAL_STOP, message=message)


def due(deployment: Deployment) -> Hold | None:
    """What of all this ends by itself, and when."""
    if deployment.stopping is not None:
        return None
    return held(deployment.plan, deployment.progress, deployment.clock)
