"""Who is found to lack what its group has, among hosts that have come."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Creator, DeploymentId, Group, HostId, InstanceHealth, Member, OutdatedInstancesStrategy, RevisionId
from coordinator.core.orders import Changes, HoldingChange
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.service.records import Awaiting
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import API, NOW, WEB, created, deployment, key, known, plan, success

H1, H2, H3 = HostId("id-h1"), HostId("id-h2"), HostId("id-h3")
PROD = TagFilter(key="env", value="prod", type=TagFilterType.KEY_AND_VALUE)
MISSING = Awaiting("shop", "web", RevisionId("r1"), (H2, H3))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """r1 has succeeded on h1; h2 was away, h3 was never there."""
    made = await opened(tmp_path / "hookline.db")
    await made.commit(known("h1", "h2", "h3"))
    group = await made.catalog.group("shop", "web")
    await made.catalog.update_group(replace(group, tag_filters=(PROD,)), at=NOW, key=key(""))
    done = deployment(plan("d-1"), "h1", "h2", status=DeploymentStatus.Succeeded, stopping=None, completed_at=NOW)
    changes = created(done)
    changes.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1"))
    changes.members[WEB, H1] = Member(host_id=H1, target_epoch=1, health=InstanceHealth.Healthy)
    changes.members[WEB, H2] = Member(host_id=H2, target_epoch=1, missed=1)
    changes.holdings[WEB, H1] = HoldingChange(RevisionId("r1"), RevisionId("r1"))
    await made.commit(changes)
    yield made
    made.close()


async def test_hosts_that_were_away_and_hosts_that_are_new_are_found(store: SqliteStore) -> None:
    assert await store.newcomers([H1, H2, H3]) == [MISSING]
    assert await store.newcomers([H3]) == [MISSING._replace(hosts=(H3,))]
    assert await store.newcomers([H1]) == []
    assert await store.newcomers([]) == []
    assert await store.newcomers([HostId(f"id-{number}") for number in range(600)] + [H2]) == [MISSING._replace(hosts=(H2,))]


async def test_a_host_that_the_group_does_not_match_is_none_of_its_newcomers(store: SqliteStore) -> None:
    await store.fleet.add_tags(["h2"], {"env": "test"}, at=NOW, key=key(""))
    assert await store.newcomers([H1, H2, H3]) == [MISSING._replace(hosts=(H3,))]


async def test_a_group_that_ignores_outdated_hosts_has_no_newcomers(store: SqliteStore) -> None:
    group = await store.catalog.group("shop", "web")
    await store.catalog.update_group(replace(group, outdated_strategy=OutdatedInstancesStrategy.IGNORE), at=NOW, key=key(""))
    assert (await store.catalog.group("shop", "web")).outdated_strategy is OutdatedInstancesStrategy.IGNORE
    assert await store.newcomers([H2, H3]) == []


async def test_while_a_deployment_is_live_only_those_that_it_counts_wait(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-2"), "h1", "h2")))
    assert await store.newcomers([H1, H2, H3]) == [MISSING._replace(hosts=(H3,), later=(H2,), live=True)]


async def test_its_rollback_counts_the_same_hosts(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-2"), "h1", "h2", status=DeploymentStatus.Failed, completed_at=NOW)))
    await store.commit(created(deployment(replace(plan("d-3"), rolls_back=DeploymentId("d-2")), "h1")))
    assert await store.newcomers([H2, H3]) == [MISSING._replace(hosts=(H3,), later=(H2,), live=True)]


async def test_hosts_that_miss_what_is_deployed_are_looked_at_later(store: SqliteStore) -> None:
    await store.commit(created(deployment(plan("d-2"), "h2")))
    assert await store.newcomers([H1, H3]) == [MISSING._replace(hosts=(H3,), later=(H1,), live=True)]


async def test_while_newcomers_are_brought_up_to_date_others_wait(store: SqliteStore) -> None:
    await store.commit(created(deployment(replace(plan("d-2"), creator=Creator.CodeDeployAutoUpdate), "h3")))
    changes = Changes()
    changes.members[WEB, H3] = Member(host_id=H3, target_epoch=1)
    await store.commit(changes)
    assert await store.newcomers([H1, H2, H3]) == [MISSING._replace(hosts=(), later=(H2, H3))]
    await store.commit(created(deployment(plan("d-4"), "h1", "h2")))
    assert await store.newcomers([H1, H2, H3]) == [MISSING._replace(hosts=(), later=(H2, H3), live=True)]


async def test_a_host_that_serves_is_not_taken_beside_another_deployment(store: SqliteStore) -> None:
    changes = Changes()
    changes.members[WEB, H3] = Member(host_id=H3, target_epoch=1, missed=1, health=InstanceHealth.Healthy)
    await store.commit(changes)
    assert await store.newcomers([H3]) == [MISSING._replace(hosts=(H3,))]
    await store.commit(created(deployment(plan("d-2"), "h1", "h2")))
    assert await store.newcomers([H3]) == [MISSING._replace(hosts=(), later=(H3,), live=True)]


async def test_newcomers_wait_for_what_the_first_deployment_brings(store: SqliteStore) -> None:
    group = await store.catalog.group("shop", "api")
    await store.catalog.update_group(replace(group, tag_filters=(PROD,)), at=NOW, key=key(""))
    assert await store.newcomers([H1]) == []
    await store.commit(created(deployment(plan("d-2", API), "h2")))
    assert await store.newcomers([H1]) == [Awaiting("shop", "api", RevisionId(""), (), later=(H1,), live=True)]


async def test_a_host_that_has_failed_is_no_newcomer(store: SqliteStore) -> None:
    changes = Changes()
    changes.members[WEB, H2] = Member(host_id=H2, target_epoch=2, missed=0)
    await store.commit(changes)
    assert await store.newcomers([H2]) == []
