"""Triggers as a client sees them: what a group keeps, what is refused, and what a test says."""

import grpc
import pytest

from coordinator.core.model import TriggerEvent
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import triggers_pb2 as pb
from tests.evil_urls import EVERYWHERE
from tests.wire.world import World, refused

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EVENTS = [pb.TRIGGER_EVENT_DEPLOYMENT_FAILURE, pb.TRIGGER_EVENT_DEPLOYMENT_ROLLBACK]
PAGER = pb.Trigger(trigger_name="pager", trigger_events=EVENTS, webhook=pb.Webhook(url="https://example.org/x", signing_secret="shop-hook"))
CHAT = pb.Trigger(trigger_name="chat", trigger_events=EVENTS[:1], slack=pb.SlackWebhook(url_secret="shop-hook"))


def at(url: str) -> pb.Trigger:
    return pb.Trigger(trigger_name="pager", trigger_events=EVENTS, webhook=pb.Webhook(url=url))


def slack(**said: str) -> pb.Trigger:
    return pb.Trigger(trigger_name="chat", trigger_events=EVENTS, slack=pb.SlackWebhook(**said))


async def give(world: World, *triggers: pb.Trigger) -> catalog.DeploymentGroup:
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", triggers=triggers)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("triggers")
    changed: catalog.UpdateDeploymentGroupResponse = await world.catalog.UpdateDeploymentGroup(request)
    return changed.deployment_group


async def attempt(world: World, name: str) -> pb.TestTriggerResponse:
    request = pb.TestTriggerRequest(application_name="shop", deployment_group_name="web", trigger_name=name)
    answer: pb.TestTriggerResponse = await world.triggers.TestTrigger(request)
    return answer


def test_events_have_the_numbers_of_the_protos() -> None:
    assert {f"TRIGGER_EVENT_{name}" for name in ("UNSPECIFIED",)} | {
        "TRIGGER_EVENT_" + "".join(f"_{each}" if each.isupper() else each.upper() for each in event.name).strip("_")
        for event in TriggerEvent
    } == set(pb.TriggerEvent.keys())
    assert sorted(map(int, TriggerEvent)) == sorted(int(number) for number in pb.TriggerEvent.values() if number)


async def test_a_group_keeps_its_triggers_until_it_is_given_others(world: World) -> None:
    await world.shop()
    assert list((await give(world, PAGER, CHAT)).triggers) == [PAGER, CHAT]
    other = catalog.UpdateDeploymentGroupRequest(
        deployment_group=catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", require_signature=True)
    )
    other.update_mask.paths.append("require_signature")
    assert list((await world.catalog.UpdateDeploymentGroup(other)).deployment_group.triggers) == [PAGER, CHAT]
    assert not (await give(world)).triggers


@pytest.mark.parametrize(
    "trigger, why",
    [
        (pb.Trigger(trigger_name="", trigger_events=EVENTS, webhook=PAGER.webhook), "an empty name"),
        (pb.Trigger(trigger_name="pager", webhook=PAGER.webhook), "cannot keep trigger pager: it has no event"),
        (pb.Trigger(trigger_name="pager", trigger_events=[9], webhook=PAGER.webhook), "9 is none of DeploymentStart, "),  # type: ignore[list-item]  # as a wrong client says it
        (pb.Trigger(trigger_name="pager", trigger_events=EVENTS), "give one of webhook, slack"),
        (at(""), "give one of url and url_secret"),
        (
            pb.Trigger(trigger_name="p", trigger_events=EVENTS, slack=pb.SlackWebhook(url="https://a.example/", url_secret="shop-hook")),
            "one of",
        ),
        (
            pb.Trigger(trigger_name="p", trigger_events=EVENTS, slack=pb.SlackWebhook(url_secret="../shadow")),
            "cannot read the secret '../sh",
        ),
        (slack(url_secret="other"), "there is no secret other"),
        (at("http://example.org/x"), "example.org would be told in the clear: use https, or have --notify-allow list it"),
        (at("https://192.168.0.1/"), "192.168.0.1 is a private address that --notify-allow does not list"),
    ],
)
async def test_a_trigger_that_tells_nobody_is_refused(world: World, trigger: pb.Trigger, why: str) -> None:
    await world.shop()
    no = await refused(give(world, trigger))
    assert (no.code, why in no.message) == (INVALID, True), no.message
    assert no.fields[0].startswith("deployment_group.triggers[0]")


@pytest.mark.parametrize("url", EVERYWHERE)
async def test_an_evil_url_is_refused_and_no_password_quoted(world: World, url: str) -> None:
    await world.shop()
    no = await refused(give(world, at(url)))
    assert (no.code, "password@" in no.message) == (INVALID, False)


async def test_a_listed_server_is_told_even_in_the_clear(world: World) -> None:
    await world.shop()
    assert (await give(world, at("http://10.0.0.7:8080/hook"))).triggers[0].webhook.url == "http://10.0.0.7:8080/hook"


async def test_a_group_has_at_most_ten_triggers_each_with_a_name_of_its_own(world: World) -> None:
    await world.shop()
    many = [pb.Trigger(trigger_name=f"t{number}", trigger_events=EVENTS, webhook=PAGER.webhook) for number in range(11)]
    assert (await refused(give(world, *many))).reason == "TRIGGER_TARGETS_LIMIT_EXCEEDED"
    assert len((await give(world, *many[:10])).triggers) == 10
    assert (await refused(give(world, PAGER, PAGER))).message == "cannot have two triggers pager in one group"


async def test_a_test_says_what_the_target_answered_or_why_nothing_was_sent(world: World) -> None:
    await world.shop()
    await give(world, PAGER)
    answer = await attempt(world, "pager")
    assert (answer.delivered, answer.answer, world.attempts.made) == (True, "200 ok", [("web", "pager")])
    world.attempts.refusal = "nobody listens there"
    answer = await attempt(world, "pager")
    assert (answer.delivered, answer.answer) == (False, "nobody listens there")
    no = await refused(attempt(world, "chat"))
    assert (no.code, no.message) == (NOT_FOUND, "cannot find trigger 'chat' of deployment group web: there are pager")
