"""What is assumed of hosts and alarms: how long things take, who fails, who is lost, when an alarm fires.

Chance is drawn from the seed and the name of what it is about, so it does not matter in which order anybody asks: the same seed is the
same world, and one host more changes nothing for the others.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from coordinator.core.foresight.durations import Durations
from coordinator.core.lifecycle import LifecycleEvent
from coordinator.core.model import HostId, Plan

MEDIAN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that is assumed. What goes wrong goes wrong in the deployment that is asked for, not in its rollback."""

    durations: Durations = Durations()
    quantile: float | None = MEDIAN
    """How slow every host is, from 0 to 1; None: each as it comes, by the seed."""
    seed: int = 0
    failing: Mapping[HostId, LifecycleEvent | None] = field(default_factory=dict)
    """Hosts that fail, and at which event; None: at any."""
    failing_share: float = 0.0
    """Of the others."""
    lost: Mapping[HostId, int | None] = field(default_factory=dict)
    """Hosts that fall silent, and when, in milliseconds from the beginning; None: while they are being deployed to."""
    lost_share: float = 0.0
    """Of the others, while they are being deployed to."""
    back_after: int | None = None
    """Milliseconds after which the lost return; None: they do not."""
    alarms: Mapping[str, int] = field(default_factory=dict)
    """Alarms that become active, and when, in milliseconds from the beginning."""
    stop_at: int | None = None
    """When somebody stops the deployment."""

    def takes(self, plan: Plan, host_id: HostId, event: LifecycleEvent) -> int:
        """Milliseconds that a host needs for an event."""
        drawn = self.quantile
        if drawn is None:
            drawn = self.chance("takes", plan.deployment_id, host_id, event.name)
        return self.durations.of(event, drawn)

    def fails_at(self, plan: Plan, host_id: HostId) -> LifecycleEvent | None:
        """The event that fails on a host; None when none does."""
        if plan.rolls_back is not None:
            return None
        if host_id in self.failing:
            return self.failing[host_id] or self._any_event("fails", plan, host_id)
        return self._any_event("fails", plan, host_id) if self.chance("fails", host_id) < self.failing_share else None

    def lost_at(self, plan: Plan, host_id: HostId) -> LifecycleEvent | None:
        """The event in the middle of which a host falls silent; None when it does not."""
        if plan.rolls_back is not None or self.lost.get(host_id) is not None:
            return None
        drawn = host_id in self.lost or self.chance("lost", host_id) < self.lost_share
        return self._any_event("lost", plan, host_id) if drawn else None

    def chance(self, *about: str) -> float:
        """A number from 0 to below 1 that is always the same for the same thing in the same world."""
        drawn = blake2b("\0".join((str(self.seed), *about)).encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") / 2**64

    def _any_event(self, what: str, plan: Plan, host_id: HostId) -> LifecycleEvent:
        events = plan.lifecycle_events
        return events[int(self.chance(what, "event", host_id) * len(events))]
