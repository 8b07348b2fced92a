"""What is said over HTTP."""

import asyncio
import signal
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from coordinator.metrics import Metrics
from coordinator.web.app import HEADERS, Health, app
from coordinator.web.server import HttpServer

WELL = Health(serving=True, committed=42, store="ok")
TOKEN = {"Authorization": "Bearer let-me-see"}
FULL = Health(serving=False, committed=42, store="cannot write: the disk is full")


def client(health: Health) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app(Metrics(), lambda: health)), base_url="http://coordinator")


async def test_health_is_told() -> None:
    async with client(WELL) as web:
        answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "serving", "committed": 42, "store": "ok"})


async def test_a_store_that_cannot_write_is_told() -> None:
    async with client(FULL) as web:
        answer = await web.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not serving", "committed": 42, "store": "cannot write: the disk is full"}


async def test_metrics_are_told_without_a_redirect() -> None:
    async with client(WELL) as web:
        answer = await web.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "hookline_agents_connected 0.0" in answer.text


@pytest.mark.parametrize("path, status", [("/healthz", 200), ("/metrics", 200), ("/nothing", 404)])
async def test_every_answer_has_the_security_headers(path: str, status: int) -> None:
    async with client(WELL) as web:
        answer = await web.get(path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_serves_on_a_free_port_until_it_is_stopped_and_leaves_signals_alone(host: str) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = HttpServer(app(Metrics(), lambda: WELL), host=host, port=0)
    assert server.port > 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        async with httpx.AsyncClient() as web:
            answer = await web.get(f"http://{host}:{server.port}/healthz")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        server.stop()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as web:
            await web.get(f"http://{host}:{server.port}/healthz")


async def test_metrics_are_for_those_who_show_the_token_and_health_for_all() -> None:
    guarded = app(Metrics(), lambda: WELL, metrics_token="let-me-see")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://coordinator") as web:
        answers = [await web.get("/metrics", headers=headers) for headers in ({}, {"Authorization": "Bearer let-me-seE"}, TOKEN)]
        assert [answer.status_code for answer in answers] == [401, 401, 200]
        assert "show the token of --metrics-token-file" in answers[0].json()["error"]
        assert (await web.get("/healthz")).status_code == 200


async def test_over_tls_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "pki", SystemClock(), names=("localhost", "127.0.0.1"))
    server = HttpServer(app(Metrics(), lambda: WELL), host="127.0.0.1", port=0, chain=tmp_path / "pki" / "server.pem")
    authority.renew()
    trust = ssl.create_default_context(cadata=authority.trust.decode())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        shown = []
        for names in (("127.0.0.1",), ("127.0.0.1", "coordinator.example")):
            async with httpx.AsyncClient(verify=trust) as web:
                answer = await web.get(f"https://127.0.0.1:{server.port}/healthz")
                stream = answer.extensions["network_stream"]
                connection = stream.get_extra_info("ssl_object")
                assert (answer.status_code, connection.version()) == (200, "TLSv1.3")
                shown.append(connection.getpeercert()["serialNumber"])
            Authority.open(tmp_path / "pki", SystemClock(), names=names).renew()
            server.show_again()
        server.stop()
    assert len(set(shown)) == 2


def test_a_port_that_is_taken_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        HttpServer(app(Metrics(), lambda: WELL), host="127.0.0.1", port=taken.getsockname()[1])
