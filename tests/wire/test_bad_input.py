"""What is wrong is refused with a sentence, the right status, its reason and the field, and leaves nothing behind."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from coordinator.api import catalog as api
from coordinator.core.lifecycle import IN_PLACE
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import EXHAUSTED, EXISTS, INVALID, MAX_BUNDLE_BYTES, NOT_FOUND, PRECONDITION, World, bundle_of, refused

MISSING = "r-0123456789abcdef"


async def test_a_deployment_to_an_unknown_group_is_refused(world: World) -> None:
    revision = await world.shop("h1")
    request = deployments.CreateDeploymentRequest(application_name="shop", deployment_group_name="db", revision_id=revision)
    no = await refused(world.deployments.CreateDeployment(request))
    assert (no.code, no.reason) == (NOT_FOUND, "DEPLOYMENT_GROUP_DOES_NOT_EXIST")
    assert no.message == "cannot find deployment group db of application shop"
    assert dict(no.info.metadata) == {"application_name": "shop", "deployment_group_name": "db", "revision_id": revision}
    assert no.info.domain == "hookline.dev"


@pytest.mark.parametrize("revision", ["", "r-1", "v3", "R-0123456789ABCDEF", MISSING + "0", "r-012345678\n9abcde"])
async def test_a_malformed_revision_is_refused_with_its_right_form(world: World, revision: str) -> None:
    await world.shop("h1")
    no = await refused(world.deploy(revision))
    assert (no.code, no.reason, no.fields) == (INVALID, "INVALID_REVISION", ["revision_id"])
    assert '"r-" and 16 hexadecimal digits' in no.message
    assert not world.engine.past


async def test_an_unknown_revision_is_refused(world: World) -> None:
    await world.shop("h1")
    no = await refused(world.deploy(MISSING))
    assert (no.code, no.reason) == (NOT_FOUND, "REVISION_DOES_NOT_EXIST")


async def test_a_deployment_without_a_matching_host_is_refused(world: World) -> None:
    no = await refused(world.deploy(await world.shop()))
    assert (no.code, no.reason) == (PRECONDITION, "NO_INSTANCES")
    assert not world.engine.past


async def test_a_minimum_that_leaves_no_host_to_deploy_to_is_refused(world: World) -> None:
    revision = await world.shop("h1", "h2")
    minimum = resources.MinimumHealthyHosts(type=resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=2)
    await world.catalog.CreateDeploymentConfig(
        catalog.CreateDeploymentConfigRequest(deployment_config_name="both", minimum_healthy_hosts=minimum)
    )
    no = await refused(world.deploy(revision, deployment_config_name="both"))
    assert (no.code, no.reason) == (PRECONDITION, "HEALTH_CONSTRAINTS_INVALID")
    assert not world.engine.past


async def test_a_second_deployment_of_a_group_is_refused_naming_the_first(world: World) -> None:
    revision = await world.shop("h1")
    first = await world.deploy(revision)
    no = await refused(world.deploy(revision))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_LIMIT_EXCEEDED")
    assert first.deployment_id in no.message


@pytest.mark.parametrize(
    "place",
    [
        {"s3": resources.S3Location(bucket="bundles", key="shop.tgz")},
        {"github": resources.GitHubLocation(repository="acme/shop", commit_id="a" * 40)},
    ],
)
async def test_a_revision_that_only_agents_fetch_is_deployed(world: World, place: dict[str, Any]) -> None:
    await world.shop("h1")
    request = catalog.RegisterRevisionRequest(application_name="shop", location=resources.RevisionLocation(**place))
    revision = (await world.catalog.RegisterRevision(request)).revision
    assert (await world.deploy(revision.revision_id)).revision_id == revision.revision_id


async def test_a_bundle_with_a_wrong_digest_is_refused_naming_both(world: World) -> None:
    await world.shop()
    bundle, said = bundle_of("appspec.yml", "more"), hashlib.sha256(b"another").digest()
    no = await refused(world.push(bundle, sha256=said))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")
    assert said.hex() in no.message
    assert hashlib.sha256(bundle).hexdigest() in no.message
    assert (len(world.keep.kept), world.keep.open) == (1, 0)


async def test_a_bundle_without_an_appspec_is_refused(world: World) -> None:
    await world.shop()
    no = await refused(world.push(bundle_of("readme.txt")))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")
    assert "appspec.yml" in no.message
    assert (len(world.keep.kept), world.keep.open) == (1, 0)


async def test_a_bundle_past_the_limit_is_refused_at_its_header(world: World) -> None:
    await world.shop()

    async def only_a_header() -> AsyncIterator[catalog.PushRevisionRequest]:
        header = catalog.PushRevisionHeader(application_name="shop", sha256=bytes(32), size=MAX_BUNDLE_BYTES + 1)
        yield catalog.PushRevisionRequest(header=header)
        raise AssertionError("the coordinator asked for more")

    call = world.catalog.PushRevision()
    first = await anext(only_a_header())
    await call.write(first)
    no = await refused(call)
    assert (no.code, no.reason, no.fields) == (EXHAUSTED, "BUNDLE_TOO_LARGE", ["header.size"])
    assert str(MAX_BUNDLE_BYTES) in no.message


async def test_a_bundle_that_is_longer_than_was_said_is_refused(world: World) -> None:
    await world.shop()
    no = await refused(world.push(bundle_of("appspec.yml", "x"), size=400))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")
    assert world.keep.open == 0


async def test_a_bundle_that_is_broken_off_is_refused_and_not_kept(world: World) -> None:
    await world.shop()
    no = await refused(world.push(bundle_of("appspec.yml", "x"), size=60_000))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")
    assert (len(world.keep.kept), world.keep.open) == (1, 0)


async def test_a_client_that_goes_away_in_the_middle_of_a_bundle_leaves_nothing(world: World) -> None:
    await world.shop()
    bundle = bundle_of("appspec.yml", "x")
    call = world.catalog.PushRevision()
    header = catalog.PushRevisionHeader(application_name="shop", sha256=hashlib.sha256(bundle).digest(), size=len(bundle))
    await call.write(catalog.PushRevisionRequest(header=header))
    await call.write(catalog.PushRevisionRequest(chunk=bundle[:300]))
    while world.keep.open == 0:
        await world.fleet.ListHosts(fleet.ListHostsRequest())
    call.cancel()
    while world.keep.open:
        await world.fleet.ListHosts(fleet.ListHostsRequest())
    assert len(world.keep.kept) == 1


async def test_an_upload_that_stands_still_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.shop()
    monkeypatch.setattr(api, "SILENCE_SECONDS", 0.01)
    call = world.catalog.PushRevision()
    await call.write(catalog.PushRevisionRequest(header=catalog.PushRevisionHeader(application_name="shop", sha256=bytes(32), size=9)))
    no = await refused(call)
    assert no.code is grpc.StatusCode.UNAVAILABLE
    assert world.keep.open == 0


async def test_a_full_disk_refuses_a_bundle(world: World) -> None:
    await world.shop()
    world.keep.room = 400
    no = await refused(world.push(bundle_of("appspec.yml", "x")))
    assert (no.code, no.reason) == (EXHAUSTED, "STORAGE_FULL")
    assert (len(world.keep.kept), world.keep.open) == (1, 0)


async def test_a_bundle_that_is_packed_otherwise_than_was_said_is_refused(world: World) -> None:
    await world.shop()
    no = await refused(world.push(bundle_of("appspec.yml", "x"), bundle_type=resources.BUNDLE_TYPE_ZIP))
    assert (no.code, no.fields) == (INVALID, ["header.bundle_type"])
    no = await refused(world.push(b"#!/bin/sh appspec.yml"))
    assert (no.code, no.reason) == (INVALID, "INVALID_REVISION")


async def test_chunks_without_a_header_are_refused(world: World) -> None:
    call = world.catalog.PushRevision()
    await call.write(catalog.PushRevisionRequest(chunk=b"x"))
    no = await refused(call)
    assert (no.code, no.fields) == (INVALID, ["header"])


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 101, "a/b", "a\n"])
async def test_a_name_that_cannot_be_one_is_refused(world: World, name: str) -> None:
    no = await refused(world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name=name)))
    assert (no.code, no.reason, no.fields) == (INVALID, "INVALID_INPUT", ["application_name"])


async def test_a_name_that_is_taken_is_refused(world: World) -> None:
    await world.shop()
    no = await refused(world.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop")))
    assert (no.code, no.reason, no.fields) == (EXISTS, "APPLICATION_ALREADY_EXISTS", ["application_name"])


HOSTS, PERCENT, MOST = (
    resources.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT,
    resources.MINIMUM_HEALTHY_HOSTS_TYPE_FLEET_PERCENT,
    resources.MINIMUM_HEALTHY_HOSTS_TYPE_MOST_CONCURRENCY,
)


@pytest.mark.parametrize(
    "name, kind, value, field",
    [
        ("CodeDeployDefault.Mine", HOSTS, 1, "deployment_config_name"),
        ("mine", HOSTS, -1, "minimum_healthy_hosts.value"),
        ("mine", PERCENT, 100, "minimum_healthy_hosts.value"),
        ("mine", PERCENT, -1, "minimum_healthy_hosts.value"),
        ("mine", MOST, 1, "minimum_healthy_hosts.type"),
        ("mine", 0, 1, "minimum_healthy_hosts.type"),
        ("mine", 77, 1, "minimum_healthy_hosts.type"),
    ],
)
async def test_a_config_that_makes_no_sense_is_refused(world: World, name: str, kind: Any, value: int, field: str) -> None:
    minimum = resources.MinimumHealthyHosts(type=kind, value=value)
    request = catalog.CreateDeploymentConfigRequest(deployment_config_name=name, minimum_healthy_hosts=minimum)
    no = await refused(world.catalog.CreateDeploymentConfig(request))
    assert (no.code, no.fields) == (INVALID, [field])


def tag_set(*typed: str) -> resources.TagFilterList:
    """Hosts match any of these, KEY=VALUE or KEY."""
    pairs = [one.partition("=") for one in typed]
    return resources.TagFilterList(tag_filters=[resources.TagFilter(key=key, value=value) for key, _, value in pairs])


@pytest.mark.parametrize(
    "change, field",
    [
        ({"tag_filters": []}, "deployment_group.tag_filters"),
        ({"tag_filters": [resources.TagFilter(key=str(n)) for n in range(11)]}, "deployment_group.tag_filters"),
        ({"tag_filters": [resources.TagFilter()]}, "deployment_group.tag_filters[0].value"),
        ({"tag_sets": [tag_set("role=web")]}, "deployment_group.tag_sets"),
        ({"tag_filters": [], "tag_sets": [tag_set("a=1"), tag_set()]}, "deployment_group.tag_sets[1].tag_filters"),
        ({"tag_filters": [], "tag_sets": [tag_set("a=1"), tag_set("b=1"), tag_set("c=1"), tag_set("d=1")]}, "deployment_group.tag_sets"),
        ({"tag_filters": [], "tag_sets": [tag_set(*"abcdef"), tag_set(*"ghijk")]}, "deployment_group.tag_sets"),
        ({"tag_filters": [], "tag_sets": [tag_set("role=web"), tag_set("role=api", "role=db")]}, "deployment_group.tag_sets"),
        ({"tag_filters": [resources.TagFilter(key="k", type=9)]}, "deployment_group.tag_filters[0].type"),  # type: ignore[arg-type]
        (
            {"auto_rollback_configuration": resources.AutoRollbackConfiguration(enabled=True)},
            "deployment_group.auto_rollback_configuration.events",
        ),
        ({"deployment_group_name": "a b"}, "deployment_group.deployment_group_name"),
    ],
)
async def test_a_group_that_makes_no_sense_is_refused(world: World, change: dict[str, Any], field: str) -> None:
    await world.shop()
    group = {"application_name": "shop", "deployment_group_name": "db", "tag_filters": [resources.TagFilter(key="role")]} | change
    request = catalog.CreateDeploymentGroupRequest(deployment_group=catalog.DeploymentGroup(**group))
    no = await refused(world.catalog.CreateDeploymentGroup(request))
    assert (no.code, no.fields) == (INVALID, [field])


DIGEST = bytes(32)


@pytest.mark.parametrize(
    "location, field",
    [
        ({}, "location"),
        ({"coordinator": resources.CoordinatorLocation(size=1)}, "location.coordinator"),
        ({"http": resources.HttpLocation(url="https://x/y.tgz")}, "location.sha256"),
        ({"http": resources.HttpLocation(url="https://x/y.tgz"), "sha256": b"short"}, "location.sha256"),
        ({"http": resources.HttpLocation(url="https://me:secret@x/y.tgz"), "sha256": DIGEST}, "location.http.url"),
        ({"http": resources.HttpLocation(url="ftp://x/y.tgz"), "sha256": DIGEST}, "location.http.url"),
        ({"http": resources.HttpLocation(url="https:///y.tgz"), "sha256": DIGEST}, "location.http.url"),
        ({"http": resources.HttpLocation(url="https://x:abc/"), "sha256": DIGEST}, "location.http.url"),
        ({"file": resources.FileLocation(path="relative/x")}, "location.file.path"),
        ({"file": resources.FileLocation(path="/a/../b")}, "location.file.path"),
        ({"s3": resources.S3Location(bucket="No", key="k")}, "location.s3.bucket"),
        ({"s3": resources.S3Location(bucket="bucket")}, "location.s3.key"),
        ({"s3": resources.S3Location(bucket="bucket", key="a//b")}, "location.s3.key"),
        ({"github": resources.GitHubLocation(repository="acme", commit_id="a" * 40)}, "location.github.repository"),
        ({"github": resources.GitHubLocation(repository="acme/shop", commit_id="main")}, "location.github.commit_id"),
        (
            {"http": resources.HttpLocation(url="https://x/"), "sha256": DIGEST, "bundle_type": resources.BUNDLE_TYPE_DIRECTORY},
            "location.bundle_type",
        ),
        (
            {"file": resources.FileLocation(path="/a"), "sha256": DIGEST, "bundle_type": resources.BUNDLE_TYPE_DIRECTORY},
            "location.sha256",
        ),
    ],
)
async def test_a_location_that_makes_no_sense_is_refused(world: World, location: dict[str, Any], field: str) -> None:
    await world.shop()
    request = catalog.RegisterRevisionRequest(application_name="shop", location=resources.RevisionLocation(**location))
    no = await refused(world.catalog.RegisterRevision(request))
    assert (no.code, no.fields) == (INVALID, [field])
    assert "secret" not in no.message


@pytest.mark.parametrize(
    "request_, field",
    [
        (fleet.AddTagsRequest(hosts=["h1"]), "tags"),
        (fleet.AddTagsRequest(tags={"a": "b"}), "hosts"),
        (fleet.AddTagsRequest(hosts=["h1"], tags={"k" * 129: "b"}), "tags"),
        (fleet.AddTagsRequest(hosts=["h1"], tags={"": "b"}), "tags"),
        (fleet.AddTagsRequest(hosts=["h1"], tags={"k": "b" * 257}), "tags"),
    ],
)
async def test_tags_that_make_no_sense_are_refused(world: World, request_: fleet.AddTagsRequest, field: str) -> None:
    world.hosts.join("h1")
    no = await refused(world.fleet.AddTags(request_))
    assert (no.code, no.fields) == (INVALID, [field])
    assert world.hosts.known["h1"].tags == {}


async def test_tags_for_a_host_that_nobody_knows_are_set_nowhere(world: World) -> None:
    world.hosts.join("h1")
    no = await refused(world.fleet.AddTags(fleet.AddTagsRequest(hosts=["h1", "h2"], tags={"a": "b"})))
    assert (no.code, no.reason) == (NOT_FOUND, "INSTANCE_DOES_NOT_EXIST")
    assert world.hosts.known["h1"].tags == {}


async def test_a_connected_host_is_not_removed(world: World) -> None:
    world.hosts.join("h1")
    no = await refused(world.fleet.RemoveHost(fleet.RemoveHostRequest(host="h1")))
    assert (no.code, no.reason) == (PRECONDITION, "INSTANCE_IN_USE")


async def test_a_predefined_config_is_not_removed(world: World) -> None:
    request = catalog.DeleteDeploymentConfigRequest(deployment_config_name="CodeDeployDefault.OneAtATime")
    assert (await refused(world.catalog.DeleteDeploymentConfig(request))).code is grpc.StatusCode.FAILED_PRECONDITION


async def test_descriptions_have_an_end(world: World) -> None:
    no = await refused(world.deploy(await world.shop("h1"), description="x" * 257))
    assert (no.code, no.fields) == (INVALID, ["description"])


async def test_a_group_without_its_application_is_no_question(world: World) -> None:
    no = await refused(world.deployments.ListDeployments(deployments.ListDeploymentsRequest(deployment_group_name="web")))
    assert (no.code, no.fields) == (INVALID, ["application_name"])
    no = await refused(world.deployments.ListHistory(deployments.ListHistoryRequest(deployment_group_name="web")))
    assert (no.code, no.fields) == (INVALID, ["application_name"])


async def test_a_host_that_nobody_knows_cannot_be_deployed_to(world: World) -> None:
    no = await refused(world.deploy(await world.shop("h1"), hosts=["h1", "h9"]))
    assert (no.code, no.reason) == (NOT_FOUND, "INSTANCE_DOES_NOT_EXIST")
    assert "h9" in no.message
    assert not world.engine.past


async def test_a_host_outside_the_group_cannot_be_deployed_to(world: World) -> None:
    revision = await world.shop("h1")
    world.hosts.join("db-1", role="db")
    no = await refused(world.deploy(revision, hosts=["db-1", "h1"]))
    assert (no.code, no.fields) == (INVALID, ["hosts"])
    assert no.message.startswith("cannot deploy to db-1 with web: ")
    assert not world.engine.past


async def test_more_hosts_than_can_be_named_are_refused(world: World) -> None:
    no = await refused(world.deploy(await world.shop("h1"), hosts=[f"h{number}" for number in range(1_001)]))
    assert (no.code, no.fields) == (INVALID, ["hosts"])


async def test_a_deployment_to_outdated_hosts_is_refused_where_there_are_none(world: World) -> None:
    revision = await world.shop("h1")
    await world.deploy(revision)
    for event in IN_PLACE:
        world.report("h1", event)
    no = await refused(world.deploy(revision, update_outdated_instances_only=True))
    assert (no.code, no.reason) == (PRECONDITION, "NO_INSTANCES")
    assert len(world.engine.past) == 1
