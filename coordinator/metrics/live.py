"""What goes on just now, looked at whenever somebody asks: live deployments, their hosts, and the agents."""

from collections import Counter as Multiset
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import Deployment, DeploymentId, Group, HostStatus, Session, Waiting
from coordinator.core.stages import pauses
from coordinator.metrics.hooks import Live
from coordinator.metrics.names import Names

STATUSES: Final = ("waiting_for_turn", "waiting_for_approval", "queued", "in_progress", "baking", "waiting_at_gate", "paused", "stopping")
_HELD: Final = {Waiting.Bake: "baking", Waiting.Gate: "waiting_at_gate", Waiting.Analysis: "baking", Waiting.Resumption: "paused"}
HOSTS: Final = ("pending", "in_progress", "succeeded", "failed", "skipped", "unknown")
FOR_PEOPLE: Final = ("waiting_for_approval", "waiting_at_gate", "paused")
MOVING: Final = ("in_progress", "stopping")
"""Statuses in which hosts are expected to report something, sooner or later."""

VERSIONS_AT_MOST: Final = 10
"""Versions of agents that are counted by themselves: agents say what theirs is."""

VERSION_CHARACTERS: Final = 32


def status(deployment: Deployment) -> str:
    """What a live deployment does; one of STATUSES."""
    if deployment.waits_for_turn:
        return "waiting_for_turn"
    if deployment.waits_for_approval:
        return "waiting_for_approval"
    if deployment.stopping is not None:
        return "stopping"
    hold = pauses.held(deployment.plan, deployment.progress, deployment.clock)
    if hold is not None and hold.waiting in _HELD:
        return _HELD[hold.waiting]
    return "in_progress" if deployment.status is DeploymentStatus.InProgress else "queued"


def waits_for_people(deployment: Deployment) -> bool:
    """Whether a deployment goes on when somebody wants it to."""
    return not deployment.status.terminal and status(deployment) in FOR_PEOPLE


class Sight(Protocol):
    """Where to look: `engine/loop.Engine` is one."""

    @property
    def groups(self) -> Iterable[Group]:
        """Groups with a live deployment."""
        ...

    @property
    def sessions(self) -> Collection[Session]:
        """All known hosts."""
        ...

    @property
    def waiting(self) -> int:
        """How many facts wait for the engine."""
        ...

    @property
    def parked(self) -> int:
        """How many groups stand still after an internal error."""
        ...


class LiveCollector(Collector):
    """Shows what was seen when `look` was called last: all of it at one moment."""

    def __init__(self, names: Names, live: Mapping[DeploymentId, Live]) -> None:
        """Nothing is known before there is a `sight`."""
        self.sight: Sight | None = None
        self._names = names
        self._live = live
        self._rows: Mapping[tuple[str, ...], _Row] = {}
        self._hosts = _Hosts()

    def look(self) -> None:
        """Look now."""
        if self.sight is None:
            return
        rows: dict[tuple[str, ...], _Row] = {}
        for group in self.sight.groups:
            for deployment in group.live:
                self._row(rows, deployment).add(deployment, self._live.get(deployment.deployment_id))
            for waiting in group.waiting:
                self._row(rows, waiting).statuses[status(waiting)] += 1
        self._rows, self._hosts = rows, _seen(self.sight)

    def _row(self, rows: "dict[tuple[str, ...], _Row]", deployment: Deployment) -> "_Row":
        where = self._names.of(deployment.plan.application_name, deployment.plan.group_name)
        row = rows.get(where)
        if row is None:
            row = rows[where] = _Row()
        return row

    def collect(self) -> Iterator[Metric]:
        """What was seen."""
        yield from _of_deployments(self._names, self._rows)
        yield from _of_hosts(self._hosts)


class _Hosts(NamedTuple):
    """The agents."""

    known: Mapping[HostStatus, int] = {}
    versions: Mapping[str, int] = {}
    parked: int = 0
    waiting: int = 0


class _Row:
    """Live deployments that are counted together."""

    __slots__ = ("below", "floor", "healthy", "hosts", "progress_at", "statuses")

    def __init__(self) -> None:
        self.statuses = dict.fromkeys(STATUSES, 0)
        self.hosts = dict.fromkeys(HOSTS, 0)
        self.healthy = self.floor = self.below = 0
        self.progress_at: int | None = None

    def add(self, deployment: Deployment, live: Live | None) -> None:
        what = status(deployment)
        self.statuses[what] += 1
        for target_status, name in zip(TargetStatus, HOSTS, strict=True):
            self.hosts[name] += deployment.counts.get(target_status, 0)
        self.healthy += deployment.available
        self.floor += deployment.floor
        self.below += deployment.available < deployment.floor
        if live is not None and what in MOVING:
            self.progress_at = live.progress_at if self.progress_at is None else min(self.progress_at, live.progress_at)


def _seen(sight: Sight) -> _Hosts:
    sessions = sight.sessions
    versions = Multiset([one.agent_version[:VERSION_CHARACTERS] for one in sessions if one.status is HostStatus.Connected])
    named = dict(versions.most_common(VERSIONS_AT_MOST))
    if len(versions) > len(named):
        named["(others)"] = versions.total() - sum(named.values())
    return _Hosts(Multiset([one.status for one in sessions]), named, sight.parked, sight.waiting)


def _of_deployments(names: Names, rows: Mapping[tuple[str, ...], _Row]) -> Iterator[Metric]:
    """One family after the other: with many groups, each takes a while."""
    shown = rows if names.wanted else {(): rows.get((), _Row())}

    def family(name: str, documentation: str, count: Callable[[_Row], float | None]) -> Metric:
        made = GaugeMetricFamily(f"hookline_{name}", documentation, labels=names.labels)
        for where, row in shown.items():
            number = count(row)
            if number is not None:
                made.add_metric(where, number)
        return made

    def by_status(name: str, documentation: str, counts: Callable[[_Row], Mapping[str, int]]) -> Metric:
        made = GaugeMetricFamily(f"hookline_{name}", documentation, labels=(*names.labels, "status"))
        for where, row in shown.items():
            for what, count in counts(row).items():
                made.add_metric((*where, what), count)
        return made

    yield by_status("deployments_in_progress", "Deployments that have not ended, by what they do.", lambda row: row.statuses)
    yield by_status("hosts", "Hosts of the deployments that have not ended, by how far they are.", lambda row: row.hosts)
    what = "Healthy hosts that no deployment is at work on, in groups that are being deployed to."
    yield family("healthy_hosts", what, lambda row: row.healthy)
    yield family("healthy_hosts_min", "How many of them there have to be.", lambda row: row.floor)
    what = "Live deployments whose group has fewer healthy hosts than it has to have."
    yield family("deployments_below_minimum", what, lambda row: row.below)
    what = "When hosts of the live deployment that waits longest for them were heard last."
    yield family("deployment_progress_timestamp_seconds", what, lambda row: row.progress_at and row.progress_at / 1_000)


def _of_hosts(hosts: _Hosts) -> Iterator[Metric]:
    known = GaugeMetricFamily("hookline_agents_known", "Hosts, by whether the coordinator can speak with them.", labels=("status",))
    for host_status in HostStatus:
        known.add_metric((host_status.name.lower(),), hosts.known.get(host_status, 0))
    yield known
    versions = GaugeMetricFamily(
        "hookline_agents_connected_by_version", "Agents whose stream is open, by their version.", labels=("agent_version",)
    )
    for version, count in hosts.versions.items():
        versions.add_metric((version,), count)
    yield versions
    yield GaugeMetricFamily("hookline_groups_parked", "Groups that stand still after an internal error, until a restart.", hosts.parked)
    yield GaugeMetricFamily("hookline_inbox_length", "Facts that wait for the engine.", hosts.waiting)
