"""The turn of a deployment has come: what is looked up for it, and what of the catalogue keeps it from beginning."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from coordinator.core.errors import DeployError, DeploymentGroupDoesNotExist, StorageFailed
from coordinator.core.facts import Request, TurnCame
from coordinator.core.lifecycle import RESTART, DeploymentErrorCode
from coordinator.core.model import GroupId, HostId, MinimumHealthyHosts, MinimumHealthyHostsType, RevisionId, ServiceRole
from coordinator.core.orders import CallUp
from coordinator.service.records import DeploymentConfig, DeploymentGroup, Ground
from coordinator.service.rollouts.turns import TurnService
from tests.store.things import R1, plan
from tests.wire.memory import VirtualClock

A, B = HostId("id-a"), HostId("id-b")
CALL = CallUp(plan("d-1", revision=R1))


class Coordinator:
    """The store, the fleet and the engine, as far as they are asked."""

    def __init__(self) -> None:
        self.asked: list[TurnCame] = []
        self.errors: list[DeployError] = []
        """What the store says, one after the other, before it answers."""
        self.requires_signature = False
        self.role = ServiceRole()
        self.profiles: dict[HostId, tuple[str, ...]] = {}
        self.done = asyncio.Event()

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
        if self.errors:
            raise self.errors.pop(0)
        group = DeploymentGroup(
            group_id=GroupId("g"),
            application_name=application_name,
            name=group_name,
            tag_filters=(),
            config_name="Gentle",
            auto_rollback=frozenset(),
            created_at=0,
            require_signature=self.requires_signature,
            service_role=self.role,
        )
        minimum = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=1)
        config = DeploymentConfig(name="Gentle", minimum_healthy_hosts=minimum, predefined=False, created_at=0)
        return Ground(group=group, revision=R1, config=config, hosts=((A, "a"), (B, "b")), profiles=self.profiles)

    async def ask(self, fact: Request) -> None:
        assert isinstance(fact, TurnCame)
        self.asked.append(fact)
        self.done.set()

    def lost(self, host_id: HostId) -> bool:
        return host_id == B

    async def called(self, *orders: CallUp) -> TurnCame:
        """What is told after these orders, the last of them."""
        service = TurnService(self, VirtualClock())
        async with asyncio.timeout(10):
            running = asyncio.create_task(service.run(self, self, spread=0), name="turns")
            for order in orders:
                service.call(order)
            await self.done.wait()
            running.cancel()
        return self.asked[-1]


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


async def test_the_groups_hosts_are_told_as_they_are_now(coordinator: Coordinator) -> None:
    told = await coordinator.called(CALL, CALL)
    assert [(host.host_id, host.lost) for host in told.hosts] == [(A, False), (B, True)]
    assert (told.deployment_id, told.refused, len(coordinator.asked)) == ("d-1", None, 1)


async def test_a_store_that_cannot_be_read_is_asked_again(coordinator: Coordinator) -> None:
    coordinator.errors = [StorageFailed("cannot read"), StorageFailed("cannot read")]
    assert (await coordinator.called(CALL)).refused is None


@pytest.mark.parametrize(
    "narrow, why",
    [
        (lambda one: setattr(one, "role", ServiceRole(max_hosts=1)), "service role lets the coordinator do so to at most 1 of its hosts"),
        (lambda one: setattr(one, "role", ServiceRole(config_names=("Slow",))), "with Slow, and not with Gentle"),
        (lambda one: setattr(one, "role", ServiceRole(config_names=("Gentle",))), "with Gentle, and not roll back with Quick"),
        (lambda one: setattr(one, "requires_signature", True), "the group requires signatures by now"),
        (lambda one: setattr(one, "profiles", {A: ("https://elsewhere/*",)}), "to a: by now their instance profiles do not let them read"),
        (lambda one: setattr(one, "errors", [DeploymentGroupDoesNotExist("cannot find web")]), "cannot find web"),
    ],
    ids=["hosts", "config", "rollback config", "signature", "profile", "gone"],
)
async def test_what_was_narrowed_meanwhile_is_respected(coordinator: Coordinator, narrow: Callable[[Coordinator], None], why: str) -> None:
    narrow(coordinator)
    refused = (await coordinator.called(CALL)).refused
    assert refused is not None
    assert refused.code is DeploymentErrorCode.IAM_ROLE_PERMISSIONS
    assert why in refused.message


async def test_a_restart_reads_no_bundle_and_so_asks_nobodys_profile(coordinator: Coordinator) -> None:
    coordinator.profiles = {A: ("https://elsewhere/*",)}
    assert (await coordinator.called(CallUp(replace(CALL.plan, lifecycle_events=RESTART)))).refused is None
