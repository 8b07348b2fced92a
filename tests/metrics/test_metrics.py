"""What is counted can be read, under the names that Prometheus expects, by whom it concerns, and in bounded numbers."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from coordinator.core.lifecycle import DeploymentStatus
from coordinator.core.model import Deployment, Group, HostStatus, RevisionId, Session
from coordinator.core.orders import Changes, Entry, HistoryEntry
from coordinator.metrics import NAMED_AT_MOST, OTHERS, Metrics, Sizes
from coordinator.metrics.exposition import LINES_AT_ONCE, written
from coordinator.metrics.live import VERSIONS_AT_MOST
from tests.metrics.running import running
from tests.store.things import NOW, R1, host, plan

ROOT = Path(__file__).parents[2]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def deployment(number: int, metrics: Metrics) -> Deployment:
    """A deployment to a group of its own has begun."""
    frozen = plan(f"d-{number}", group_name=f"g{number}", require_approval=False)
    made = Deployment(plan=frozen, status=DeploymentStatus.Queued, targets={}, members=frozenset())
    changes = Changes()
    changes.deployments[made.deployment_id] = changes.created[made.deployment_id] = made
    changes.history.append(HistoryEntry(NOW, Entry.Created, "", made.plan.group_id, made.deployment_id))
    metrics.committed.count(changes, {}, at=NOW, elapsed=0)
    return made


class Everything:
    """A sight of many groups and hosts."""

    def __init__(self, deployments: list[Deployment], sessions: list[Session]) -> None:
        self.groups = [Group(group_id=one.plan.group_id, deployment=one) for one in deployments]
        self.sessions = sessions
        self.parked, self.waiting = 1, 2


class Small:
    """A store."""

    def sizes(self) -> Sizes:
        return Sizes(1_000, 200, 9_000, None)

    def time(self, told: Callable[[str, float], None]) -> None:
        told("read", 0.5)


def test_the_tally_is_shown_as_it_is() -> None:
    metrics = Metrics()
    tally = metrics.tally
    tally.agents_connected = 7
    tally.connects["accepted"] += 9
    tally.disconnects["silent"] += 2
    tally.received["reports"] += 3
    tally.received_bytes["reports"] += 300
    tally.sent["instruction"] += 2
    tally.log_bytes += 11
    for frames in (1, 3, 300):
        tally.queued.add(frames)
    tally.dispatch.add(7)
    assert value(metrics, "hookline_agents_connected") == 7
    assert value(metrics, "hookline_agent_connects_total", result="accepted") == 9
    assert value(metrics, "hookline_agent_connects_total", result="refused") == 0
    assert value(metrics, "hookline_agent_disconnects_total", reason="silent") == 2
    assert value(metrics, "hookline_agent_disconnects_total", reason="goodbye") == 0
    assert value(metrics, "hookline_stream_messages_total", direction="received", kind="reports") == 3
    assert value(metrics, "hookline_stream_bytes_total", direction="received", kind="reports") == 300
    assert value(metrics, "hookline_stream_messages_total", direction="sent", kind="instruction") == 2
    assert value(metrics, "hookline_stream_messages_total", direction="received", kind="heartbeat") == 0
    assert value(metrics, "hookline_log_bytes_total") == 11
    assert value(metrics, "hookline_stream_send_queue_length_bucket", le="1") == 1
    assert value(metrics, "hookline_stream_send_queue_length_bucket", le="4") == 2
    assert value(metrics, "hookline_stream_send_queue_length_bucket", le="+Inf") == 3
    assert value(metrics, "hookline_stream_send_queue_length_sum") == 304
    assert value(metrics, "hookline_dispatch_latency_seconds_bucket", le="0.005") == 0
    assert value(metrics, "hookline_dispatch_latency_seconds_bucket", le="0.01") == 1
    assert value(metrics, "hookline_dispatch_latency_seconds_sum") == 0.007


async def test_nobody_sees_a_name_unless_the_operator_wants_it() -> None:
    metrics = Metrics()
    metrics.watch(Everything([deployment(1, metrics)], []))
    metrics.committed.outcomes.succeeded("secret-shop", "secret-web", "secret-revision", NOW)
    text, _ = await metrics.exposition("")
    assert value(metrics, "hookline_deployments_started_total", trigger="operator") == 1
    assert value(metrics, "hookline_last_success_timestamp_seconds") == NOW / 1_000
    assert b"secret" not in text
    assert b"g1" not in text


async def test_groups_beyond_the_limit_are_counted_together() -> None:
    metrics = Metrics(names=True)
    many = [deployment(number, metrics) for number in range(NAMED_AT_MOST + 50)]
    for number in range(NAMED_AT_MOST + 50):
        metrics.committed.outcomes.succeeded("shop", f"g{number}", f"r{number}", NOW + number)
    metrics.watch(Everything(many, []))
    text, _ = await metrics.exposition("")
    families = list(text_string_to_metric_families(text.decode()))
    for family in families:
        labels = [one.labels for one in family.samples if "group" in one.labels]
        assert len({one["group"] for one in labels}) in (0, NAMED_AT_MOST, NAMED_AT_MOST + 1), family.name
    others = {"application": OTHERS, "group": OTHERS}
    assert value(metrics, "hookline_deployments_started_total", trigger="operator", **others) == 50
    assert value(metrics, "hookline_deployments_in_progress", status="queued", **others) == 50
    assert value(metrics, "hookline_last_success_timestamp_seconds", **others) == (NOW + NAMED_AT_MOST + 49) / 1_000
    revisions = next(family for family in families if family.name == "hookline_current_revision_info")
    assert len(revisions.samples) == NAMED_AT_MOST
    assert sum(len(family.samples) for family in families) < 40_000


def test_as_many_versions_of_agents_are_shown_as_a_fleet_has_and_not_more() -> None:
    metrics = Metrics()
    sessions = [host(f"h{number}", agent_version=f"{number}" * 100) for number in range(VERSIONS_AT_MOST + 5)]
    sessions += [host("away", status=HostStatus.Lost), host("a"), host("b")]
    metrics.watch(Everything([], sessions))
    metrics.look()
    family = next(one for one in metrics.registry.collect() if one.name == "hookline_agents_connected_by_version")
    shown = {one.labels["agent_version"]: one.value for one in family.samples}
    assert len(shown) == VERSIONS_AT_MOST + 1
    assert shown["0.1.0"] == 2
    assert sum(shown.values()) == len(sessions) - 1
    assert max(len(version) for version in shown) <= 32
    assert value(metrics, "hookline_agents_known", status="lost") == 1
    assert value(metrics, "hookline_agents_known", status="suspect") == 0
    assert value(metrics, "hookline_groups_parked") == 1
    assert value(metrics, "hookline_inbox_length") == 2


def test_what_is_kept_and_how_long_that_takes_is_measured() -> None:
    metrics = Metrics()
    metrics.storage.committed(0.004, 120)
    metrics.storage.watch(Small(), lambda: (3, 4_000))
    assert value(metrics, "hookline_commit_duration_seconds_sum") == 0.004
    assert value(metrics, "hookline_commit_rows_sum") == 120
    assert value(metrics, "hookline_db_transaction_duration_seconds_sum", op="read") == 0.5
    assert value(metrics, "hookline_db_transaction_duration_seconds_count", op="commit") == 0
    assert value(metrics, "hookline_db_size_bytes") == 1_000
    assert value(metrics, "hookline_db_wal_bytes") == 200
    assert value(metrics, "hookline_db_free_bytes") == 9_000
    assert value(metrics, "hookline_last_backup_timestamp_seconds") is None
    assert value(metrics, "hookline_bundles") == 3
    assert value(metrics, "hookline_bundle_bytes") == 4_000


def test_calls_are_counted_under_the_names_that_others_use() -> None:
    metrics = Metrics()
    unary = metrics.calls.of("/s/m", requests=False, responses=False)
    agents = metrics.calls.of("/hookline.v1.AgentService/Connect", requests=True, responses=True)
    called = {"grpc_type": "unary", "grpc_service": "s", "grpc_method": "m"}
    assert value(metrics, "grpc_server_handled_total", grpc_code="OK", **called) == 0
    for count in (unary.started, unary.received, unary.sent, agents.started):
        count()
    unary.ended("OK", 0.2)
    agents.ended("CANCELLED", 86_400)
    metrics.tally.received["reports"] += 5
    metrics.tally.sent["welcome"] += 1
    assert value(metrics, "grpc_server_started_total", **called) == 1
    assert value(metrics, "grpc_server_handled_total", grpc_code="OK", **called) == 1
    assert value(metrics, "grpc_server_handling_seconds_sum", **called) == 0.2
    assert value(metrics, "grpc_server_msg_received_total", **called) == 1
    assert value(metrics, "grpc_server_msg_sent_total", **called) == 1
    stream = {"grpc_type": "bidi_stream", "grpc_service": "hookline.v1.AgentService", "grpc_method": "Connect"}
    assert value(metrics, "grpc_server_handled_total", grpc_code="CANCELLED", **stream) == 1
    assert value(metrics, "grpc_server_handling_seconds_count", **stream) is None
    assert value(metrics, "grpc_server_msg_received_total", **stream) == 5
    assert value(metrics, "grpc_server_msg_sent_total", **stream) == 1


async def test_everything_is_exposed_with_a_help_text_and_without_ids() -> None:
    metrics = Metrics()
    metrics.calls.of("/s/m", requests=False, responses=False).ended("OK", 0.2)
    body, content_type = await metrics.exposition("")
    assert content_type.startswith("text/plain")
    families = list(text_string_to_metric_families(body.decode()))
    assert all(family.documentation for family in families)
    names = {family.name for family in families}
    assert {"hookline_build_info", "hookline_agents_connected", "hookline_event_loop_lag_seconds", "grpc_server_handled"} <= names
    banned = {"application", "group", "deployment", "deployment_id", "host", "revision", "operator", "address"}
    assert not banned & {label for family in families for one in family.samples for label in one.labels}
    for family in families:
        assert not family.name.endswith("_created")
        assert (family.type == "counter") is any(one.name.endswith("_total") for one in family.samples), family.name


async def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    body, content_type = await Metrics().exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0", "text/plain; version=0.0.4"])
@pytest.mark.parametrize("names", [False, True])
async def test_the_text_is_the_one_that_the_library_would_write(accept: str, names: bool) -> None:
    async with running(names=names) as it:
        await it.deploy("d-1", revision=replace(R1, revision_id=RevisionId('r "1" \\ \n ä')))
        await it.succeed("d-1", seconds=1.25)
        it.metrics.storage.watch(Small(), lambda: (3, 4_000_000_000))
        it.metrics.tally.log_bytes = 123_456_789
        it.metrics.storage.committed(0.00025, 7)
        it.metrics.look()
        families = [family for family in it.metrics.registry.collect() if not family.name.startswith(("process", "python"))]
        encode, format = choose_encoder(accept)
        assert "".join(written(families, format)).encode() == encode(Shown(families))


class Shown(CollectorRegistry):
    """A registry that shows what was collected already."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


async def test_the_event_loop_goes_on_while_the_text_is_written_out() -> None:
    metrics = Metrics(names=True)
    many = [deployment(number, metrics) for number in range(NAMED_AT_MOST)]
    metrics.watch(Everything(many, []))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    text, _ = await metrics.exposition("")
    turning.cancel()
    assert turns > text.count(b"\n") / LINES_AT_ONCE


async def test_a_late_timer_is_measured() -> None:
    metrics = Metrics()
    metrics.lag.start()
    metrics.lag.stop()
    loop = asyncio.get_running_loop()
    metrics.lag._tick(loop, loop.time() - 0.3)
    metrics.lag.stop()
    assert value(metrics, "hookline_event_loop_lag_seconds_count") == 1
    assert (value(metrics, "hookline_event_loop_lag_seconds_sum") or 0) >= 0.3


def test_the_table_of_metrics_is_as_they_are() -> None:
    ended = subprocess.run((sys.executable, ROOT / "scripts" / "gen-metrics", "--check"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
