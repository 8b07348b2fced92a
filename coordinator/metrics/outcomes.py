"""How deployments begin and end, how long they take, and what goes back. Their ids are exemplars, never labels."""

from collections.abc import Iterable
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from coordinator.core.lifecycle import DeploymentErrorCode
from coordinator.core.model import Creator, Deployment, Plan
from coordinator.core.queue.line import SUPERSEDED
from coordinator.metrics.names import OTHERS, Names

TRIGGERS: Final = ("operator", "rollback", "newcomers")
OUTCOMES: Final = ("succeeded", "failed", "stopped", "superseded", "rolled_back")
BATCHES: Final = ("succeeded", "failed", "stopped")
VERDICTS: Final = ("successful", "failed", "inconclusive")
REASONS: Final = ("alarm", "analysis", "manual", "deadline", "hook_failure", "permissions")

SECONDS: Final = (5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200)
ALARM_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600)

_Metric = TypeVar("_Metric", Counter, Gauge)


def trigger(creator: Creator) -> str:
    """What a deployment is for; one of TRIGGERS."""
    match creator:
        case Creator.user:
            return "operator"
        case Creator.codeDeployRollback:
            return "rollback"
        case Creator.CodeDeployAutoUpdate:
            return "newcomers"


def reason(code: DeploymentErrorCode) -> str:
    """Why a deployment that ended so is rolled back by itself; one of REASONS."""
    match code:
        case DeploymentErrorCode.ALARM_ACTIVE | DeploymentErrorCode.ALARM_POLL_FAILED:
            return "alarm"
        case DeploymentErrorCode.ANALYSIS_FAILED:
            return "analysis"
        case DeploymentErrorCode.MANUAL_STOP:
            return "manual"
        case DeploymentErrorCode.AGENT_ISSUE:
            return "deadline"
        case DeploymentErrorCode.IAM_ROLE_PERMISSIONS:
            return "permissions"
        case DeploymentErrorCode.HEALTH_CONSTRAINTS | DeploymentErrorCode.HEALTH_CONSTRAINTS_INVALID | DeploymentErrorCode.NO_INSTANCES:
            return "hook_failure"


class Outcomes:
    """Deployments, by group where names are wanted."""

    def __init__(self, registry: CollectorRegistry, names: Names) -> None:
        """Nothing has happened yet."""
        self._names = names
        group = names.labels

        def took(name: str, documentation: str, *labels: str) -> Histogram:
            return Histogram(f"hookline_{name}_seconds", documentation, labels, buckets=SECONDS, registry=registry)

        self._started = Counter(
            "hookline_deployments_started", "Deployments that were created, by what for.", (*group, "trigger"), registry=registry
        )
        self._finished = Counter("hookline_deployments_finished", "Deployments that have ended.", (*group, "outcome"), registry=registry)
        self._rollbacks = Counter(
            "hookline_rollbacks", "Deployments that were rolled back by themselves, by why.", (*group, "reason"), registry=registry
        )
        self._duration = took("deployment_duration", "How long deployments took, from their creation or turn to their end.", "outcome")
        self._active = took("deployment_active_duration", "The same without the time that they waited for people.", "outcome")
        self._manual = took(
            "deployment_manual_wait_duration",
            "How long deployments waited for people: to be approved, to pass gates, to be resumed.",
            "outcome",
        )
        self._rollback = took("rollback_duration", "How long rollbacks took, from their creation to their end.", "outcome")
        self._alarm = Histogram(
            "hookline_alarm_to_rollback_seconds",
            "From an alarm that was seen to the first host that is told to roll back.",
            buckets=ALARM_SECONDS,
            registry=registry,
        )
        self._batches = Counter(
            "hookline_batches_finished",
            "Stages of deployments that have ended, and deployments without stages.",
            (*group, "outcome"),
            registry=registry,
        )
        self._analyses = Counter(
            "hookline_analysis_runs", "Analyses of stages that have come to a verdict.", (*group, "verdict"), registry=registry
        )
        self._success = Gauge(
            "hookline_last_success_timestamp_seconds", "When a group was deployed to last with success.", group, registry=registry
        )
        self._revision = (
            Gauge("hookline_current_revision_info", "What was deployed last with success.", (*group, "revision"), registry=registry)
            if names.wanted
            else None
        )
        self._newest: dict[tuple[str, ...], tuple[float, str]] = {}
        for outcome in OUTCOMES:
            for each in (self._duration, self._active, self._manual, self._rollback):
                each.labels(outcome)
        if not group:
            self._known(())

    def created(self, plan: Plan) -> None:
        """A deployment was created."""
        where = self._where(plan)
        self._known(where)
        self._started.labels(*where, trigger(plan.creator)).inc(exemplar=_exemplar(plan))

    def ended(self, deployment: Deployment, manual: int) -> None:
        """A deployment has ended, which waited for people for so many milliseconds."""
        plan, where = deployment.plan, self._where(deployment.plan)
        back, outcome = deployment.rollback_deployment_id is not None, deployment.status.name.lower()
        if deployment.started_at is not None:
            self.batch_ended(plan, outcome)
        if back:
            outcome = "rolled_back"
        elif deployment.error is not None and deployment.error.message.startswith(SUPERSEDED):
            outcome = "superseded"
        exemplar = _exemplar(plan)
        self._known(where)
        self._finished.labels(*where, outcome).inc(exemplar=exemplar)
        if back and deployment.error is not None:
            self.taken_back(plan, deployment.error.code)
        took = max(0, (deployment.completed_at or 0) - deployment.live_since)
        self._duration.labels(outcome).observe(took / 1_000, exemplar)
        self._active.labels(outcome).observe(max(0, took - manual) / 1_000, exemplar)
        if manual > 0:
            self._manual.labels(outcome).observe(manual / 1_000, exemplar)
        if plan.rolls_back is not None:
            self._rollback.labels(outcome).observe(took / 1_000, exemplar)

    def batch_ended(self, plan: Plan, outcome: str) -> None:
        """A stage has ended, or what has none; one of BATCHES."""
        self._batches.labels(*self._where(plan), outcome).inc(exemplar=_exemplar(plan))

    def analysed(self, plan: Plan, verdict: str) -> None:
        """An analysis has come to a verdict; one of VERDICTS."""
        self._analyses.labels(*self._where(plan), verdict).inc(exemplar=_exemplar(plan))

    def taken_back(self, plan: Plan, why: DeploymentErrorCode) -> None:
        """A deployment is rolled back by itself."""
        self._rollbacks.labels(*self._where(plan), reason(why)).inc(exemplar=_exemplar(plan))

    def stand(self, groups: Iterable[tuple[str, str, str, int]]) -> None:
        """What was deployed to groups last with success, before this run of the coordinator; see `succeeded`."""
        for group in groups:
            self.succeeded(*group)

    def succeeded(self, application: str, group: str, revision: str, at: int) -> None:
        """The last successful deployment of a group, which ended at `at`, is one of `revision`."""
        where, seconds = self._names.of(application, group), at / 1_000
        before, shown = self._newest.get(where, (0.0, ""))
        if seconds < before:
            return
        self._newest[where] = (seconds, revision)
        _of(self._success, where).set(seconds)
        if self._revision is None or where == (OTHERS, OTHERS):
            return
        if shown and shown != revision:
            self._revision.remove(*where, shown)
        self._revision.labels(*where, revision).set(1)

    def goes_back(self, plan: Plan, seconds: float) -> None:
        """The first host of a rollback was told to go back, so long after the alarm that is its reason was seen."""
        self._alarm.observe(seconds, _exemplar(plan))

    def _where(self, plan: Plan) -> tuple[str, ...]:
        return self._names.of(plan.application_name, plan.group_name)

    def _known(self, where: tuple[str, ...]) -> None:
        """Everything that may be counted of a group is there from the beginning, as zero."""
        for one in TRIGGERS:
            self._started.labels(*where, one)
        for outcome in OUTCOMES:
            self._finished.labels(*where, outcome)
        for why in REASONS:
            self._rollbacks.labels(*where, why)
        for outcome in BATCHES:
            self._batches.labels(*where, outcome)
        for verdict in VERDICTS:
            self._analyses.labels(*where, verdict)


def _exemplar(plan: Plan) -> dict[str, str]:
    return {"deployment_id": plan.deployment_id}


def _of(metric: _Metric, labels: tuple[str, ...]) -> _Metric:
    """The metric itself, where it has no labels."""
    return metric.labels(*labels) if labels else metric
