"""The shape of a rollout: what a deployment config says of it, and the stages that are frozen of that when a deployment is created."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from coordinator.core.model.analysis import Analysis, Taken, Verdict
from coordinator.core.model.minimum import MinimumHealthyHosts, MinimumHealthyHostsType
from coordinator.core.tags import TagFilter

ANY_APPROVER: Final = "role:approver"
"""Stands among the approvers of a gate for everybody who may approve deployments of the group."""

NONE_HEALTHY: Final = MinimumHealthyHosts(type=MinimumHealthyHostsType.FLEET_PERCENT, value=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Somebody has to say yes before it goes on."""

    approvers: tuple[str, ...] = (ANY_APPROVER,)
    """Names of operators, or ANY_APPROVER. A name gives no permission: who is named has to be an approver as well."""
    timeout: int = 86_400_000
    """Milliseconds of the deployment's own clock after which it stops when nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What a stage waits for once all its hosts have ended, before the next one begins."""

    bake: int = 0
    """Milliseconds of the deployment's own clock, in which its alarms are watched."""
    analysis: Analysis | None = None
    """Along with the bake: what is measured before it goes on."""
    gate: Gate | None = None
    """After both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """Hosts that go before all others: those that are named, or that match any of the filters."""

    hosts: tuple[str, ...] = ()
    tag_filters: tuple[TagFilter, ...] = ()
    pause: Pause = Pause()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """So many of a deployment's hosts have been deployed to when it ends, canaries and earlier steps among them."""

    value: int
    percent: bool = False
    """Of the deployment's hosts, rounded up. Otherwise it counts hosts."""
    pause: Pause = Pause()

    def of(self, hosts: int) -> int:
        """How many of so many hosts."""
        return min(hosts, -(-hosts * self.value // 100) if self.percent else self.value)

    @property
    def name(self) -> str:
        """What its stage is called."""
        return f"{self.value} %" if self.percent else f"{self.value} host{'s' if self.value > 1 else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalConfig:
    """One zone after another (spec 3.2)."""

    first_monitor: int = 0
    """Milliseconds of bake after the first zone."""
    monitor: int = 0
    """Milliseconds of bake after each other zone but the last."""
    minimum: MinimumHealthyHosts = NONE_HEALTHY
    """What must stay healthy inside a zone; the deployment config's minimum counts over all zones."""
    tag: str = "fact:zone"
    """The tag, or the fact, whose value is a host's zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a rollout grows. Canaries, if there are any, go before steps or zones; there are either steps or zones."""

    canaries: Canaries | None = None
    steps: tuple[Step, ...] = ()
    zonal: ZonalConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a deployment's hosts that is deployed to before the next part begins."""

    name: str
    hosts: int
    """How many of them are its."""
    pause: Pause = Pause()


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A part of the group's hosts in which so many must stay healthy. Frozen when the deployment is created."""

    name: str
    hosts: int
    minimum: int
    floor: int
    """min(minimum, healthy hosts at creation): what must stay healthy and not in progress."""

    @property
    def window(self) -> int:
        """How many of its hosts may be in progress or failed, at most. A single host is deployed to whatever the minimum says."""
        return max(1, self.hosts - self.minimum)


class Passed(NamedTuple):
    """A gate that somebody has passed."""

    stage: int
    by: str
    at: int
    """UTC milliseconds."""


class Paused(NamedTuple):
    """Somebody has paused a deployment."""

    by: str
    since: int
    """The deployment's own clock."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Which stage a deployment is in, and how far the pause after it has come. Times are of the deployment's own clock."""

    stage: int = 0
    """The index of the stage that is deployed to, or that has ended and waits for something."""
    baked_from: int | None = None
    """When its last host had ended and something had to be waited for; None before."""
    promoted: bool = False
    """Somebody has cut its bake short."""
    gate_from: int | None = None
    """When its gate began to be waited for; None before."""
    passed: tuple[Passed, ...] = ()
    """The gates that were passed, of all stages in order."""
    paused: Paused | None = None
    """Nothing new may begin, because somebody wants it so."""
    taken: tuple[Taken, ...] = ()
    """What the analysis has measured so far; empty before it has begun, and where there is none."""
    verdict: Verdict | None = None
    """What it has come to; None before."""
    waits_until: int | None = None
    """When what is waited for ends by itself, UTC milliseconds; shown, decides nothing. None: nobody knows."""


class Waiting(IntEnum):
    """What a deployment waits for before it goes on with its next hosts, or ends. The numbers are the protos'."""

    Hosts = 1
    """The present stage has not ended."""
    Approval = 2
    """Nobody has approved it."""
    Resumption = 3
    """Somebody has paused it."""
    Bake = 4
    Gate = 5
    Analysis = 6
    """What is measured does not say yet that it may go on."""


class Hold(NamedTuple):
    """Why a deployment does not go on with its next stage, or end."""

    waiting: Waiting
    until: int | None = None
    """The deployment's own clock; None: nobody knows."""


@dataclass(slots=True)
class Tally:
    """How far the targets of a stage have come."""

    unfinished: int = 0
    succeeded: int = 0
    failed: int = 0
