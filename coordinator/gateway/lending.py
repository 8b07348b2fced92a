"""What a host may read while it needs it: grants bundles of the coordinator, and serves LendSource for those that lie elsewhere."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import grpc
import grpc.aio

from coordinator.core.errors import Denied, Limit, Unavailable
from coordinator.core.model import CoordinatorLocation, HostId, InstructionId, Revision
from coordinator.core.model.roles import COORDINATOR
from coordinator.engine.ports import Clock
from coordinator.gateway.identity import Callers, Context
from coordinator.service.sources.lending import ComeBack, LendingService, Profiles, check
from hookline.v1 import agent_pb2 as pb

AGAIN_AFTER: Final = 1_000
"""Milliseconds after which profiles that could not be read are looked at again."""


class Shelves(Protocol):
    """The coordinator's own bundles: `bundles.BundleProcess` serves them."""

    def grant(self, host_id: HostId, sha256: bytes) -> None:
        """The host may read this one."""
        ...

    def withdraw(self, host_id: HostId) -> None:
        """The host may read none any more."""
        ...


class Readers:
    """Who may read what now: what an instruction needs, as far as the host's instance profile allows it. See `streams.Bundles`."""

    def __init__(self, shelves: Shelves, lending: LendingService, profiles: Profiles, clock: Clock) -> None:
        """Nothing is outstanding yet."""
        self._clock = clock
        self._shelves = shelves
        self._lending = lending
        self._profiles = profiles
        self._needed: dict[HostId, set[bytes]] = {}
        self._unseen: set[HostId] = set()
        self._news = asyncio.Event()

    def need(self, host_id: HostId, instruction_id: InstructionId, revision: Revision) -> None:
        """The host was instructed; what it may read of the coordinator's own it is told soon, when its profile was looked at."""
        if isinstance(revision.place, CoordinatorLocation):
            self._needed.setdefault(host_id, set()).add(revision.sha256)
            self._look(host_id)
        else:
            self._lending.need(host_id, instruction_id, revision)

    def settle(self, host_id: HostId) -> None:
        """Nothing is outstanding for the host any more."""
        self._lending.settle(host_id)
        if self._needed.pop(host_id, None) is not None:
            self._unseen.discard(host_id)
            self._shelves.withdraw(host_id)

    def look_again(self, host_id: HostId) -> None:
        """Its instance profile was changed."""
        if host_id in self._needed:
            self._look(host_id)

    async def run(self) -> None:
        """Look at the profiles of those that need something, many at once, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            unseen, self._unseen = self._unseen, set()
            try:
                profiles = await self._profiles.profiles()
            except (Limit, Unavailable):
                self._unseen |= unseen
                self._news.set()
                await self._clock.sleep(AGAIN_AFTER)
                continue
            for host_id in unseen & self._needed.keys():
                try:
                    check(host_id, profiles.get(host_id, ()), COORDINATOR)
                except Denied:
                    self._shelves.withdraw(host_id)
                else:
                    for sha256 in self._needed[host_id]:
                        self._shelves.grant(host_id, sha256)

    def _look(self, host_id: HostId) -> None:
        self._unseen.add(host_id)
        self._news.set()


class LendingServicer:
    """LendSource."""

    def __init__(self, lending: LendingService, callers: Callers, address_of: Callable[[Context], str]) -> None:
        """`callers` says whose call it is, `address_of` where it comes from."""
        self._lending = lending
        self._callers = callers
        self._address_of = address_of

    def register(self, server: grpc.aio.Server) -> None:
        """Serve LendSource on `server`."""
        lend: grpc.RpcMethodHandler[pb.LendSourceRequest, pb.LendSourceResponse] = grpc.unary_unary_rpc_method_handler(
            self.lend_source,
            request_deserializer=pb.LendSourceRequest.FromString,
            response_serializer=pb.LendSourceResponse.SerializeToString,
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"LendSource": lend})

    async def lend_source(self, request: pb.LendSourceRequest, context: Context) -> pb.LendSourceResponse:
        """A way to read the bundle of an instruction of the caller's."""
        host_id = self._callers.host(context)
        lent = await self._lending.lend(host_id, InstructionId(request.instruction_id), address=self._address_of(context))
        if isinstance(lent, ComeBack):
            response = pb.LendSourceResponse()
            response.retry_after.FromMilliseconds(lent.after)
            return response
        response = pb.LendSourceResponse(url=lent.url, bearer=lent.bearer)
        response.lasts.FromSeconds(lent.lasts)
        return response
