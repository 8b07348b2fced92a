"""Hosts that were shut out for ever are forgotten as soon as nobody waits for them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from coordinator.core.errors import DeployError, InstanceDoesNotExist, InstanceInUse
from coordinator.core.facts import HostRemovalRequested, Request
from coordinator.core.model import HostId
from coordinator.service.enrolment import Departures
from tests.wire.memory import VirtualClock

HOST = HostId("1" * 32)


@dataclass
class Engine:
    """Answers with what it is given, then forgets."""

    answers: list[DeployError] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    committed: int = 0
    forgot: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, fact: Request) -> None:
        self.asked.append(fact)
        if self.answers:
            raise self.answers.pop(0)
        self.forgot.set()

    async def beyond(self, commit: int) -> int:
        self.committed += 1
        return self.committed


@dataclass
class Doors:
    """Knows who was shut out."""

    shut: list[HostId] = field(default_factory=list)

    def let_in(self, host_id: HostId) -> None:
        raise AssertionError(host_id)

    def shut_out(self, host_id: HostId) -> None:
        self.shut.append(host_id)

    def inside(self, host_id: HostId) -> bool:
        return False


class Street:
    """Everything that Departures needs."""

    def __init__(self) -> None:
        self.engine, self.doors = Engine(), Doors()
        self.departures = Departures(self.engine, self.engine, self.doors, VirtualClock())


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    made = Street()
    running = asyncio.create_task(made.departures.run())
    yield made
    running.cancel()


async def test_a_host_that_nobody_waits_for_is_forgotten_before_the_answer_though_its_stream_is_still_ending(street: Street) -> None:
    await street.departures.leave(HOST, "operator:anna")
    (fact,) = street.engine.asked
    assert isinstance(fact, HostRemovalRequested)
    assert (fact.host_id, fact.requested_by, fact.shut_out) == (HOST, "operator:anna", True)
    assert street.doors.shut == [HOST]


async def test_a_host_that_a_deployment_waits_for_is_forgotten_when_that_has_done_with_it(street: Street) -> None:
    street.engine.answers = [InstanceInUse("a deployment waits for it"), InstanceInUse("a deployment waits for it")]
    await street.departures.leave(HOST, "operator:anna")
    assert street.doors.shut == []
    async with asyncio.timeout(30):
        await street.engine.forgot.wait()
    assert len(street.engine.asked) == 3


async def test_a_host_that_is_gone_already_is_not_asked_for_again(street: Street) -> None:
    street.engine.answers = [InstanceDoesNotExist("cannot find it")]
    await street.departures.leave(HOST, "operator:anna")
    await asyncio.sleep(0)
    assert len(street.engine.asked) == 1
