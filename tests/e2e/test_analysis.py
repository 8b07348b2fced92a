"""An analysis by a real Prometheus decides whether a real rollout goes on after its canary, whoever is killed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from hookline.v1 import alarms_pb2, catalog_pb2
from hookline.v1 import resources_pb2 as pb
from hookline.v1.catalog_pb2_grpc import CatalogServiceStub
from tests.e2e.cluster import Cluster, until
from tests.e2e.prometheus import Monitoring
from tests.e2e.test_alarms import HOSTS, Shop
from tests.e2e.test_cohorts import found_at

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One whose rollouts begin with one host, on which the errors are measured three times."""
    with Monitoring(tmp_path / "m") as monitoring, Cluster(tmp_path / "cluster", options=("--prometheus", monitoring.url)) as cluster:
        monitoring.scraped = [found_at(cluster.addresses["http"], monitoring.application.address)]
        monitoring.stop("prometheus")
        monitoring.start_prometheus()
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "alarm")
        made = Shop(cluster, monitoring, tmp_path)
        assert cluster.ended(made.deploy("v1", "CodeDeployDefault.AllAtOnce")) == "Succeeded"
        metric = pb.AnalysisMetric(
            name="errors",
            expression="max(shop_errors_ratio{{{cohort}}})",
            success_condition=pb.Condition(comparison=alarms_pb2.COMPARISON_LESS, threshold=0.05),
            interval=Duration(seconds=1),
            count=3,
            inconclusive_limit=3,
            consecutive_success_limit=2,
        )
        with grpc.insecure_channel(cluster.addresses["listen"]) as channel:
            CatalogServiceStub(channel).CreateDeploymentConfig(
                catalog_pb2.CreateDeploymentConfigRequest(
                    deployment_config_name="Analysed",
                    minimum_healthy_hosts=pb.MinimumHealthyHosts(type=pb.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=0),
                    steps=[pb.RolloutStep(hosts=1, analysis=pb.Analysis(metrics=[metric], initial_delay=Duration(seconds=4)))],
                )
            )
        until(lambda: monitoring.value('count(shop_errors_ratio{deployment_group="production"})') == "3", "all are scraped")
        yield made


def test_a_canary_that_does_well_lets_the_others_follow_although_the_coordinator_is_killed(shop: Shop) -> None:
    shop.monitoring.application.errors_of = {"web-2": 0.9, "web-3": 0.9}
    good = shop.deploy("v2", "Analysed")
    shop.follows(good, "Analysing")
    assert {hook.host for hook in shop.cluster.hooks(good)} == {"web-1"}
    shop.cluster.kill_coordinator()
    shop.cluster.start_coordinator()
    assert shop.cluster.ended(good) == "Succeeded"
    assert shop.follows(good, "Analysed") == 'the analysis of stage "1 host" is successful: errors'
    assert shop.versions() == {"v2"}


def test_a_canary_that_does_badly_goes_back_and_nobody_follows(shop: Shop) -> None:
    shop.monitoring.application.errors_of = {"web-1": 0.4}
    bad = shop.deploy("v2", "Analysed")
    assert shop.cluster.ended(bad) == "Stopped"
    assert shop.shown(bad)["error_information"]["code"] == "ANALYSIS_FAILED"
    assert "failure: 0.4" in shop.follows(bad, "Measured")
    assert shop.cluster.ended(shop.shown(bad)["rollback_info"]["rollback_deployment_id"]) == "Succeeded"
    assert {hook.host for hook in shop.cluster.hooks(bad)} == {"web-1"}
    assert shop.versions() == {"v1"}
