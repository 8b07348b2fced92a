"""What an operator may do with a trigger beside giving it to a group: try it."""

from dataclasses import dataclass
from typing import Protocol

from coordinator.core.errors import TriggerDoesNotExist
from coordinator.core.model import Trigger
from coordinator.engine.ports import Clock
from coordinator.service.notifications.ports import Unsent
from coordinator.service.ports import Catalog
from coordinator.service.records import DeploymentGroup


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a test event."""

    delivered: bool
    answer: str
    took: int
    """Milliseconds."""


class Trying(Protocol):
    """Whoever sends a test event."""

    async def attempt(self, group: DeploymentGroup, trigger: Trigger) -> str:
        """Send it once, and return what the target answered. Raises Unsent."""
        ...


class TriggerService:
    """Tries triggers."""

    def __init__(self, catalog: Catalog, trying: Trying, clock: Clock) -> None:
        """`trying` sends."""
        self._catalog = catalog
        self._trying = trying
        self._clock = clock

    async def test(self, application_name: str, group_name: str, name: str) -> Trial:
        """Send a test event to a trigger's target, once."""
        group = await self._catalog.group(application_name, group_name)
        trigger = next((one for one in group.triggers if one.name == name), None)
        if trigger is None:
            there = f"there are {', '.join(one.name for one in group.triggers)}" if group.triggers else "it has none"
            raise TriggerDoesNotExist(f"cannot find trigger {name[:100]!r} of deployment group {group_name}: {there}", field="trigger_name")
        began = self._clock.elapsed()
        try:
            answer, delivered = await self._trying.attempt(group, trigger), True
        except Unsent as error:
            answer, delivered = str(error), False
        return Trial(delivered, answer, self._clock.elapsed() - began)
