"""Where the coordinator is called over gRPC: over plaintext everybody on one listener, with TLS each kind of caller on its own."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import grpc.aio

from coordinator.api.access.entrance import Bearer, Certified, Entrance, Operators, Same
from coordinator.api.access.rates import Paced, Rates
from coordinator.api.access.recording import Recorder
from coordinator.api.calls.principal import AGENT, LOCAL, MACHINE
from coordinator.api.fleet import EnrolmentServicer
from coordinator.config.settings import Address, Tls
from coordinator.engine.ports import Clock
from coordinator.gateway.listeners.server import make_server
from coordinator.gateway.listeners.tls import PairFile, certificate_credentials, open_credentials
from coordinator.gateway.listeners.watching import Listener
from coordinator.gateway.renewal import RenewalServicer
from coordinator.gateway.servicer import AgentServicer
from coordinator.service.access.callers import Callers
from coordinator.service.enrolment import EnrolmentService
from hookline.v1.fleet_pb2_grpc import add_EnrolmentServiceServicer_to_server

SERVER_OPTIONS: Final = (
    # Without ping_timeout_ms a frozen peer is noticed a minute later than the other two promise.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Two coordinators on one port would each get half of the agents.
    ("grpc.so_reuseport", 0),
)

AGENT_OPTIONS: Final = (
    # An agent opens its stream, its output and, once a day, a renewal; while it changes connections it may hold two streams.
    ("grpc.max_concurrent_streams", 4),
    # Who was shut out, or whose certificate has ended, is found out at the latest when the connection has this age.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    # What goes to an agent is small: gRPC would keep 16 KiB to encrypt it in, for each connection.
    ("grpc.tsi.max_frame_size", 2_048),
)

MACHINES: Final = {"per_second": 20, "burst": 100}
OPERATORS: Final = {"per_second": 50, "burst": 200}
"""Calls from each address, where calls may come from strangers. A rack of machines may wait for its approval behind one address."""


class Servicer(Protocol):
    """What agents call beside their stream."""

    def register(self, server: grpc.aio.Server) -> None:
        """Serve it on `server`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """What TLS takes."""

    tls: Tls
    pki: Path
    cluster: str
    """As the authority has it, whatever was said at a later start."""
    enrolment: EnrolmentService
    renewal: RenewalServicer
    callers: Callers
    recorder: Recorder


class Listeners:
    """Every gRPC port. Nothing listens before `open`."""

    def __init__(
        self,
        listen: Address,
        *,
        chain: Callable[[Entrance], Sequence[grpc.aio.ServerInterceptor]],
        operators: Callable[[grpc.aio.Server, AgentServicer | None], None],
        agents: AgentServicer,
        beside: Sequence[Servicer],
        secured: Secured | None,
        clock: Clock,
    ) -> None:
        """`chain` is what a call goes through that came in by an entrance; `operators` puts what operators ask for on a server, and what
        agents do where they have no listener of their own."""
        self.agents = listen
        """Of everybody, over plaintext."""
        self.machines = None if secured is None else secured.tls.enrol_listen
        self.operators = None if secured is None else secured.tls.operator_listen
        self.certified = None if secured is None else secured.tls.certificate_listen
        """Of operators with certificates."""
        self._chain = chain
        self._serve_operators = operators
        self._agents = agents
        self._beside = beside
        self._secured = secured
        self._clock = clock
        self._open: list[grpc.aio.Server | Listener] = []

    @property
    def again(self) -> list[Listener]:
        """Those that can be opened again when they have ended."""
        return [one for one in self._open if isinstance(one, Listener)]

    @property
    def beside_agents(self) -> str:
        """Where operators and machines call, for people; empty where it is where agents do."""
        if self._secured is None:
            return ""
        return f" operators={self.operators} certificates={self.certified} enrol={self.machines} admin={self._secured.tls.admin_socket}"

    async def open(self) -> None:
        """Listen everywhere. Raises OSError when an address is in use."""
        if self._secured is None:
            self._open = [self._to_everybody()]
            await self._open[0].start()
            return
        await self._secured.enrolment.start()
        pairs, tls = PairFile(self._secured.pki), self._secured.tls
        machines = Listener(tls.enrol_listen, partial(self._open_to_machines, pairs, self._secured))
        operators = Listener(tls.operator_listen, partial(self._open_to_operators, pairs, self._secured))
        certified = Listener(tls.certificate_listen, partial(self._open_to_certified, pairs, self._secured))
        self._open = [self._to_agents(pairs, self._secured), self._to_this_machine(tls), machines, operators, certified]
        for each in self._open:
            await each.start()
        self.machines, self.operators, self.certified = machines.address, operators.address, certified.address

    async def stop(self, grace: float) -> None:
        """End every call within so many seconds."""
        await asyncio.gather(*(one.stop(grace) for one in self._open))

    def _to_everybody(self) -> grpc.aio.Server:
        everybody = self._make(Same(LOCAL))
        self._serve_operators(everybody, self._agents)
        for servicer in self._beside:
            servicer.register(everybody)
        self.agents = Address(self.agents.host, everybody.add_insecure_port(str(self.agents)))
        return everybody

    def _to_agents(self, pairs: PairFile, secured: Secured) -> grpc.aio.Server:
        agents = self._make(Same(AGENT), *AGENT_OPTIONS)
        for servicer in (self._agents, *self._beside, secured.renewal):
            servicer.register(agents)
        self.agents = Address(self.agents.host, agents.add_secure_port(str(self.agents), certificate_credentials(pairs)))
        return agents

    def _to_this_machine(self, tls: Tls) -> grpc.aio.Server:
        admin = self._make(Same(LOCAL))
        self._serve_operators(admin, None)
        admin.add_insecure_port(f"unix:{tls.admin_socket}")
        tls.admin_socket.chmod(0o600)
        return admin

    def _open_to_machines(self, pairs: PairFile, secured: Secured, address: Address) -> tuple[grpc.aio.Server, int]:
        enrolling = EnrolmentServicer(secured.enrolment, agent_address=lambda: f":{self.agents.port}", recorder=secured.recorder)
        strangers = Paced(Same(MACHINE), Rates(self._clock, **MACHINES))
        return self._open_to_strangers(pairs, strangers, partial(add_EnrolmentServiceServicer_to_server, enrolling), address)

    def _open_to_operators(self, pairs: PairFile, secured: Secured, address: Address) -> tuple[grpc.aio.Server, int]:
        tokens = Paced(Operators(secured.callers, Bearer(secured.callers)), Rates(self._clock, **OPERATORS))
        return self._open_to_strangers(pairs, tokens, lambda made: self._serve_operators(made, None), address)

    def _open_to_certified(self, pairs: PairFile, secured: Secured, address: Address) -> tuple[grpc.aio.Server, int]:
        """The operators' second server, to which nobody gets through without a certificate of the cluster's."""
        shown = Certified(secured.callers, secured.cluster)
        made = self._make(Paced(Operators(secured.callers, shown), Rates(self._clock, **OPERATORS)))
        self._serve_operators(made, None)
        return made, made.add_secure_port(str(address), certificate_credentials(pairs))

    def _open_to_strangers(
        self, pairs: PairFile, entrance: Entrance, serve: Callable[[grpc.aio.Server], None], address: Address
    ) -> tuple[grpc.aio.Server, int]:
        """A server without client certificates; `serve` puts the services on it."""
        made = self._make(entrance)
        serve(made)
        return made, made.add_secure_port(str(address), open_credentials(pairs))

    def _make(self, entrance: Entrance, *options: tuple[str, int]) -> grpc.aio.Server:
        return make_server(interceptors=self._chain(entrance), options=(*SERVER_OPTIONS, *options))
