"""A coordinator's operator side behind TLS, with operators and an audit on SQLite, and clients with tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from coordinator.adapters.authority import Authority, certificates
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.api import interceptors, server
from coordinator.api.access.entrance import Bearer
from coordinator.api.access.recording import Recorder
from coordinator.api.access.servicers import AccessServicer, AuditServicer
from coordinator.core.access import Grant, Role
from coordinator.core.facts import RequestKey
from coordinator.core.model import DeploymentId
from coordinator.gateway.listeners.tls import PairFile, open_credentials
from coordinator.service.access.audit import AuditEntry, AuditService
from coordinator.service.access.callers import Callers
from coordinator.service.access.operators import AccessService, WantedOperatorToken
from coordinator.store.logs.keep import Logs, Retention
from coordinator.store.sqlite import SqliteStore
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


class House:
    """Everything behind the operators' listener; the catalogue, the engine and the hosts are those of `World`."""

    def __init__(self, directory: Path, store: SqliteStore) -> None:
        self.world = World()
        self.world.logs = Logs(directory / "logs", retention=Retention(days=1, max_bytes=1 << 20), clock=self.world.clock, ended=_never)
        self.store = store
        self.callers = Callers(store.operators, clock=self.world.clock)
        self.access = AccessService(store.operators, self.callers, secrets=RandomIds(), clock=self.world.clock)
        self.audit = AuditService(store.audit, self.world.clock)
        self.authority = Authority.open(directory / "pki", SystemClock(), names=("127.0.0.1",))
        self.authority.renew()
        self.pki = directory / "pki"
        self.address = ""
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

    def client(self, token: str = "", *, certificate: bool = False) -> Client:
        """Somebody who shows a token, an agent's certificate, or nothing."""
        shown: dict[str, Any] = {}
        if certificate:
            key = certificates.new_key()
            request = certificates.to_pem(certificates.issuing_request(key, "an agent"))
            issued = self.authority.issue("agent", "0" * 32, request)
            shown = {"private_key": certificates.key_to_pem(key), "certificate_chain": issued.chain}
        credentials = grpc.ssl_channel_credentials(self.authority.trust, **shown)
        if token:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        channel = aio.secure_channel(self.address, credentials)
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
    rules = interceptors.Rules(entrance=Bearer(house.callers), group_of=house.group_of, recorder=Recorder(house.audit, house.world.clock))
    running = aio.server(interceptors=interceptors.chain(house.world.metrics, rules))
    served = house.world.servicers() | {
        "access": AccessServicer(house.access, fingerprint=house.authority.fingerprint, address=lambda: house.address),
        "audit": AuditServicer(house.audit),
    }
    server.register([running], server.Operators(**served), server.TimedHealth(house.world.clock))
    house.address = f"127.0.0.1:{running.add_secure_port('127.0.0.1:0', open_credentials(PairFile(house.pki)))}"
    await running.start()
    try:
        yield house
    finally:
        await house.close()
        await running.stop(None)
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
