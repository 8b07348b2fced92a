"""Hosts that were shut out for ever are forgotten, and their names free, as soon as no deployment waits for them any more."""

import asyncio
import logging
from typing import Final

from coordinator.core.errors import DeployError, InstanceDoesNotExist
from coordinator.core.facts import HostRemovalRequested
from coordinator.core.model import HostId
from coordinator.engine.ports import Clock, Commits, Inbox
from coordinator.service.enrolment.ports import Doors

LOOK_AGAIN_AFTER: Final = 1_000
"""Milliseconds between looks at whether the deployment that waits for a host has done with it."""

log = logging.getLogger(__name__)


class Departures:
    """Who still has to be forgotten."""

    def __init__(self, inbox: Inbox, commits: Commits, doors: Doors, clock: Clock) -> None:
        """`inbox` decides whether a host may be forgotten."""
        self._inbox = inbox
        self._commits = commits
        self.doors = doors
        self._clock = clock
        self._leaving: dict[HostId, str] = {}
        self._news = asyncio.Event()

    async def leave(self, host_id: HostId, principal: str) -> None:
        """Forget a host that was shut out; later, if somebody still waits for it."""
        if not await self._forgotten(host_id, principal):
            self._leaving[host_id] = principal
            self._news.set()

    async def run(self) -> None:
        """Forget them when that can be done, until cancelled."""
        while True:
            await self._news.wait()
            committed = self._commits.committed
            for host_id, principal in list(self._leaving.items()):
                if await self._forgotten(host_id, principal):
                    del self._leaving[host_id]
            if not self._leaving:
                self._news.clear()
                continue
            await self._commits.beyond(committed)
            await self._clock.sleep(LOOK_AGAIN_AFTER)

    async def _forgotten(self, host_id: HostId, principal: str) -> bool:
        fact = HostRemovalRequested(
            at=self._clock.now(), elapsed=self._clock.elapsed(), host_id=host_id, requested_by=principal, shut_out=True
        )
        try:
            await self._inbox.ask(fact)
        except InstanceDoesNotExist:
            return True
        except DeployError as error:
            log.info("host not forgotten yet host=%s why=%r", host_id, str(error))
            return False
        self.doors.shut_out(host_id)  # a stream that had just been accepted
        return True
