"""What a trigger sends, where, and signed with what; what counts as taken."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from coordinator.core.addresses import Forbidden, PrivateServers
from coordinator.core.errors import DeploymentTargetDoesNotExist, InvalidTriggerConfig
from coordinator.core.model import DeploymentId, GroupId, TargetKind, Trigger, TriggerEvent, TriggerTarget
from coordinator.core.orders import Entry
from coordinator.service.notifications import signing
from coordinator.service.notifications.outlets import Refused, Ways
from coordinator.service.notifications.ports import Answer, NoSecrets, Unsent
from coordinator.service.notifications.targets import Targets, checked_triggers
from coordinator.service.records import DeploymentGroup, DeploymentRecord, TargetRecord
from tests.service.test_notification_bodies import DEPLOYMENT, TARGET, notice
from tests.wire.memory import VirtualClock

KEY = b"k" * 32
URL = "https://hooks.example.org/x"
PAGER = Trigger(
    name="pager",
    events=(TriggerEvent.DeploymentFailure, TriggerEvent.DeploymentRollback, TriggerEvent.InstanceFailure),
    target=TriggerTarget(kind=TargetKind.Webhook, url=URL, signing_secret="hook"),
)
CHAT = replace(PAGER, name="chat", target=TriggerTarget(kind=TargetKind.Slack, url_secret="chat"))
GROUP = DeploymentGroup(
    group_id=GroupId("g"),
    application_name="shop",
    name="web",
    tag_filters=(),
    config_name="Gentle",
    auto_rollback=frozenset(),
    created_at=0,
)


class World:
    """The history, the secrets and the way out, as far as they are asked."""

    def __init__(self) -> None:
        self.secrets = {"hook": "whsec_" + base64.b64encode(KEY).decode(), "chat": "https://hooks.slack.example/services/T/B/x"}
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self.answer = Answer(200, "ok", 0)
        self.removed = False
        self.clock = VirtualClock()
        # the history is asked for these two alone
        self.ways = Ways(history=self, targets=Targets(PrivateServers(), self), post=self, clock=self.clock, cluster="blue")  # type: ignore[arg-type]

    async def deployment(self, deployment_id: DeploymentId) -> DeploymentRecord:
        return DEPLOYMENT

    async def target(self, deployment_id: DeploymentId, host: str) -> TargetRecord:
        if self.removed:
            raise DeploymentTargetDoesNotExist("cannot find it")
        return TARGET

    def read(self, name: str) -> str:
        if name not in self.secrets:
            raise Forbidden(f"there is no secret {name}")
        return self.secrets[name]

    def key(self, name: str) -> bytes:
        return signing.key_of(self.read(name))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.sent.append((url, dict(headers), body))
        return self.answer


async def test_a_webhook_is_sent_the_body_signed_as_it_is_sent() -> None:
    world = World()
    assert await world.ways.outlet(PAGER).tell(notice(Entry.Failed))
    ((url, headers, body),) = world.sent
    assert (url, json.loads(body)["status"], headers["ce-type"]) == (URL, "Failed", "hookline.v1.DeploymentFailure")
    assert headers["webhook-id"] == headers["ce-id"]
    assert headers == headers | signing.signed(KEY, headers["ce-id"], body, at=world.clock.now())


async def test_a_later_try_has_the_same_id_and_a_signature_of_its_own() -> None:
    world = World()
    outlet = world.ways.outlet(PAGER)
    await outlet.tell(notice(Entry.Failed))
    world.clock.at += 60_000
    await outlet.tell(notice(Entry.Failed))
    (_, first, _), (_, second, _) = world.sent
    assert (first["ce-id"], int(first["webhook-timestamp"]) + 60) == (second["ce-id"], int(second["webhook-timestamp"]))


async def test_slack_is_sent_messages_to_its_secret_address_without_a_signature() -> None:
    world = World()
    assert await world.ways.outlet(CHAT).tell(notice(Entry.Failed))
    ((url, headers, body),) = world.sent
    assert (url, "webhook-signature" in headers) == (world.secrets["chat"], False)
    assert set(json.loads(body)) == {"text", "blocks"}


async def test_what_is_no_event_is_not_sent() -> None:
    world = World()
    assert not await world.ways.outlet(PAGER).tell(notice(Entry.Created))
    assert world.sent == []


async def test_a_host_that_was_removed_meanwhile_is_told_without_its_events() -> None:
    world = World()
    world.removed = True
    assert await world.ways.outlet(PAGER).tell(notice(Entry.Failed, "web-1"))
    assert json.loads(world.sent[0][2])["lifecycleEvents"] == []


@pytest.mark.parametrize("status", [199, 300, 302, 400, 404, 429, 500])
async def test_only_an_answer_of_2xx_means_that_it_was_taken(status: int) -> None:
    world = World()
    world.answer = Answer(status, "  no\n thanks ", 7_000)
    with pytest.raises(Refused, match=f"it answered {status}: no thanks") as caught:
        await world.ways.outlet(PAGER).tell(notice(Entry.Failed))
    assert caught.value.retry_after == 7_000


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://hooks.example.org/", "https://user:hunter2@example.org/"])
async def test_a_secret_address_is_judged_like_any_other_and_never_quoted(url: str) -> None:
    world = World()
    world.secrets["chat"] = url
    with pytest.raises(Unsent) as caught:
        await world.ways.outlet(CHAT).tell(notice(Entry.Failed))
    assert (world.sent, "hunter2" in str(caught.value)) == ([], False)


async def test_a_secret_that_is_gone_holds_the_message_back() -> None:
    world = World()
    world.secrets.clear()
    with pytest.raises(Unsent, match="there is no secret hook"):
        await world.ways.outlet(PAGER).tell(notice(Entry.Failed))


def test_a_coordinator_that_was_told_of_no_secrets_says_how_to_tell_it() -> None:
    targets = Targets(PrivateServers(), NoSecrets())
    for trigger in (PAGER, CHAT):
        with pytest.raises(InvalidTriggerConfig, match="start the coordinator with --notify-secrets DIR and put a file of that name there"):
            checked_triggers([trigger], targets, field="triggers")


async def test_a_test_is_sent_as_an_event_is() -> None:
    world = World()
    assert await world.ways.attempt(GROUP, PAGER) == "it answered 200: ok"
    assert await world.ways.attempt(GROUP, CHAT) == "it answered 200: ok"
    (_, headers, body), (_, _, chat) = world.sent
    assert headers == headers | signing.signed(KEY, headers["ce-id"], body, at=world.clock.now())
    assert (headers["ce-type"], json.loads(body)["eventTriggerName"]) == ("hookline.v1.Test", "pager")
    assert json.loads(chat) == {"text": "This is a test of trigger chat of shop/web."}
