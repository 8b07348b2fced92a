"""How much an operator may ask for, and how often an application may be deployed: others do not notice, and nobody waits with a stop."""

from collections.abc import Mapping

import pytest
from grpc import StatusCode

from coordinator.api.access.entrance import Same
from coordinator.api.access.rates import TooManyCalls
from coordinator.api.access.tenants import URGENT, Tenants
from coordinator.api.calls import interceptors
from coordinator.api.calls.policy import POLICY
from coordinator.api.calls.principal import LOCAL
from coordinator.config.settings import PACES, Pace
from coordinator.core.identity.access import Grant, Kind, Principal, Role
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from tests.wire.memory import VirtualClock
from tests.wire.world import World, refused, serving

ADMIN = (Grant(Role.Admin),)
ANNA, BEN = (Principal(Kind.Operator, name=name, grants=ADMIN) for name in ("anna", "ben"))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def rules(principal: Principal, clock: VirtualClock, paces: Mapping[str, Pace]) -> interceptors.Rules:
    return interceptors.Rules(entrance=Same(principal), tenants=Tenants(clock, paces))


async def test_an_operator_who_changes_too_much_waits_and_may_still_read(clock: VirtualClock) -> None:
    world = World()
    async with serving(world, rules(ANNA, clock, {"changes": Pace(2, 1), "reads": Pace(1, 5)})):
        await world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop"))
        no = await refused(world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="other")))
        assert (no.code, no.reason, no.retry.retry_delay.ToMilliseconds()) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 500)
        assert no.message == "cannot change anything more just now: operator:anna has done so too often; try again in 0.5 s"
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())
        clock.at += 500
        await world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="other"))


async def test_streams_are_counted_for_themselves(clock: VirtualClock) -> None:
    world = World()
    async with serving(world, rules(ANNA, clock, {"streams": Pace(1, 1)})):
        for code in (StatusCode.INVALID_ARGUMENT, StatusCode.RESOURCE_EXHAUSTED):
            pushing = world.catalog.PushRevision(iter([catalog.PushRevisionRequest()]))
            assert (await refused(pushing)).code is code
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())


async def test_one_application_that_is_deployed_too_often_holds_up_no_other(clock: VirtualClock) -> None:
    world = World()
    async with serving(world, rules(ANNA, clock, {"deployments": Pace(1, 1)})):

        async def asked(name: str) -> StatusCode:
            request = deployments.CreateDeploymentRequest(application_name=name, deployment_group_name="g", revision_id="r")
            return (await refused(world.deployments.CreateDeployment(request))).code

        assert [await asked("shop"), await asked("shop"), await asked("other")] == [
            StatusCode.INVALID_ARGUMENT,
            StatusCode.RESOURCE_EXHAUSTED,
            StatusCode.INVALID_ARGUMENT,
        ]


def owed(tenants: Tenants, principal: Principal, method: str = "/hookline.v1.CatalogService/CreateApplication") -> bool:
    try:
        tenants.check_call(method, principal, reads=POLICY[method].reads, lasts=False)
    except TooManyCalls:
        return True
    return False


def test_one_operator_holds_up_no_other_and_who_runs_the_coordinator_is_not_counted(clock: VirtualClock) -> None:
    tenants = Tenants(clock, {"changes": Pace(1, 1)})
    assert [owed(tenants, one) for one in (ANNA, ANNA, BEN, BEN, LOCAL, LOCAL, LOCAL)] == [False, True, False, True, False, False, False]


@pytest.mark.parametrize("method", sorted(URGENT))
def test_nobody_waits_with_what_ends_something(clock: VirtualClock, method: str) -> None:
    tenants = Tenants(clock, {"changes": Pace(1, 1)})
    assert [owed(tenants, ANNA), owed(tenants, ANNA), *(owed(tenants, ANNA, method) for _ in range(5))] == [False, True, *[False] * 5]


def test_every_kind_has_a_pace_unless_it_is_said_otherwise(clock: VirtualClock) -> None:
    tenants = Tenants(clock, PACES)
    assert [owed(tenants, ANNA) for _ in range(PACES["changes"].burst + 1)] == [*[False] * PACES["changes"].burst, True]
