"""What is counted can be read, under the names that Prometheus expects."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from coordinator.metrics import NAMED_AT_MOST, OTHERS, LoopLag, Metrics

ROOT = Path(__file__).parents[2]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_tally_is_shown_as_it_is() -> None:
    metrics = Metrics()
    metrics.tally.agents_connected = 7
    metrics.tally.connects["accepted"] += 9
    metrics.tally.received["reports"] += 3
    metrics.tally.sent["instruction"] += 2
    assert value(metrics, "hookline_agents_connected") == 7
    assert value(metrics, "hookline_agent_connects_total", result="accepted") == 9
    assert value(metrics, "hookline_agent_connects_total", result="refused") == 0
    assert value(metrics, "hookline_stream_messages_total", direction="received", kind="reports") == 3
    assert value(metrics, "hookline_stream_messages_total", direction="sent", kind="instruction") == 2
    assert value(metrics, "hookline_stream_messages_total", direction="received", kind="heartbeat") == 0


def test_deployments_are_counted_without_a_name_unless_the_operator_wants_them() -> None:
    metrics = Metrics()
    metrics.deployment_started("secret-shop", "secret-web")
    metrics.deployment_resumed("secret-shop", "secret-web")
    metrics.deployment_finished("secret-shop", "secret-web", "failed")
    assert value(metrics, "hookline_deployments_started_total") == 1
    assert value(metrics, "hookline_deployments_in_progress") == 1
    assert value(metrics, "hookline_deployments_finished_total", outcome="failed") == 1
    assert value(metrics, "hookline_deployments_finished_total", outcome="succeeded") == 0
    assert b"secret" not in metrics.exposition("")[0]


def test_groups_beyond_the_limit_are_counted_together() -> None:
    metrics = Metrics(names=True)
    for number in range(NAMED_AT_MOST + 50):
        metrics.deployment_started("shop", f"g{number}")
        metrics.deployment_started("shop", f"g{number}")
    for number in range(NAMED_AT_MOST + 50):
        metrics.deployment_finished("shop", f"g{number}", "succeeded")
    assert value(metrics, "hookline_deployments_started_total", application="shop", group="g0") == 2
    assert value(metrics, "hookline_deployments_started_total", application=OTHERS, group=OTHERS) == 100
    assert value(metrics, "hookline_deployments_in_progress", application=OTHERS, group=OTHERS) == 50
    families = {family.name: family for family in metrics.registry.collect()}
    started = [one for one in families["hookline_deployments_started"].samples if one.name.endswith("_total")]
    assert len(started) == NAMED_AT_MOST + 1


def test_deployments_are_counted_from_their_start_to_their_end() -> None:
    metrics = Metrics(names=True)
    where = {"application": "shop", "group": "web"}
    metrics.deployment_started("shop", "web")
    assert value(metrics, "hookline_deployments_started_total", **where) == 1
    assert value(metrics, "hookline_deployments_in_progress", **where) == 1
    assert value(metrics, "hookline_deployments_finished_total", outcome="failed", **where) == 0
    metrics.deployment_finished("shop", "web", "succeeded")
    assert value(metrics, "hookline_deployments_in_progress", **where) == 0
    assert value(metrics, "hookline_deployments_finished_total", outcome="succeeded", **where) == 1


def test_commits_calls_and_the_inbox_are_measured() -> None:
    metrics = Metrics()
    metrics.committed(0.004, 120)
    metrics.call_ended("s", "m", "OK", 0.2)
    metrics.call_ended("s", "w", "OK", None)
    metrics.watch_inbox(lambda: 5)
    metrics.watch_bundles(lambda: (3, 4_000))
    assert value(metrics, "hookline_commit_duration_seconds_sum") == 0.004
    assert value(metrics, "hookline_commit_rows_sum") == 120
    assert value(metrics, "grpc_server_handled_total", grpc_service="s", grpc_method="m", grpc_code="OK") == 1
    assert value(metrics, "grpc_server_handling_seconds_count", grpc_service="s", grpc_method="m") == 1
    assert value(metrics, "grpc_server_handling_seconds_count", grpc_service="s", grpc_method="w") is None
    assert value(metrics, "hookline_inbox_length") == 5
    assert value(metrics, "hookline_bundles") == 3
    assert value(metrics, "hookline_bundle_bytes") == 4_000


def test_everything_is_exposed_with_a_help_text_and_without_ids() -> None:
    metrics = Metrics()
    metrics.call_ended("s", "m", "OK", 0.2)
    body, content_type = metrics.exposition("")
    assert content_type.startswith("text/plain")
    families = list(text_string_to_metric_families(body.decode()))
    assert all(family.documentation for family in families)
    names = {family.name for family in families}
    assert {"hookline_build_info", "hookline_agents_connected", "hookline_event_loop_lag_seconds", "grpc_server_handled"} <= names
    banned = {"application", "group", "deployment", "host", "revision", "operator", "address"}
    assert not banned & {label for family in families for one in family.samples for label in one.labels}


def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    body, content_type = Metrics().exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


async def test_a_late_timer_is_measured() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics)
    lag.start()
    lag.stop()
    loop = asyncio.get_running_loop()
    lag._tick(loop, loop.time() - 0.3)
    lag.stop()
    assert value(metrics, "hookline_event_loop_lag_seconds_count") == 1
    assert (value(metrics, "hookline_event_loop_lag_seconds_sum") or 0) >= 0.3


def test_the_table_of_metrics_is_as_they_are() -> None:
    ended = subprocess.run((sys.executable, ROOT / "scripts" / "gen-metrics", "--check"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_shipped_rules_ask_for_metrics_that_there_are() -> None:
    table = (ROOT / "deploy" / "README.md").read_text()
    there = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    asked = {
        name.removesuffix("_bucket")
        for name in re.findall(r"(?<!:)\b(?:hookline|grpc)_\w+", "\n".join(re.findall(r"expr: .*(?:\n {10,}.*)*", rules)))
    }
    assert asked
    assert asked <= there
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"| `{alert}` |" in table, f"nobody says what to do when {alert} fires"
