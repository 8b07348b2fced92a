"""What operators may wish of a live deployment: pause, resume, promote, retry, skip. Whether it may be, the core decides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from coordinator.core.errors import DeploymentAlreadyCompleted, Invalid, InvalidOperation
from coordinator.core.facts import PauseRequested, PromotionRequested, RequestKey, ResumeRequested, RetryRequested, SkipRequested
from coordinator.core.model import DeploymentId, HostId
from coordinator.core.requests.live import WAITS, verb
from coordinator.engine.ports import Clock, Inbox
from coordinator.service.ports import History, Requests
from coordinator.service.records import DeploymentRecord
from coordinator.service.rules import check_description

HOSTS_AT_ONCE: Final = 1_000
"""Hosts that one wish may name."""

Wish = PauseRequested | ResumeRequested | PromotionRequested | RetryRequested | SkipRequested
W = TypeVar("W", PauseRequested, ResumeRequested, PromotionRequested, RetryRequested, SkipRequested)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What every wish says: of which deployment, by whom, and why."""

    deployment_id: DeploymentId
    key: RequestKey
    reason: str


class WishService:
    """Puts wishes to the core, and tells how the deployment stands then."""

    def __init__(self, history: History, requests: Requests, *, inbox: Inbox, clock: Clock) -> None:
        """`history` and `requests` are read; what is to happen goes to `inbox`, where it is decided."""
        self._history = history
        self._requests = requests
        self._inbox = inbox
        self._clock = clock

    async def pause(self, said: Said) -> DeploymentRecord:
        """Let nothing new begin."""
        return await self._ask(said, self._wish(PauseRequested, said))

    async def resume(self, said: Said) -> DeploymentRecord:
        """Let it go on."""
        return await self._ask(said, self._wish(ResumeRequested, said))

    async def promote(self, said: Said, *, past_gate: bool) -> DeploymentRecord:
        """End the present bake, and pass the gate after it where that is wanted."""
        return await self._ask(said, replace(self._wish(PromotionRequested, said), past_gate=past_gate))

    async def retry(self, said: Said, hosts: Sequence[str]) -> DeploymentRecord:
        """Try hosts again; none named: all that have failed."""
        fact = self._wish(RetryRequested, said)
        return await self._ask(said, replace(fact, hosts=await self._named(said, fact, hosts) or None))

    async def skip(self, said: Said, hosts: Sequence[str]) -> DeploymentRecord:
        """Leave hosts out."""
        if not hosts:
            raise Invalid("cannot skip no host: name at least one", field="hosts")
        fact = self._wish(SkipRequested, said)
        return await self._ask(said, replace(fact, hosts=await self._named(said, fact, hosts)))

    def _wish(self, kind: type[W], said: Said) -> W:
        request = said.key if said.key.request_id else None
        at, elapsed = self._clock.now(), self._clock.elapsed()
        who = said.key.principal
        return kind(at=at, elapsed=elapsed, deployment_id=said.deployment_id, requested_by=who, reason=said.reason, request=request)

    async def _named(self, said: Said, fact: Wish, hosts: Sequence[str]) -> frozenset[HostId]:
        """The targets that are named, by id or name."""
        if len(hosts) > HOSTS_AT_ONCE:
            raise Invalid(f"cannot name {len(hosts)} hosts: {HOSTS_AT_ONCE} is the most", field="hosts")
        if hosts and (await self._history.deployment(said.deployment_id)).queue is not None:
            raise InvalidOperation(f"cannot {verb(fact)} deployment {said.deployment_id}: {WAITS}")
        return frozenset([(await self._history.target(said.deployment_id, host)).host_id for host in hosts])

    async def _ask(self, said: Said, fact: Wish) -> DeploymentRecord:
        if await self._requests.replayed(said.key) is not None:
            return await self._history.deployment(said.deployment_id)
        check_description(said.reason, field="reason")
        now = await self._history.deployment(said.deployment_id)
        if now.status.terminal:
            ended = f"it has ended, {now.status.name}"
            raise DeploymentAlreadyCompleted(f"cannot {verb(fact)} deployment {said.deployment_id}: {ended}")
        await self._inbox.ask(fact)
        return await self._history.deployment(said.deployment_id)
