"""What was seen of a deployment that nobody has made: who begins when, how many hosts are healthy meanwhile, what the history would say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Deployment, DeploymentId
from coordinator.core.orders import Entry, HistoryEntry

ENTRIES: Final = 2_000
"""So many entries of the history are kept; of single hosts, which begin and end well, only the first half of them."""

ORDINARY: Final = frozenset({Entry.InProgress, Entry.Succeeded})


@dataclass(slots=True, kw_only=True)
class Wave:
    """Hosts that begin at the same instant."""

    at: int
    """Milliseconds from the beginning."""
    deployment_id: DeploymentId
    hosts: list[str]
    """By name, in the order in which they begin."""
    healthy: int
    """How many hosts of the group are healthy and not being deployed to once these have begun."""


@dataclass(slots=True, kw_only=True)
class Healthy:
    """The fewest hosts that are healthy and not being deployed to at an instant."""

    at: int
    hosts: int


@dataclass(slots=True, kw_only=True)
class Story:
    """Everything, from the beginning to `ended_at`."""

    waves: list[Wave] = field(default_factory=list)
    healthy: list[Healthy] = field(default_factory=list)
    """An entry for each instant at which the number changes."""
    entries: list[HistoryEntry] = field(default_factory=list)
    left_out: int = 0
    """Entries that are not kept."""
    deployments: list[Deployment] = field(default_factory=list)
    """The one that was asked for, and its rollback if there is one."""
    gates: list[str] = field(default_factory=list)
    """What a person would have to do, which is taken for done at once."""
    floor_broken: list[str] = field(default_factory=list)
    """Healthy hosts that began although too few stayed: the rules are broken where there is one."""
    ended_at: int | None = None
    """None: so many things had happened that nobody looked further."""
    facts: int = 0

    @property
    def smallest(self) -> int:
        """The fewest hosts that were healthy and not being deployed to at any instant."""
        return min((one.hosts for one in self.healthy), default=0)

    @property
    def succeeded(self) -> bool:
        """Whether the deployment that was asked for succeeds."""
        return bool(self.deployments) and self.deployments[0].status is DeploymentStatus.Succeeded

    def begin(self, at: int, deployment_id: DeploymentId, host: str) -> None:
        """A host begins."""
        last = self.waves[-1] if self.waves else None
        if last is None or last.at != at or last.deployment_id != deployment_id:
            last = Wave(at=at, deployment_id=deployment_id, hosts=[], healthy=0)
            self.waves.append(last)
        last.hosts.append(host)

    def count(self, at: int, healthy: int) -> None:
        """So many hosts are healthy and not being deployed to."""
        if self.waves and self.waves[-1].at == at:
            self.waves[-1].healthy = healthy
        last = self.healthy[-1] if self.healthy else None
        if last is not None and last.at == at:
            last.hosts = min(last.hosts, healthy)
        elif last is None or last.hosts != healthy:
            self.healthy.append(Healthy(at=at, hosts=healthy))

    def tell(self, entries: Iterable[HistoryEntry]) -> None:
        """The history says so."""
        for entry in entries:
            most = ENTRIES // 2 if entry.host_id is not None and entry.entry in ORDINARY else ENTRIES
            if len(self.entries) < most:
                self.entries.append(entry)
            else:
                self.left_out += 1
