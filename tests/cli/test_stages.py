"""Rollouts that go stage by stage, on the command line."""

import pytest

from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, at

EVE = resources.Gate(approvers=["eve"])
RULE = ("--minimum-healthy-hosts", "HOST_COUNT:1")


def staged(**waiting: object) -> deployments.Deployment:
    return deployments.Deployment(
        deployment_id="d-AAAAAAAA1",
        application_name="shop",
        deployment_group_name="web",
        status=resources.DEPLOYMENT_STATUS_IN_PROGRESS,
        create_time=at(0),
        stages=[
            deployments.Stage(
                name="canaries", overview=deployments.DeploymentOverview(succeeded=1), gate=resources.Gate(approvers=["eve"])
            ),
            deployments.Stage(name="the rest", overview=deployments.DeploymentOverview(pending=3)),
        ],
        waiting=deployments.Waiting(**waiting),  # type: ignore[arg-type]  # fields by name, for brevity
    )


def test_a_config_with_steps_is_made_and_shown(operator: Operator, coordinator: FakeCoordinator) -> None:
    shape = ("--canary-tag", "canary", "--canary-bake", "30m", "--step", "1+bake=10m", "--step", "25%+bake=5m+gate=anna,bob:2h")
    operator.types("config", "create", "careful", *RULE, *shape)
    (asked,) = coordinator.requests("CreateDeploymentConfig")
    assert (asked.canaries.tag_filters[0].key, asked.canaries.bake_time.seconds) == ("canary", 1800)
    assert [(one.hosts, one.percent, one.bake_time.seconds) for one in asked.steps] == [(1, 0, 600), (0, 25, 300)]
    assert (list(asked.steps[1].gate.approvers), asked.steps[1].gate.timeout.seconds) == (["anna", "bob"], 7200)
    shown = operator.types("config", "show", "careful").stdout
    assert "canaries canary  bake 30m" in shown
    assert "25%  bake 5m  gate anna,bob:2h" in shown


def test_a_config_with_zones_is_made_and_shown(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("config", "create", "zonal", *RULE, "--first-zone-monitor", "30m", "--zone-minimum-healthy-hosts", "HOST_COUNT:2")
    (asked,) = coordinator.requests("CreateDeploymentConfig")
    assert asked.zonal_config.first_zone_monitor_duration_in_seconds == 1800
    assert asked.zonal_config.minimum_healthy_hosts_per_zone.value == 2
    assert not asked.HasField("canaries")
    assert "zone by zone" in operator.types("config", "show", "zonal").stdout


@pytest.mark.parametrize(
    "typed, why",
    [
        (("--step", "many"), "write a number of hosts or percent"),
        (("--step", "5%+wait=3m"), "+bake=TIME and +gate=NAME"),
        (("--step", "5%+gate="), "without approvers"),
        (("--canary-bake", "3m"), "give --canary-tag"),
    ],
)
def test_a_shape_that_cannot_be_read_is_refused_before_anybody_is_asked(
    operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...], why: str
) -> None:
    refused = operator.types("config", "create", "odd", *RULE, *typed)
    assert (refused.exit_code, coordinator.requests("CreateDeploymentConfig")) == (2, [])
    assert why in refused.stderr


def test_canaries_are_named_with_the_deployment(operator: Operator, coordinator: FakeCoordinator) -> None:
    operator.types("deploy", "shop", "web", "--revision", "r-1", "--canary", "h1", "--canary", "h2", "--canary-gate", "any")
    (asked,) = coordinator.requests("CreateDeployment")
    assert (list(asked.canaries.hosts), list(asked.canaries.gate.approvers)) == (["h1", "h2"], ["role:approver"])


def test_status_shows_the_stages_and_what_is_waited_for(operator: Operator, coordinator: FakeCoordinator) -> None:
    said = 'eve has to approve stage "canaries" within 24 h'
    coordinator.deployments = [staged(waiting_for=deployments.WAITING_FOR_GATE, message=said, until_time=at(86_400))]
    shown = operator.types("status", "d-AAAAAAAA1").stdout
    assert f"{said}, for " in shown
    assert "hookline approve d-AAAAAAAA1" in shown
    assert "canaries  1: 1 Succeeded  gate" in shown
    assert "the rest  3: 3 Pending" in shown


WAITS = [
    # what is waited for, whether it ends by itself, and what is said of it
    ("WAITING_FOR_BAKE", 'every host of stage "canaries" has ended; it bakes', True, "promote"),
    ("WAITING_FOR_ANALYSIS", "errors is measured 2 times more", False, "promote"),
    ("WAITING_FOR_GATE", 'eve has to approve stage "canaries" within 24 h', True, "approve"),
    ("WAITING_FOR_RESUMPTION", "bob has paused it: lunch", False, "resume"),
]


@pytest.mark.parametrize("reason, message, ends, verb", WAITS, ids=[one[0] for one in WAITS])
def test_whatever_is_waited_for_is_told_to_who_follows_and_to_who_looks(
    operator: Operator, coordinator: FakeCoordinator, reason: str, message: str, ends: bool, verb: str
) -> None:
    runs, waits = [
        staged(waiting_for=deployments.WaitingFor.Value(kind), message=message, until_time=at(86_400) if ends else None)
        for kind in ("WAITING_FOR_HOSTS", reason)
    ]
    over = staged()
    over.status = resources.DEPLOYMENT_STATUS_SUCCEEDED
    complete = deployments.WatchDeploymentResponse(bookmark=deployments.WatchBookmark(complete=True))
    told = [deployments.WatchDeploymentResponse(deployment=one) for one in (runs, waits, waits, over)]
    coordinator.deployments, coordinator.watches = [waits], [[*told, complete]]
    followed = operator.types("follow", "d-AAAAAAAA1").stdout
    looked = operator.types("status", "d-AAAAAAAA1").stdout
    for shown in (followed, looked):
        assert shown.count(message) == 1
        line = next(one for one in shown.splitlines() if message in one)
        assert line.endswith(f": hookline {verb} d-AAAAAAAA1")
        assert (", for " in line) is ends


@pytest.mark.parametrize(
    "position, behind, begins, said",
    [
        (1, "d-BBBBBBBB2", False, "waits behind d-BBBBBBBB2"),
        (3, "d-BBBBBBBB2", False, "waits behind d-BBBBBBBB2, as number 3 of the queue"),
        (1, "", True, "waits until "),
        (2, "d-BBBBBBBB2", True, " and behind d-BBBBBBBB2, as number 2 of the queue"),
        (1, "", False, "waits for its turn"),
    ],
)
def test_a_place_in_the_queue_is_told_to_who_follows_and_to_who_looks(
    operator: Operator, coordinator: FakeCoordinator, position: int, behind: str, begins: bool, said: str
) -> None:
    place = deployments.QueuePlace(position=position, behind_deployment_id=behind)
    queued = deployments.Deployment(
        deployment_id="d-AAAAAAAA1",
        application_name="shop",
        deployment_group_name="web",
        status=resources.DEPLOYMENT_STATUS_QUEUED,
        create_time=at(0),
        scheduled_time=at(3_600) if begins else None,
        queue_place=place,
    )
    over = deployments.Deployment()
    over.CopyFrom(queued)
    over.ClearField("queue_place")
    over.status = resources.DEPLOYMENT_STATUS_STOPPED
    complete = deployments.WatchDeploymentResponse(bookmark=deployments.WatchBookmark(complete=True))
    told = [deployments.WatchDeploymentResponse(deployment=one) for one in (queued, over)]
    coordinator.deployments, coordinator.watches = [queued], [[*told, complete]]
    assert said in operator.types("follow", "d-AAAAAAAA1").stdout
    assert said in operator.types("status", "d-AAAAAAAA1").stdout
    assert said in operator.types("status").stdout
    assert said in operator.types("deployments").stdout


def test_a_live_deployment_is_paused_promoted_and_its_hosts_tried_again(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.deployments = [staged(waiting_for=deployments.WAITING_FOR_RESUMPTION, message="bob has paused it")]
    paused = operator.types("pause", "d-AAAAAAAA1", "--reason", "lunch")
    assert (paused.stdout, coordinator.requests("PauseDeployment")[0].reason) == ("d-AAAAAAAA1 is paused\n", "lunch")
    assert "bob has paused it: hookline resume d-AAAAAAAA1" in paused.stderr
    operator.types("resume", "d-AAAAAAAA1")
    operator.types("promote", "d-AAAAAAAA1")
    operator.types("promote", "d-AAAAAAAA1", "--past-gate")
    assert [one.HasField("past_gate") for one in coordinator.requests("PromoteDeployment")] == [False, True]
    assert operator.types("retry", "d-AAAAAAAA1").stdout == "d-AAAAAAAA1 tries the hosts that failed again\n"
    assert operator.types("retry", "d-AAAAAAAA1", "h1", "h2").stdout == "d-AAAAAAAA1 tries h1, h2 again\n"
    assert operator.types("skip", "d-AAAAAAAA1", "h3").stdout == "d-AAAAAAAA1 leaves out h3\n"
    assert operator.types("skip", "d-AAAAAAAA1").exit_code == 2
    ids = [call.request.request_id for call in coordinator.calls if hasattr(call.request, "request_id")]
    assert all(ids)
    assert operator.types("pause", "d-BBBBBBBB2").exit_code == 1
