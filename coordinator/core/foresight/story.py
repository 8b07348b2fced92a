"""What was seen of a deployment that nobody has made: who begins when, how many hosts are healthy meanwhile, what the history would say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

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
    stage: str
    """Of its plan, by name; empty where it has none."""
    healthy: int
    """How many hosts of the group are healthy and not being deployed to once these have begun."""


@dataclass(slots=True, kw_only=True)
class Healthy:
    """How many hosts are healthy and not being deployed to, from an instant on."""

    at: int
    hosts: int


@dataclass(slots=True, kw_only=True)
class Story:
    """Everything, from the beginning to `ended_at`."""

    waves: list[Wave] = field(default_factory=list)
    healthy: list[Healthy] = field(default_factory=list)
    """An entry for each instant after which the number is another one."""
    smallest: int = 0
    """The fewest hosts that were healthy and not being deployed to, even within an instant."""
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
    """When the last deployment ended, whatever was watched after it. None: so many things had happened that nobody looked further."""
    facts: int = 0

    def begin(self, at: int, deployment_id: DeploymentId, host: str, stage: str) -> None:
        """A host begins."""
        last = self.waves[-1] if self.waves else None
        if last is None or last.at != at or (last.deployment_id, last.stage) != (deployment_id, stage):
            last = Wave(at=at, deployment_id=deployment_id, hosts=[], stage=stage, healthy=0)
            self.waves.append(last)
        last.hosts.append(host)

    def count(self, at: int, healthy: int) -> None:
        """So many hosts are healthy and not being deployed to."""
        if self.waves and self.waves[-1].at == at:
            self.waves[-1].healthy = healthy
        self.smallest = min(self.smallest, healthy) if self.healthy else healthy
        if self.healthy and self.healthy[-1].at == at:
            self.healthy.pop()
        if not self.healthy or self.healthy[-1].hosts != healthy:
            self.healthy.append(Healthy(at=at, hosts=healthy))

    def tell(self, entries: Iterable[HistoryEntry]) -> None:
        """The history says so."""
        for entry in entries:
            most = ENTRIES // 2 if entry.host_id is not None and entry.entry in ORDINARY else ENTRIES
            if len(self.entries) < most:
                self.entries.append(entry)
            else:
                self.left_out += 1
