"""How many hosts must stay healthy."""

from dataclasses import dataclass
from enum import StrEnum


class MinimumHealthyHostsType(StrEnum):
    """What `MinimumHealthyHosts.value` counts."""

    HOST_COUNT = "HOST_COUNT"
    FLEET_PERCENT = "FLEET_PERCENT"
    MOST_CONCURRENCY = "MOST_CONCURRENCY"
    """All but `value` hosts; CodeDeploy's own kind behind OneAtATime (spec 3.2), which no caller can create."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumHealthyHosts:
    """How many hosts of a group must stay healthy while a deployment goes on (spec 3.2)."""

    type: MinimumHealthyHostsType
    value: int

    def of(self, hosts: int) -> int:
        """M for a group of `hosts` hosts; a percentage is rounded up."""
        match self.type:
            case MinimumHealthyHostsType.HOST_COUNT:
                return self.value
            case MinimumHealthyHostsType.FLEET_PERCENT:
                return -(-hosts * self.value // 100)
            case MinimumHealthyHostsType.MOST_CONCURRENCY:
                return max(0, hosts - self.value)
