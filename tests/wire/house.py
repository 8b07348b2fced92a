"""A coordinator's operator side behind TLS, with operators and an audit on SQLite, and clients with tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from grpc import aio

from coordinator.adapters.authority import Authority, certificates
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.api import server
from coordinator.api.access.entrance import Bearer, Certified, Operators, Shown
from coordinator.api.access.recording import Recorder
from coordinator.api.access.servicers import AccessServicer, AuditServicer, Way
from coordinator.api.calls import interceptors
from coordinator.core.facts import RequestKey
from coordinator.core.identity.access import Grant, Role
from coordinator.core.model import DeploymentId
from coordinator.gateway.listeners.tls import PairFile, certificate_credentials, open_credentials
from coordinator.service.access.audit import AuditEntry, AuditService
from coordinator.service.access.callers import Callers
from coordinator.service.access.certificates import CertificateService
from coordinator.service.access.operators import AccessService, WantedOperatorToken
from coordinator.store.logs.keep import Logs, Retention
from coordinator.store.sqlite import SqliteStore
from hookline.v1 import access_pb2 as pb
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import resources_pb2 as resources
from hookline.v1.access_pb2_grpc import AccessServiceStub, AuditServiceStub
from hookline.v1.alarms_pb2_grpc import AlarmServiceStub
from hookline.v1.catalog_pb2_grpc import CatalogServiceStub
from hookline.v1.deployments_pb2_grpc import DeploymentServiceStub
from hookline.v1.fleet_pb2_grpc import FleetServiceStub
from hookline.v1.foresight_pb2_grpc import ForesightServiceStub
from hookline.v1.triggers_pb2_grpc import TriggerServiceStub
from tests.wire.world import World

UNASKED = RequestKey(principal="local", method="test", request_id="", digest=b"")


class Client:
    """Calls as somebody."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.catalog = CatalogServiceStub(channel)
        self.deployments = DeploymentServiceStub(channel)
        self.alarms = AlarmServiceStub(channel)
        self.triggers = TriggerServiceStub(channel)
        self.fleet = FleetServiceStub(channel)
        self.foresight = ForesightServiceStub(channel)
        self.access = AccessServiceStub(channel)
        self.audit = AuditServiceStub(channel)


class Pair(NamedTuple):
    """What a client shows."""

    key: certificates.Key
    chain: bytes


def request_of(key: certificates.Key) -> bytes:
    """A certificate request."""
    return certificates.to_pem(certificates.issuing_request(key, "x"))


class House:
    """Everything behind the operators' listener; the catalogue, the engine and the hosts are those of `World`."""

    def __init__(self, directory: Path, store: SqliteStore) -> None:
        self.world = World()
        self.world.logs = Logs(directory / "logs", retention=Retention(days=1, max_bytes=1 << 20), clock=self.world.clock, ended=_never)
        self.store = store
        self.callers = Callers(store.operators, store.certificates, clock=self.world.clock)
        self.access = AccessService(store.operators, self.callers, secrets=RandomIds(), clock=self.world.clock)
        self.audit = AuditService(store.audit, self.world.clock)
        self.world.clock.at = SystemClock().now()  # by which the TLS library looks whether a certificate is good
        self.authority = Authority.open(directory / "pki", self.world.clock, names=("127.0.0.1",))
        self.authority.renew()
        self.pki = directory / "pki"
        self.certificates = CertificateService(
            store.certificates, store.operators, self.callers, authority=self.authority, clock=self.world.clock
        )
        self.address = self.certified = ""
        self._channels: list[aio.Channel] = []

    async def group_of(self, deployment_id: str) -> tuple[str, str]:
        """As the engine in memory knows it."""
        plan = (await self.world.engine.deployment(DeploymentId(deployment_id))).plan
        return plan.application_name, plan.group_name

    async def token(self, name: str, *grants: Grant, ttl: int = 0, narrowed: tuple[Grant, ...] = ()) -> str:
        """An operator with these grants, and the text of a token of theirs."""
        await self.access.create(name, grants, UNASKED)
        return await self.another(name, ttl=ttl, narrowed=narrowed)

    async def another(self, name: str, *, ttl: int = 0, narrowed: tuple[Grant, ...] = ()) -> str:
        """The text of a token of an operator."""
        wanted = WantedOperatorToken(operator=name, ttl=ttl, grants=narrowed, description="")
        return (await self.access.create_token(wanted, UNASKED))[1]

    async def operator(self, name: str, *grants: Grant) -> Client:
        """Somebody with these grants."""
        return self.client(await self.token(name, *grants))

    def client(self, token: str = "", *, pair: "Pair | None" = None) -> Client:
        """Somebody who shows a token, a certificate, or nothing, where operators call with tokens."""
        credentials = self._credentials(pair)
        if token:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        return self._calling(self.address, credentials)

    def certified_client(self, pair: "Pair | None") -> Client:
        """Somebody who shows a certificate, or nothing, where operators call with certificates."""
        return self._calling(self.certified, self._credentials(pair))

    def agents_pair(self) -> "Pair":
        """An agent's certificate."""
        key = certificates.new_key()
        return Pair(key, self.authority.issue("agent", "0" * 32, request_of(key)).chain)

    async def invitation(self, name: str, *, lifetime: int = 3_600_000, narrowed: tuple[Grant, ...] = ()) -> str:
        """The text of a token of an operator that is good for a certificate."""
        wanted = WantedOperatorToken(operator=name, ttl=0, grants=narrowed, description="", certificate_lifetime=lifetime)
        return (await self.access.create_token(wanted, UNASKED))[1]

    async def issued(self, name: str, *, lifetime: int = 3_600_000, narrowed: tuple[Grant, ...] = ()) -> "Pair":
        """A certificate of an operator, taken over the wire."""
        key = certificates.new_key()
        invited = self.client(await self.invitation(name, lifetime=lifetime, narrowed=narrowed))
        answer = await invited.access.IssueOperatorCertificate(pb.IssueOperatorCertificateRequest(certificate_request=request_of(key)))
        return Pair(key, answer.certificate_chain)

    def _credentials(self, pair: "Pair | None") -> grpc.ChannelCredentials:
        if pair is None:
            return grpc.ssl_channel_credentials(self.authority.trust)
        return grpc.ssl_channel_credentials(self.authority.trust, certificates.key_to_pem(pair.key), pair.chain)

    def _calling(self, address: str, credentials: grpc.ChannelCredentials) -> Client:
        # Channels with the same credentials would share a connection, and one that was refused stays so for a while.
        channel = aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        self._channels.append(channel)
        return Client(channel)

    async def audited(self) -> list[AuditEntry]:
        """All rows of the audit, the oldest first."""
        return list((await self.audit.entries("", oldest_first=True, size=1_000, after="")).items)

    async def close(self) -> None:
        """Let go of what was opened."""
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def housed(directory: Path) -> AsyncIterator[House]:
    """A house on a free port."""
    store = await SqliteStore.open(directory / "hookline.db", SystemClock())
    house = House(directory, store)
    way = Way(fingerprint=house.authority.fingerprint, tokens=lambda: house.address, certificates=lambda: house.certified)
    served = house.world.servicers() | {
        "access": AccessServicer(house.access, house.certificates, way),
        "audit": AuditServicer(house.audit),
    }

    def made(shown: Shown) -> aio.Server:
        recorder = Recorder(house.audit, house.world.clock)
        rules = interceptors.Rules(entrance=Operators(house.callers, shown), group_of=house.group_of, recorder=recorder)
        return aio.server(interceptors=interceptors.chain(house.world.metrics, rules))

    tokens, certified = made(Bearer(house.callers)), made(Certified(house.callers, house.authority.cluster))
    server.register([tokens, certified], server.Operators(**served), server.TimedHealth(house.world.clock))
    pairs = PairFile(house.pki)
    house.address = f"127.0.0.1:{tokens.add_secure_port('127.0.0.1:0', open_credentials(pairs))}"
    house.certified = f"127.0.0.1:{certified.add_secure_port('127.0.0.1:0', certificate_credentials(pairs))}"
    await tokens.start()
    await certified.start()
    try:
        yield house
    finally:
        await house.close()
        await tokens.stop(None)
        await certified.stop(None)
        store.close()


async def shop(house: House) -> str:
    """An application with two groups, by its admin; the id of a deployment to one of them."""
    house.world.connect((await house.operator("boss", Grant(Role.Admin))).channel)
    revision = await house.world.shop("h1")
    group = catalog.DeploymentGroup(
        application_name="shop",
        deployment_group_name="db",
        tag_filters=[resources.TagFilter(key="role", value="db")],
        deployment_config_name="CodeDeployDefault.AllAtOnce",
    )
    await house.world.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=group))
    return (await house.world.deploy(revision)).deployment_id


async def _never(deployment_id: str) -> bool:
    return False
