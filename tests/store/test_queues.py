"""Deployments that wait for their turn, as the history and the catalogue tell of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.errors import DeploymentConfigDoesNotExist, DeploymentConfigInUse, InvalidOperation
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import DeploymentId, MinimumHealthyHosts, MinimumHealthyHostsType, Queueing
from coordinator.core.orders import Changes
from coordinator.service.records import DeploymentConfig, QueuePlace
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, created, deployment, key, known, plan

LIVE, SECOND, THIRD = DeploymentId("d-1"), DeploymentId("d-2"), DeploymentId("d-3")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(tmp_path / "hookline.db")
    await made.commit(known("h1"))
    await made.commit(created(deployment(plan(LIVE), "h1")))
    later = plan(SECOND, start_at=NOW + 60_000)
    await made.commit(created(deployment(later, status=DeploymentStatus.Queued, due_at=NOW + 60_000)))
    await made.commit(created(deployment(plan(THIRD), status=DeploymentStatus.Queued, due_at=NOW + 1)))
    yield made
    made.close()


async def test_what_waits_says_behind_whom(store: SqliteStore) -> None:
    places = [(await store.history.deployment(one)).queue for one in (LIVE, SECOND, THIRD)]
    assert places == [None, QueuePlace(position=2, behind=THIRD), QueuePlace(position=1, behind=LIVE)]


async def test_what_waits_is_not_the_deployment_that_was_attempted_last(store: SqliteStore) -> None:
    attempted = (await store.catalog.group("shop", "web")).last_attempted
    assert attempted is not None
    assert attempted.deployment_id == LIVE


async def test_a_group_is_not_deleted_while_somebody_waits(store: SqliteStore) -> None:
    ended = deployment(plan(LIVE), "h1", status=DeploymentStatus.Stopped, completed_at=NOW)
    await store.commit(Changes(deployments={LIVE: ended}))
    with pytest.raises(InvalidOperation, match=r"deployments wait for their turn \(d-2, d-3\); stop them"):
        await store.catalog.delete_group("shop", "web", at=NOW, key=key(""))


async def test_a_group_keeps_how_it_queues_and_by_what_it_is_rolled_back(store: SqliteStore) -> None:
    rule = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=1)
    quick = DeploymentConfig(name="Quick", minimum_healthy_hosts=rule, predefined=False, created_at=NOW)
    await store.catalog.create_config(quick, at=NOW, key=key(""))
    group = await store.catalog.group("shop", "web")
    for queueing, name in ((Queueing.SUPERSEDE, "Quick"), (Queueing.REFUSE, "")):
        changed = replace(group, queueing=queueing, rollback_config_name=name)
        kept = await store.catalog.update_group(changed, at=NOW, key=key(""))
        assert (kept.queueing, kept.rollback_config_name) == (queueing, name)
        if name:
            with pytest.raises(DeploymentConfigInUse, match="deployment group web of application shop uses it"):
                await store.catalog.delete_config("Quick", at=NOW, key=key(""))
    with pytest.raises(DeploymentConfigDoesNotExist):
        await store.catalog.update_group(replace(group, rollback_config_name="none"), at=NOW, key=key(""))
