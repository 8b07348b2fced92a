"""The same services over the real engine and the real store."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.api import server
from coordinator.api.access.servicers import AccessServicer, AuditServicer, Way
from coordinator.api.alarms import AlarmServicer
from coordinator.api.calls import interceptors
from coordinator.api.catalog import CatalogServicer
from coordinator.api.deployments import DeploymentServicer
from coordinator.api.fleet import FleetServicer
from coordinator.api.foresight import ForesightServicer
from coordinator.api.triggers import TriggerServicer
from coordinator.core.errors import DeployError
from coordinator.core.facts import Hello, Report, ReportsReceived, StreamEnded
from coordinator.core.lifecycle import IN_PLACE, EventStatus
from coordinator.core.model import HostId, JournalId, Session
from coordinator.core.orders import Cancel, Instruction
from coordinator.engine.loop import Engine
from coordinator.metrics import Metrics
from coordinator.service.access.audit import AuditService
from coordinator.service.access.callers import Callers
from coordinator.service.access.certificates import CertificateService
from coordinator.service.access.operators import AccessService
from coordinator.service.alarms.alarms import AlarmService
from coordinator.service.catalog import CatalogService
from coordinator.service.deployments import DeploymentService, Rooms
from coordinator.service.fleet import FleetService
from coordinator.service.foresight.explaining import ExplainingService
from coordinator.service.foresight.foreseeing import ForesightService, Sources
from coordinator.service.logs import LogService, has_ended
from coordinator.service.notifications.trials import TriggerService
from coordinator.service.revisions import RevisionService
from coordinator.service.rollouts.wishes import WishService
from coordinator.service.watch import WatchService
from coordinator.store.bundles import Bundles
from coordinator.store.logs.keep import Logs, Retention
from coordinator.store.sqlite import SqliteStore
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import foresight_pb2 as foresight
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, MAX_BUNDLE_BYTES, NOT_FOUND, PRECONDITION, EchoingAgents, World, bundle_of, refused

ONE = "11111111-1111-4111-8111-111111111111"


class ObedientAgents:
    """Hosts that carry out every instruction at once."""

    def __init__(self) -> None:
        self.engine: Engine
        self.clock = SystemClock()
        self.obey = True
        self.streams: dict[HostId, int] = {}
        self.seqs: dict[HostId, int] = {}

    def join(self, name: str, **tags: str) -> None:
        """A host says Hello."""
        host_id = HostId(f"id-{name}")
        self.streams[host_id] = len(self.streams) + 1
        self.engine.inbox.put(
            Hello(
                at=self.clock.now(),
                elapsed=self.clock.elapsed(),
                stream=self.streams[host_id],
                host_id=host_id,
                name=name,
                boot_id="b",
                journal_id=JournalId(f"j-{name}"),
                last_seq=0,
                acked_seq=0,
                agent_version="1",
                capabilities=(),
                fences={},
                tags=tags,
                facts={"os": "linux"},
                holdings=(),
            )
        )

    def leave(self, name: str) -> None:
        """A host says goodbye."""
        host_id = HostId(f"id-{name}")
        stream = self.streams.pop(host_id)
        self.engine.inbox.put(
            StreamEnded(
                at=self.clock.now(), elapsed=self.clock.elapsed(), stream=stream, host_id=host_id, silent_since=self.clock.elapsed()
            )
        )

    def welcome(self, session: Session, *, busy: bool) -> None:
        """Welcomed."""

    def refuse(self, stream: int, error: DeployError) -> None:
        """Refused."""
        raise AssertionError(error)

    def instruct(self, instruction: Instruction) -> None:
        """Report success of everything."""
        if not self.obey:
            return
        host_id = instruction.host_id
        reports = []
        for event in IN_PLACE:
            for status in (EventStatus.InProgress, EventStatus.Succeeded):
                seq = self.seqs[host_id] = self.seqs.get(host_id, 0) + 1
                reports.append(Report(seq, instruction.instruction_id, event, status, self.clock.now()))
        self.engine.inbox.put(ReportsReceived(self.clock.now(), self.clock.elapsed(), self.streams[host_id], host_id, tuple(reports)))

    def cancel(self, cancel: Cancel) -> None:
        """Cancelled."""

    def acknowledge(self, host_id: HostId, acked_seq: int) -> None:
        """Acknowledged."""

    def settle(self, host_id: HostId) -> None:
        """Settled."""


class RealWorld(World):
    """A client before a server over the real engine and store."""

    store: SqliteStore
    real: Engine
    obedient: ObedientAgents
    watches: WatchService
    directory: Path


@asynccontextmanager
async def real(directory: Path) -> AsyncIterator[RealWorld]:
    world, clock, ids, agents = RealWorld(), SystemClock(), RandomIds(), ObedientAgents()
    store = await SqliteStore.open(directory / "hookline.db", clock)
    engine = agents.engine = Engine(store=store, agents=agents, clock=clock, metrics=world.metrics)
    world.store, world.real, world.obedient, world.directory = store, engine, agents, directory
    world.watches = WatchService(store.history, engine, clock=clock)
    rooms = Rooms(
        grounds=store,
        catalog=store.catalog,
        fleet=store.fleet,
        presence=engine,
        history=store.history,
        requests=store,
        looks=world.alarm_rows,
    )
    bundles = Bundles(directory / "bundles")
    revisions = RevisionService(store.catalog, bundles, clock=clock, max_bundle_bytes=MAX_BUNDLE_BYTES)
    ended = partial(has_ended, store.history)
    logs = Logs(directory / "logs", retention=Retention(days=1, max_bytes=1 << 20), clock=clock, ended=ended)
    deciding = DeploymentService(rooms, inbox=engine, clock=clock, ids=ids)
    sources = Sources(groups=store, experience=store.history, fleet=store.fleet, presence=engine)
    foreseeing = ForesightService(deciding, sources, clock=clock)
    running = aio.server(interceptors=interceptors.chain(Metrics()))
    callers = Callers(store.operators, store.certificates, clock=clock)
    operators = server.Operators(
        catalog=CatalogServicer(CatalogService(store.catalog, bundles, clock=clock, ids=ids, targets=world.targets), revisions),
        deployments=DeploymentServicer(
            deciding,
            WishService(store.history, store, inbox=engine, clock=clock),
            world.watches,
            LogService(logs, store.history, clock=clock),
            foreseeing,
        ),
        foresight=ForesightServicer(foreseeing, ExplainingService(engine, store.history, store.fleet, clock=clock)),
        alarms=AlarmServicer(AlarmService(store.alarms, world.alarm_rows, clock=clock)),
        triggers=TriggerServicer(TriggerService(store.catalog, world.attempts, clock)),
        fleet=FleetServicer(FleetService(store.fleet, store, inbox=engine, clock=clock, come=engine.come), None, enrol_address=lambda: ""),
        access=AccessServicer(
            AccessService(store.operators, callers, secrets=ids, clock=clock),
            CertificateService(store.certificates, store.operators, callers, authority=None, clock=clock),
            Way(),
        ),
        audit=AuditServicer(AuditService(store.audit, clock)),
    )
    server.register([running], operators, server.TimedHealth(clock), agents=EchoingAgents())
    world.address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    turning = asyncio.create_task(engine.run())
    await engine.started.wait()
    try:
        async with aio.insecure_channel(world.address) as channel:
            world.connect(channel)
            yield world
    finally:
        await running.stop(None)
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)
        store.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[RealWorld]:
    async with real(tmp_path) as world:
        yield world


async def hosts_of(world: RealWorld, *names: str) -> None:
    """Hosts say Hello and are known."""
    for name in names:
        world.obedient.join(name, role="web")
    while len((await world.fleet.ListHosts(fleet.ListHostsRequest())).hosts) < len(names):
        pass


async def told_to_the_end(world: World, deployment_id: str, token: str = "") -> list[deployments.WatchDeploymentResponse]:
    request = deployments.WatchDeploymentRequest(deployment_id=deployment_id, resume_token=token)
    return [message async for message in world.deployments.WatchDeployment(request)]


async def test_a_deployment_is_made_followed_and_remembered(sqlite: RealWorld) -> None:
    revision = await sqlite.shop()
    await hosts_of(sqlite, "h1", "h2", "h3")
    made = await sqlite.deploy(revision, request_id=ONE)
    told = await told_to_the_end(sqlite, made.deployment_id)
    assert told[-1].bookmark.complete
    ends = [message.deployment for message in told if message.HasField("deployment")]
    assert ends[-1].status == resources.DEPLOYMENT_STATUS_SUCCEEDED
    last = {one.host_name: one for message in told for one in message.targets.targets}
    assert {name: one.status for name, one in last.items()} == dict.fromkeys(("h1", "h2", "h3"), resources.TARGET_STATUS_SUCCEEDED)
    assert {one.status for one in last["h1"].lifecycle_events} == {resources.LIFECYCLE_EVENT_STATUS_SUCCEEDED}
    assert len(last["h1"].lifecycle_events) == 7
    again = await sqlite.deploy(revision, request_id=ONE)
    assert (again.deployment_id, again.deployment_overview.succeeded) == (made.deployment_id, 3)
    target = await sqlite.deployments.GetTarget(deployments.GetTargetRequest(deployment_id=made.deployment_id, host="h2"))
    assert target.target == last["h2"]
    page = await sqlite.deployments.ListTargets(deployments.ListTargetsRequest(deployment_id=made.deployment_id, page_size=2))
    rest = await sqlite.deployments.ListTargets(
        deployments.ListTargetsRequest(deployment_id=made.deployment_id, page_size=2, page_token=page.next_page_token)
    )
    assert [one.host_name for one in (*page.targets, *rest.targets)] == ["h1", "h2", "h3"]
    history = await sqlite.deployments.ListHistory(deployments.ListHistoryRequest(deployment_id=made.deployment_id, page_size=1_000))
    created = history.entries[-1]
    assert (created.entry, created.because, created.principal) == ("Created", "CreateDeployment", "local")
    group = await sqlite.catalog.GetDeploymentGroup(catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web"))
    assert group.deployment_group.last_successful_deployment.deployment_id == made.deployment_id
    host = (await sqlite.fleet.GetHost(fleet.GetHostRequest(host="h1"))).host
    assert [(one.application_name, one.deployed_revision_id) for one in host.holdings] == [("shop", revision)]
    shown = await sqlite.catalog.GetRevision(catalog.GetRevisionRequest(application_name="shop", revision_id=revision))
    assert shown.revision.HasField("first_used_time")


async def test_a_restart_takes_the_last_successful_revision_and_leaves_it_that(sqlite: RealWorld) -> None:
    revision = await sqlite.shop()
    await hosts_of(sqlite, "h1")
    asked = deployments.CreateDeploymentRequest(
        application_name="shop", deployment_group_name="web", deployment_mode=deployments.DEPLOYMENT_MODE_RESTART
    )
    no = await refused(sqlite.deployments.CreateDeployment(asked))
    assert (no.code, "nothing has succeeded there" in no.message) == (PRECONDITION, True)
    first = await sqlite.deploy(revision)
    await told_to_the_end(sqlite, first.deployment_id)
    unread = {"rollback_deployment_config_name": "CodeDeployDefault.HalfAtATime"}
    for contradiction in ({"revision_id": revision}, {"update_outdated_instances_only": True}, unread):
        more = deployments.CreateDeploymentRequest()
        more.CopyFrom(asked)
        more.MergeFrom(deployments.CreateDeploymentRequest(**contradiction))
        assert (await refused(sqlite.deployments.CreateDeployment(more))).code == INVALID
    profile = fleet.SetInstanceProfileRequest(host="h1", sources=["s3://elsewhere/*"])
    await sqlite.fleet.SetInstanceProfile(profile)  # nothing is read
    made = (await sqlite.deployments.CreateDeployment(asked)).deployment
    assert (made.revision_id, made.deployment_mode) == (revision, deployments.DEPLOYMENT_MODE_RESTART)
    ended = await told_to_the_end(sqlite, made.deployment_id)
    assert [one.deployment.status for one in ended if one.HasField("deployment")][-1] == resources.DEPLOYMENT_STATUS_SUCCEEDED
    group = await sqlite.catalog.GetDeploymentGroup(catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web"))
    assert group.deployment_group.last_successful_deployment.deployment_id == first.deployment_id


async def test_a_watch_goes_on_after_the_coordinator_restarts(tmp_path: Path) -> None:
    async with real(tmp_path) as world:
        revision = await world.shop()
        await hosts_of(world, "h1", "h2")
        world.obedient.obey = False
        made = await world.deploy(revision)
        request = deployments.WatchDeploymentRequest(deployment_id=made.deployment_id)
        async for message in world.deployments.WatchDeployment(request):
            if message.resume_token:
                break
        token = message.resume_token
    async with real(tmp_path) as world:
        request = deployments.WatchDeploymentRequest(deployment_id=made.deployment_id, resume_token=token)
        messages = aiter(world.deployments.WatchDeployment(request))
        begun = [(await anext(messages)).WhichOneof("message") for _ in range(2)]
        assert begun == ["deployment", "bookmark"]
        world.obedient.join("h1", role="web")
        world.obedient.join("h2", role="web")
        told = [message async for message in messages]
        last = {one.host_name: one.status for message in told for one in message.targets.targets}
        assert last == dict.fromkeys(("h1", "h2"), resources.TARGET_STATUS_SUCCEEDED)
        assert told[-1].bookmark.complete


async def test_bad_input_is_refused_alike(sqlite: RealWorld) -> None:
    revision = await sqlite.shop()
    assert (await refused(sqlite.deploy(revision))).reason == "NO_INSTANCES"
    await hosts_of(sqlite, "h1", "h2")
    sqlite.obedient.obey = False
    minimum = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=2)
    config = catalog.CreateDeploymentConfigRequest(deployment_config_name="both", minimum_healthy_hosts=minimum)
    await sqlite.catalog.CreateDeploymentConfig(config)
    assert (await refused(sqlite.deploy(revision, deployment_config_name="both"))).reason == "HEALTH_CONSTRAINTS_INVALID"
    assert (await refused(sqlite.deploy("r-0123456789abcdef"))).code is NOT_FOUND
    no = await refused(sqlite.push(bundle_of("readme.txt")))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")
    assert "appspec" in no.message.lower()
    made = await sqlite.deploy(revision)
    no = await refused(sqlite.deploy(revision))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_LIMIT_EXCEEDED")
    assert made.deployment_id in no.message
    no = await refused(sqlite.fleet.RemoveHost(fleet.RemoveHostRequest(host="h1")))
    assert (no.code, no.reason) == (PRECONDITION, "INSTANCE_IN_USE")
    no = await refused(sqlite.catalog.DeleteApplication(catalog.DeleteApplicationRequest(application_name="shop")))
    assert (no.code, no.reason) == (PRECONDITION, "INVALID_OPERATION")


async def test_a_bundle_goes_with_the_last_application_that_needs_it(sqlite: RealWorld) -> None:
    for application in ("shop", "blog"):
        await sqlite.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name=application))
    bundle = bundle_of("appspec.yml")
    for application in ("shop", "blog"):
        await sqlite.push(bundle, application_name=application)
    await sqlite.push(bundle_of("appspec.yml", "more"))
    kept = sqlite.directory / "bundles" / hashlib.sha256(bundle).hexdigest()
    await sqlite.catalog.DeleteApplication(catalog.DeleteApplicationRequest(application_name="shop"))
    assert [path.name for path in sqlite.directory.glob("bundles/*") if path.is_file()] == [kept.name]
    await sqlite.catalog.DeleteApplication(catalog.DeleteApplicationRequest(application_name="blog"))
    assert not kept.exists()


async def test_a_host_that_has_gone_is_forgotten(sqlite: RealWorld) -> None:
    await hosts_of(sqlite, "h1")
    sqlite.obedient.leave("h1")
    await sqlite.fleet.RemoveHost(fleet.RemoveHostRequest(host="h1", request_id=ONE))
    await sqlite.fleet.RemoveHost(fleet.RemoveHostRequest(host="h1", request_id=ONE))
    assert (await refused(sqlite.fleet.GetHost(fleet.GetHostRequest(host="h1")))).code is NOT_FOUND


async def buf(world: World, method: str, body: Any) -> list[dict[str, Any]]:
    """Call a method as `buf curl` does: it knows nothing but what reflection tells."""
    program = shutil.which("buf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("buf is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *("curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", json.dumps(body)),
        f"http://{world.address}/hookline.v1.{method}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    decoder, text, found = json.JSONDecoder(), said.decode().strip(), []
    while text:
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:].strip()
    return found


@pytest.mark.peer
async def test_buf_curl_makes_and_watches_a_deployment(sqlite: RealWorld) -> None:
    revision = await sqlite.shop()
    await hosts_of(sqlite, "h1", "h2")
    wanted = {"applicationName": "shop", "deploymentGroupName": "web", "revisionId": revision}
    (made,) = await buf(sqlite, "DeploymentService/CreateDeployment", wanted)
    deployment_id = made["deployment"]["deploymentId"]
    told = await buf(sqlite, "DeploymentService/WatchDeployment", {"deploymentId": deployment_id})
    assert told[0]["deployment"]["deploymentId"] == deployment_id
    assert told[-1]["bookmark"] == {"complete": True}


async def test_what_is_foreseen_takes_as_long_as_it_took_before_and_leaves_nothing(sqlite: RealWorld) -> None:
    revision = await sqlite.shop()
    await hosts_of(sqlite, "h1", "h2")
    request = deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="web", revision_id=revision)
    planning = foresight.PlanDeploymentRequest(deployment=request)
    unknown = (await sqlite.foresight.PlanDeployment(planning)).foresight
    assert (unknown.known_targets, unknown.end.ToMilliseconds()) == (0, 35_000)
    made = await sqlite.deploy(revision)
    await told_to_the_end(sqlite, made.deployment_id)
    known = (await sqlite.foresight.PlanDeployment(planning)).foresight
    assert known.known_targets == 2
    assert known.end.ToMilliseconds() < 1_000
    page = await sqlite.deployments.ListDeployments(deployments.ListDeploymentsRequest())
    assert [one.deployment_id for one in page.deployments] == [made.deployment_id]
