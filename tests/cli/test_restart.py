"""Restarts on the command line: asked for, shown, planned, and what a rollback makes of them."""

import pytest

from hookline.v1 import deployments_pb2 as pb
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator
from tests.cli.test_follow import FAILED, IN_PROGRESS, SUCCEEDED, given_past
from tests.cli.test_foresight import R1, planned

RESTART = pb.DEPLOYMENT_MODE_RESTART


def test_a_restart_names_no_revision_and_passes_on_what_was_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    shown = operator.types("restart", "shop", "production", "--config", "Slow", "--host", "web-1", "--description", "leaks")
    assert (shown.stdout, shown.stderr) == ("d-AAAAAAAA1\n", "Next: hookline follow d-AAAAAAAA1\n")
    (asked,) = coordinator.requests("CreateDeployment")
    assert (asked.deployment_mode, asked.revision_id, asked.deployment_config_name) == (RESTART, "", "Slow")
    assert (list(asked.hosts), asked.description) == (["web-1"], "leaks")


def test_what_restarts_is_shown_as_such(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(SUCCEEDED, "r-2"), (SUCCEEDED, "r-2")])
    coordinator.deployments[0].deployment_mode = RESTART
    listed = operator.types("deployments", "shop", "production").stdout.splitlines()
    assert ["(restart)" in line for line in listed] == [False, True, False]
    assert "mode        RESTART" in operator.types("status", coordinator.deployments[0].deployment_id).stdout
    assert "mode" not in operator.types("status", coordinator.deployments[1].deployment_id).stdout


def test_a_restart_is_planned_without_a_revision(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.planned = planned()
    coordinator.planned.deployment.deployment_mode = RESTART
    coordinator.planned.deployment.revision_id = R1
    shown = operator.types("plan", "shop", "web", "--restart", "--config", "Slow")
    (request,) = coordinator.requests("PlanDeployment")
    assert (request.deployment.deployment_mode, request.deployment.revision_id) == (RESTART, "")
    assert shown.stdout.startswith(f"shop/web: {R1} (restart), CodeDeployDefault")
    assert shown.stderr == "Next: hookline restart shop web, with the same options\n"
    for typed in (("r-1",), ("--revision", "r-1")):
        refused = operator.types("plan", "shop", "web", *typed, "--restart")
        assert (refused.exit_code, "a restart takes what succeeded last" in refused.stderr) == (2, True)


@pytest.mark.parametrize("typed", [("--revision", "r-1"), ("--outdated-only",), ("--rollback-config", "Fast")])
def test_a_restart_takes_no_options_that_make_no_sense(operator: Operator, coordinator: FakeCoordinator, typed: tuple[str, ...]) -> None:
    assert operator.types("restart", "shop", "production", *typed).exit_code == 2
    assert coordinator.requests("CreateDeployment") == []


def test_a_running_restart_is_nothing_to_roll_back(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(IN_PROGRESS, "r-2"), (SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")])
    coordinator.deployments[0].deployment_mode, coordinator.deployments[0].previous_revision_id = RESTART, "r-2"
    refused = operator.types("rollback", "shop", "production")
    assert (refused.exit_code, coordinator.requests("StopDeployment")) == (1, [])
    assert "d-AAAAAAAA9 restarts r-2 and brings nothing" in refused.stderr
    assert operator.types("rollback", "shop", "production", "--to", "r-1").exit_code == 0
    assert [one.revision_id for one in coordinator.requests("CreateDeployment")] == ["r-1"]


def test_after_a_restart_a_rollback_goes_where_it_would_have_gone_before_it(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(SUCCEEDED, "r-2"), (SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")])
    coordinator.deployments[0].deployment_mode = RESTART
    assert operator.types("rollback", "shop", "production").exit_code == 0
    assert [one.revision_id for one in coordinator.requests("CreateDeployment")] == ["r-1"]


def test_after_a_restart_that_failed_somebody_has_to_say_where_to(operator: Operator, coordinator: FakeCoordinator) -> None:
    given_past(coordinator, [(FAILED, "r-2"), (SUCCEEDED, "r-2"), (SUCCEEDED, "r-1")])
    coordinator.deployments[0].deployment_mode = RESTART
    refused = operator.types("rollback", "shop", "production")
    assert (refused.exit_code, coordinator.requests("CreateDeployment")) == (1, [])
    assert "d-AAAAAAAA9 only restarted r-2, which succeeded last; say --to REVISION" in refused.stderr
    assert "hookline deploy shop production --revision r-2 --outdated-only" in refused.stderr
