"""Alertmanager's word: what its webhook accepts, what counts once, and what outlives a restart."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import httpx
import pytest

from coordinator.core.errors import Limit, StorageFailed
from coordinator.core.model import AlarmStatus, AlertmanagerAlert
from coordinator.metrics import Metrics
from coordinator.service.alarms.alerts import ALERTS_AT_MOST, FORGOTTEN_AFTER, Alert, AlertService
from coordinator.web.alertmanager import OCTETS_AT_MOST, Webhook
from coordinator.web.app import Health, app
from tests.store.things import NOW, FixedClock

PAGE = AlertmanagerAlert(labels={"severity": "page"})
FIRING = Alert(fingerprint="f1", labels={"alertname": "Down", "severity": "page"}, starts_at="2027-01-15T08:00:00Z")
RESOLVED = replace(FIRING, ended_at=NOW)


@dataclass
class Rows:
    """Alerts in memory."""

    kept: dict[str, Alert] = field(default_factory=dict)
    failure: Exception | None = None

    async def alerts(self) -> list[Alert]:
        return list(self.kept.values())

    async def keep(self, alerts: Sequence[Alert], *, forget_before: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.kept = {name: one for name, one in self.kept.items() if one.ended_at is None or one.ended_at >= forget_before}
        self.kept |= {one.fingerprint: one for one in alerts}


@dataclass
class Desk:
    """The service, and how often it has told that something changed."""

    rows: Rows = field(default_factory=Rows)
    clock: FixedClock = field(default_factory=FixedClock)
    told: int = 0
    at_most: int = ALERTS_AT_MOST

    def __post_init__(self) -> None:
        self.service = AlertService(self.rows, self.clock, self._tell, at_most=self.at_most)

    def _tell(self) -> None:
        self.told += 1


async def test_an_alert_counts_while_it_fires_and_until_a_look_has_seen_that_it_did() -> None:
    desk = Desk()
    assert desk.service.look(PAGE, NOW).status is AlarmStatus.OK
    assert await desk.service.receive([FIRING]) == 1
    seen = desk.service.look(PAGE, NOW)
    assert (seen.status, seen.sample) == (AlarmStatus.ALARM, 'Down is firing {alertname="Down", severity="page"}')
    assert await desk.service.receive([RESOLVED]) == 1
    assert desk.service.look(PAGE, NOW - 1).sample == 'Down was firing {alertname="Down", severity="page"}'
    assert desk.service.look(PAGE, NOW + 1).status is AlarmStatus.OK


async def test_every_label_has_to_be_there() -> None:
    desk = Desk()
    await desk.service.receive([FIRING])
    for labels in ({"severity": "warn"}, {"severity": "page", "job": "shop"}):
        assert desk.service.look(AlertmanagerAlert(labels=labels), NOW).status is AlarmStatus.OK


async def test_what_is_told_again_or_late_is_no_news() -> None:
    desk = Desk()
    await desk.service.receive([FIRING])
    assert await desk.service.receive([FIRING]) == 0
    await desk.service.receive([RESOLVED])
    assert await desk.service.receive([RESOLVED]) == 0
    assert await desk.service.receive([FIRING]) == 0, "it was told before its end, and comes after it"
    again = replace(FIRING, starts_at="2027-01-15T09:00:00Z")
    assert await desk.service.receive([again]) == 1
    assert await desk.service.receive([RESOLVED]) == 0, "the end of the time before"
    assert desk.service.look(PAGE, NOW + 1).status is AlarmStatus.ALARM
    assert await desk.service.receive([replace(RESOLVED, fingerprint="f2")]) == 0, "nobody has heard of its begin"
    assert desk.told == 3


async def test_a_restart_forgets_nothing() -> None:
    desk = Desk()
    await desk.service.receive([FIRING])
    back = Desk(desk.rows)
    await back.service.start()
    assert back.service.look(PAGE, NOW).status is AlarmStatus.ALARM
    assert await back.service.receive([FIRING]) == 0


async def test_what_cannot_be_stored_is_not_believed() -> None:
    desk = Desk(Rows(failure=StorageFailed("cannot write")))
    with pytest.raises(StorageFailed):
        await desk.service.receive([FIRING])
    assert desk.service.look(PAGE, NOW).status is AlarmStatus.OK
    assert desk.told == 0


async def test_there_is_room_for_so_many_alerts_and_old_ones_make_room() -> None:
    desk = Desk(at_most=2)
    await desk.service.receive([FIRING, replace(FIRING, fingerprint="f2")])
    with pytest.raises(Limit, match="cannot keep more than 2 alerts"):
        await desk.service.receive([replace(FIRING, fingerprint="f3")])
    await desk.service.receive([RESOLVED])
    desk.clock.at += FORGOTTEN_AFTER + 1
    assert await desk.service.receive([replace(FIRING, fingerprint="f3")]) == 1
    assert set(desk.rows.kept) == {"f2", "f3"}


# ------------------------------------------------------------------------------------------------------------- the webhook


def message(*alerts: object) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


def told(**changed: object) -> dict[str, object]:
    alert = {"status": "firing", "labels": dict(FIRING.labels), "annotations": {}, "startsAt": FIRING.starts_at, "fingerprint": "f1"}
    return {**alert, **changed}


@dataclass
class Post:
    """A coordinator's web pages with the webhook, and an Alertmanager."""

    desk: Desk
    client: httpx.AsyncClient
    metrics: Metrics

    async def send(self, body: bytes, token: str = "secret") -> httpx.Response:
        return await self.client.post("/alertmanager", content=body, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    desk, metrics = Desk(), Metrics()
    webhook = Webhook(desk.service.receive, "secret", desk.clock, metrics.alerts_received)
    pages = app(metrics, lambda: Health(serving=True, committed=1, store="ok"), webhook)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://coordinator") as client:
        yield Post(desk, client, metrics)


async def test_alerts_are_received(post: Post) -> None:
    other = told(fingerprint="f2", labels={"alertname": "Slow"})
    answer = await post.send(message(told(), other, told(fingerprint="f3", status="resolved")))
    assert (answer.status_code, answer.json()) == (200, {"received": 3, "new": 2})
    assert post.desk.rows.kept == {"f1": FIRING, "f2": replace(FIRING, fingerprint="f2", labels={"alertname": "Slow"})}
    assert post.metrics.registry.get_sample_value("hookline_alarm_webhooks_total", {"result": "accepted"}) == 1


@pytest.mark.parametrize(
    "header", [None, "Bearer other", "Bearer secrets", "bearer secret", "Basic secret", "secret", "Bearer s\u00e9cret"]
)
async def test_who_does_not_show_the_token_is_not_heard(post: Post, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("utf-8")}
    answer = await post.client.post("/alertmanager", content=message(told()), headers=headers)  # type: ignore[arg-type]  # bytes are headers too
    assert answer.status_code == 401
    assert post.desk.rows.kept == {}
    assert post.metrics.registry.get_sample_value("hookline_alarm_webhooks_total", {"result": "refused"}) == 1


@pytest.mark.parametrize(
    "body, why",
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "not a message of Alertmanager's webhook"),
        (b'{"version": "3", "alerts": []}', "not a message of Alertmanager's webhook"),
        (message(7), "labels must be a map"),
        (message(told(labels={})), "labels must be a map"),
        (message(told(labels={str(number): "" for number in range(101)})), "1 to 100 names"),
        (message(told(labels={"a": 1})), "must be texts"),
        (message(told(labels={"a": "x" * 1_001})), "at most 1000 characters"),
        (message(told(status="maybe")), "status must be firing or resolved"),
        (message(told(fingerprint="")), "fingerprint, startsAt"),
        (message(told(startsAt=None)), "fingerprint, startsAt"),
        (message(told(), told(fingerprint=7)), "fingerprint, startsAt"),
        (b" " * (OCTETS_AT_MOST + 1), "set max_alerts in Alertmanager's webhook_configs"),
    ],
)
async def test_what_alertmanager_would_not_say_is_refused_and_nothing_of_it_is_kept(post: Post, body: bytes, why: str) -> None:
    answer = await post.send(body)
    assert answer.status_code == 400
    assert why in answer.json()["error"]
    assert post.desk.rows.kept == {}


async def test_a_disk_that_is_full_makes_alertmanager_try_again(post: Post) -> None:
    post.desk.rows.failure = StorageFailed("cannot write the history: the disk is full")
    answer = await post.send(message(told()))
    assert (answer.status_code, answer.json()) == (503, {"error": "cannot write the history: the disk is full"})


async def test_without_a_token_there_is_no_webhook() -> None:
    pages = app(Metrics(), lambda: Health(serving=True, committed=1, store="ok"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://coordinator") as client:
        assert (await client.post("/alertmanager", content=message(told()))).status_code == 404
