"""Where facts wait for the engine, in the order in which they came."""

import asyncio
from dataclasses import dataclass, field

from coordinator.core.errors import DeployError
from coordinator.core.facts import AlarmSeen, DeploymentRequested, Hello, ReportsReceived, Request, StreamEnded
from coordinator.engine.ports import DeploymentsRefused


@dataclass(slots=True, eq=False)
class Asked:
    """An operator's call: its fact, who waits for the answer, and the monotonic time at which waiting makes no sense any more."""

    fact: Request
    answer: asyncio.Future[None]
    give_up_at: int


Item = Hello | ReportsReceived | StreamEnded | AlarmSeen | Asked
"""What lies in the inbox; the engine adds what it is woken for itself."""

ROOM = 20_000
"""Items past which streams are not read any more, until the engine has caught up."""


@dataclass(slots=True)
class Inbox:
    """A list that can be waited for."""

    items: list[Item] = field(default_factory=list)
    held: int = 0
    """How many were taken and could not be stored yet: they take up room as if they still lay here."""
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._room.set()

    def __len__(self) -> int:
        return len(self.items)

    def put(self, item: Item) -> None:
        """Add a fact; never waits."""
        self.items.append(item)
        self._filled.set()
        if self.full:
            self._room.clear()

    @property
    def full(self) -> bool:
        """Whether those who can wait should."""
        return len(self.items) + self.held >= ROOM

    @property
    def only_reports(self) -> bool:
        """Whether there is nothing else in it; not when it is empty."""
        return bool(self.items) and all(type(item) is ReportsReceived for item in self.items)

    async def room(self) -> None:
        """Wait until the engine has caught up."""
        await self._room.wait()

    async def wait(self) -> None:
        """Wait until there is something."""
        await self._filled.wait()

    def take(self) -> list[Item]:
        """Everything that has come, in order; the inbox is empty afterwards."""
        items, self.items = self.items, []
        self._filled.clear()
        self._make_room()
        return items

    def hold(self, count: int) -> None:
        """So many of those that were taken wait for a store that cannot write."""
        if count != self.held:
            self.held = count
            self._make_room()

    def _make_room(self) -> None:
        if not self.full:
            self._room.set()
        else:
            self._room.clear()


def settle(answer: asyncio.Future[None], error: DeployError | None) -> None:
    """Answer a call, unless whoever made it has gone."""
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def is_refused(item: Item, refused: DeploymentsRefused) -> bool:
    """Answer the call behind a deployment that cannot be created any more; whether this item was one."""
    match item:
        case Asked(fact=DeploymentRequested(plan=plan)) if plan.deployment_id in refused.why:
            settle(item.answer, refused.why[plan.deployment_id])
            return True
        case _:
            return False
