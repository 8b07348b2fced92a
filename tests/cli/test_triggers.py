"""Triggers on the command line: what is asked of the coordinator, and what is shown."""

import json

import pytest

from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import triggers_pb2 as pb
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator

WHERE = ("shop", "web")
PAGER = pb.Trigger(
    trigger_name="pager",
    trigger_events=[pb.TRIGGER_EVENT_DEPLOYMENT_FAILURE],
    webhook=pb.Webhook(url="https://hooks.example.org/x", signing_secret="shop-hook"),
)
CHAT = pb.Trigger(trigger_name="chat", trigger_events=[pb.TRIGGER_EVENT_INSTANCE_START], slack=pb.SlackWebhook(url_secret="shop-slack"))


def grouped(*triggers: pb.Trigger, etag: str = "") -> catalog.DeploymentGroup:
    return catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", triggers=triggers, etag=etag)


def given(coordinator: FakeCoordinator, *triggers: pb.Trigger) -> None:
    coordinator.groups["shop", "web"] = grouped(*triggers)


def kept(coordinator: FakeCoordinator) -> list[pb.Trigger]:
    (request,) = coordinator.requests("UpdateDeploymentGroup")
    assert (list(request.update_mask.paths), len(request.request_id)) == (["triggers"], 36)
    return list(request.deployment_group.triggers)


def test_a_trigger_is_set_beside_the_others(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator, CHAT)
    said = operator.types(
        "trigger", "set", *WHERE, "pager", "--webhook", "https://hooks.example.org/x", "--on", "deploymentfailure", "--sign", "shop-hook"
    )
    assert said.stdout == "trigger pager of shop/web: webhook https://hooks.example.org/x, signed by shop-hook, of DeploymentFailure\n"
    assert "Next: hookline trigger test shop web pager" in said.stderr
    assert kept(coordinator) == [CHAT, PAGER]


def test_a_trigger_that_is_there_is_changed_in_its_place(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator, PAGER, CHAT)
    assert operator.types("trigger", "set", *WHERE, "pager", "--slack", "secret:other", "--on", "instances").exit_code == 0
    changed, other = kept(coordinator)
    assert (changed.slack.url_secret, list(changed.trigger_events), other) == ("other", [6, 7, 8], CHAT)


def test_what_another_operator_has_set_meanwhile_stays(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator)
    coordinator.overtaking = [grouped(CHAT, etag="newer")]
    assert operator.types("trigger", "set", *WHERE, "pager", "--webhook", "https://hooks.example.org/x").exit_code == 0
    first, second = coordinator.requests("UpdateDeploymentGroup")
    assert [one.trigger_name for one in first.deployment_group.triggers] == ["pager"]
    assert [one.trigger_name for one in second.deployment_group.triggers] == ["chat", "pager"]
    assert (second.deployment_group.etag, first.request_id == second.request_id) == ("newer", False)


def test_who_is_overtaken_again_and_again_is_told(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator, PAGER)
    coordinator.overtaking = [grouped(PAGER)] * 5
    said = operator.types("trigger", "remove", *WHERE, "pager")
    assert (said.exit_code, "somebody has changed it" in said.stderr) == (1, True)
    assert len(coordinator.requests("UpdateDeploymentGroup")) == 5


def test_without_a_word_on_events_it_is_told_of_deployments(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator)
    assert operator.types("trigger", "set", *WHERE, "chat", "--slack", "https://hooks.slack.com/services/T/B/x").exit_code == 0
    assert list(kept(coordinator)[0].trigger_events) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "typed, why",
    [
        ((), "say one of --webhook and --slack"),
        (("--webhook", "https://a.example", "--slack", "https://b.example"), "say one of --webhook and --slack"),
        (("--slack", "https://a.example", "--sign", "x"), "cannot sign for Slack"),
        (("--webhook", "https://a.example", "--on", "DeploymentReady"), "it is of blue/green deployments, and there are none here"),
        (("--webhook", "https://a.example", "--on", "instanceready"), "it is of blue/green deployments, and there are none here"),
        (("--webhook", "https://a.example", "--on", "Nothing"), "'Nothing' is none of DeploymentStart, DeploymentSuccess"),
    ],
)
def test_what_makes_no_trigger_is_a_usage_error(operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], why: str) -> None:
    given(coordinator)
    said = operator.types("trigger", "set", *WHERE, "pager", *typed)
    assert (said.exit_code, why in " ".join(said.stderr.split())) == (2, True), said.stderr
    assert not coordinator.requests("UpdateDeploymentGroup")


def test_triggers_are_listed_and_shown_with_their_group(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator, PAGER, CHAT)
    listed = operator.types("trigger", "list", *WHERE).stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["pager", "webhook", "https://hooks.example.org/x", "shop-hook", "DeploymentFailure"],
        ["chat", "slack", "secret:shop-slack", "-", "InstanceStart"],
    ]
    shown = operator.types("group", "show", *WHERE).stdout
    assert "webhook https://hooks.example.org/x, signed by shop-hook, of DeploymentFailure" in " ".join(shown.split())
    assert "tells chat" in shown
    as_json = json.loads(operator.types("group", "show", *WHERE, "--output", "json").stdout)
    assert as_json["triggers"][1] == {
        "trigger_name": "chat",
        "trigger_events": ["InstanceStart"],
        "slack": {"url": "", "url_secret": "shop-slack"},
    }


def test_a_group_that_tells_nobody_says_how_to(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator)
    assert "hookline trigger set shop web NAME --webhook URL" in operator.types("trigger", "list", *WHERE).stderr


def test_a_trigger_is_removed(operator: Operator, coordinator: FakeCoordinator) -> None:
    given(coordinator, PAGER, CHAT)
    assert operator.types("trigger", "remove", *WHERE, "pager").stdout == "trigger pager of shop/web is removed\n"
    assert kept(coordinator) == [CHAT]
    assert operator.types("trigger", "remove", *WHERE, "nobody").exit_code == 2


def test_a_test_shows_the_answer_and_fails_when_it_was_not_taken(operator: Operator, coordinator: FakeCoordinator) -> None:
    said = operator.types("trigger", "test", *WHERE, "pager")
    assert (said.exit_code, said.stdout) == (0, "taken in 0 ms: it answered 200: ok\n")
    coordinator.attempt = pb.TestTriggerResponse(answer="it answered 500: \x1b[31moops")
    said = operator.types("trigger", "test", *WHERE, "pager")
    assert said.exit_code == 1
    assert said.stdout.startswith("not taken in 0 ms: it answered 500: ")
    assert "\x1b" not in said.stdout
