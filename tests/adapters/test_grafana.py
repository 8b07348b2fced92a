"""What Grafana is asked, and everything that can be wrong with its answers."""

import json
from collections.abc import Callable

import httpx
import pytest

from coordinator.adapters.notifications.grafana import OCTETS_AT_MOST, Grafana
from coordinator.service.notifications.annotations import Region
from coordinator.service.notifications.ports import Unsent

REGION = Region(number=0, begin=1_000, end=2_000, tags=("hookline", "app:shop"), text="d-1")
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """A Grafana that answers as a test says."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[httpx.Request] = []

        def answered(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return answer(request)

        headers = {"authorization": "Bearer t"}
        client = httpx.AsyncClient(transport=httpx.MockTransport(answered), base_url="http://grafana:3000/sub/", headers=headers)
        self.grafana = Grafana(client)


async def test_regions_are_found_by_all_their_tags() -> None:
    found = {"id": 7, "time": 1_000, "timeEnd": 2_000, "tags": ["hookline", "app:shop"], "text": "d-1", "login": "x"}
    server = Server(lambda _: httpx.Response(200, json=[found]))
    assert await server.grafana.find(("hookline", "deployment:d-1")) == [REGION._replace(number=7)]
    (request,) = server.requests
    assert (request.method, request.url.path) == ("GET", "/sub/api/annotations")
    assert request.url.params.multi_items() == [
        *(("type", "annotation"), ("limit", "100")),
        *(("tags", "hookline"), ("tags", "deployment:d-1")),
    ]
    assert request.headers["authorization"] == "Bearer t"


async def test_a_new_region_is_posted_and_one_that_is_there_is_patched() -> None:
    server = Server(lambda _: httpx.Response(200, json={"message": "Annotation added", "id": 7}))
    await server.grafana.write(REGION)
    await server.grafana.write(REGION._replace(number=7))
    assert [(request.method, request.url.path) for request in server.requests] == [
        ("POST", "/sub/api/annotations"),
        ("PATCH", "/sub/api/annotations/7"),
    ]
    said = {"time": 1_000, "timeEnd": 2_000, "tags": ["hookline", "app:shop"], "text": "d-1"}
    assert [json.loads(request.content) for request in server.requests] == [said, said]


def _broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused")


@pytest.mark.parametrize(
    "answer, why",
    [
        (_broken, "cannot ask Grafana: Connection refused"),
        (
            lambda _: httpx.Response(403, json={"message": "You'll need additional permissions"}),
            "it answered 403: .*additional permissions",
        ),
        (lambda _: httpx.Response(302, headers={"location": "/login"}), "it answered 302"),
        (lambda _: httpx.Response(200, text="<html>"), "what answers is no Grafana: status 200 without JSON"),
        (lambda _: httpx.Response(200, json=[{"id": "x"}]), "what answers is no Grafana: its annotations are others"),
        (lambda _: httpx.Response(200, json=7), "what answers is no Grafana: its annotations are others"),
        (lambda _: httpx.Response(200, content=b" " * (OCTETS_AT_MOST + 1)), "Grafana answers with more than 1024 KiB"),
    ],
)
async def test_what_is_no_answer_is_told(answer: Answer, why: str) -> None:
    with pytest.raises(Unsent, match=why):
        await Server(answer).grafana.find(("hookline",))
