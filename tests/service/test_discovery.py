"""Where Prometheus finds the hosts, over HTTP."""

import httpx
import pytest

from coordinator.core.errors import StorageFailed
from coordinator.core.evidence.cohorts import Cohort
from coordinator.core.model import HostId
from coordinator.metrics import Metrics
from coordinator.service.discovery import DiscoveryService, Found, Wanted
from coordinator.web.app import Health, app
from coordinator.web.discovery import Discovery

WELL = Health(serving=True, committed=42, store="ok")
CANARY = Found(HostId("id-1"), "web-1", "10.0.0.1", "shop", "web", "r-2", "d-1", Cohort.CANARY)
IDLE = Found(HostId("id-2"), "web-2.example", "", "", "", "", "", Cohort.REST)


class Remembered:
    """Standings that a test tells."""

    def __init__(self, *found: Found) -> None:
        self.found = found
        self.asked: list[Wanted] = []

    async def standings(self, wanted: Wanted) -> list[Found]:
        self.asked.append(wanted)
        return list(self.found)


class Broken:
    """A store that does not answer."""

    async def standings(self, wanted: Wanted) -> list[Found]:
        raise StorageFailed("cannot read: the disk is gone")


def client(standings: Remembered | Broken, token: str = "") -> httpx.AsyncClient:
    pages = app(Metrics(), lambda: WELL, discovery=Discovery(DiscoveryService(standings), token))
    return httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://coordinator")


async def test_every_host_is_told_with_its_labels() -> None:
    async with client(Remembered(CANARY, IDLE)) as web:
        answer = await web.get("/sd/prometheus")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == [
        {
            "targets": ["10.0.0.1:9100"],
            "labels": {
                "__meta_hookline_application": "shop",
                "__meta_hookline_group": "web",
                "__meta_hookline_revision": "r-2",
                "__meta_hookline_cohort": "canary",
                "__meta_hookline_deployment": "d-1",
                "__meta_hookline_host": "web-1",
                "__meta_hookline_host_id": "id-1",
            },
        },
        {
            "targets": ["web-2.example:9100"],
            "labels": {"__meta_hookline_cohort": "rest", "__meta_hookline_host": "web-2.example", "__meta_hookline_host_id": "id-2"},
        },
    ]


@pytest.mark.parametrize(
    "address, target",
    [
        ("10.0.0.1", "10.0.0.1:80"),
        ("fd00::1", "[fd00::1]:80"),
        ("web-1.example", "web-1.example:80"),
        ("10.0.0.1:22", "web-1:80"),
        ("evil/path", "web-1:80"),
        ("a b", "web-1:80"),
    ],
)
async def test_what_is_no_address_is_not_believed(address: str, target: str) -> None:
    async with client(Remembered(CANARY._replace(address=address))) as web:
        assert (await web.get("/sd/prometheus?port=80")).json()[0]["targets"] == [target]


async def test_hosts_are_asked_for_by_application_and_group() -> None:
    standings = Remembered()
    async with client(standings) as web:
        for query in ("", "?application=shop", "?application=shop&group=web&port=9200"):
            assert (await web.get(f"/sd/prometheus{query}")).json() == []
    assert standings.asked == [Wanted(), Wanted("shop"), Wanted("shop", "web")]


@pytest.mark.parametrize(
    "query, says",
    [
        ("port=0", "port '0'"),
        ("port=99999", "it has to be 1 to 65535"),
        ("port=http", "it has to be 1 to 65535"),
        ("group=web", "name its application too"),
        ("application=%00", "as application"),
        ("grup=web", "say port, application or group"),
    ],
)
async def test_what_cannot_be_understood_is_refused_with_a_sentence(query: str, says: str) -> None:
    async with client(Remembered(CANARY)) as web:
        answer = await web.get(f"/sd/prometheus?{query}")
    assert answer.status_code == 400
    assert says in answer.json()["error"]


async def test_it_is_for_those_who_show_the_token_of_the_metrics() -> None:
    async with client(Remembered(CANARY), token="let-me-see") as web:
        shown = [await web.get("/sd/prometheus", headers=headers) for headers in ({}, {"Authorization": "Bearer let-me-see"})]
    assert [answer.status_code for answer in shown] == [401, 200]
    assert "--metrics-token-file" in shown[0].json()["error"]


async def test_a_store_that_does_not_answer_leaves_prometheus_with_what_it_knows() -> None:
    async with client(Broken()) as web:
        answer = await web.get("/sd/prometheus")
    assert (answer.status_code, answer.json()["error"]) == (503, "cannot read: the disk is gone")
