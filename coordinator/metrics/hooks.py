"""How lifecycle events go on hosts, and how long they take there. Many come by: what is counted of each is a few look-ups.

Times are those of the host's own clock. An event that began before the coordinator did is counted, and its duration is not.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.core.lifecycle import EventStatus, LifecycleErrorCode, LifecycleEvent
from coordinator.core.model import (
    CoordinatorLocation,
    DeploymentId,
    FileLocation,
    GitHubLocation,
    HostId,
    HttpLocation,
    Place,
    Plan,
    S3Location,
)
from coordinator.core.orders import EventChange, EventOf
from coordinator.metrics.spread import Spread

MILLISECONDS: Final = (100, 250, 500, *(1_000 * seconds for seconds in (1, 3, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)))
SOURCES: Final[Mapping[type[Place], str]] = {
    CoordinatorLocation: "coordinator",
    S3Location: "s3",
    GitHubLocation: "github",
    HttpLocation: "http",
    FileLocation: "file",
}
"""Where bundles come from."""

_IN_PROGRESS: Final = EventStatus.InProgress
_SUCCEEDED: Final = EventStatus.Succeeded
_FAILED: Final = EventStatus.Failed
_OUTCOMES: Final = {_SUCCEEDED: "succeeded", _FAILED: "failed"}
_DOWNLOAD: Final = LifecycleEvent.DownloadBundle


class Live:
    """What is kept of a live deployment between two of its commits."""

    __slots__ = ("_waits_from", "alarmed_at", "began", "bundle_bytes", "in_stage", "progress_at", "source", "waited")

    def __init__(self, plan: Plan, at: int, *, in_stage: bool = False) -> None:
        """It goes on from `at`, in UTC milliseconds; `in_stage`, the first of its stages has begun."""
        place = plan.revision.place
        self.began: dict[HostId, int | None] = {}
        """When, by the hosts' own clocks, the events began that are in progress."""
        self.progress_at = at
        """When a host reported last."""
        self.alarmed_at: int | None = None
        """The monotonic time when the alarm was seen because of which it stops, or that it goes back for; None without one."""
        self.in_stage = in_stage
        self.waited = 0
        """Milliseconds for which it has waited for people."""
        self._waits_from: int | None = None
        self.source = SOURCES[type(place)]
        self.bundle_bytes = place.size if isinstance(place, CoordinatorLocation) else 0

    def wait(self, at: int, *, people: bool) -> None:
        """From `at` on it waits for people, or does not; in UTC milliseconds."""
        if self._waits_from is not None:
            self.waited += max(0, at - self._waits_from)
        self._waits_from = at if people else None


class _Kind:
    """One lifecycle event that ended in one way."""

    __slots__ = ("took", "untimed")

    def __init__(self) -> None:
        self.took = Spread(MILLISECONDS, 1_000)
        self.untimed = 0


class Hooks(Collector):
    """Lifecycle events, by what they are and how they ended."""

    def __init__(self) -> None:
        """All zero."""
        self._kinds = {status: {event: _Kind() for event in LifecycleEvent} for status in _OUTCOMES}
        self._timeouts = dict.fromkeys(LifecycleEvent, 0)
        self._fetched = {source: Spread(MILLISECONDS, 1_000) for source in SOURCES.values()}
        self._octets = 0

    def count(self, events: Mapping[EventOf, EventChange], live: Mapping[DeploymentId, Live], at: int) -> None:
        """Count what a commit says of lifecycle events, at `at`."""
        deployment_id, mine = DeploymentId(""), None
        for (target, event, _), (status, started_at, ended_at, _, diagnostics) in events.items():
            if target.deployment_id != deployment_id:
                deployment_id = target.deployment_id
                mine = live.get(deployment_id)
                if mine is not None:
                    mine.progress_at = at
            if mine is None:
                continue
            if status is _IN_PROGRESS:
                mine.began[target.host_id] = started_at
                continue
            began = mine.began.pop(target.host_id, None) if started_at is None else started_at
            kinds = self._kinds.get(status)
            if kinds is None:
                continue
            if began is None or ended_at is None:
                kinds[event].untimed += 1
            else:
                took = ended_at - began if ended_at > began else 0
                kinds[event].took.add(took)
                if event is _DOWNLOAD and status is _SUCCEEDED:
                    self._fetched[mine.source].add(took)
                    self._octets += mine.bundle_bytes
                elif status is _FAILED:
                    kinds[event].took.mark(took, {"deployment_id": target.deployment_id})
            if diagnostics is not None and diagnostics.error_code is LifecycleErrorCode.ScriptTimedOut:
                self._timeouts[event] += 1

    def collect(self) -> Iterator[Metric]:
        """As they are now."""
        labels = ("event", "outcome")
        seconds = HistogramMetricFamily("hookline_hook_duration_seconds", "How long lifecycle events took on hosts.", labels=labels)
        executions = CounterMetricFamily("hookline_hook_executions", "Lifecycle events that ended on hosts.", labels=labels)
        for status, outcome in _OUTCOMES.items():
            for event, kind in self._kinds[status].items():
                kind.took.show(seconds, (event.name, outcome))
                executions.add_metric((event.name, outcome), sum(kind.took.counts) + kind.untimed)
        timeouts = CounterMetricFamily("hookline_hook_timeouts", "Lifecycle events that failed at their deadline.", labels=("event",))
        for event, count in self._timeouts.items():
            timeouts.add_metric((event.name,), count)
        fetched = HistogramMetricFamily(
            "hookline_artifact_fetch_duration_seconds",
            "How long it took hosts to have a bundle, by where it came from.",
            labels=("source",),
        )
        for source, spread in self._fetched.items():
            spread.show(fetched, (source,))
        octets = CounterMetricFamily(
            "hookline_artifact_bytes", "Bytes of bundles that hosts fetched whole, of those whose size is known.", labels=("source",)
        )
        octets.add_metric((SOURCES[CoordinatorLocation],), self._octets)
        yield from (seconds, executions, timeouts, fetched, octets)
