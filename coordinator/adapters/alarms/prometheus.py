"""Asks Prometheus by its HTTP API (api/v1). Whatever is not a whole answer is no answer: a look then has brought nothing.

No redirect is followed and no environment's proxy used: the address that the operator has named is the one that is asked.
"""

import asyncio
import datetime
import email.utils
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import httpx

from coordinator.core.alarms import Series, Window, judge, spelt
from coordinator.core.evidence import verdicts
from coordinator.core.model import Alarm, AlarmStatus, Expression, Measurement, PrometheusAlert, Seen

PATIENCE: Final = 10.0
"""Seconds that an answer may take."""

OCTETS_AT_MOST: Final = 8 << 20
SERIES_AT_MOST: Final = 1_000
STEPS_AT_MOST: Final = 5_000
"""Prometheus itself answers with 11,000 at most."""

STALE_AFTER: Final = 60_000
"""Milliseconds after which a rule counts as not evaluated any more, unless three of its intervals are longer."""

SKEW_AT_MOST: Final = 10_000
"""Milliseconds by which the clocks of Prometheus and the coordinator may differ. What is asked for a time that is not Prometheus's own
is empty or out of date, and it does not say so."""


class Unanswered(Exception):
    """There is no answer, and why."""


class Misread(Unanswered):
    """Prometheus does not understand the question, and says where."""


class Prometheus:
    """One Prometheus, or whatever speaks its API."""

    def __init__(self, client: httpx.AsyncClient, patience: float = PATIENCE) -> None:
        """`client` has the address for its base; use `at`. A whole answer may take `patience` seconds."""
        self._client = client
        self._patience = patience

    @classmethod
    def at(cls, url: str, token: str = "", patience: float = PATIENCE) -> Self:
        """The one at an http or https address, asked with a bearer token if there is one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
        return cls(httpx.AsyncClient(base_url=url, headers=headers, timeout=patience, limits=limits, trust_env=False), patience)

    async def close(self) -> None:
        """Ask no more."""
        await self._client.aclose()

    async def look(self, alarm: Alarm, source: Expression | PrometheusAlert, *, since: int, now: int) -> Seen:
        """What is known of an alarm, and of it since a time. Raises Unanswered."""
        if isinstance(source, Expression):
            span = now - since + source.hold
            window = Window(since, now, max(alarm.interval, span // STEPS_AT_MOST))
            return judge(alarm, source, await self._range(source.expression, window, span), window)
        return await self._alert(source, Window(since, now, max(alarm.interval, (now - since) // STEPS_AT_MOST)))

    async def parse(self, expression: str, *, now: int) -> None:
        """Raises Misread when Prometheus cannot read an expression; Unanswered."""
        await self._ask("POST", "query", {"query": expression, "time": f"{now / 1000:.3f}"}, now)

    async def measure(self, measurement: Measurement, *, now: int) -> Seen:
        """One value, as it is now. Raises Unanswered."""
        window = Window(now, now, measurement.interval)
        return verdicts.measured(measurement, await self._range(measurement.expression, window, 0))

    async def _alert(self, source: PrometheusAlert, window: Window) -> Seen:
        """A rule counts while Prometheus has it, can evaluate it and does so."""
        rules = [
            (group, rule)
            for group in _maps(_map(await self._ask("GET", "rules", {"type": "alert"}, window.now)).get("groups"))
            for rule in _maps(group.get("rules"))
            if rule.get("name") == source.alert_name and rule.get("type") == "alerting"
        ]
        if not rules:
            return Seen(AlarmStatus.UNKNOWN, f"Prometheus has no alerting rule {source.alert_name}")
        for group, rule in rules:
            firing = [alert for alert in _maps(rule.get("alerts")) if alert.get("state") == "firing" and _has(alert, source.labels)]
            if firing:
                return Seen(AlarmStatus.ALARM, f"{source.alert_name} is firing {spelt(_map(firing[0].get('labels')))}")
            if rule.get("health") != "ok":
                return Seen(AlarmStatus.UNKNOWN, f"Prometheus cannot evaluate {source.alert_name}: {rule.get('lastError') or 'not yet'}")
            if window.now - _time(rule.get("lastEvaluation")) > max(STALE_AFTER, 3_000 * _number(group.get("interval"))):
                return Seen(AlarmStatus.UNKNOWN, f"Prometheus has not evaluated {source.alert_name} since {rule.get('lastEvaluation')}")
        matchers = {"alertname": source.alert_name, "alertstate": "firing", **source.labels}
        selector = ",".join(f"{name}={json.dumps(value)}" for name, value in matchers.items())
        for series in await self._range(f"ALERTS{{{selector}}}", window, window.now - window.since):
            if any(at >= window.since for at, _ in series.samples):
                return Seen(AlarmStatus.ALARM, f"{source.alert_name} was firing meanwhile {spelt(series.labels)}")
        return Seen(AlarmStatus.OK, f"{source.alert_name} is not firing")

    async def _range(self, expression: str, window: Window, span: int) -> list[Series]:
        """What an expression says at every step, the last of which is now."""
        first = window.now - math.ceil(span / window.step) * window.step
        times = {"start": first / 1000, "end": window.now / 1000, "step": window.step / 1000}
        asked = {"query": expression, **{name: f"{seconds:.3f}" for name, seconds in times.items()}}
        answer = _map(await self._ask("POST", "query_range", asked, window.now))
        if answer.get("resultType") != "matrix":
            raise Unanswered("the expression is neither a vector nor a scalar: it has no value at a time")
        result = _maps(answer.get("result"))
        if len(result) > SERIES_AT_MOST:
            raise Unanswered(f"the expression has {len(result)} series, more than {SERIES_AT_MOST}: aggregate it")
        return [Series(_map(one.get("metric")), [_sample(pair) for pair in _list(one.get("values"))]) for one in result]

    async def _ask(self, verb: str, path: str, asked: Mapping[str, str], now: int) -> object:
        """The data of an answer. Raises Unanswered."""
        by = {"params": asked} if verb == "GET" else {"data": asked}
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._patience), self._client.stream(verb, f"/api/v1/{path}", **by) as response:  # type: ignore[arg-type]  # one of the two
                _agree(response.headers.get("date", ""), now + round((loop.time() - began) * 1000))
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > OCTETS_AT_MOST:
                        raise Unanswered(f"Prometheus answers with more than {OCTETS_AT_MOST >> 20} MiB: aggregate the expression")
        except TimeoutError:
            raise Unanswered(f"cannot ask Prometheus: no answer within {self._patience:g} s") from None
        except httpx.HTTPError as error:
            raise Unanswered(f"cannot ask Prometheus: {str(error) or type(error).__name__}") from error
        return _answer(response.status_code, bytes(body))


def _agree(date: str, now: int) -> None:
    """Raises Unanswered when what answers has another time than the coordinator, by its Date; without one nobody can tell."""
    try:
        ahead = round(email.utils.parsedate_to_datetime(date).timestamp() * 1000) - now
    except (ValueError, OverflowError):
        return
    if abs(ahead) > SKEW_AT_MOST:
        word = "ahead of" if ahead > 0 else "behind"
        raise Unanswered(f"cannot ask Prometheus: its clock is {abs(ahead) // 1000} s {word} the coordinator's; set them alike")


def _answer(status: int, body: bytes) -> object:
    """The data of a whole answer. One with warnings is not whole: a part of what was asked did not answer."""
    try:
        said = _map(json.loads(body))
    except (ValueError, RecursionError):
        raise Unanswered(f"what answers is no Prometheus: status {status} without JSON") from None
    if said.get("status") != "success":
        why = Misread if said.get("errorType") == "bad_data" else Unanswered
        raise why(f"Prometheus answers {status}: {str(said.get('error') or 'no reason')[:300]}")
    if said.get("warnings"):
        raise Unanswered(f"Prometheus answers in part: {str(said['warnings'])[:300]}")
    return said.get("data")


def _map(value: object) -> dict[str, Any]:  # JSON
    if not isinstance(value, dict):
        raise Unanswered("what answers is no Prometheus: its JSON is another")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Unanswered("what answers is no Prometheus: its JSON is another")
    return value


def _maps(value: object) -> Sequence[dict[str, Any]]:
    return [_map(one) for one in _list(value)]


def _sample(pair: Any) -> tuple[int, float]:  # JSON
    try:
        at, value = pair
        return round(float(at) * 1000), float(value)
    except (TypeError, ValueError, OverflowError):
        raise Unanswered("what answers is no Prometheus: a sample is not a time and a number") from None


def _time(text: object) -> int:
    try:
        return round(datetime.datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return 0


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _has(alert: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    found = _map(alert.get("labels"))
    return all(found.get(name) == value for name, value in labels.items())
