"""Alarms of a real Prometheus stop real rollouts and bring the old revision back, whoever is killed meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundles import HOOKED, bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.prometheus import Monitoring

HOSTS = ("web-1", "web-2", "web-3")
TOKEN = "a-token-for-alertmanager"

pytestmark = pytest.mark.timeout(180)


class Shop:
    """An application on three hosts, with Prometheus beside it."""

    def __init__(self, cluster: Cluster, monitoring: Monitoring, directory: Path) -> None:
        """Nothing is deployed yet."""
        self.cluster = cluster
        self.monitoring = monitoring
        self._directory = directory

    def push(self, version: str) -> str:
        """A revision."""
        return self.cluster.typed("push", "shop", str(bundle(self._directory / version, version))).out.strip()

    def deploy(self, version: str, config: str = "CodeDeployDefault.OneAtATime") -> str:
        """Begin to deploy a version."""
        words = ("deploy", "shop", "production", "--revision", self.push(version), "--config", config)
        return str(self.cluster.hookline(*words).json["deployment_id"])

    def watch(self, *alarm: str, **said: str) -> None:
        """Make an alarm, and let the group watch it and roll back on it."""
        self.cluster.hookline("alarm", "create", "HighErrors", *alarm, "--interval", "1s")
        words = [word for name, value in said.items() for word in (f"--{name}", value)]
        self.cluster.hookline("group", "update", "shop", "production", "--alarm", "HighErrors", "--auto-rollback", "alarm", *words)

    def entries(self, deployment_id: str) -> list[tuple[str, str]]:
        """What the history says of a deployment itself, oldest first: entry and message."""
        found = self.cluster.hookline("history", "--deployment", deployment_id, "--limit", "0").json
        return [(one["entry"], one.get("message", "")) for one in reversed(found) if not one.get("host_name")]

    def follows(self, deployment_id: str, entry: str) -> str:
        """The message of an entry, as soon as the history has it."""
        until(lambda: entry in dict(self.entries(deployment_id)), f"{entry} of {deployment_id}", 60)
        return dict(self.entries(deployment_id))[entry]

    def shown(self, deployment_id: str) -> dict[str, Any]:
        """The deployment."""
        found = self.cluster.hookline("deployments", "shop", "production").json
        return next(dict(one) for one in found if one["deployment_id"] == deployment_id)

    def versions(self) -> set[str]:
        """What is installed."""
        return {(self.cluster.directory / "hosts" / host / "srv" / "app" / "VERSION").read_text().strip() for host in HOSTS}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Monitoring(tmp_path / "m") as monitoring:
        with Cluster(tmp_path / "cluster", options=("--prometheus", monitoring.url)) as cluster:
            cluster.start_agents(*HOSTS)
            cluster.hookline("app", "create", "shop")
            cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
            made = Shop(cluster, monitoring, tmp_path)
            assert cluster.ended(made.deploy("v1", "CodeDeployDefault.AllAtOnce")) == "Succeeded"
            until(lambda: monitoring.value("shop_errors_ratio") == "0", "the application is scraped")
            yield made


def test_an_alarm_stops_a_rollout_and_rolls_it_back_although_the_coordinator_is_killed(shop: Shop) -> None:
    cluster = shop.cluster
    shop.watch("--promql", "shop_errors_ratio", "--above", "0.05")
    gate = cluster.gate("ValidateService", "web-2")
    bad = shop.deploy("v2")
    cluster.reached(bad, "ValidateService", "web-2")
    shop.monitoring.application.errors = 0.31
    assert "alarm HighErrors is active: 0.31 is > 0.05" in shop.follows(bad, "Stopping")
    cluster.kill_coordinator()
    shop.monitoring.application.errors = 0.0
    cluster.start_coordinator()
    gate.let()
    assert cluster.ended(bad) == "Stopped"
    assert shop.shown(bad)["error_information"]["code"] == "ALARM_ACTIVE"
    back = shop.shown(bad)["rollback_info"]["rollback_deployment_id"]
    assert cluster.ended(back) == "Succeeded"
    assert shop.versions() == {"v1"}
    assert {hook.host for hook in cluster.hooks(bad)} == {"web-1", "web-2"}, "nobody else began"
    assert {hook.host for hook in cluster.hooks(back)} == {"web-1", "web-2"}, "who was not touched is left alone"
    assert set(cluster.times(bad).values()) == {1}


def test_what_fired_while_the_coordinator_was_away_stops_the_rollout(shop: Shop) -> None:
    cluster = shop.cluster
    shop.watch("--promql", "shop_errors_ratio", "--above", "0.05")
    gate = cluster.gate("ValidateService", "web-1")
    bad = shop.deploy("v2")
    cluster.reached(bad, "ValidateService", "web-1")
    cluster.kill_coordinator()
    shop.monitoring.application.errors = 0.31
    until(lambda: shop.monitoring.value("shop_errors_ratio") == "0.31", "Prometheus sees the errors")
    shop.monitoring.application.errors = 0.0
    until(lambda: shop.monitoring.value("shop_errors_ratio") == "0", "and sees their end")
    cluster.start_coordinator()
    assert "alarm HighErrors is active: 0.31 is > 0.05" in shop.follows(bad, "Stopping")
    gate.let()
    assert cluster.ended(bad) == "Stopped"


def test_nobody_begins_while_prometheus_is_away(shop: Shop) -> None:
    cluster = shop.cluster
    shop.watch("--promql", "shop_errors_ratio", "--above", "0.05", bake="1s")
    shop.monitoring.stop("prometheus")
    waits = shop.deploy("v2")
    assert shop.follows(waits, "AlarmStatus").startswith("UNKNOWN -> UNKNOWN: cannot ask Prometheus: ")
    assert cluster.hooks(waits) == []
    assert cluster.status(waits) == "Queued"
    shop.monitoring.start_prometheus()
    assert cluster.ended(waits) == "Succeeded"
    assert shop.versions() == {"v2"}
    assert "watched for 1 s more" in shop.follows(waits, "Baking")


def test_an_expression_that_prometheus_cannot_read_makes_no_alarm(shop: Shop) -> None:
    make = ("alarm", "create", "Wrong", "--promql", "rate(shop_errors_ratio[", "--above", "1")
    refused = shop.cluster.typed(*make)
    assert "cannot watch what Prometheus cannot read: Prometheus answers 400: " in refused.err
    assert refused.code == 1
    assert "parse error" in refused.err
    shop.monitoring.stop("prometheus")
    shop.cluster.hookline(*make)


def test_an_alarm_that_is_active_lets_nobody_begin(shop: Shop) -> None:
    shop.watch("--alert", "ShopDown", "--label", "severity=page")
    shop.monitoring.application.errors = 0.9
    until(lambda: shop.monitoring.value("ALERTS") == "1", "Prometheus's own alert fires")
    refused = shop.deploy("v2")
    assert shop.cluster.ended(refused) == "Stopped"
    assert shop.cluster.hooks(refused) == []
    assert "nothing had begun on any host" in shop.shown(refused)["rollback_info"]["rollback_message"]


def test_a_late_regression_is_rolled_back_although_the_coordinator_is_killed_while_it_happens(shop: Shop) -> None:
    cluster = shop.cluster
    shop.watch("--promql", "shop_errors_ratio", "--above", "0.05", **{"watch-for": "1h"})
    bad = shop.deploy("v2", "CodeDeployDefault.AllAtOnce")
    assert cluster.ended(bad) == "Succeeded"
    assert shop.follows(bad, "Watching") == "the alarms are watched for 1 h more; the group is free"
    assert shop.shown(bad)["watched"]
    cluster.kill_coordinator()
    shop.monitoring.application.errors = 0.31
    until(lambda: shop.monitoring.value("shop_errors_ratio") == "0.31", "Prometheus sees the errors")
    shop.monitoring.application.errors = 0.0
    until(lambda: shop.monitoring.value("shop_errors_ratio") == "0", "and sees their end")
    cluster.start_coordinator()
    assert "alarm HighErrors is active: 0.31 is > 0.05" in shop.follows(bad, "Regressed")
    back = shop.shown(bad)["rollback_info"]["rollback_deployment_id"]
    cluster.kill_coordinator()
    cluster.start_coordinator()
    assert cluster.ended(back) == "Succeeded"
    assert shop.versions() == {"v1"}
    assert (shop.shown(bad)["status"], shop.shown(bad)["watched"]) == ("Succeeded", False)
    assert set(cluster.times(back).values()) == {1}


def test_alertmanager_stops_a_rollout(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with Cluster(tmp_path / "cluster", options=("--alertmanager-token-file", str(token))) as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        webhook = f"http://{cluster.addresses['http']}/alertmanager"
        with Monitoring(tmp_path / "m", webhook=webhook, token=TOKEN) as monitoring:
            shop = Shop(cluster, monitoring, tmp_path)
            assert cluster.ended(shop.deploy("v1", "CodeDeployDefault.AllAtOnce")) == "Succeeded"
            shop.watch("--alertmanager", "severity=page", "--alertmanager", "alertname=ShopDown")
            gate = cluster.gate("BeforeInstall", "web-1")
            bad = shop.deploy("v2")
            cluster.reached(bad, "BeforeInstall", "web-1")
            monitoring.application.errors = 0.9
            assert "ShopDown is firing" in shop.follows(bad, "Stopping")
            gate.let()
            assert cluster.ended(bad) == "Stopped"
            assert cluster.ended(shop.shown(bad)["rollback_info"]["rollback_deployment_id"]) == "Succeeded"
            assert {hook.lifecycle_event for hook in cluster.hooks(bad)} <= set(HOOKED[:2])
