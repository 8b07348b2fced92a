"""Who holds what and which cohort they are, read from the tables."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.evidence.cohorts import Cohort
from coordinator.core.lifecycle import DeploymentStatus, TargetStatus
from coordinator.core.model import Creator, Deployment, Group, HostId, InstanceHealth, Member, Stage
from coordinator.core.orders import Changes, HoldingChange
from coordinator.service.discovery import Wanted
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, R1, R2, WEB, FixedClock, created, deployment, host, key, plan, success

NAMES = ("h1", "h2", "h3", "h4")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """One whose hosts all have R1, and one of them a declared address."""
    made = await opened(tmp_path / "hookline.db", FixedClock())
    changes = created(deployment(plan("d-1", revision=R1), *NAMES, status=DeploymentStatus.Succeeded, stopping=None))
    for name in (*NAMES, "idle"):
        session = host(name)
        session.facts = {"address": f"10.0.0.{name[-1]}"} if name != "h4" else {}
        changes.hosts[session.host_id] = session
    for name in NAMES:
        changes.members[WEB, HostId(f"id-{name}")] = Member(host_id=HostId(f"id-{name}"), health=InstanceHealth.Healthy)
        changes.holdings[WEB, HostId(f"id-{name}")] = HoldingChange(R1.revision_id, R1.revision_id)
    changes.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1", R1))
    await made.commit(changes)
    yield made
    made.close()


def canary(deployment_id: str, **said: object) -> Deployment:
    """A deployment of R2 to two of the four hosts; the first has it."""
    going = replace(plan(deployment_id, revision=R2), last_successful=success("d-1", R1), rolls_back=None, creator=Creator.user)
    made = deployment(replace(going, **said), "h1", "h2", members=frozenset(HostId(f"id-{name}") for name in NAMES))  # type: ignore[arg-type]  # fields of a plan
    made.targets[HostId("id-h1")].status = TargetStatus.Succeeded
    return made


async def cohorts(store: SqliteStore, application_name: str = "", group_name: str = "") -> dict[str, Cohort]:
    return {one.host_name: one.cohort for one in await store.standings(Wanted(application_name, group_name))}


async def test_while_nothing_runs_everybody_is_the_rest(store: SqliteStore) -> None:
    found = await store.standings(Wanted())
    assert [(one.host_name, one.address, one.group_name, one.revision_id, one.deployment_id, one.cohort) for one in found] == [
        ("h1", "10.0.0.1", "web", R1.revision_id, "", Cohort.REST),
        ("h2", "10.0.0.2", "web", R1.revision_id, "", Cohort.REST),
        ("h3", "10.0.0.3", "web", R1.revision_id, "", Cohort.REST),
        ("h4", "", "web", R1.revision_id, "", Cohort.REST),
        ("idle", "10.0.0.e", "", "", "", Cohort.REST),
    ]


async def test_a_part_of_a_group_is_compared_with_as_many_of_those_that_have_the_old_revision(store: SqliteStore) -> None:
    changes = created(canary("d-2"))
    changes.holdings[WEB, HostId("id-h1")] = HoldingChange(R2.revision_id, R2.revision_id)
    await store.commit(changes)
    found = await cohorts(store)
    assert found.pop("h1") is Cohort.CANARY
    assert sorted(found.values()) == [Cohort.CONTROL, Cohort.REST, Cohort.REST, Cohort.REST]
    told = {one.host_name: (one.revision_id, one.deployment_id) for one in await store.standings(Wanted("shop", "web"))}
    assert told == {"h1": (R2.revision_id, "d-2"), **dict.fromkeys(NAMES[1:], (R1.revision_id, "d-2"))}


async def test_hosts_of_the_stages_before_the_last_are_canaries_while_it_runs(store: SqliteStore) -> None:
    going = canary("d-2", stages=tuple(Stage(name=name, hosts=1) for name in ("canaries", "the rest")))
    going.targets = {one.host_id: one for one in deployment(going.plan, *NAMES).targets.values()}
    for name in ("h1", "h3"):
        going.targets[HostId(f"id-{name}")].status = TargetStatus.Succeeded
        going.targets[HostId(f"id-{name}")].stage = 0 if name == "h1" else 1
    going.targets[HostId("id-h2")].stage = going.targets[HostId("id-h4")].stage = 1
    await store.commit(created(going))
    found = await cohorts(store)
    assert (found["h1"], found["h3"]) == (Cohort.CANARY, Cohort.REST)
    assert sorted([found["h2"], found["h4"]]) == [Cohort.CONTROL, Cohort.REST]


async def test_a_canary_that_has_succeeded_is_one_while_it_is_watched(store: SqliteStore) -> None:
    done = canary("d-2")
    done.status, done.stopping = DeploymentStatus.Succeeded, None
    await store.commit(created(done))
    assert Cohort.CANARY not in (await cohorts(store)).values()
    watched = Changes()
    watched.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1", R1), watched=done)
    await store.commit(watched)
    assert (await cohorts(store))["h1"] is Cohort.CANARY


@pytest.mark.parametrize("creator", [Creator.codeDeployRollback, Creator.CodeDeployAutoUpdate])
async def test_what_has_succeeded_before_is_not_tried_out(store: SqliteStore, creator: Creator) -> None:
    await store.commit(created(canary("d-2", creator=creator)))
    assert set((await cohorts(store)).values()) == {Cohort.REST}


async def test_hosts_of_other_groups_and_of_none_are_left_out_where_one_is_asked_for(store: SqliteStore) -> None:
    assert set(await cohorts(store, "shop")) == set(NAMES)
    assert await store.standings(Wanted("shop", "none")) == []
    assert await store.standings(Wanted("none")) == []
    gone = Changes()
    gone.removed.append(HostId("id-h1"))
    await store.commit(gone)
    assert set(await cohorts(store, "shop", "web")) == set(NAMES[1:])


async def test_the_address_that_an_operator_has_set_goes_before_what_the_agent_sees(store: SqliteStore) -> None:
    await store.fleet.add_tags(["h1"], {"address": "web-1.example"}, at=NOW, key=key("tags"))
    assert (await store.standings(Wanted()))[0].address == "web-1.example"
