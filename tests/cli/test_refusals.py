"""What the operator is told when something goes wrong, and with which exit code the program ends."""

from pathlib import Path

import grpc
import pytest

from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused


def test_a_refusal_is_a_sentence_with_its_reason_and_the_next_step(operator: Operator) -> None:
    shown = operator.types("app", "show", "shop")
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert shown.stderr.splitlines() == [
        "Error: cannot find application shop [ApplicationDoesNotExistException]",
        "Next: list the applications with: hookline app list; make this one with: hookline app create shop",
    ]


@pytest.mark.parametrize("reason", ["DeploymentLimitExceededException", "DEPLOYMENT_LIMIT_EXCEEDED", "DEPLOYMENT_LIMIT_EXCEEDED_EXCEPTION"])
def test_a_second_deployment_is_refused_with_the_way_to_the_first(operator: Operator, coordinator: FakeCoordinator, reason: str) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.FAILED_PRECONDITION, "cannot deploy to shop/production: d-BBBBBBBB7 is running", reason)]
    shown = operator.types("deploy", "shop", "production", "--revision", "r-1")
    assert shown.exit_code == 1
    assert "Next: follow it with: hookline follow d-BBBBBBBB7; or stop it with: hookline stop d-BBBBBBBB7" in shown.stderr


def test_what_is_wrong_with_a_field_is_said(operator: Operator, coordinator: FakeCoordinator) -> None:
    violations = {"deployment_group.tag_filters": "at most 10 filters"}
    coordinator.faults = [
        Refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot create group x", "InvalidTagFilterException", violations=violations)
    ]
    shown = operator.types("group", "create", "shop", "x", "--tag", "a=b")
    assert "  deployment_group.tag_filters: at most 10 filters" in shown.stderr.splitlines()


def test_words_from_the_coordinator_cannot_move_the_terminal(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.NOT_FOUND, "cannot \x1b]0;owned\x07find\x1b[2J \x9b31mit\r\n\u202eno")]
    shown = operator.types("app", "show", "shop")
    assert shown.stderr == "Error: cannot find it \N{REPLACEMENT CHARACTER}no\n"


def test_a_call_is_repeated_with_its_request_id_while_the_coordinator_is_away(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.UNAVAILABLE, "restarting") for _ in range(3)]
    assert operator.types("app", "create", "shop").exit_code == 0
    requests = coordinator.requests("CreateApplication")
    assert len(requests) == 4
    assert len({request.request_id for request in requests}) == 1
    assert operator.clock.waits == [0.1, 0.2, 0.4]


def test_only_what_may_be_repeated_is_repeated(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.INTERNAL, "a bug")]
    shown = operator.types("app", "create", "shop")
    assert (shown.exit_code, shown.stderr) == (1, "Error: a bug\n")
    assert len(coordinator.calls) == 1


def test_a_coordinator_that_is_not_there_ends_with_exit_code_3(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.stop()
    shown = operator.types("app", "list")
    assert shown.exit_code == 3
    assert shown.stderr.startswith(f"Error: cannot reach the coordinator at {coordinator.address}: ")
    assert "--coordinator HOST:PORT" in shown.stderr


def test_a_coordinator_that_cannot_take_a_call_now_says_why(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.UNAVAILABLE, "cannot write: the disk is full", "StoreUnavailable") for _ in range(6)]
    shown = operator.types("app", "create", "shop")
    assert (shown.exit_code, shown.stderr) == (3, "Error: cannot write: the disk is full [StoreUnavailable]\n")


def test_an_older_coordinator_is_told_apart(operator: Operator, coordinator: FakeCoordinator) -> None:
    coordinator.faults = [Refused(grpc.StatusCode.UNIMPLEMENTED, "")]
    assert "is it older than this program" in operator.types("app", "list").stderr


def test_without_a_login_nobody_is_trusted(operator: Operator) -> None:
    shown = operator.types_alone("--coordinator", "127.0.0.1:8445", "status")
    assert shown.exit_code == 2
    assert "cannot trust 127.0.0.1:8445 yet: type the `hookline login`" in shown.stderr


def test_a_socket_of_this_machine_needs_no_insecure(operator: Operator, tmp_path: Path) -> None:
    coordinator = FakeCoordinator(f"unix:{tmp_path}/admin.sock")
    try:
        assert operator.types_alone("--coordinator", coordinator.address, "app", "list").exit_code == 0
    finally:
        coordinator.stop()


@pytest.mark.parametrize("address", ["10.0.0.5:8443", "coordinator.example:8443", "0.0.0.0:8443"])
def test_plaintext_is_for_this_machine_only(operator: Operator, address: str) -> None:
    shown = operator.types_alone("--coordinator", address, "--insecure", "status")
    assert shown.exit_code == 2
    assert "cannot speak plaintext" in shown.stderr


@pytest.mark.parametrize("address", ["localhost", ":8443", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http"])
def test_an_address_that_cannot_be_meant_is_refused(operator: Operator, address: str) -> None:
    shown = operator.types_alone("--coordinator", address, "--insecure", "status")
    assert shown.exit_code == 2
    assert "write HOST:PORT" in shown.stderr


def test_the_environment_says_what_the_options_do_not(
    operator: Operator, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLINE_COORDINATOR", coordinator.address)
    monkeypatch.setenv("HOOKLINE_INSECURE", "1")
    assert operator.types_alone("app", "list").exit_code == 0
    monkeypatch.setenv("HOOKLINE_INSECURE", "0")
    assert operator.types_alone("app", "list").exit_code == 2


def test_options_of_the_program_may_stand_after_the_command(operator: Operator, coordinator: FakeCoordinator) -> None:
    words = ["app", "list", "--insecure", "--coordinator", coordinator.address, "--output", "json", "--timeout", "5"]
    assert operator.types_alone("--output", "text", *words).stdout == "[]\n"


def test_every_command_teaches_by_examples(operator: Operator) -> None:
    from coordinator.cli.main import program

    pending = [(["hookline"], program)]
    while pending:
        path, of = pending.pop()
        commands = getattr(of, "commands", {})
        pending.extend(([*path, name], command) for name, command in commands.items())
        shown = operator.types_alone(*path[1:], "--help")
        assert shown.exit_code == 0
        if not commands:
            assert f"  {' '.join(path)}" in shown.stdout.partition("Examples:")[2] or path == ["hookline", "completion"]
            assert "--output" in shown.stdout
            assert "--insecure" not in shown.stdout


def test_what_is_for_people_is_not_told_as_json(operator: Operator) -> None:
    refused = operator.types_alone("admin", "backup", "--to", "/backups/new", "--output", "json")
    assert (refused.exit_code, "leave --output json out" in refused.stderr) == (2, True)
