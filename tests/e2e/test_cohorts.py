"""A real Prometheus finds the hosts at the coordinator, and an alarm about the canary looks at nothing else."""

from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import Cluster, until
from tests.e2e.prometheus import Monitoring
from tests.e2e.test_alarms import HOSTS, Shop

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus" / "hosts.yml"

pytestmark = pytest.mark.timeout(180)


def found_at(http: str, application: str) -> dict[str, object]:
    """The shipped scrape configuration for this coordinator, every second; the application is told which host it is asked for."""
    (job,) = yaml.safe_load(SHIPPED.read_text())
    (discovery,) = job["http_sd_configs"]
    discovery |= {"url": discovery["url"].replace("127.0.0.1:8480", http).replace("9100", application.rpartition(":")[2])}
    discovery["refresh_interval"] = "1s"
    job["relabel_configs"].append({"source_labels": ["__meta_hookline_host"], "target_label": "__param_host"})
    return dict(job)


def test_an_alarm_about_the_canary_sees_the_canary_alone(tmp_path: Path) -> None:
    with Monitoring(tmp_path / "m") as monitoring, Cluster(tmp_path / "cluster", options=("--prometheus", monitoring.url)) as cluster:
        monitoring.scraped = [found_at(cluster.addresses["http"], monitoring.application.address)]
        monitoring.stop("prometheus")
        monitoring.start_prometheus()
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        shop = Shop(cluster, monitoring, tmp_path)
        assert cluster.ended(shop.deploy("v1", "CodeDeployDefault.AllAtOnce")) == "Succeeded"
        until(lambda: monitoring.value('count(shop_errors_ratio{deployment_group="production", cohort="rest"})') == "3", "all are scraped")

        shop.watch("--promql", "max(shop_errors_ratio{{{cohort}}}) - max(shop_errors_ratio{{{control}}})", "--above", "0.05")
        monitoring.application.errors_of = {"web-2": 0.9}  # which has had it all the time
        gate = cluster.gate("ValidateService", "web-2")
        bad = str(
            cluster.hookline(
                *("deploy", "shop", "production", "--revision", shop.push("v2"), "--config", "CodeDeployDefault.OneAtATime"),
                *("--host", "web-1", "--host", "web-2"),
            ).json["deployment_id"]
        )
        cluster.reached(bad, "ValidateService", "web-2")
        assert ("AlarmStatus", "UNKNOWN -> OK: no host is a canary at this time") in shop.entries(bad)
        until(lambda: monitoring.value('count by (host) (shop_errors_ratio{host="web-1", cohort="canary"})') == "1", "the canary is seen")
        until(lambda: monitoring.value('shop_errors_ratio{host="web-3", cohort="control"}') == "0", "who still has the old revision")
        monitoring.application.errors_of["web-1"] = 0.4
        assert "alarm HighErrors is active: 0.4 is > 0.05" in shop.follows(bad, "Stopping")
        gate.let()
        assert cluster.ended(bad) == "Stopped"
        assert cluster.ended(shop.shown(bad)["rollback_info"]["rollback_deployment_id"]) == "Succeeded"
        assert shop.versions() == {"v1"}
