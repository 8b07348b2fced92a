"""The analysis after a stage: it begins when the stage's last host has ended, and the next stage when its verdict lets it.

Successful: it goes on. Failed: the deployment stops, and is rolled back as after an alarm. Inconclusive: it pauses and asks; who resumes it
goes on, who stops it does not. Each measurement stands in the history with what was seen.

Pure.
"""

from dataclasses import replace
from typing import Final

from coordinator.core.deployment.decision import Decision
from coordinator.core.evidence import placeholders, verdicts
from coordinator.core.facts import AlarmSeen
from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import AlarmStatus, Analysis, Deployment, ErrorInformation, Measurement, Paused, Plan, Taken, Verdict
from coordinator.core.orders import Entry, WatchAlarms

SIGN: Final = "/"
"""Parts the index of the stage from the metric in the name of a look; no alarm's name has it."""

OUTCOMES: Final = {AlarmStatus.OK: "success", AlarmStatus.ALARM: "failure", AlarmStatus.UNKNOWN: "inconclusive"}


def begin(now: Decision, deployment: Deployment, *, succeeded: bool) -> None:
    """The last host of the present stage has ended. Where none succeeded there is nothing to analyse."""
    analysis = _of(deployment)
    if analysis is None:
        return
    taken = tuple(Taken(metric.measurement.name) for metric in analysis.metrics)
    deployment.progress = replace(deployment.progress, taken=taken, verdict=None if succeeded else Verdict.Passed)
    if succeeded:
        names = ", ".join(f"{one.measurement.name}{' (shadow)' if one.shadow else ''}" for one in analysis.metrics)
        now.tell(deployment, Entry.Analysing, f"{_stage(deployment)} is analysed: {names}")
        now.orders.append(_watch(now, deployment))


def looks(deployment: Deployment) -> tuple[Measurement, ...]:
    """What is to be measured now, under names of their own."""
    analysis, plan, stage = _of(deployment), deployment.plan, deployment.progress.stage
    if analysis is None or not is_going_on(deployment):
        return ()
    return tuple(_filled(plan, stage, metric.measurement) for metric in analysis.metrics)


def is_going_on(deployment: Deployment) -> bool:
    """Whether an analysis has begun and has no verdict."""
    return bool(deployment.progress.taken) and deployment.progress.verdict is None


def see(now: Decision, deployment: Deployment, seen: AlarmSeen) -> ErrorInformation | None:
    """Take in a measurement; why the deployment has to stop, if it has to."""
    analysis, progress = _of(deployment), deployment.progress
    stage, _, name = seen.alarm_name.partition(SIGN)
    metric = None if analysis is None else next((one for one in analysis.metrics if one.measurement.name == name), None)
    if analysis is None or metric is None or not is_going_on(deployment) or stage != str(progress.stage):
        return None
    before = next(one for one in progress.taken if one.name == name)
    assert progress.baked_from is not None
    early = deployment.clock < progress.baked_from + analysis.initial_delay
    again = (
        before.number > 0 and deployment.clock - before.at < metric.measurement.interval // 2
    )  # the same look, told anew after a restart
    if early or again or before.number >= metric.count or deployment.stopping is not None:
        return None
    after = verdicts.counted(before, seen.status, deployment.clock)
    deployment.progress = replace(progress, taken=tuple(after if one is before else one for one in progress.taken))
    now.because = f"metric {name}"
    of = f" ({after.number} of {metric.count}{', shadow' if metric.shadow else ''})"
    now.tell(deployment, Entry.Measured, f"{OUTCOMES[seen.status]}: {seen.sample}{of}")
    verdict, why = verdicts.of_analysis(analysis, deployment.progress.taken)
    return None if verdict is None else _conclude(now, deployment, verdict, why)


def end(now: Decision, deployment: Deployment) -> None:
    """Somebody goes on without a verdict."""
    if is_going_on(deployment):
        _close(now, deployment, Verdict.Passed)


def _conclude(now: Decision, deployment: Deployment, verdict: Verdict, why: str) -> ErrorInformation | None:
    message = f"the analysis of {_stage(deployment)} {'has failed' if verdict is Verdict.Failed else f'is {verdict.name.lower()}'}: {why}"
    _close(now, deployment, verdict)
    now.tell(deployment, Entry.Analysed, message)
    if verdict is Verdict.Failed:
        return ErrorInformation(code=DeploymentErrorCode.ANALYSIS_FAILED, message=message)
    if verdict is Verdict.Inconclusive and deployment.progress.paused is None:
        asked = Paused("coordinator", deployment.clock, f"{message}; resume it to go on, or stop it")
        deployment.progress = replace(deployment.progress, paused=asked)
        now.tell(deployment, Entry.Paused, asked.why)
    return None


def _close(now: Decision, deployment: Deployment, verdict: Verdict) -> None:
    deployment.progress = replace(deployment.progress, verdict=verdict, waits_until=None)
    now.changes.deployments[deployment.deployment_id] = deployment
    now.orders.append(_watch(now, deployment))


def _watch(now: Decision, deployment: Deployment) -> WatchAlarms:
    return WatchAlarms(deployment.plan.group_id, (*deployment.plan.alarms, *looks(deployment)), now.at)


def _of(deployment: Deployment) -> Analysis | None:
    return deployment.plan.pause_after(deployment.progress.stage).analysis


def _stage(deployment: Deployment) -> str:
    return f'stage "{deployment.plan.stages[deployment.progress.stage].name}"'


def _filled(plan: Plan, stage: int, one: Measurement) -> Measurement:
    expression = placeholders.filled(one.expression, application_name=plan.application_name, group_name=plan.group_name)
    return replace(one, name=f"{stage}{SIGN}{one.name}", expression=expression)
