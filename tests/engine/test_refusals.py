"""The engine over the real store: what the catalogue has lost since a deployment was asked for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.errors import DeployError, DeploymentGroupDoesNotExist, RevisionDoesNotExist
from coordinator.core.facts import DeploymentRequested
from coordinator.core.model import GroupId, RevisionId, Snapshot
from coordinator.engine.loop import Engine
from coordinator.metrics import Metrics
from coordinator.store.sqlite import SqliteStore
from coordinator.wire import agents as wire
from hookline.v1 import agent_pb2 as pb
from tests.engine.test_loop import HOST, SilentAgents
from tests.store.seeds import opened
from tests.store.things import API, NOW, R1, WEB, FixedClock, key, plan


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await opened(tmp_path / "hookline.db")
    yield made
    made.close()


@pytest.fixture
async def engine(store: SqliteStore) -> AsyncIterator[Engine]:
    made = Engine(store=store, agents=SilentAgents(), clock=FixedClock(), metrics=Metrics())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        await made.started.wait()
        yield made
        running.cancel()


async def asked(engine: Engine, *wanted: DeploymentRequested) -> list[DeployError | None]:
    """What the callers are told who ask for these at once."""
    async with asyncio.timeout(30):
        told = await asyncio.gather(*(engine.ask(one) for one in wanted), return_exceptions=True)
    assert all(one is None or isinstance(one, DeployError) for one in told), told
    return [one if isinstance(one, DeployError) else None for one in told]


def wanted(deployment_id: str, group: GroupId, **changed: object) -> DeploymentRequested:
    made = plan(deployment_id, group, **changed)  # type: ignore[arg-type]  # fields by name, for brevity
    return DeploymentRequested(at=NOW, elapsed=NOW, plan=made, hosts=(Snapshot(host_id=HOST, name="h1"),))


async def hello(engine: Engine) -> None:
    """The host says Hello."""
    before = engine.committed
    engine.inbox.put(wire.hello(pb.Hello(host_id=HOST, name="h1", journal_id="j"), stream=1, at=NOW, elapsed=NOW))
    async with asyncio.timeout(30):
        await engine.beyond(before)


async def test_a_group_deleted_meanwhile_refuses_its_deployment_and_no_other(engine: Engine, store: SqliteStore) -> None:
    await hello(engine)
    await store.catalog.delete_group("shop", "web", at=NOW, key=key("1", method="DeleteDeploymentGroup"))
    gone, made = await asked(engine, wanted("d-1", WEB), wanted("d-2", API))
    assert isinstance(gone, DeploymentGroupDoesNotExist)
    assert gone.message.endswith("to web of application shop: the group was deleted a moment ago")
    assert made is None
    assert await store.live_groups() == [API]


async def test_a_revision_of_a_newer_application_of_the_same_name_is_refused(engine: Engine) -> None:
    await hello(engine)
    unknown, made = await asked(engine, wanted("d-1", WEB, revision=replace(R1, revision_id=RevisionId("r-new"))), wanted("d-2", API))
    assert isinstance(unknown, RevisionDoesNotExist)
    assert made is None
