"""What Prometheus says, and everything that can be wrong with it: unknown is not OK."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from coordinator.adapters.alarms.prometheus import OCTETS_AT_MOST, SERIES_AT_MOST, Misread, Prometheus, Unanswered
from coordinator.core.model import Alarm, AlarmStatus, Comparison, Condition, Expression, Measurement, PrometheusAlert, Seen

NOW = 1_800_000_000_000
SOURCE = Expression(expression='rate(errors{job="a b"}[1m])', comparison=Comparison.GREATER, threshold=0.05, hold=10_000)
ALARM = Alarm(name="HighErrors", source=SOURCE, interval=5_000)
FIRING = PrometheusAlert(alert_name="ShopDown", labels={"job": "shop"})
Answer = Callable[[httpx.Request], httpx.Response]


def asked(request: httpx.Request) -> dict[str, str]:
    return dict(httpx.QueryParams(request.content.decode()))


def matrix(*series: object) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": series}})


def rules(*found: dict[str, Any], interval: float = 15) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"groups": [{"name": "g", "interval": interval, "rules": found}]}})


def rule(state: str = "", health: str = "ok", evaluated: str = "2027-01-15T07:59:50.5Z", **labels: str) -> dict[str, Any]:
    alerts = [{"labels": {"alertname": "ShopDown", **labels}, "state": state}] if state else []
    return {"name": "ShopDown", "type": "alerting", "health": health, "lastError": "", "lastEvaluation": evaluated, "alerts": alerts}


async def look(answer: Answer, alarm: Alarm = ALARM, *, since: int = NOW - 5_000, source: Expression | PrometheusAlert = SOURCE) -> Seen:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prometheus/proxied/") as client:
        return await Prometheus(client).look(alarm, source, since=since, now=NOW)


async def test_an_expression_is_asked_for_all_the_time_since_the_look_before_and_what_it_has_to_hold_for() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        times = [NOW / 1000 - 10, NOW / 1000 - 5, NOW / 1000]
        return matrix({"metric": {"job": "shop"}, "values": [[at, "0.31"] for at in times]})

    assert await look(answer) == Seen(AlarmStatus.ALARM, '0.31 is > 0.05 {job="shop"}')
    (request,) = requests
    assert (request.method, request.url.path) == ("POST", "/proxied/api/v1/query_range")
    assert asked(request) == {"query": SOURCE.expression, "start": "1799999985.000", "end": "1800000000.000", "step": "5.000"}


async def test_a_measurement_is_asked_for_as_it_is_now() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return matrix({"metric": {"host": "web-1"}, "values": [[NOW / 1000, "0.2"]]})

    errors = Measurement(name="0/errors", expression="errors", failure=Condition(Comparison.GREATER, 0.1))
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prometheus") as client:
        assert await Prometheus(client).measure(errors, now=NOW) == Seen(AlarmStatus.ALARM, '0.2 {host="web-1"}')
    (request,) = requests
    assert asked(request) == {"query": "errors", "start": "1800000000.000", "end": "1800000000.000", "step": "30.000"}


async def test_after_a_long_blindness_steps_are_longer_and_no_more_than_prometheus_answers() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        said = asked(request)
        assert (float(said["end"]) - float(said["start"])) / float(said["step"]) < 11_000
        return matrix({"metric": {}, "values": [[float(said["end"]), "0"]]})

    assert (await look(answer, since=NOW - 30 * 24 * 3_600_000)).status is AlarmStatus.OK


@pytest.mark.parametrize("no_data", AlarmStatus)
async def test_an_empty_answer_and_nan_mean_what_the_alarm_says(no_data: AlarmStatus) -> None:
    alarm = replace(ALARM, no_data=no_data)
    assert (await look(lambda _: matrix(), alarm)).status is no_data
    assert (await look(lambda _: matrix({"metric": {}, "values": [[NOW / 1000, "NaN"]]}), alarm)).status is no_data


@pytest.mark.parametrize(
    "answer, why",
    [
        (httpx.Response(500, text="oops"), "what answers is no Prometheus: status 500 without JSON"),
        (httpx.Response(200, html="<html>sign in</html>"), "what answers is no Prometheus: status 200 without JSON"),
        (httpx.Response(302, headers={"Location": "http://elsewhere/"}), "status 302 without JSON"),
        (httpx.Response(200, json=[]), "its JSON is another"),
        (httpx.Response(200, json={"status": "success"}), "its JSON is another"),
        (httpx.Response(400, json={"status": "error", "error": "parse error: unexpected end"}), "answers 400: parse error: unexpected end"),
        (httpx.Response(503, json={"status": "error", "error": "query timed out"}), "answers 503: query timed out"),
        (
            httpx.Response(200, json={"status": "success", "data": {}, "warnings": ["a store is away"]}),
            "answers in part: .*a store is away",
        ),
        (httpx.Response(200, json={"status": "success", "data": {"resultType": "string", "result": []}}), "neither a vector nor a scalar"),
        (matrix({"metric": {}, "values": [["now", "0"]]}), "a sample is not a time and a number"),
        (matrix({"metric": {}, "values": [["inf", "0"]]}), "a sample is not a time and a number"),
        (matrix({"metric": {}, "values": 7}), "its JSON is another"),
        (matrix(*({"metric": {"n": str(n)}, "values": []} for n in range(SERIES_AT_MOST + 1))), "1001 series, more than 1000: aggregate"),
        (httpx.Response(200, content=b" " * (OCTETS_AT_MOST + 1)), "more than 8 MiB: aggregate the expression"),
        (httpx.Response(200, content=b"[" * 100_000), "without JSON"),
    ],
)
async def test_what_is_not_a_whole_answer_is_none(answer: httpx.Response, why: str) -> None:
    with pytest.raises(Unanswered, match=why):
        await look(lambda _: answer)


@pytest.mark.parametrize(
    "status, said, misread",
    [(400, "bad_data", True), (422, "execution", False), (503, "timeout", False), (400, None, False)],
)
async def test_only_an_expression_that_cannot_be_read_is_misread(status: int, said: str | None, misread: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, asked(request)) == ("/api/v1/query", {"query": "rate(", "time": "1800000000.000"})
        return httpx.Response(status, json={"status": "error", "errorType": said, "error": "parse error"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prometheus") as client:
        with pytest.raises(Unanswered, match="parse error") as why:
            await Prometheus(client).parse("rate(", now=NOW)
    assert isinstance(why.value, Misread) is misread


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("connection refused"), httpx.ReadError("reset by peer"), httpx.RemoteProtocolError("hung up")]
)
async def test_a_prometheus_that_is_not_there_or_hangs_up_gives_no_answer(error: httpx.HTTPError) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(Unanswered, match=f"cannot ask Prometheus: {error}"):
        await look(answer)


async def test_one_that_answers_too_slowly_gives_no_answer() -> None:
    class Drops(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Drops()))
    async with httpx.AsyncClient(transport=transport, base_url="http://prometheus") as client:
        with pytest.raises(Unanswered, match="no answer within 0.05 s"):
            await Prometheus(client, patience=0.05).look(ALARM, SOURCE, since=NOW, now=NOW)


# ------------------------------------------------------------------------------------------------- alerts of Prometheus's own


def ruled(found: httpx.Response, fired: httpx.Response | None = None) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/rules"):
            assert request.method == "GET"
            return found
        assert asked(request)["query"] == 'ALERTS{alertname="ShopDown",alertstate="firing",job="shop"}'
        return fired or matrix()

    return answer


@pytest.mark.parametrize(
    "found, status, sample",
    [
        (rule(), AlarmStatus.OK, "ShopDown is not firing"),
        (rule("pending", job="shop"), AlarmStatus.OK, "ShopDown is not firing"),
        (rule("firing", job="other"), AlarmStatus.OK, "ShopDown is not firing"),
        (rule("firing", job="shop"), AlarmStatus.ALARM, 'ShopDown is firing {alertname="ShopDown", job="shop"}'),
        (rule("firing", health="err", job="shop"), AlarmStatus.ALARM, 'ShopDown is firing {alertname="ShopDown", job="shop"}'),
        (rule(health="err"), AlarmStatus.UNKNOWN, "Prometheus cannot evaluate ShopDown: not yet"),
        (rule(health="unknown"), AlarmStatus.UNKNOWN, "Prometheus cannot evaluate ShopDown: not yet"),
        (
            rule(evaluated="2027-01-15T07:58:00Z"),
            AlarmStatus.UNKNOWN,
            "Prometheus has not evaluated ShopDown since 2027-01-15T07:58:00Z",
        ),
        (rule(evaluated="0001-01-01T00:00:00Z"), AlarmStatus.UNKNOWN, "Prometheus has not evaluated ShopDown since 0001-01-01T00:00:00Z"),
        ({**rule(), "name": "Another"}, AlarmStatus.UNKNOWN, "Prometheus has no alerting rule ShopDown"),
        ({**rule(), "type": "recording"}, AlarmStatus.UNKNOWN, "Prometheus has no alerting rule ShopDown"),
    ],
)
async def test_an_alert_counts_while_its_rule_is_there_and_evaluated(found: dict[str, Any], status: AlarmStatus, sample: str) -> None:
    assert await look(ruled(rules(found)), source=FIRING) == Seen(status, sample)


async def test_a_rule_with_a_long_interval_is_not_stale_before_three_of_them() -> None:
    found = rules(rule(evaluated="2027-01-15T07:57:00Z"), interval=120)
    assert (await look(ruled(found), source=FIRING)).status is AlarmStatus.OK


async def test_an_alert_that_fired_since_the_look_before_counts() -> None:
    fired = matrix({"metric": {"job": "shop"}, "values": [[NOW / 1000 - 3, "1"]]})
    assert await look(ruled(rules(rule()), fired), source=FIRING) == Seen(AlarmStatus.ALARM, 'ShopDown was firing meanwhile {job="shop"}')
    before = matrix({"metric": {"job": "shop"}, "values": [[NOW / 1000 - 8, "1"]]})
    assert (await look(ruled(rules(rule()), before), source=FIRING)).status is AlarmStatus.OK


async def test_odd_rules_are_no_answer() -> None:
    for odd in ({"status": "success", "data": {"groups": [7]}}, {"status": "success", "data": {"groups": [{"rules": None}]}}):
        with pytest.raises(Unanswered, match="its JSON is another"):
            await look(lambda _, odd=odd: httpx.Response(200, text=json.dumps(odd)), source=FIRING)  # type: ignore[misc]


async def test_a_token_is_shown_and_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        prometheus = Prometheus.at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token="secret")
        assert (await prometheus.look(ALARM, SOURCE, since=NOW, now=NOW)).status is AlarmStatus.UNKNOWN
        await prometheus.close()
    assert b"authorization: bearer secret" in seen[0].lower()
