"""`hookline history --host H --at TIME`: what ran on a host at a moment in the past."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, at, target

OLD, NEW, OTHER = "d-AAAAAAAA1", "d-AAAAAAAA2", "d-BBBBBBBB1"


def entry(deployment_id: str, seconds: int, status: str, group: str = "production") -> deployments.HistoryEntry:
    """An entry about web-1, so many seconds after noon."""
    return deployments.HistoryEntry(
        time=at(seconds),
        application_name="shop",
        deployment_group_name=group,
        deployment_id=deployment_id,
        host_name="web-1",
        entry=status,
    )


@pytest.fixture
def past(coordinator: FakeCoordinator) -> FakeCoordinator:
    """web-1 got r-1 until 12:00:20; r-2 began at 12:01:00, lay there at 12:01:04 and failed at 12:01:40; staging got r-9 at 12:00:50."""
    entries = [
        *(entry(OLD, 10, "InProgress"), entry(OLD, 20, "Succeeded"), entry(OTHER, 45, "InProgress", "staging")),
        *(entry(OTHER, 50, "Succeeded", "staging"), entry(NEW, 60, "InProgress"), entry(NEW, 100, "Failed")),
    ]
    coordinator.history = entries[::-1]
    for deployment_id, revision_id in ((OLD, "r-1"), (NEW, "r-2"), (OTHER, "r-9")):
        coordinator.deployments.append(deployments.Deployment(deployment_id=deployment_id, revision_id=revision_id))
    coordinator.hosts["web-1"] = fleet.Host(host_id="id-web-1", name="web-1")
    failed = target("web-1", resources.TARGET_STATUS_FAILED, *[3] * 5, 4)
    failed.deployment_id = NEW
    for number, event in enumerate(failed.lifecycle_events):
        event.start_time.CopyFrom(at(60 + number))
        event.end_time.CopyFrom(at(61 + number))
    failed.lifecycle_events[5].end_time.CopyFrom(at(100))
    coordinator.targets = [failed]
    return coordinator


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def shown(operator: Operator, when: str) -> list[list[str]]:
    """The rows of the table, cell by cell."""
    result = operator.types("history", "--host", "web-1", "--at", when)
    assert result.exit_code == 0, result.output
    return [re.split("  +", line) for line in result.stdout.splitlines()[2:]]


def test_before_anything_was_deployed_nothing_ran(operator: Operator, past: FakeCoordinator) -> None:
    result = operator.types("history", "--host", "web-1", "--at", "12:00:05")
    assert (result.stdout, result.stderr) == ("", "Nothing had been deployed to web-1 then.\n")


def test_a_first_deployment_is_on_its_way_before_anything_is_deployed(operator: Operator, past: FakeCoordinator) -> None:
    first = target("web-1", resources.TARGET_STATUS_SUCCEEDED, 3)
    first.lifecycle_events[0].start_time.CopyFrom(at(10))
    first.lifecycle_events[0].end_time.CopyFrom(at(20))
    past.targets.append(first)
    (line,) = shown(operator, "12:00:15")
    assert line == ["shop/production", *"----", f"InProgress ApplicationStop: r-1 by {OLD} since 2026-11-23 12:00:10"]


def test_what_had_succeeded_in_each_group_is_what_ran(operator: Operator, past: FakeCoordinator) -> None:
    assert shown(operator, "2026-11-23T12:00:55Z") == [
        ["shop/production", "r-1", OLD, "2026-11-23 12:00:20", "r-1", "-"],
        ["shop/staging", "r-9", OTHER, "2026-11-23 12:00:50", "r-9", "-"],
    ]


def test_what_was_on_its_way_is_said_with_its_event(operator: Operator, past: FakeCoordinator) -> None:
    production = shown(operator, "12:01:02")[0]
    assert production[3:] == ["2026-11-23 12:00:20", "r-1", f"InProgress BeforeInstall: r-2 by {NEW} since 2026-11-23 12:01:00"]


def test_files_that_a_failed_deployment_left_are_told_from_what_is_deployed(operator: Operator, past: FakeCoordinator) -> None:
    production = shown(operator, "12:02")[0]
    assert production[1:] == ["r-1", OLD, "2026-11-23 12:00:20", "r-2", f"Failed: r-2 by {NEW} since 2026-11-23 12:01:40"]


def test_scripts_get_one_object_with_times_in_utc(operator: Operator, past: FakeCoordinator) -> None:
    result = operator.types("history", "--host", "web-1", "--at", "2026-11-23T13:01:30+01:00", "--output", "json")
    told = json.loads(result.stdout)
    assert (told["host"], told["at"]) == ("web-1", "2026-11-23T12:01:30Z")
    assert told["groups"][0] == {
        "application_name": "shop",
        "deployment_group_name": "production",
        "installed_revision_id": "r-2",
        "deployed": {"deployment_id": OLD, "revision_id": "r-1", "since": "2026-11-23T12:00:20Z"},
        "attempt": {
            "deployment_id": NEW,
            "revision_id": "r-2",
            "since": "2026-11-23T12:01:00Z",
            "status": "InProgress",
            "lifecycle_event": "ApplicationStart",
        },
    }


@pytest.mark.usefixtures("berlin")
def test_the_time_zone_is_said(operator: Operator, past: FakeCoordinator) -> None:
    result = operator.types("history", "--host", "web-1", "--at", "2026-11-23T13:00:55")
    assert result.stdout.splitlines()[0] == "web-1 at 2026-11-23 13:00:55 CET (2026-11-23T12:00:55Z); all times in CET"
    assert "2026-11-23 13:00:20" in result.stdout


def test_the_history_is_asked_for_by_the_hosts_id_unless_it_is_gone(operator: Operator, past: FakeCoordinator) -> None:
    shown(operator, "12:00:55")
    del past.hosts["web-1"]
    shown(operator, "12:00:55")
    assert [request.host for request in past.requests("ListHistory")] == ["id-web-1", "web-1"]


@pytest.mark.parametrize(
    "words, why",
    [
        (("--host", "web-1", "--at", "noon"), "cannot read the time 'noon': write 14:03"),
        (("--host", "web-1", "--at", "2026-11-23T12:30Z"), "cannot say what runs at 2026-11-23T12:30:00+00:00: it is not that late yet"),
        (("--at", "12:00"), "cannot use --at without --host"),
        (("--host", "web-1", "--deployment", OLD, "--at", "12:00"), "nor with --deployment"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    operator: Operator, coordinator: FakeCoordinator, words: tuple[str, ...], why: str
) -> None:
    refused = operator.types("history", *words)
    assert refused.exit_code == 2
    assert why in " ".join(refused.stderr.split())
    assert coordinator.calls == []
