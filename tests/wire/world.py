"""A coordinator's operator side on a real gRPC server, over ports in memory."""

import hashlib
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc import aio
from grpc_status import rpc_status

from coordinator.api import server
from coordinator.api.alarms import AlarmServicer
from coordinator.api.calls import interceptors
from coordinator.api.catalog import CatalogServicer
from coordinator.api.deployments import DeploymentServicer
from coordinator.api.fleet import FleetServicer
from coordinator.api.foresight import ForesightServicer
from coordinator.api.triggers import TriggerServicer
from coordinator.core.addresses import PrivateServers
from coordinator.core.facts import Report, Reported
from coordinator.core.lifecycle import EventStatus, LifecycleEvent
from coordinator.core.model import Diagnostics, HostId
from coordinator.metrics import Metrics
from coordinator.service.alarms.alarms import AlarmService
from coordinator.service.catalog import CatalogService
from coordinator.service.deployments import DeploymentService, Rooms
from coordinator.service.fleet import FleetService
from coordinator.service.foresight.explaining import ExplainingService
from coordinator.service.foresight.foreseeing import ForesightService, Sources
from coordinator.service.logs import LogService, has_ended
from coordinator.service.notifications.targets import Targets
from coordinator.service.notifications.trials import TriggerService
from coordinator.service.revisions import RevisionService
from coordinator.service.rollouts.wishes import WishService
from coordinator.service.watch import WatchService
from coordinator.store.logs.keep import Logs, Retention
from hookline.v1 import agent_pb2 as agent
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from hookline.v1.access_pb2_grpc import AccessServiceServicer, AuditServiceServicer
from hookline.v1.agent_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from hookline.v1.alarms_pb2_grpc import AlarmServiceStub
from hookline.v1.catalog_pb2_grpc import CatalogServiceStub
from hookline.v1.deployments_pb2_grpc import DeploymentServiceStub
from hookline.v1.fleet_pb2_grpc import FleetServiceStub
from hookline.v1.foresight_pb2_grpc import ForesightServiceStub
from hookline.v1.triggers_pb2_grpc import TriggerServiceStub
from tests.wire.memory import (
    CountedIds,
    MemoryAlarms,
    MemoryCatalog,
    MemoryEngine,
    MemoryFleet,
    MemoryGrounds,
    MemoryKeep,
    MemoryRequests,
    VirtualClock,
)
from tests.wire.triggering import Attempts, OneSecret

MAX_BUNDLE_BYTES = 64 * 1024
NO_ACCESS: Any = AccessServiceServicer
NO_AUDIT: Any = AuditServiceServicer
"""What is not served here; abstract in its stubs only."""
D = TypeVar("D", bound=Message)


class EchoingAgents(AgentServiceServicer):
    """The agents' service as the gateway writes it, one method of each kind; says what it is asked to say."""

    def register(self, server: aio.Server) -> None:
        """Serve it, as the gateway does."""
        add_AgentServiceServicer_to_server(self, server)

    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def Connect(self, request: Any, context: Any) -> None:  # type: ignore[override]  # the stubs know generators only
        """Answer each message, by `context.write`."""
        async for _ in request:
            if self.failure is not None:
                raise self.failure
            await context.write(agent.CoordinatorMessage(acknowledgement=agent.Acknowledgement(acked_seq=1)))

    async def PublishLogs(self, request: Any, context: Any) -> AsyncIterator[agent.PublishLogsResponse]:
        """Answer each message, by `yield`."""
        async for _ in request:
            if self.failure is not None:
                raise self.failure
            yield agent.PublishLogsResponse()

    async def LendSource(self, request: Any, context: Any) -> agent.LendSourceResponse:
        """Answer."""
        if self.failure is not None:
            raise self.failure
        return agent.LendSourceResponse()

    async def RenewCertificate(self, request: Any, context: Any) -> agent.RenewCertificateResponse:
        """Answer."""
        if self.failure is not None:
            raise self.failure
        return agent.RenewCertificateResponse()

    async def FetchBundle(self, request: Any, context: Any) -> AsyncIterator[agent.FetchBundleResponse]:
        """Answer once."""
        yield agent.FetchBundleResponse()
        if self.failure is not None:
            raise self.failure


class World:
    """Everything behind the server, and a client before it."""

    logs: Logs

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ids = CountedIds()
        self.requests = MemoryRequests()
        self.catalog_rows = MemoryCatalog(self.requests)
        self.come: set[HostId] = set()
        self.revised: list[tuple[str, str]] = []
        self.hosts = MemoryFleet(self.requests)
        self.engine = MemoryEngine(self.hosts, self.requests)
        self.alarm_rows = MemoryAlarms(self.catalog_rows)
        self.keep = MemoryKeep()
        self.attempts = Attempts()
        self.targets = Targets(PrivateServers(["10.0.0.0/8"]), OneSecret())
        self.metrics = Metrics()
        self.agents = EchoingAgents()
        self.unary_seconds = interceptors.UNARY_SECONDS
        self.address = ""

    def servicers(self) -> dict[str, Any]:
        """What serves."""
        catalog_service = CatalogService(
            *(self.catalog_rows, self.keep),
            clock=self.clock,
            ids=self.ids,
            targets=self.targets,
            revised=lambda application_name, group_name: self.revised.append((application_name, group_name)),
        )
        revisions = RevisionService(self.catalog_rows, self.keep, clock=self.clock, max_bundle_bytes=MAX_BUNDLE_BYTES)
        self.grounds = MemoryGrounds(self.catalog_rows, self.hosts)
        rooms = Rooms(
            grounds=self.grounds,
            catalog=self.catalog_rows,
            fleet=self.hosts,
            presence=self.hosts,
            history=self.engine,
            requests=self.requests,
            looks=self.alarm_rows,
        )
        deciding = DeploymentService(rooms, inbox=self.engine, clock=self.clock, ids=self.ids)
        sources = Sources(groups=self.engine, experience=self.engine, fleet=self.hosts, presence=self.hosts)
        foresight = ForesightService(deciding, sources, clock=self.clock)
        return {
            "catalog": CatalogServicer(catalog_service, revisions),
            "deployments": DeploymentServicer(
                deciding,
                WishService(self.engine, self.requests, inbox=self.engine, clock=self.clock),
                WatchService(self.engine, self.engine, clock=self.clock),
                LogService(self.logs, self.engine, clock=self.clock),
                foresight,
            ),
            "foresight": ForesightServicer(foresight, ExplainingService(self.engine, self.engine, self.hosts, clock=self.clock)),
            "alarms": AlarmServicer(AlarmService(self.alarm_rows, self.alarm_rows, clock=self.clock)),
            "triggers": TriggerServicer(TriggerService(self.catalog_rows, self.attempts, self.clock)),
            "fleet": FleetServicer(
                FleetService(self.hosts, self.requests, inbox=self.engine, clock=self.clock, come=self.come), None, enrol_address=lambda: ""
            ),
            "access": NO_ACCESS(),
            "audit": NO_AUDIT(),
        }

    def connect(self, channel: aio.Channel) -> None:
        """Have a client."""
        self.channel = channel
        self.catalog = CatalogServiceStub(channel)
        self.deployments = DeploymentServiceStub(channel)
        self.alarms = AlarmServiceStub(channel)
        self.triggers = TriggerServiceStub(channel)
        self.fleet = FleetServiceStub(channel)
        self.foresight = ForesightServiceStub(channel)

    async def push(self, bundle: bytes, **header: Any) -> catalog.Revision:
        """Push a bundle in two pieces."""
        said: dict[str, Any] = {"application_name": "shop", "sha256": hashlib.sha256(bundle).digest(), "size": len(bundle)} | header

        async def parts() -> AsyncIterator[catalog.PushRevisionRequest]:
            yield catalog.PushRevisionRequest(header=catalog.PushRevisionHeader(**said))
            yield catalog.PushRevisionRequest(chunk=bundle[:300])
            yield catalog.PushRevisionRequest(chunk=bundle[300:])

        return (await self.catalog.PushRevision(parts())).revision

    async def shop(self, *hosts: str, config: str = "CodeDeployDefault.AllAtOnce") -> str:
        """An application "shop" with a group "web", hosts with its tag, and a pushed revision, whose id is returned."""
        await self.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop"))
        group = catalog.DeploymentGroup(
            application_name="shop",
            deployment_group_name="web",
            tag_filters=[resources.TagFilter(key="role", value="web")],
            deployment_config_name=config,
        )
        await self.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=group))
        for host in hosts:
            self.hosts.join(host, role="web")
        return (await self.push(bundle_of("appspec.yml"))).revision_id

    async def push_other(self) -> str:
        """A second revision of the application."""
        return (await self.push(bundle_of("appspec.yml", "index.html"))).revision_id

    async def deploy(self, revision: str, **more: Any) -> deployments.Deployment:
        """Deploy to shop/web."""
        request = deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="web", revision_id=revision, **more)
        return (await self.deployments.CreateDeployment(request)).deployment

    def report(self, host: str, event: LifecycleEvent, status: EventStatus = EventStatus.Succeeded, **diagnostics: Any) -> None:
        """A host says how its present instruction comes on."""
        instruction = next(one for one in reversed(self.engine.instructed) if one.host_id == f"id-{host}")
        report = Report(
            seq=1,
            instruction_id=instruction.instruction_id,
            event=event,
            status=status,
            time=self.clock.now(),
            diagnostics=Diagnostics(**diagnostics) if diagnostics else None,
        )
        fact = Reported(at=self.clock.now(), elapsed=self.clock.elapsed(), host_id=HostId(f"id-{host}"), reports=(report,))
        self.engine.happen(instruction.plan.group_id, fact)


@asynccontextmanager
async def serving(world: World, rules: interceptors.Rules | None = None) -> AsyncIterator[World]:
    """The world with a server on a free port and a client connected to it."""
    running = aio.server(interceptors=interceptors.chain(world.metrics, rules, unary_seconds=world.unary_seconds))
    with tempfile.TemporaryDirectory() as directory:
        ended = partial(has_ended, world.engine)
        world.logs = Logs(Path(directory), retention=Retention(days=1, max_bytes=1 << 20), clock=world.clock, ended=ended)
        health = server.TimedHealth(world.clock)
        server.register([running], server.Operators(**world.servicers()), health, agents=world.agents)
        await server.tell_serving(health)
        world.address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
        await running.start()
        try:
            async with aio.insecure_channel(world.address) as channel:
                world.connect(channel)
                yield world
        finally:
            await running.stop(None)


def bundle_of(*names: str, content: bytes = b"version: 0.0\nos: linux\n") -> bytes:
    """A tar archive."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


class Refused(Generic[D]):
    """What a client learns of a refusal."""

    def __init__(self, error: aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        call: Any = error  # it has all that from_call asks for, whatever the stubs say
        status = rpc_status.from_call(call)
        self.status = status
        self.info = self._detail(ErrorInfo)
        self.reason = self.info.reason if self.info else ""
        bad = self._detail(BadRequest)
        self.fields = [violation.field for violation in bad.field_violations] if bad else []
        self.retry = self._detail(RetryInfo)

    def _detail(self, kind: Any) -> Any:
        for detail in self.status.details if self.status else ():
            if detail.Is(kind.DESCRIPTOR):
                found = kind()
                detail.Unpack(found)
                return found
        return None


async def refused(call: Any) -> Refused[Any]:
    """Await a call that must be refused, and return how."""
    try:
        await call
    except aio.AioRpcError as error:
        return Refused(error)
    raise AssertionError("it was not refused")


NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXISTS = grpc.StatusCode.ALREADY_EXISTS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
