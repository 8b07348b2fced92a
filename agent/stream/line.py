"""The way to a coordinator: over TLS a channel whose place another takes when the certificate is renewed, without a gap."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from agent.identity.diagnosis import why_not_accepted, why_not_valid
from agent.identity.files import IdentityFiles
from agent.identity.renewal import KeyMaker, NotRenewed, Renewal, Renewed
from agent.stream.enrolment import readmit
from agent.stream.stream import insecure_channel, secure_channel
from hookline.v1 import agent_pb2, agent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agent.clock import Clock
    from agent.identity.files import Credentials

Move = Callable[[grpc.aio.Channel], None]

LINGER_SECONDS = 60.0
"""How long a channel stays open that another has taken the place of: a call on it may still have to end."""

_PATIENCE = 20.0


class PlainLine:
    """The way to a coordinator on this machine that speaks plaintext: one channel, for good."""

    def __init__(self, coordinator: str) -> None:
        self.channel = insecure_channel(coordinator)

    async def why_not(self) -> str | None:
        """There is no certificate that could be wrong."""
        return None

    async def look_after(self, *_move: Move) -> None:
        """Nothing has to be renewed."""


class SecureLine:
    """The way to a coordinator over TLS: the channel of the credentials that count."""

    def __init__(self, coordinator: str, credentials: Credentials, data_dir: Path, clock: Clock) -> None:
        self.channel = secure_channel(coordinator, credentials)
        self._coordinator = coordinator
        self._data_dir = data_dir
        self._files = IdentityFiles(data_dir)
        self._credentials = credentials
        self._clock = clock
        self._moves: tuple[Move, ...] = ()

    async def look_after(self, *moves: Move) -> None:
        """Renews the certificate in time and tells these of each channel that takes the place of another; never returns."""
        self._moves = moves
        keys = KeyMaker(self._data_dir)
        await Renewal(files=self._files, credentials=self._credentials, keys=keys, line=self, clock=self._clock).run()

    async def renew(self, request: bytes, generation: int) -> Renewed:
        """See `renewal.Line`."""
        stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(self.channel)
        wanted = agent_pb2.RenewCertificateRequest(certificate_request=request, generation=generation)
        try:
            answer = await stub.RenewCertificate(wanted, timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise NotRenewed(f"{error.details()} ({error.code().name})") from error
        return Renewed(chain=answer.certificate_chain, trust=answer.trust, generation=answer.generation)

    async def readmit(self, request: bytes, signature: bytes) -> Renewed:
        """See `renewal.Line`."""
        return await readmit(self._credentials, request, signature)

    async def use(self, credentials: Credentials) -> None:
        """See `renewal.Line`."""
        before, self.channel = self.channel, secure_channel(self._coordinator, credentials)
        self._credentials = credentials
        try:
            for move in self._moves:
                move(self.channel)
            left = (credentials.enrolment.ends_at - self._clock.now_ms()) / 1000
            await self._clock.sleep(min(LINGER_SECONDS, max(0.0, left / 4)))
        finally:
            await before.close()

    async def why_not(self) -> str | None:
        """What is wrong with this host's certificate or the coordinator's; None: nothing, so it is for something else."""
        why = why_not_valid(self._credentials.enrolment, self._clock.now_ms())
        return why or await why_not_accepted(self._coordinator, self._credentials, self._files)


@asynccontextmanager
async def line(coordinator: str, credentials: Credentials | None, data_dir: Path, clock: Clock) -> AsyncIterator[PlainLine | SecureLine]:
    """The way to HOST:PORT, closed at the end; without credentials it is plaintext."""
    way = PlainLine(coordinator) if credentials is None else SecureLine(coordinator, credentials, data_dir, clock)
    try:
        yield way
    finally:
        await way.channel.close()
