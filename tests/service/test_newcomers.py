"""Hosts that have come: who looks at them, when, and what is asked for them."""

from collections.abc import Collection, Sequence

import pytest

from coordinator.core.errors import (
    DeployError,
    DeploymentGroupDoesNotExist,
    DeploymentLimitExceeded,
    HealthConstraintsInvalid,
    NoInstances,
    StorageFailed,
)
from coordinator.core.facts import DeploymentRequested, Request
from coordinator.core.model import Creator, GroupId, HostId, MinimumHealthyHosts, MinimumHealthyHostsType, RevisionId, ServiceRole
from coordinator.service.records import Awaiting, DeploymentConfig, DeploymentGroup, Ground
from coordinator.service.rollouts.newcomers import NewcomerService
from tests.store.things import R1
from tests.wire.memory import CountedIds, VirtualClock

A, B, C = HostId("id-a"), HostId("id-b"), HostId("id-c")


class Coordinator:
    """The store, the fleet and the engine, as far as they are asked."""

    def __init__(self) -> None:
        self.awaiting = [Awaiting("shop", "web", RevisionId("r1"), (B,))]
        self.asked: list[DeploymentRequested] = []
        self.looked: list[set[HostId]] = []
        self.refuses: DeployError | None = None
        self.unreadable = False
        self.requires_signature = False
        self.role = ServiceRole()
        self.service = NewcomerService(self, self, self, inbox=self, clock=VirtualClock(), ids=CountedIds())

    async def newcomers(self, hosts: Collection[HostId]) -> list[Awaiting]:
        self.looked.append(set(hosts))
        if self.unreadable:
            raise StorageFailed("cannot read")
        return self.awaiting

    async def ground(
        self, application_name: str, group_name: str, revision_id: RevisionId, config_name: str, alarms: Sequence[str] | None = None
    ) -> Ground:
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
        return Ground(group=group, revision=R1, config=config, hosts=((A, "a"), (B, "b"), (C, "c")))

    def lost(self, host_id: HostId) -> bool:
        return host_id == C

    async def ask(self, fact: Request) -> None:
        assert isinstance(fact, DeploymentRequested)
        self.asked.append(fact)
        if self.refuses is not None:
            raise self.refuses

    async def look(self, *come: HostId) -> set[HostId]:
        """Who is left to be looked at again."""
        left = set(come)
        await self.service.look(left)
        return left


async def test_the_coordinator_asks_for_a_deployment_of_its_own() -> None:
    it = Coordinator()
    assert await it.look(B) == {B}, "who did not have a turn is looked at when it has ended"
    (fact,) = it.asked
    assert (fact.plan.creator, fact.plan.created_by) == (Creator.CodeDeployAutoUpdate, "coordinator")
    assert (fact.plan.revision, fact.plan.config_name, fact.plan.auto_rollback) == (R1, "Gentle", frozenset())
    assert [(host.name, host.lost) for host in fact.hosts] == [("a", False), ("b", False), ("c", True)]


async def test_nobody_is_asked_while_nobody_has_come() -> None:
    it = Coordinator()
    assert await it.look() == set()
    assert (it.looked, it.asked) == ([], [])


async def test_hosts_wait_for_a_deployment_that_counts_them_and_others_do_not() -> None:
    it = Coordinator()
    it.awaiting = [Awaiting("shop", "web", RevisionId("r1"), (), later=(A,), live=True)]
    assert await it.look(A, C) == {A}
    assert it.asked == []
    it.awaiting = [Awaiting("shop", "web", RevisionId("r1"), (B,), later=(A,), live=True)]
    assert await it.look(A, B, C) == {A, B}
    assert [fact.plan.chosen for fact in it.asked] == [frozenset({B})]


async def test_whoever_gets_nothing_beside_a_live_deployment_is_looked_at_when_it_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    it = Coordinator()
    it.awaiting = [Awaiting("shop", "web", RevisionId("r1"), (B,), live=True)]
    it.requires_signature = True
    assert await it.look(B) == {B}
    assert await it.look(B) == {B}
    assert len(caplog.records) == 1, "it is told once"
    it.requires_signature, it.refuses = False, NoInstances("cannot: there are none")
    assert await it.look(B) == {B}


async def test_hosts_that_lack_nothing_are_not_looked_at_again() -> None:
    it = Coordinator()
    it.awaiting = []
    assert await it.look(A, C) == set()
    assert it.looked == [{A, C}]


@pytest.mark.parametrize("refuses", [DeploymentLimitExceeded("cannot"), StorageFailed("cannot"), HealthConstraintsInvalid("cannot")])
async def test_what_passes_by_itself_is_tried_again(refuses: DeployError) -> None:
    it = Coordinator()
    it.refuses = refuses
    assert await it.look(B) == {B}


@pytest.mark.parametrize("refuses", [NoInstances("cannot: there are none"), DeploymentGroupDoesNotExist("cannot find")])
async def test_what_does_not_pass_is_not_tried_again(refuses: DeployError) -> None:
    it = Coordinator()
    it.refuses = refuses
    assert await it.look(B) == set()


async def test_hosts_are_kept_while_the_store_cannot_be_read() -> None:
    it = Coordinator()
    it.unreadable = True
    assert await it.look(A, B) == {A, B}


async def test_newcomers_get_nothing_that_the_service_role_does_not_let_the_coordinator_deploy() -> None:
    it = Coordinator()
    it.role = ServiceRole(config_names=("Another",))
    assert await it.look(B) == set()
    assert it.asked == []


async def test_newcomers_kept_waiting_by_a_service_role_are_looked_at_when_it_is_widened() -> None:
    it = Coordinator()
    it.role = ServiceRole(config_names=("Another",))
    assert await it.look(B) == set()
    it.role = ServiceRole()
    it.service.look_again("shop", "another group")
    assert await it.look() == set()
    assert it.asked == []
    it.service.look_again("shop", "web")
    assert await it.look() == {B}
    assert [fact.plan.chosen for fact in it.asked] == [frozenset({B})]


async def test_a_group_that_requires_signatures_gets_nothing_unsigned() -> None:
    it = Coordinator()
    it.requires_signature = True
    assert await it.look(B) == set()
    assert it.asked == []
