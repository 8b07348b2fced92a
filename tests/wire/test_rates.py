"""How many calls an address may make before it is told to come back, and that nobody else has to."""

import pytest
from grpc import StatusCode

from coordinator.api.access.entrance import Same
from coordinator.api.access.rates import CALLERS_AT_MOST, Paced, Rates
from coordinator.api.access.recording import Recorder
from coordinator.api.calls import interceptors
from coordinator.api.calls.principal import LOCAL
from coordinator.service.access.attempts import network_of
from hookline.v1 import catalog_pb2 as catalog
from tests.wire.house import House
from tests.wire.memory import VirtualClock
from tests.wire.world import World, refused, serving

BURST = 5


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def rates(clock: VirtualClock) -> Rates:
    return Rates(clock, per_second=10, burst=BURST)


def test_an_address_may_make_a_burst_of_calls_and_then_so_many_a_second(rates: Rates, clock: VirtualClock) -> None:
    assert [rates.owed("10.0.0.1") for _ in range(BURST + 2)] == [*[0] * BURST, 100, 100]
    clock.at += 100
    assert [rates.owed("10.0.0.1") for _ in range(2)] == [0, 100]
    clock.at += 60_000
    assert [rates.owed("10.0.0.1") for _ in range(BURST + 1)] == [*[0] * BURST, 100]


def test_no_address_waits_for_another_but_those_of_an_ipv6_network_are_one(rates: Rates) -> None:
    for number in range(BURST):
        assert rates.owed(network_of(f"2001:db8:1:2::{number + 1:x}")) == 0
    assert rates.owed(network_of("2001:db8:1:2:ffff::1")) == 100
    assert rates.owed(network_of("2001:db8:1:3::1")) == 0
    assert rates.owed(network_of("10.0.0.1")) == 0


def test_what_is_remembered_is_bounded_and_who_goes_on_calling_is_not_forgotten(rates: Rates) -> None:
    for number in range(CALLERS_AT_MOST + 100):
        rates.owed(f"host-{number}")
        if number < BURST:
            rates.owed("hostile")
        else:
            assert rates.owed("hostile") > 0
    assert len(rates._paid_until) == CALLERS_AT_MOST


async def test_a_call_too_many_says_when_to_come_back_and_is_no_row_of_the_audit(house: House, clock: VirtualClock) -> None:
    world = World()
    entrance = Paced(Same(LOCAL), Rates(clock, per_second=2, burst=1))
    rules = interceptors.Rules(entrance=entrance, recorder=Recorder(house.audit, world.clock))
    async with serving(world, rules):
        await world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop"))
        no = await refused(world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="other")))
        assert (no.code, no.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        assert no.retry.retry_delay.ToMilliseconds() == 500
        assert no.message == "cannot take another call from 127.0.0.1 just now: too many came; try again in 0.5 s"
        clock.at += 500
        await world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="other"))
    assert [(one.call.subject, one.call.code) for one in await house.audited()] == [("shop", "OK"), ("other", "OK")]


async def test_a_stream_too_many_is_refused_as_well(clock: VirtualClock) -> None:
    world = World()
    async with serving(world, interceptors.Rules(entrance=Paced(Same(LOCAL), Rates(clock, per_second=1, burst=1)))):
        await world.catalog.ListApplications(catalog.ListApplicationsRequest())
        pushing = world.catalog.PushRevision(iter([catalog.PushRevisionRequest()]))
        assert (await refused(pushing)).code is StatusCode.RESOURCE_EXHAUSTED
