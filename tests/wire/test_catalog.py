"""Applications, groups, configs and revisions, as a client sees them."""

import copy
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, NOT_FOUND, World, bundle_of, refused

ONE = "11111111-1111-4111-8111-111111111111"
FAILURE = resources.AUTO_ROLLBACK_EVENT_DEPLOYMENT_FAILURE


def creation(name: str, request_id: str = "") -> catalog.CreateApplicationRequest:
    return catalog.CreateApplicationRequest(application_name=name, request_id=request_id)


async def test_an_application_is_made_shown_listed_and_removed(world: World) -> None:
    made = (await world.catalog.CreateApplication(creation("shop"))).application
    assert made.create_time.ToMilliseconds() == world.clock.now()
    assert (await world.catalog.GetApplication(catalog.GetApplicationRequest(application_name="shop"))).application == made
    assert list((await world.catalog.ListApplications(catalog.ListApplicationsRequest())).applications) == [made]
    await world.catalog.DeleteApplication(catalog.DeleteApplicationRequest(application_name="shop"))
    no = await refused(world.catalog.GetApplication(catalog.GetApplicationRequest(application_name="shop")))
    assert (no.code, no.reason) == (NOT_FOUND, "APPLICATION_DOES_NOT_EXIST")


async def test_a_repeat_with_the_same_request_id_is_done_once(world: World) -> None:
    first = await world.catalog.CreateApplication(creation("shop", ONE))
    again = await world.catalog.CreateApplication(creation("shop", ONE.upper()))
    assert again == first
    assert [key.principal for key in world.requests.keys] == ["local"]


async def test_a_request_id_of_another_call_is_refused(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop", ONE))
    no = await refused(world.catalog.CreateApplication(creation("blog", ONE)))
    assert (no.code, no.reason, no.fields) == (INVALID, "REQUEST_ID_REUSED", ["request_id"])
    assert "blog" not in world.catalog_rows.made


async def test_a_request_id_that_is_no_uuid_is_refused(world: World) -> None:
    no = await refused(world.catalog.CreateApplication(creation("shop", "once")))
    assert (no.code, no.fields) == (INVALID, ["request_id"])


def a_group(tag: str) -> catalog.DeploymentGroup:
    kind = resources.TAG_FILTER_TYPE_KEY_ONLY
    return catalog.DeploymentGroup(
        application_name="shop", deployment_group_name="db", tag_filters=[resources.TagFilter(key=tag, type=kind)]
    )


async def test_a_repeated_creation_is_answered_with_what_it_made_as_it_is_now(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    creating = catalog.CreateDeploymentGroupRequest(deployment_group=a_group("old"), request_id=ONE)
    await world.catalog.CreateDeploymentGroup(creating)
    world.clock.at += 1
    changing = catalog.UpdateDeploymentGroupRequest(deployment_group=a_group("new"), update_mask=FieldMask(paths=["tag_filters"]))
    now = (await world.catalog.UpdateDeploymentGroup(changing)).deployment_group
    assert (await world.catalog.CreateDeploymentGroup(creating)).deployment_group == now


@pytest.mark.parametrize("kind", ["Application", "DeploymentGroup", "DeploymentConfig"])
async def test_a_repeated_creation_of_what_was_deleted_since_is_refused_even_if_there_is_another(world: World, kind: str) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    minimum = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=1)
    calls: dict[str, tuple[Any, Any]] = {
        "Application": (creation("blog"), catalog.DeleteApplicationRequest(application_name="blog")),
        "DeploymentGroup": (
            catalog.CreateDeploymentGroupRequest(deployment_group=a_group("old")),
            catalog.DeleteDeploymentGroupRequest(application_name="shop", deployment_group_name="db"),
        ),
        "DeploymentConfig": (
            catalog.CreateDeploymentConfigRequest(deployment_config_name="gentle", minimum_healthy_hosts=minimum),
            catalog.DeleteDeploymentConfigRequest(deployment_config_name="gentle"),
        ),
    }
    creating, deleting = calls[kind]
    create, delete = getattr(world.catalog, f"Create{kind}"), getattr(world.catalog, f"Delete{kind}")
    repeated = copy.deepcopy(creating)
    repeated.request_id = ONE
    await create(repeated)
    await delete(deleting)
    assert "which it made, was deleted since" in (await refused(create(repeated))).message
    world.clock.at += 1
    await create(creating)
    no = await refused(create(repeated))
    assert (no.code, "which it made, was deleted since" in no.message) == (NOT_FOUND, True)


async def test_every_change_can_be_repeated_with_its_request_id(world: World) -> None:
    await world.shop("h1")
    group = catalog.DeploymentGroup(
        application_name="shop", deployment_group_name="db", tag_filters=[resources.TagFilter(key="role", value="db")]
    )
    minimum = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=1)
    where = resources.RevisionLocation(file=resources.FileLocation(path="/srv/shop.tgz"))
    db = {"application_name": "shop", "deployment_group_name": "db", "request_id": ONE}
    calls: list[tuple[Any, Any]] = [
        (world.catalog.CreateDeploymentGroup, catalog.CreateDeploymentGroupRequest(deployment_group=group, request_id=ONE)),
        (world.catalog.UpdateDeploymentGroup, catalog.UpdateDeploymentGroupRequest(deployment_group=group, request_id=ONE)),
        (
            world.catalog.CreateDeploymentConfig,
            catalog.CreateDeploymentConfigRequest(deployment_config_name="c", minimum_healthy_hosts=minimum, request_id=ONE),
        ),
        (world.catalog.RegisterRevision, catalog.RegisterRevisionRequest(application_name="shop", location=where, request_id=ONE)),
        (world.catalog.DeleteDeploymentConfig, catalog.DeleteDeploymentConfigRequest(deployment_config_name="c", request_id=ONE)),
        (world.catalog.DeleteDeploymentGroup, catalog.DeleteDeploymentGroupRequest(**db)),
        (world.fleet.AddTags, fleet.AddTagsRequest(hosts=["h1"], tags={"a": "b"}, request_id=ONE)),
        (world.fleet.RemoveTags, fleet.RemoveTagsRequest(hosts=["h1"], keys=["a"], request_id=ONE)),
        (world.catalog.DeleteApplication, catalog.DeleteApplicationRequest(application_name="shop", request_id=ONE)),
    ]
    for method, request in calls:
        before = len(world.requests.keys)
        assert await method(request) == await method(request)
        assert len(world.requests.keys) == before + 1, request.DESCRIPTOR.name


async def test_pages_follow_each_other_without_a_gap(world: World) -> None:
    names = [f"app-{number:02}" for number in range(7)]
    for name in names:
        await world.catalog.CreateApplication(creation(name))
    seen, token = [], ""
    while True:
        page = await world.catalog.ListApplications(catalog.ListApplicationsRequest(page_size=3, page_token=token))
        seen.append([one.application_name for one in page.applications])
        token = page.next_page_token
        if not token:
            break
    assert seen == [names[:3], names[3:6], names[6:]]


async def test_a_page_has_fifty_unless_asked_and_a_thousand_at_most(world: World) -> None:
    for number in range(1_001):
        world.hosts.join(f"h{number:04}")
    for asked, got in ((0, 50), (5, 5), (5_000, 1_000)):
        page = await world.fleet.ListHosts(fleet.ListHostsRequest(page_size=asked))
        assert len(page.hosts) == got
    no = await refused(world.fleet.ListHosts(fleet.ListHostsRequest(page_size=-1)))
    assert (no.code, no.fields) == (INVALID, ["page_size"])


@pytest.mark.parametrize("token", ["x", "%%%", "AAAA", "AAAAAAAAAAA=", "é"])
async def test_a_page_token_that_is_none_is_refused(world: World, token: str) -> None:
    no = await refused(world.catalog.ListApplications(catalog.ListApplicationsRequest(page_token=token)))
    assert (no.code, no.fields) == (INVALID, ["page_token"])


async def test_a_page_token_belongs_to_its_question(world: World) -> None:
    for host in ("h1", "h2"):
        world.hosts.join(host, role="web")
    web = [resources.TagFilter(key="role")]
    token = (await world.fleet.ListHosts(fleet.ListHostsRequest(page_size=1, tag_filters=web))).next_page_token
    assert token
    rest = await world.fleet.ListHosts(fleet.ListHostsRequest(page_size=9, page_token=token, tag_filters=web))
    assert [host.name for host in rest.hosts] == ["h2"]
    no = await refused(world.fleet.ListHosts(fleet.ListHostsRequest(page_size=1, page_token=token)))
    assert (no.code, no.fields) == (INVALID, ["page_token"])
    no = await refused(world.catalog.ListApplications(catalog.ListApplicationsRequest(page_token=token)))
    assert (no.code, no.fields) == (INVALID, ["page_token"])


async def group_of(world: World, **more: Any) -> catalog.DeploymentGroup:
    group = catalog.DeploymentGroup(
        application_name="shop", deployment_group_name="db", tag_filters=[resources.TagFilter(key="role")], **more
    )
    made = await world.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=group))
    return made.deployment_group


async def test_a_group_is_made_with_the_default_config_and_its_filters_made_plain(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    filters = [
        resources.TagFilter(key="role", value="db"),
        resources.TagFilter(key="role", value="db", type=resources.TAG_FILTER_TYPE_KEY_AND_VALUE),
        resources.TagFilter(key="zone", value="ignored", type=resources.TAG_FILTER_TYPE_KEY_ONLY),
        resources.TagFilter(value="blue"),
    ]
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="db", tag_filters=filters)
    made = (await world.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=group))).deployment_group
    assert [(one.key, one.value, one.type) for one in made.tag_filters] == [
        ("role", "db", resources.TAG_FILTER_TYPE_KEY_AND_VALUE),
        ("zone", "", resources.TAG_FILTER_TYPE_KEY_ONLY),
        ("", "blue", resources.TAG_FILTER_TYPE_VALUE_ONLY),
    ]
    assert made.deployment_config_name == "CodeDeployDefault.OneAtATime"
    assert made.deployment_group_id
    assert not made.auto_rollback_configuration.enabled
    found = await world.catalog.GetDeploymentGroup(catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="db"))
    assert found.deployment_group == made
    listed = await world.catalog.ListDeploymentGroups(catalog.ListDeploymentGroupsRequest(application_name="shop"))
    assert list(listed.deployment_groups) == [made]


def tag_set(*filters: resources.TagFilter) -> resources.TagFilterList:
    """Hosts match any of these."""
    return resources.TagFilterList(tag_filters=filters)


async def test_tag_sets_and_tag_filters_take_each_others_place(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    made = await group_of(world)
    sets = [tag_set(resources.TagFilter(key="role", value="web"), resources.TagFilter(key="role", value="api"))]
    sets.append(tag_set(resources.TagFilter(key="region")))
    change = catalog.DeploymentGroup(application_name="shop", deployment_group_name="db", tag_sets=sets)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=change, update_mask=FieldMask(paths=["tag_sets"]))
    after = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert not after.tag_filters
    assert [[(one.key, one.value) for one in each.tag_filters] for each in after.tag_sets] == [
        [("role", "web"), ("role", "api")],
        [("region", "")],
    ]
    back = catalog.UpdateDeploymentGroupRequest(deployment_group=made, update_mask=FieldMask(paths=["tag_filters"]))
    back.deployment_group.etag = after.etag
    assert (await world.catalog.UpdateDeploymentGroup(back)).deployment_group == made


async def test_an_update_changes_only_what_its_mask_names(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    before = await group_of(world, deployment_config_name="CodeDeployDefault.AllAtOnce")
    change = catalog.DeploymentGroup(
        application_name="shop",
        deployment_group_name="db",
        tag_filters=[resources.TagFilter(key="other")],
        auto_rollback_configuration=resources.AutoRollbackConfiguration(enabled=True, events=[FAILURE]),
    )
    mask = FieldMask(paths=["auto_rollback_configuration"])
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=change, update_mask=mask)
    after = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert list(after.auto_rollback_configuration.events) == [FAILURE]
    assert (after.tag_filters, after.deployment_config_name) == (before.tag_filters, before.deployment_config_name)
    assert after.deployment_group_id == before.deployment_group_id


async def test_an_update_of_a_group_that_is_another_by_now_is_refused(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    read = await group_of(world)
    changed = catalog.DeploymentGroup(application_name="shop", deployment_group_name="db", require_approval=True, etag=read.etag)
    request = catalog.UpdateDeploymentGroupRequest(
        deployment_group=changed, update_mask=FieldMask(paths=["require_approval"]), request_id=ONE
    )
    now = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert now.etag not in ("", read.etag)
    repeated = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert repeated == now, "a repeat is no second change"
    request.request_id = ""
    no = await refused(world.catalog.UpdateDeploymentGroup(request))
    assert (no.code, no.reason, no.fields) == (StatusCode.ABORTED, "OPERATION_ABORTED", ["deployment_group.etag"])
    changed.etag = ""
    request.deployment_group.CopyFrom(changed)
    assert (await world.catalog.UpdateDeploymentGroup(request)).deployment_group == now


@pytest.mark.parametrize("paths", [[], ["*"]])
async def test_an_update_without_a_mask_changes_everything(world: World, paths: list[str]) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    await group_of(world, deployment_config_name="CodeDeployDefault.AllAtOnce")
    change = catalog.DeploymentGroup(application_name="shop", deployment_group_name="db", tag_filters=[resources.TagFilter(key="other")])
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=change, update_mask=FieldMask(paths=paths))
    after = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group
    assert [one.key for one in after.tag_filters] == ["other"]
    assert after.deployment_config_name == "CodeDeployDefault.OneAtATime"


@pytest.mark.parametrize("path", ["create_time", "deployment_group.tag_filters", "nonsense", "*"])
async def test_a_mask_that_names_anything_else_is_refused(world: World, path: str) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    before = await group_of(world)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=before, update_mask=FieldMask(paths=["tag_filters", path]))
    no = await refused(world.catalog.UpdateDeploymentGroup(request))
    assert (no.code, no.fields) == (INVALID, ["update_mask"])


async def test_the_predefined_configs_are_listed(world: World) -> None:
    page = await world.catalog.ListDeploymentConfigs(catalog.ListDeploymentConfigsRequest())
    said = {
        one.deployment_config_name: (one.predefined, one.HasField("create_time"), one.minimum_healthy_hosts)
        for one in page.deployment_configs
    }
    most = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_MOST_CONCURRENCY, value=1)
    assert said["CodeDeployDefault.OneAtATime"] == (True, False, most)
    assert len(said) == 3


async def test_a_config_is_made_and_shown(world: World) -> None:
    minimum = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT, value=99)
    request = catalog.CreateDeploymentConfigRequest(deployment_config_name="careful", minimum_healthy_hosts=minimum)
    made = (await world.catalog.CreateDeploymentConfig(request)).deployment_config
    assert (made.minimum_healthy_hosts, made.predefined) == (minimum, False)
    found = await world.catalog.GetDeploymentConfig(catalog.GetDeploymentConfigRequest(deployment_config_name="careful"))
    assert found.deployment_config == made


async def test_the_same_bundle_is_the_same_revision_in_every_application(world: World) -> None:
    first = await world.shop()
    await world.catalog.CreateApplication(creation("blog"))
    bundle = bundle_of("appspec.yml")
    again = await world.push(bundle)
    other = await world.push(bundle, application_name="blog")
    assert first == again.revision_id == other.revision_id
    assert again.location.sha256 == hashlib.sha256(bundle).digest()
    assert (again.location.bundle_type, again.location.coordinator.size) == (resources.BUNDLE_TYPE_TAR, len(bundle))
    assert len(world.keep.kept) == 1
    found = await world.catalog.GetRevision(catalog.GetRevisionRequest(application_name="shop", revision_id=first))
    assert found.revision == again
    page = await world.catalog.ListRevisions(catalog.ListRevisionsRequest(application_name="shop"))
    assert list(page.revisions) == [again]


async def test_even_a_bundle_that_is_kept_already_must_be_sent_whole(world: World) -> None:
    await world.shop()
    bundle = bundle_of("appspec.yml")
    no = await refused(world.push(bundle[:-1], sha256=hashlib.sha256(bundle).digest(), size=len(bundle)))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")


async def test_nothing_is_left_of_a_bundle_whose_application_is_deleted_while_it_is_pushed(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    bundle = bundle_of("appspec.yml")

    async def parts() -> AsyncIterator[catalog.PushRevisionRequest]:
        header = catalog.PushRevisionHeader(application_name="shop", sha256=hashlib.sha256(bundle).digest(), size=len(bundle))
        yield catalog.PushRevisionRequest(header=header)
        yield catalog.PushRevisionRequest(chunk=bundle[:100])
        await world.catalog.DeleteApplication(catalog.DeleteApplicationRequest(application_name="shop"))
        yield catalog.PushRevisionRequest(chunk=bundle[100:])

    no = await refused(world.catalog.PushRevision(parts()))
    assert (no.code, no.reason) == (NOT_FOUND, "APPLICATION_DOES_NOT_EXIST")
    assert (world.keep.kept, world.keep.open, world.keep.held) == ({}, 0, [])


async def test_a_zip_is_known_by_its_first_bytes(world: World) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("appspec.yml", "version: 0.0\n" * 40)
    assert (await world.push(raw.getvalue())).location.bundle_type == resources.BUNDLE_TYPE_ZIP


async def test_a_bundle_of_an_unknown_application_is_refused_before_it_is_sent(world: World) -> None:
    no = await refused(world.push(bundle_of("appspec.yml"), application_name="nobody"))
    assert (no.code, no.reason) == (NOT_FOUND, "APPLICATION_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "place",
    [
        {"s3": resources.S3Location(bucket="bundles", key="shop.tgz", version="3", e_tag="e")},
        {"github": resources.GitHubLocation(repository="acme/shop", commit_id="a" * 40)},
        {"http": resources.HttpLocation(url="https://example.org:8080/shop.tgz?x=y"), "sha256": bytes(32)},
        {"file": resources.FileLocation(path="/srv/shop"), "bundle_type": resources.BUNDLE_TYPE_DIRECTORY},
    ],
)
async def test_a_revision_elsewhere_is_registered_as_it_was_said(world: World, place: dict[str, Any]) -> None:
    await world.catalog.CreateApplication(creation("shop"))
    request = catalog.RegisterRevisionRequest(application_name="shop", location=resources.RevisionLocation(**place), description="first")
    first = (await world.catalog.RegisterRevision(request)).revision
    again = (await world.catalog.RegisterRevision(request)).revision
    assert first == again
    assert (first.location, first.description) == (request.location, "first")


async def test_a_group_says_what_is_done_about_offline_hosts(world: World) -> None:
    await world.shop("h1")
    named = catalog.GetDeploymentGroupRequest(application_name="shop", deployment_group_name="web")
    group = (await world.catalog.GetDeploymentGroup(named)).deployment_group
    assert (group.offline_policy.action, group.offline_policy.wait.seconds) == (resources.OFFLINE_ACTION_WAIT, 300)
    assert (group.offline_policy.HasField("budget"), group.offline_policy.budget) == (True, 0)
    group.offline_policy.CopyFrom(resources.OfflinePolicy(action=resources.OFFLINE_ACTION_SKIP))
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=FieldMask(paths=["offline_policy"]))
    changed = (await world.catalog.UpdateDeploymentGroup(request)).deployment_group.offline_policy
    assert (changed.action, changed.HasField("budget"), changed.HasField("wait")) == (resources.OFFLINE_ACTION_SKIP, False, False)


@pytest.mark.parametrize(
    "policy, field",
    [
        (resources.OfflinePolicy(budget=-1), "budget"),
        (resources.OfflinePolicy(wait=Duration(seconds=-5)), "wait"),
        (resources.OfflinePolicy(wait=Duration(seconds=8 * 86_400)), "wait"),
        (resources.OfflinePolicy(action=resources.OfflineAction.ValueType(9)), "action"),
    ],
)
async def test_a_policy_for_offline_hosts_that_makes_no_sense_is_refused(world: World, policy: resources.OfflinePolicy, field: str) -> None:
    await world.shop("h1")
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", offline_policy=policy)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group, update_mask=FieldMask(paths=["offline_policy"]))
    no = await refused(world.catalog.UpdateDeploymentGroup(request))
    assert (no.code, no.fields) == (INVALID, [f"deployment_group.offline_policy.{field}"])
