"""Analyses between the stages of a rollout: as operators declare them, and what is refused of them."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from hookline.v1 import alarms_pb2, catalog_pb2
from hookline.v1 import resources_pb2 as pb
from tests.wire.world import World, refused

LOW = pb.Condition(comparison=alarms_pb2.COMPARISON_LESS, threshold=0.1)


def metric(name: str = "errors", **said: Any) -> pb.AnalysisMetric:
    usual: dict[str, Any] = {
        "expression": "max(errors{{{cohort}}})",
        "success_condition": LOW,
        "interval": Duration(seconds=10),
        "count": 4,
    }
    return pb.AnalysisMetric(name=name, **(usual | said))


async def declared(world: World, analysis: pb.Analysis) -> catalog_pb2.DeploymentConfig:
    request = catalog_pb2.CreateDeploymentConfigRequest(
        deployment_config_name="Analysed",
        minimum_healthy_hosts=pb.MinimumHealthyHosts(type=pb.MINIMUM_HEALTHY_HOSTS_TYPE_HOST_COUNT, value=0),
        steps=[pb.RolloutStep(hosts=1, analysis=analysis), pb.RolloutStep(percent=100)],
    )
    return (await world.catalog.CreateDeploymentConfig(request)).deployment_config


async def test_an_analysis_is_declared_in_a_step_and_comes_back_as_it_was_said(world: World) -> None:
    shadow = metric("p99", shadow=True, failure_condition=LOW, failure_limit=1, inconclusive_limit=2, consecutive_success_limit=3)
    said = pb.Analysis(metrics=[metric(), shadow], initial_delay=Duration(seconds=30))
    assert (await declared(world, said)).steps[0].analysis == said


async def test_what_is_not_said_of_a_metric_takes_its_default(world: World) -> None:
    said = pb.AnalysisMetric(name="errors", expression="e", failure_condition=LOW)
    (made,) = (await declared(world, pb.Analysis(metrics=[said]))).steps[0].analysis.metrics
    assert (made.count, made.interval.seconds, made.failure_limit) == (5, 30, 0)


@pytest.mark.parametrize(
    "wrong, field",
    [
        (lambda: pb.Analysis(), "metrics"),
        (lambda: pb.Analysis(metrics=[metric(f"m{number}") for number in range(11)]), "metrics"),
        (lambda: pb.Analysis(metrics=[metric(shadow=True)]), "metrics"),
        (lambda: pb.Analysis(metrics=[metric()], initial_delay=Duration(seconds=-1)), "initial_delay"),
        (lambda: pb.Analysis(metrics=[metric(), metric()]), "metrics[1].name"),
        (lambda: pb.Analysis(metrics=[metric("no spaces")]), "metrics[0].name"),
        (lambda: pb.Analysis(metrics=[metric(expression=" ")]), "metrics[0].expression"),
        (lambda: pb.Analysis(metrics=[metric(expression="e{{{who}}}")]), "metrics[0].expression"),
        (lambda: pb.Analysis(metrics=[pb.AnalysisMetric(name="e", expression="e")]), "metrics[0].success_condition"),
        (lambda: pb.Analysis(metrics=[metric(success_condition=pb.Condition(threshold=1))]), "metrics[0].success_condition.comparison"),
        (
            lambda: pb.Analysis(
                metrics=[metric(success_condition=pb.Condition(comparison=alarms_pb2.COMPARISON_LESS, threshold=math.nan))]
            ),
            "metrics[0].success_condition.threshold",
        ),
        (lambda: pb.Analysis(metrics=[metric(interval=Duration(nanos=1))]), "metrics[0].interval"),
        (lambda: pb.Analysis(metrics=[metric(count=1_001)]), "metrics[0].count"),
        (lambda: pb.Analysis(metrics=[metric(failure_limit=5)]), "metrics[0].failure_limit"),
        (lambda: pb.Analysis(metrics=[metric(consecutive_success_limit=-1)]), "metrics[0].consecutive_success_limit"),
    ],
)
async def test_an_analysis_that_can_come_to_no_verdict_is_refused_and_the_field_is_named(
    world: World, wrong: Callable[[], pb.Analysis], field: str
) -> None:
    no = await refused(declared(world, wrong()))
    assert (no.fields, no.message[:7]) == ([f"steps[0].analysis.{field}"], "cannot ")
