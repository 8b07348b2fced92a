"""A real Prometheus and a real Alertmanager say what the coordinator believes they say."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from coordinator.adapters.alarms.prometheus import Prometheus, Unanswered
from coordinator.core.model import Alarm, AlarmStatus, AlertmanagerAlert, Comparison, Expression, PrometheusAlert, Seen
from coordinator.metrics import Metrics
from coordinator.service.alarms.alerts import AlertService
from coordinator.web.alertmanager import Webhook
from coordinator.web.app import Health, app
from coordinator.web.server import HttpServer
from tests.e2e.cluster import SOON, until
from tests.e2e.prometheus import Monitoring, program
from tests.service.test_alerts import Rows
from tests.store.things import FixedClock

ERRORS = Expression(expression="shop_errors_ratio", comparison=Comparison.GREATER, threshold=0.05)
RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
DOWN = PrometheusAlert(alert_name="ShopDown", labels={"severity": "page"})


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    with Monitoring(tmp_path_factory.mktemp("monitoring") / "m") as running:
        yield running


@pytest.fixture
async def prometheus(monitoring: Monitoring) -> AsyncIterator[Prometheus]:
    made = Prometheus.at(monitoring.url)
    yield made
    await made.close()


async def look(prometheus: Prometheus, source: Expression | PrometheusAlert, *, since: int | None = None) -> Seen:
    now = time.time_ns() // 1_000_000
    return await prometheus.look(Alarm(name="A", source=source, interval=1_000), source, since=since or now, now=now)


async def seen(prometheus: Prometheus, source: Expression | PrometheusAlert, status: AlarmStatus) -> Seen:
    """The first look that brings a status: Prometheus scrapes once a second."""
    async with asyncio.timeout(SOON):
        while (found := await look(prometheus, source)).status is not status:
            await asyncio.sleep(0.1)
    return found


async def test_an_alarm_follows_the_application_and_what_is_over_still_counts_for_who_did_not_see_it(
    monitoring: Monitoring, prometheus: Prometheus
) -> None:
    await seen(prometheus, ERRORS, AlarmStatus.OK)
    await seen(prometheus, DOWN, AlarmStatus.OK)
    began = time.time_ns() // 1_000_000
    monitoring.application.errors = 0.9
    found = await seen(prometheus, ERRORS, AlarmStatus.ALARM)
    assert found.sample.startswith('0.9 is > 0.05 {__name__="shop_errors_ratio", instance="')
    found = await seen(prometheus, DOWN, AlarmStatus.ALARM)
    labels = f'alertname="ShopDown", instance="{monitoring.application.address}", job="shop", severity="page"'
    assert found.sample == f"ShopDown is firing {{{labels}}}"
    monitoring.application.errors = 0.0
    await seen(prometheus, ERRORS, AlarmStatus.OK)
    await seen(prometheus, DOWN, AlarmStatus.OK)
    assert (await look(prometheus, ERRORS, since=began)).status is AlarmStatus.ALARM
    assert "was firing meanwhile" in (await look(prometheus, DOWN, since=began)).sample


@pytest.mark.parametrize(
    "expression, why",
    [
        ("rate(shop_errors_ratio", "Prometheus answers 400: .*parse error"),
        ("shop_errors_ratio[5m]", "Prometheus answers 400: "),
        ('"text"', "Prometheus answers 400: "),
    ],
)
async def test_prometheus_refuses_what_is_no_expression(prometheus: Prometheus, expression: str, why: str) -> None:
    with pytest.raises(Unanswered, match=why):
        await look(prometheus, Expression(expression=expression, comparison=Comparison.LESS, threshold=1))


async def test_nothing_nan_and_numbers_are_told_apart(prometheus: Prometheus) -> None:
    for expression, sample in (
        ("no_such_metric", "the expression has no sample at this time"),
        ("0 / 0 * vector(1)", "the expression has only NaN at this time"),
    ):
        found = await look(prometheus, Expression(expression=expression, comparison=Comparison.LESS, threshold=1))
        assert found == Seen(AlarmStatus.UNKNOWN, sample)
    assert (await look(prometheus, Expression(expression="7", comparison=Comparison.LESS, threshold=1))).sample == "7 is not < 1"
    found = await look(prometheus, PrometheusAlert(alert_name="NoSuchAlert"))
    assert found == Seen(AlarmStatus.UNKNOWN, "Prometheus has no alerting rule NoSuchAlert")


async def test_a_prometheus_that_is_gone_gives_no_answer(tmp_path: Path) -> None:
    with Monitoring(tmp_path / "m") as other:
        prometheus = Prometheus.at(other.url)
        until(lambda: other.value("shop_errors_ratio") == "0", "the application is scraped")
        assert (await look(prometheus, ERRORS)).status is AlarmStatus.OK
        other.stop("prometheus")
        with pytest.raises(Unanswered, match="cannot ask Prometheus: "):
            await look(prometheus, ERRORS)
        await prometheus.close()


async def test_alertmanager_calls_the_webhook(tmp_path: Path) -> None:
    metrics, told = Metrics(), asyncio.Event()
    alerts = AlertService(Rows(), FixedClock(), told.set)
    webhook = Webhook(alerts.receive, "secret", FixedClock(), metrics.alerts_received)
    server = HttpServer(app(metrics, lambda: Health(serving=True, committed=1, store="ok"), webhook), host="127.0.0.1", port=0)
    paged = AlertmanagerAlert(labels={"alertname": "ShopDown", "severity": "page"})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        address = f"http://127.0.0.1:{server.port}/alertmanager"
        monitoring = await asyncio.to_thread(Monitoring(tmp_path / "m", webhook=address, token="secret").__enter__)
        try:
            monitoring.application.errors = 0.9
            async with asyncio.timeout(60):
                await told.wait()
            assert alerts.look(paged, FixedClock().now()).status is AlarmStatus.ALARM
            told.clear()
            monitoring.application.errors = 0.0
            async with asyncio.timeout(60):
                await told.wait()
            assert alerts.look(paged, FixedClock().now() + 1).status is AlarmStatus.OK
        finally:
            await asyncio.to_thread(monitoring.__exit__, None, None, None)
            server.stop()


@pytest.mark.parametrize("words", [("check", "rules", "rules.yml"), ("test", "rules", "rules.test.yml")])
def test_the_shipped_rules_are_what_prometheus_takes(words: tuple[str, ...]) -> None:
    ended = subprocess.run((program("promtool"), *words), cwd=RULES, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
