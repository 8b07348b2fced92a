"""The catalogue on SQLite: what exists, what is refused, what is remembered of calls."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coordinator.core.errors import (
    ApplicationAlreadyExists,
    ApplicationDoesNotExist,
    DeploymentConfigAlreadyExists,
    DeploymentConfigDoesNotExist,
    DeploymentConfigInUse,
    DeploymentGroupAlreadyExists,
    DeploymentGroupDoesNotExist,
    Invalid,
    InvalidOperation,
    RequestIdReused,
    RevisionDoesNotExist,
)
from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import (
    AutoRollbackEvent,
    BundleType,
    CoordinatorLocation,
    FileLocation,
    GitHubLocation,
    Group,
    GroupId,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Place,
    Revision,
    RevisionId,
    S3Location,
    ServiceRole,
    Signature,
)
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.service.ports import Replayed
from coordinator.service.records import CatalogRevision, DeploymentConfig, DeploymentGroup
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, R1, R2, SHAPE, WEB, FixedClock, created, deployment, key, known, plan, success

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = MinimumHealthyHosts(type=MinimumHealthyHostsType.HOST_COUNT, value=1)


@pytest.fixture
async def store(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """An empty one."""
    made = await SqliteStore.open(tmp_path / "hookline.db", FixedClock())
    yield made
    made.close()


@pytest.fixture
async def seeded(tmp_path: Path) -> "AsyncIterator[SqliteStore]":
    """One that knows the application shop with its groups and revisions."""
    made = await opened(tmp_path / "seeded.db")
    yield made
    made.close()


def group(name: str, **changed: object) -> DeploymentGroup:
    """A group of the application shop."""
    made = DeploymentGroup(
        group_id=GroupId(f"id of {name}"),
        application_name="shop",
        name=name,
        tag_filters=(
            TagFilter(key="env", value="prod", type=TagFilterType.KEY_AND_VALUE),
            TagFilter(key="", value="x", type=TagFilterType.VALUE_ONLY),
        ),
        config_name="CodeDeployDefault.OneAtATime",
        auto_rollback=frozenset({AutoRollbackEvent.DEPLOYMENT_FAILURE}),
        created_at=NOW,
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # fields by name, for brevity


def revision(revision_id: str, place: Place) -> CatalogRevision:
    """A revision of the application shop."""
    one = Revision(revision_id=RevisionId(revision_id), place=place, bundle_type=BundleType.tar, sha256=b"\x02" * 32)
    return CatalogRevision(application_name="shop", revision=one, description="first", registered_at=NOW)


async def test_an_application_is_there_until_it_is_deleted(store: SqliteStore) -> None:
    catalog = store.catalog
    made = await catalog.create_application("shop", at=NOW, key=key("1"))
    assert await catalog.application("shop") == made
    with pytest.raises(ApplicationAlreadyExists, match="cannot create application shop: it exists"):
        await catalog.create_application("shop", at=NOW, key=key("2"))
    await catalog.delete_application("shop", at=NOW, key=key("3"))
    with pytest.raises(ApplicationDoesNotExist):
        await catalog.application("shop")
    with pytest.raises(ApplicationDoesNotExist):
        await catalog.delete_application("shop", at=NOW, key=key("4"))
    assert (await catalog.create_application("shop", at=NOW + 1, key=key("5"))).created_at == NOW + 1


async def test_a_replayed_write_is_done_once_and_says_what_it_made(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key("1"))
    with pytest.raises(Replayed) as replayed:
        await store.catalog.create_application("shop", at=NOW + 9, key=key("1"))
    assert (replayed.value.subject, replayed.value.at) == ("shop", NOW)
    with pytest.raises(RequestIdReused):
        await store.catalog.create_application("other", at=NOW, key=key("1", digest=b"other"))
    entries = await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=9, after="")
    assert [entry.entry for entry in entries.items] == ["ApplicationCreated"]


async def test_a_refused_write_leaves_nothing_and_may_be_tried_again_under_its_id(store: SqliteStore) -> None:
    with pytest.raises(ApplicationDoesNotExist):
        await store.catalog.create_group(group("web"), at=NOW, key=key("1"))
    await store.catalog.create_application("shop", at=NOW, key=key("2"))
    await store.catalog.create_group(group("web"), at=NOW, key=key("1"))
    assert await store.replayed(key("1")) == "web"


async def test_calls_are_remembered_for_a_day_and_not_for_ever(tmp_path: Path) -> None:
    day = 24 * 3_600_000
    store = await SqliteStore.open(tmp_path / "hookline.db", FixedClock())
    try:
        await store.catalog.create_application("shop", at=NOW, key=key("1"))
        await store.catalog.create_application("later", at=NOW + day, key=key("2"))
        assert await store.replayed(key("1")) == "shop"
        await store.catalog.create_application("much-later", at=NOW + 3 * day, key=key("3"))
        assert await store.replayed(key("1")) is None
    finally:
        store.close()


async def test_a_group_comes_back_as_it_was_made(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    await store.catalog.create_group(group("web"), at=NOW, key=key(""))
    assert await store.catalog.group("shop", "web") == group("web")
    with pytest.raises(DeploymentGroupAlreadyExists):
        await store.catalog.create_group(group("web"), at=NOW, key=key(""))
    with pytest.raises(DeploymentConfigDoesNotExist):
        await store.catalog.create_group(group("api", config_name="none"), at=NOW, key=key(""))
    with pytest.raises(DeploymentGroupDoesNotExist):
        await store.catalog.group("shop", "api")


async def test_a_group_takes_other_rules(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    await store.catalog.create_group(group("web"), at=NOW, key=key(""))
    changed = group(
        "web",
        tag_filters=(),
        tag_sets=(group("web").tag_filters, group("web").tag_filters[1:]),
        config_name="CodeDeployDefault.AllAtOnce",
        auto_rollback=frozenset(),
    )
    assert await store.catalog.update_group(changed, at=NOW + 1, key=key("")) == changed
    assert await store.catalog.group("shop", "web") == changed
    with pytest.raises(DeploymentConfigDoesNotExist):
        await store.catalog.update_group(group("web", config_name="none"), at=NOW, key=key(""))
    await store.catalog.delete_group("shop", "web", at=NOW, key=key(""))
    with pytest.raises(DeploymentGroupDoesNotExist):
        await store.catalog.update_group(group("web"), at=NOW, key=key(""))


async def test_a_group_names_its_last_deployments(seeded: SqliteStore) -> None:
    await seeded.commit(known("h1"))
    done = deployment(plan("d-1", revision=R1), "h1", status=DeploymentStatus.Succeeded, completed_at=NOW + 9)
    changes = created(done)
    changes.groups[WEB] = Group(group_id=WEB, last_successful=success("d-1"))
    await seeded.commit(changes)
    await seeded.commit(created(deployment(plan("d-2", revision=R2), "h1", status=DeploymentStatus.Failed)))
    found = await seeded.catalog.group("shop", "web")
    assert found.last_successful is not None
    assert found.last_attempted is not None
    assert (found.last_successful.deployment_id, found.last_successful.completed_at) == ("d-1", NOW + 9)
    assert (found.last_attempted.deployment_id, found.last_attempted.revision_id) == ("d-2", "r2")


async def test_nothing_is_deleted_under_a_live_deployment(seeded: SqliteStore) -> None:
    await seeded.commit(known("h1"))
    made = deployment(plan("d-1"), "h1")
    await seeded.commit(created(made))
    with pytest.raises(InvalidOperation, match="d-1"):
        await seeded.catalog.delete_group("shop", "web", at=NOW, key=key(""))
    with pytest.raises(InvalidOperation, match="d-1"):
        await seeded.catalog.delete_application("shop", at=NOW, key=key(""))
    assert (await seeded.catalog.group("shop", "api")).name == "api"
    made.status = DeploymentStatus.Succeeded
    changes = created(made)
    changes.created.clear()
    await seeded.commit(changes)
    await seeded.catalog.delete_application("shop", at=NOW, key=key(""))
    past = await seeded.history.deployments(application_name="shop", group_name="web", statuses=(), size=9, after="")
    assert [one.plan.deployment_id for one in past.items] == ["d-1"]


async def test_the_predefined_configs_are_there_and_stay(store: SqliteStore) -> None:
    page = await store.catalog.configs(size=9, after="")
    assert [(one.name, one.predefined, one.created_at) for one in page.items] == [
        ("CodeDeployDefault.AllAtOnce", True, 0),
        ("CodeDeployDefault.HalfAtATime", True, 0),
        ("CodeDeployDefault.OneAtATime", True, 0),
    ]
    rules = {one.name.partition(".")[2]: [one.minimum_healthy_hosts.of(hosts) for hosts in (1, 2, 5, 300)] for one in page.items}
    assert rules == {"AllAtOnce": [0, 0, 0, 0], "HalfAtATime": [1, 1, 3, 150], "OneAtATime": [0, 1, 4, 299]}
    with pytest.raises(InvalidOperation):
        await store.catalog.delete_config("CodeDeployDefault.OneAtATime", at=NOW, key=key(""))


async def test_a_config_can_be_deleted_when_no_group_uses_it(store: SqliteStore) -> None:
    catalog = store.catalog
    made = await catalog.create_config(
        DeploymentConfig(name="Gentle", minimum_healthy_hosts=ONE, predefined=True, created_at=0, shape=SHAPE), at=NOW, key=key("")
    )
    assert (
        await catalog.config("Gentle")
        == made
        == DeploymentConfig(name="Gentle", minimum_healthy_hosts=ONE, predefined=False, created_at=NOW, shape=SHAPE)
    )
    with pytest.raises(DeploymentConfigAlreadyExists):
        await catalog.create_config(made, at=NOW, key=key(""))
    await catalog.create_application("shop", at=NOW, key=key(""))
    await catalog.create_group(group("web", config_name="Gentle"), at=NOW, key=key(""))
    with pytest.raises(DeploymentConfigInUse, match="deployment group web of application shop"):
        await catalog.delete_config("Gentle", at=NOW, key=key(""))
    await catalog.delete_group("shop", "web", at=NOW, key=key(""))
    await catalog.delete_config("Gentle", at=NOW, key=key(""))
    with pytest.raises(DeploymentConfigDoesNotExist):
        await catalog.config("Gentle")
    with pytest.raises(DeploymentConfigDoesNotExist):
        await catalog.delete_config("Gentle", at=NOW, key=key(""))


@pytest.mark.parametrize(
    "place",
    [
        CoordinatorLocation(size=7),
        S3Location(bucket="b", key="k", version="v", e_tag="e"),
        GitHubLocation(repository="a/b", commit_id="c"),
        HttpLocation(url="https://x/ü.zip"),
        FileLocation(path="/srv/x"),
    ],
)
async def test_a_revision_comes_back_with_its_place(store: SqliteStore, place: Place) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    made = await store.catalog.register_revision(revision("r9", place), at=NOW, key=key(""))
    assert made == revision("r9", place) == await store.catalog.revision("shop", RevisionId("r9"))


async def test_a_revision_comes_back_with_its_signature(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    signature = Signature(statement="what", signature="who")
    plain = revision("r9", CoordinatorLocation(size=7))
    signed = replace(plain, revision=replace(plain.revision, signature=signature))
    assert (
        signed
        == await store.catalog.register_revision(signed, at=NOW, key=key(""))
        == await store.catalog.revision("shop", RevisionId("r9"))
    )


async def test_a_running_deployment_and_the_one_to_roll_back_to_keep_their_signatures(seeded: SqliteStore) -> None:
    signed = replace(R1, revision_id=RevisionId("r9"), signature=Signature(statement="what", signature="who"))
    await seeded.catalog.register_revision(replace(revision("r9", R1.place), revision=signed), at=NOW, key=key(""))
    await seeded.commit(known("h1"))
    await seeded.commit(created(deployment(plan("d-1", revision=signed), "h1", status=DeploymentStatus.Succeeded)))
    await seeded.commit(created(deployment(plan("d-2", revision=signed, last_successful=success("d-1", signed)), "h1")))
    running = (await seeded.group(WEB)).deployment
    assert running is not None
    assert running.plan.revision == signed
    assert running.plan.last_successful is not None
    assert running.plan.last_successful.revision == signed


@pytest.mark.parametrize("what", ["require_signature", "require_approval"])
async def test_a_group_keeps_what_it_requires(store: SqliteStore, what: str) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    assert not getattr(await store.catalog.create_group(group("web"), at=NOW, key=key("")), what)
    assert getattr(await store.catalog.update_group(group("web", **{what: True}), at=NOW, key=key("")), what)
    kept = await store.catalog.group("shop", "web")
    assert (kept.require_signature, kept.require_approval) == (what == "require_signature", what == "require_approval")


async def test_a_group_keeps_what_is_done_about_offline_hosts(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    assert (await store.catalog.create_group(group("web"), at=NOW, key=key(""))).offline == OfflinePolicy()
    for policy in (OfflinePolicy(action=OfflineAction.SKIP, budget=None), OfflinePolicy(wait=60_000, budget=2)):
        await store.catalog.update_group(group("web", offline=policy), at=NOW, key=key(""))
        assert (await store.catalog.group("shop", "web")).offline == policy


async def test_a_group_keeps_what_the_coordinator_may_do_for_it(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    assert (await store.catalog.create_group(group("web"), at=NOW, key=key(""))).service_role == ServiceRole()
    role = ServiceRole(sources=("coordinator", "s3://b/*"), max_hosts=7, config_names=("Gentle",), automatic_rollback=False)
    assert (await store.catalog.update_group(group("web", service_role=role), at=NOW, key=key(""))).service_role == role
    assert (await store.catalog.group("shop", "web")).service_role == role


async def test_a_revision_that_is_there_is_returned_as_it_was_registered(store: SqliteStore) -> None:
    with pytest.raises(ApplicationDoesNotExist):
        await store.catalog.register_revision(revision("r9", CoordinatorLocation(size=7)), at=NOW, key=key(""))
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    first = await store.catalog.register_revision(revision("r9", CoordinatorLocation(size=7)), at=NOW, key=key(""))
    again = replace(revision("r9", CoordinatorLocation(size=7)), description="again")
    assert await store.catalog.register_revision(again, at=NOW + 5, key=key("")) == first
    with pytest.raises(RevisionDoesNotExist):
        await store.catalog.revision("shop", RevisionId("r8"))


async def test_a_revision_tells_when_it_was_used(seeded: SqliteStore) -> None:
    await seeded.commit(known("h1"))
    await seeded.commit(created(deployment(plan("d-1", created_at=5), "h1", status=DeploymentStatus.Failed)))
    await seeded.commit(created(deployment(plan("d-2", created_at=9), "h1")))
    found = await seeded.catalog.revision("shop", R1.revision_id)
    assert (found.first_used_at, found.last_used_at) == (5, 9)
    unused = await seeded.catalog.revision("shop", R2.revision_id)
    assert (unused.first_used_at, unused.last_used_at) == (None, None)


async def test_lists_come_in_pages_that_bear_changes_between_them(store: SqliteStore) -> None:
    for name in ("b", "d", "f"):
        await store.catalog.create_application(name, at=NOW, key=key(""))
    first = await store.catalog.applications(size=2, after="")
    for name in ("a", "c", "e"):
        await store.catalog.create_application(name, at=NOW, key=key(""))
    rest = await store.catalog.applications(size=2, after=first.next)
    assert [one.name for one in (*first.items, *rest.items)] == ["b", "d", "e", "f"]
    assert rest.next == ""


async def test_revisions_are_listed_newest_first(store: SqliteStore) -> None:
    await store.catalog.create_application("shop", at=NOW, key=key(""))
    for number in range(5):
        await store.catalog.register_revision(revision(f"r{number}", CoordinatorLocation(size=number)), at=NOW, key=key(""))
    first = await store.catalog.revisions("shop", size=3, after="")
    rest = await store.catalog.revisions("shop", size=3, after=first.next)
    assert [one.revision.revision_id for one in (*first.items, *rest.items)] == ["r4", "r3", "r2", "r1", "r0"]


async def test_a_cursor_of_another_list_is_refused(seeded: SqliteStore) -> None:
    groups = await seeded.catalog.groups("shop", size=1, after="")
    assert groups.next
    assert [one.name for one in (await seeded.catalog.groups("shop", size=9, after=groups.next)).items] == ["web"]
    for wrong in (groups.next, "nonsense", "bm9uc2Vuc2U=", "é"):
        with pytest.raises(Invalid) as refused:
            await seeded.catalog.revisions("shop", size=1, after=wrong)
        assert refused.value.field == "page_token"
