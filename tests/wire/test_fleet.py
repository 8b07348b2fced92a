"""Hosts and tags, as a client sees them."""

from dataclasses import replace

from coordinator.core.model import HostStatus, InstanceHealth, RevisionHealth, RevisionId
from coordinator.service.records import HostHolding
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, NOT_FOUND, World, refused


async def test_a_host_is_shown_with_what_it_holds(world: World) -> None:
    world.hosts.join("h1", role="web")
    holding = HostHolding(
        application_name="shop",
        group_name="web",
        installed=RevisionId("r-2"),
        deployed=RevisionId("r-1"),
        health=InstanceHealth.Unhealthy,
        revision_health=RevisionHealth.Old,
    )
    world.hosts.known["h1"] = replace(world.hosts.known["h1"], holdings=(holding,))
    host = (await world.fleet.GetHost(fleet.GetHostRequest(host="id-h1"))).host
    assert (host.name, host.host_id, host.status, dict(host.tags)) == ("h1", "id-h1", resources.HOST_STATUS_CONNECTED, {"role": "web"})
    assert (host.connect_time.ToMilliseconds(), host.register_time.ToMilliseconds()) == (5, 4)
    (held,) = host.holdings
    assert (held.application_name, held.deployment_group_name) == ("shop", "web")
    assert (held.installed_revision_id, held.deployed_revision_id) == ("r-2", "r-1")
    assert held.instance_health == resources.INSTANCE_HEALTH_UNHEALTHY
    assert held.revision_health == resources.REVISION_HEALTH_OLD


async def test_hosts_are_listed_by_their_tags(world: World) -> None:
    world.hosts.join("h1", role="web")
    world.hosts.join("h2", role="db")
    page = await world.fleet.ListHosts(fleet.ListHostsRequest(tag_filters=[resources.TagFilter(key="role", value="db")]))
    assert [host.name for host in page.hosts] == ["h2"]
    assert len((await world.fleet.ListHosts(fleet.ListHostsRequest())).hosts) == 2


async def test_tags_are_set_and_taken_away(world: World) -> None:
    world.hosts.join("h1")
    world.hosts.join("h2")
    added = await world.fleet.AddTags(fleet.AddTagsRequest(hosts=["h1", "id-h2", "h1"], tags={"role": "web"}))
    assert [(host.name, dict(host.operator_tags)) for host in added.hosts] == [("h1", {"role": "web"}), ("h2", {"role": "web"})]
    removed = await world.fleet.RemoveTags(fleet.RemoveTagsRequest(hosts=["h1"], keys=["role"]))
    assert [dict(host.tags) for host in removed.hosts] == [{}]


async def test_a_host_that_is_gone_is_forgotten_and_a_repeat_is_harmless(world: World) -> None:
    world.hosts.join("h1")
    world.hosts.known["h1"] = replace(world.hosts.known["h1"], status=HostStatus.Lost)
    request = fleet.RemoveHostRequest(host="h1", request_id="11111111-1111-4111-8111-111111111111")
    await world.fleet.RemoveHost(request)
    await world.fleet.RemoveHost(request)
    assert (await refused(world.fleet.GetHost(fleet.GetHostRequest(host="h1")))).code is NOT_FOUND


async def test_a_fact_cannot_be_set_as_a_tag(world: World) -> None:
    world.hosts.join("h1")
    no = await refused(world.fleet.AddTags(fleet.AddTagsRequest(hosts=["h1"], tags={"fact:os": "windows"})))
    assert (no.code, no.fields) == (INVALID, ["tags"])
