"""What stands before every call: refusals, deadlines, who may, and what is counted; in all four kinds of calls."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from grpc import aio

from coordinator.api import server
from coordinator.api.calls import interceptors, policy
from coordinator.api.calls.refusals import STATUS, code_of, reason_of
from coordinator.core import errors
from coordinator.core.errors import DeployError, StorageFailed
from coordinator.core.facts import Request
from hookline.v1 import agent_pb2 as agent
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1.agent_pb2_grpc import AgentServiceStub
from tests.wire.world import World, refused, serving

GET = "/hookline.v1.CatalogService/GetApplication"


def counted(world: World, service: str, method: str, code: str, kind: str = "unary") -> float:
    labels = {"grpc_type": kind, "grpc_service": f"hookline.v1.{service}", "grpc_method": method, "grpc_code": code}
    return world.metrics.registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


def subclasses(kind: type[DeployError]) -> list[type[DeployError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in subclasses(child))]


def test_every_error_has_a_status_and_a_reason_of_its_own() -> None:
    kinds = [kind for kind in subclasses(DeployError) if kind is not DeployError]
    assert set(STATUS) <= set(kinds)
    for kind in kinds:
        error = kind("cannot do this: it is a test")
        assert code_of(error) in STATUS.values(), kind
        assert reason_of(error).replace("_", "").isupper(), kind
    assert reason_of(errors.DeploymentConfigInUse("x")) == "DEPLOYMENT_CONFIG_IN_USE"
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))


async def test_what_may_work_later_says_when_to_try_again(world: World) -> None:
    revision = await world.shop("h1")

    async def cannot_write(fact: Request) -> None:
        raise StorageFailed("cannot write the history: input/output error; try again")

    world.engine.ask = cannot_write  # type: ignore[method-assign]  # the fake's disk fails
    no = await refused(world.deploy(revision))
    assert (no.code, no.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_FAILED")
    assert no.retry.retry_delay.seconds == 1


async def test_a_bug_is_told_by_a_number_that_stands_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.catalog_rows.made = None  # type: ignore[assignment]  # a bug
    with caplog.at_level(logging.ERROR):
        no = await refused(world.catalog.GetApplication(catalog.GetApplicationRequest(application_name="shop")))
    assert (no.code, no.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    incident = no.info.metadata["incident"]
    assert incident in no.message
    assert "NoneType" not in no.message
    (record,) = [one for one in caplog.records if incident in one.getMessage()]
    assert record.exc_info is not None
    assert counted(world, "CatalogService", "GetApplication", "INTERNAL") == 1


async def test_a_unary_call_without_a_deadline_gets_the_servers() -> None:
    world = World()
    world.unary_seconds = 0.01
    async with serving(world):
        revision = await world.shop("h1")

        async def never(fact: Request) -> None:
            await asyncio.Event().wait()

        world.engine.ask = never  # type: ignore[method-assign]  # an engine that does not answer
        no = await refused(world.deploy(revision))
        assert (no.code, no.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert "request_id" in no.message
        assert counted(world, "DeploymentService", "CreateDeployment", "DEADLINE_EXCEEDED") == 1


async def test_a_clients_own_deadline_ends_the_call(world: World) -> None:
    revision = await world.shop("h1")
    ended = asyncio.Event()

    async def never(fact: Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    world.engine.ask = never  # type: ignore[method-assign]  # an engine that does not answer
    request = deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="web", revision_id=revision)
    with pytest.raises(aio.AioRpcError) as no:
        await world.deployments.CreateDeployment(request, timeout=0.05)
    assert no.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await ended.wait()
    said = ("DEADLINE_EXCEEDED", "CANCELLED")  # whose clock notices first: the server's, or the client's, which then cancels
    while not any(counted(world, "DeploymentService", "CreateDeployment", code) for code in said):
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())


async def test_a_client_that_goes_away_is_counted_as_cancelled(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    call = world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=made.deployment_id))
    await call.read()
    call.cancel()
    while not counted(world, "DeploymentService", "WatchDeployment", "CANCELLED", "server_stream"):
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())


async def test_calls_are_counted_and_unary_ones_timed(world: World) -> None:
    await world.catalog.ListApplications(catalog.ListApplicationsRequest())
    await refused(world.catalog.GetApplication(catalog.GetApplicationRequest(application_name="shop")))
    assert counted(world, "CatalogService", "ListApplications", "OK") == 1
    assert counted(world, "CatalogService", "GetApplication", "NOT_FOUND") == 1
    labels = {"grpc_type": "unary", "grpc_service": "hookline.v1.CatalogService", "grpc_method": "GetApplication"}
    for name in ("started_total", "handling_seconds_count", "msg_received_total"):
        assert world.metrics.registry.get_sample_value(f"grpc_server_{name}", labels) == 1
    assert world.metrics.registry.get_sample_value("grpc_server_msg_sent_total", labels) == 0


async def test_a_method_that_the_policy_forgets_may_be_called_by_nobody() -> None:
    world = World()
    async with serving(world, interceptors.Rules(policy={method: rule for method, rule in policy.POLICY.items() if method != GET})):
        no = await refused(world.catalog.GetApplication(catalog.GetApplicationRequest(application_name="shop")))
        assert (no.code, no.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())


def test_a_method_that_the_policy_forgets_keeps_the_server_from_starting() -> None:
    policy.check_coverage(server.methods())
    assert GET in server.methods()
    without = {method: who for method, who in policy.POLICY.items() if method != GET}
    with pytest.raises(RuntimeError, match=GET):
        policy.check_coverage(server.methods(), without)


def test_the_policy_names_no_method_that_is_not_served() -> None:
    assert policy.POLICY.keys() == set(server.methods())


async def test_a_method_that_does_not_exist_is_unimplemented(world: World) -> None:
    call: Any = world.channel.unary_unary("/hookline.v1.CatalogService/Explode")
    with pytest.raises(aio.AioRpcError) as no:
        await call(b"")
    assert no.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_streams_that_write_pass_and_are_refused_as_others_are(world: World) -> None:
    stub = AgentServiceStub(world.channel)
    call = stub.Connect()
    await call.write(agent.AgentMessage())
    assert (await anext(aiter(call))).acknowledgement.acked_seq == 1
    await call.done_writing()
    assert [message async for message in call] == []
    assert counted(world, "AgentService", "Connect", "OK", "bidi_stream") == 1
    world.agents.failure = errors.InstanceNameAlreadyRegistered("cannot connect: another live host has the name")
    call = stub.Connect()
    await call.write(agent.AgentMessage())
    no = await refused(anext(aiter(call)))
    assert (no.code, no.reason) == (grpc.StatusCode.ALREADY_EXISTS, "INSTANCE_NAME_ALREADY_REGISTERED")


async def test_streams_that_yield_pass_and_are_refused_as_others_are(world: World) -> None:
    stub = AgentServiceStub(world.channel)
    logs = stub.PublishLogs()
    await logs.write(agent.PublishLogsRequest())
    await logs.done_writing()
    assert len([message async for message in logs]) == 1
    world.agents.failure = ValueError("a bug")
    bundle = stub.FetchBundle(agent.FetchBundleRequest())
    assert await bundle.read() == agent.FetchBundleResponse()
    no = await refused(bundle.read())
    assert (no.code, no.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


@pytest.mark.parametrize(
    "method",
    [
        "CatalogService/GetApplication",
        "CatalogService/PushRevision",
        "DeploymentService/WatchDeployment",
        "AgentService/Connect",
        "AgentService/PublishLogs",
    ],
)
async def test_octets_that_are_no_message_are_refused_and_are_no_bug(world: World, method: str, caplog: pytest.LogCaptureFixture) -> None:
    call: Any = world.channel.stream_stream(f"/hookline.v1.{method}")  # every kind of call looks the same on the wire
    with caplog.at_level(logging.ERROR):
        no = await refused(anext(aiter(call(iter([b"\x0a\x02\xff\xff"])))))
    assert (no.code, no.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert "cannot read a message of this call" in no.message
    assert caplog.records == []
