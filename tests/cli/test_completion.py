"""What the shell offers."""

import pytest
from click.shell_completion import ShellComplete

from coordinator.cli.main import program
from hookline.v1 import alarms_pb2 as alarms
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator


def offered(*words: str) -> list[str]:
    """What is offered for the last word."""
    return [
        item.value for item in ShellComplete(program, {}, "hookline", "_HOOKLINE_COMPLETE").get_completions(list(words[:-1]), words[-1])
    ]


@pytest.fixture
def known(coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch) -> FakeCoordinator:
    """A coordinator with one of each, named in the environment."""
    monkeypatch.setenv("HOOKLINE_COORDINATOR", coordinator.address)
    monkeypatch.setenv("HOOKLINE_INSECURE", "1")
    coordinator.applications = {name: catalog.Application(application_name=name) for name in ("shop", "search", "mail")}
    coordinator.groups["shop", "production"] = catalog.DeploymentGroup(application_name="shop", deployment_group_name="production")
    coordinator.revisions["r-1"] = catalog.Revision(application_name="shop", revision_id="r-1")
    coordinator.configs["half"] = catalog.DeploymentConfig(deployment_config_name="half")
    coordinator.alarms["HighErrors"] = alarms.Alarm(alarm_name="HighErrors")
    coordinator.deployments = [deployments.Deployment(deployment_id="d-AAAAAAAA1")]
    coordinator.hosts["web-1"] = fleet.Host(name="web-1")
    return coordinator


@pytest.mark.usefixtures("known")
def test_names_that_the_coordinator_knows_are_offered() -> None:
    assert offered("deploy", "s") == ["shop", "search"]
    assert offered("deploy", "shop", "") == ["production"]
    assert offered("deploy", "mail", "") == []
    assert offered("deploy", "shop", "production", "--revision", "") == ["r-1"]
    assert offered("deploy", "shop", "production", "--config", "h") == ["half"]
    assert offered("deploy", "shop", "production", "--rollback-config", "h") == ["half"]
    assert offered("deploy", "shop", "production", "--alarm", "H") == ["HighErrors"]
    assert offered("alarm", "test", "") == ["HighErrors"]
    assert offered("deploy", "shop", "production", "--host", "w") == ["web-1"]
    assert offered("rollback", "shop", "production", "--to", "r") == ["r-1"]
    assert offered("follow", "") == ["d-AAAAAAAA1"]
    assert offered("target", "d-AAAAAAAA1", "w") == ["web-1"]
    assert offered("tag", "add", "web") == ["web-1"]
    assert offered("history", "--app", "m") == ["mail"]
    assert offered("export", "s") == ["shop", "search"]
    assert offered("apply", "-f", "a", "--prune", "Deployment") == ["DeploymentConfig", "DeploymentGroup"]


def test_the_coordinator_of_the_command_line_is_asked(coordinator: FakeCoordinator) -> None:
    coordinator.hosts["web-7"] = fleet.Host(name="web-7")
    assert offered("--coordinator", coordinator.address, "--insecure", "hosts", "") == ["web-7"]


def test_commands_and_options_are_offered_without_asking_anybody(known: FakeCoordinator) -> None:
    assert offered("de") == ["deploy", "deployments"]
    assert offered("group", "") == ["create", "delete", "list", "show", "update"]
    assert offered("deploy", "--rev") == ["--revision"]
    assert known.calls == []


def test_a_coordinator_that_does_not_answer_means_silence(known: FakeCoordinator, capfd: pytest.CaptureFixture[str]) -> None:
    known.stop()
    assert offered("follow", "") == []
    assert capfd.readouterr() == ("", "")


def test_without_insecure_nothing_is_offered_and_nothing_said(
    known: FakeCoordinator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOOKLINE_INSECURE")
    assert offered("follow", "") == []
    assert capfd.readouterr() == ("", "")
    assert known.calls == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_says_how_to_install_it(operator: Operator, shell: str) -> None:
    shown = operator.types_alone("completion", shell).stdout
    assert shown.startswith("# To install it for good:  ")
    assert f"_HOOKLINE_COMPLETE={shell}_complete" in shown
