"""How many streams one host may open, and how often, without holding up any other."""

from contextlib import ExitStack

import pytest

from coordinator.core.errors import Unavailable
from coordinator.core.model import HostId
from coordinator.gateway.turnstile import BURST, OPEN_AT_MOST, PRICE, Turnstile
from tests.wire.memory import VirtualClock

ONE, OTHER = HostId("1" * 32), HostId("2" * 32)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def opened(turnstile: Turnstile, host_id: HostId, times: int) -> int:
    """How many of so many streams, one after the other, were let through."""
    through = 0
    for _ in range(times):
        try:
            with turnstile.passed(host_id):
                through += 1
        except Unavailable:
            continue
    return through


def test_a_host_opens_a_burst_of_streams_and_then_so_many_a_second(clock: VirtualClock) -> None:
    turnstile = Turnstile(clock)
    assert opened(turnstile, ONE, BURST + 20) == BURST
    assert opened(turnstile, OTHER, 1) == 1
    clock.at += 3 * PRICE
    assert opened(turnstile, ONE, BURST) == 3


def test_what_is_open_at_once_is_bounded_and_its_end_makes_room(clock: VirtualClock) -> None:
    turnstile = Turnstile(clock)
    with ExitStack() as streams:
        for _ in range(OPEN_AT_MOST):
            streams.enter_context(turnstile.passed(ONE))
        with pytest.raises(Unavailable, match="does a second agent have its key"), turnstile.passed(ONE):
            raise AssertionError
        with turnstile.passed(OTHER):
            pass
    assert opened(turnstile, ONE, 1) == 1


def test_hosts_that_have_gone_are_forgotten_and_strangers_are_not_counted(clock: VirtualClock) -> None:
    turnstile = Turnstile(clock)
    with turnstile.passed(ONE):
        clock.at += 10 * PRICE
    for _ in range(2 * BURST):
        with turnstile.passed(None):
            pass
    assert not turnstile._open
    assert not turnstile._paid_until
