"""How many streams are open at once: of an operator, about an application, from an address; who has closed one may open another."""

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError

from coordinator.api.access.entrance import Same
from coordinator.api.access.recording import Recorder
from coordinator.api.access.seats import Seats, TooManyStreams
from coordinator.api.calls import interceptors
from coordinator.api.calls.principal import AGENT, LOCAL
from coordinator.core.identity.access import Grant, Kind, Principal, Role
from coordinator.core.model import DeploymentId
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from tests.wire.house import House, shop
from tests.wire.world import World, refused, serving

ANNA, BEN = (Principal(Kind.Operator, name=name, grants=(Grant(Role.Admin),), address="10.0.0.1") for name in ("anna", "ben"))


def rules(world: World, seats: Seats, principal: Principal = ANNA) -> interceptors.Rules:
    async def group_of(deployment_id: str) -> tuple[str, str]:
        plan = (await world.engine.deployment(DeploymentId(deployment_id))).plan
        return plan.application_name, plan.group_name

    return interceptors.Rules(entrance=Same(principal), seats=seats, group_of=group_of)


async def followed(world: World, deployment_id: str) -> Any:
    call = world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment_id))
    assert await call.read()
    return call


async def until_free(world: World, deployment_id: str) -> None:
    """The server learns of a client's end a moment later."""
    async with asyncio.timeout(30):
        while True:
            call = world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment_id))
            try:
                assert await call.read()
            except AioRpcError:
                continue
            call.cancel()
            return


@pytest.mark.parametrize(
    "kind, whose", [("operator", "for operator:anna"), ("application", "about application shop"), ("address", "from 127.0.0.1")]
)
async def test_a_stream_too_many_is_refused_until_another_has_ended(kind: str, whose: str) -> None:
    world = World()
    async with serving(world, rules(world, Seats({kind: 2}))):
        deployment_id = (await world.deploy(await world.shop("h1"))).deployment_id
        calls = [await followed(world, deployment_id) for _ in range(2)]
        asked = world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment_id))
        no = await refused(asked.read())
        assert (no.code, no.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert no.message == f"cannot open another stream {whose}: 2 are open already; end one first"
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())
        calls[0].cancel()
        await until_free(world, deployment_id)
        calls[1].cancel()


async def test_calls_that_were_refused_take_no_place() -> None:
    world = World()
    async with serving(world, rules(world, Seats({"operator": 1, "application": 1}))):
        deployment_id = (await world.deploy(await world.shop("h1"))).deployment_id
        for _ in range(3):
            unknown = world.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id="d-000000000"))
            assert (await refused(unknown.read())).code is StatusCode.NOT_FOUND
        (await followed(world, deployment_id)).cancel()


async def test_a_refused_stream_is_no_row_of_the_audit(house: House) -> None:
    await shop(house)
    before = len(await house.audited())
    world = World()
    recorder = Recorder(house.audit, world.clock)
    async with serving(world, interceptors.Rules(entrance=Same(ANNA), seats=Seats({"operator": 0}), recorder=recorder)):
        pushing = world.catalog.PushRevision(iter([catalog.PushRevisionRequest()]))
        assert (await refused(pushing)).code is StatusCode.RESOURCE_EXHAUSTED
    assert len(await house.audited()) == before


def test_one_operator_takes_no_place_of_another_and_an_ipv6_network_is_one_address() -> None:
    seats = Seats({"operator": 1, "address": 3})
    taken = [seats.take(ANNA), seats.take(BEN)]
    with pytest.raises(TooManyStreams, match="operator:anna"):
        seats.take(ANNA)
    seats.take(Principal(Kind.Nobody, address="10.0.0.1"))
    with pytest.raises(TooManyStreams, match="from"):
        seats.take(Principal(Kind.Nobody, address="10.0.0.1"))
    for seat in taken:
        seat.leave()
    seats.take(ANNA)
    for number in range(1, 4):
        seats.take(Principal(Kind.Nobody, address=f"2001:db8::{number}"))
    with pytest.raises(TooManyStreams):
        seats.take(Principal(Kind.Nobody, address="2001:db8::ffff"))


def test_who_runs_the_coordinator_is_not_counted_nor_are_agents_here() -> None:
    seats = Seats({"operator": 1, "address": 1, "application": 1})
    for principal in (LOCAL, AGENT):
        for _ in range(3):
            seats.take(principal).take("application", "shop")
    assert not seats._open
