"""Words made harmless, times, and enums as CodeDeploy spells them."""

import pytest

from coordinator.cli.wording.spelling import number, spell, spellings, to_json
from coordinator.cli.wording.text import aligned, clean, clean_lines, duration, span
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from hookline.v1 import resources_pb2 as resources


@pytest.mark.parametrize(
    "said,shown",
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bP1;2qsixel\x1b\\after", "after"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("bell\x07 back\x08", "bell\N{REPLACEMENT CHARACTER} back\N{REPLACEMENT CHARACTER}"),
        ("\u202egnp.exe", "\N{REPLACEMENT CHARACTER}gnp.exe"),
        ("\x9b2Jcsi", "csi"),
        ("\x1bcreset", "reset"),
        ("end\x1b", "end\N{REPLACEMENT CHARACTER}"),
        ("grün 日本 [bold]", "grün 日本 [bold]"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(said: str, shown: str) -> None:
    assert clean(said) == shown


def test_lines_keep_their_breaks_and_lose_what_was_overwritten() -> None:
    assert clean_lines("one\r\n10%\r100%\n\x1b[2Jthree\n") == ["one", "100%", "three"]
    assert clean_lines("Script - a.sh\n[stdout]10%\r100%\n[stderr]  indented\n") == ["Script - a.sh", "[stdout]100%", "[stderr]  indented"]
    assert clean_lines("") == []


@pytest.mark.parametrize(
    "seconds,shown",
    [(-5, "0s"), (59.9, "59s"), (60, "1m"), (125, "2m 5s"), (3599, "59m"), (7800, "2h 10m"), (200000, "2d")],
)
def test_a_length_of_time_is_short(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize("seconds,shown", [(-1, "0.0s"), (0.31, "0.3s"), (9.99, "9s"), (42, "42s"), (125, "2m 5s")])
def test_how_long_something_took_has_tenths_when_it_was_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_columns_are_aligned() -> None:
    assert aligned(["A", "LONG"], [["xyz", ""], ["", "y"]]) == ["A    LONG", "xyz  -", "-    y"]


def test_every_enum_is_spelt_as_codedeploy_spells_it() -> None:
    assert spellings(resources.DeploymentStatus) == ["Created", "Queued", "InProgress", "Succeeded", "Failed", "Stopped"]
    assert spellings(resources.TargetStatus) == ["Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Unknown"]
    assert spellings(resources.LifecycleErrorCode)[:6] == [
        "Success",
        "ScriptMissing",
        "ScriptNotExecutable",
        "ScriptTimedOut",
        "ScriptFailed",
        "UnknownError",
    ]
    assert spellings(resources.DeploymentErrorCode)[:2] == ["HEALTH_CONSTRAINTS", "HEALTH_CONSTRAINTS_INVALID"]
    assert spellings(resources.MinimumHealthyHostsType) == ["HOST_COUNT", "FLEET_PERCENT", "MOST_CONCURRENCY"]
    assert spellings(resources.DeploymentCreator) == ["user", "codeDeployRollback", "CodeDeployAutoUpdate"]
    assert spellings(resources.BundleType) == ["tar", "tgz", "zip", "directory"]
    assert spellings(resources.FileExistsBehavior) == ["DISALLOW", "OVERWRITE", "RETAIN"]
    assert spellings(resources.HostStatus) == ["Unknown", "Connected", "Suspect", "Lost"]
    assert spellings(deployments.StopStatus) == ["Pending", "Succeeded"]


def test_a_spelling_is_read_back_whatever_its_case() -> None:
    assert number(resources.TargetStatus, "inprogress") == resources.TARGET_STATUS_IN_PROGRESS
    with pytest.raises(ValueError, match="none of Pending"):
        number(resources.TargetStatus, "Ready")


def test_a_value_of_a_newer_coordinator_is_shown_as_a_number() -> None:
    assert spell(resources.TargetStatus, 99) == "99"


def test_an_object_has_every_value_but_not_the_messages_that_are_not_set() -> None:
    assert to_json(deployments.HistoryEntry(history_id=2**40)) == {
        "history_id": 2**40,
        "application_name": "",
        "deployment_group_name": "",
        "deployment_id": "",
        "host_name": "",
        "entry": "",
        "because": "",
        "message": "",
        "principal": "",
    }
    shown = to_json(fleet.Host(tags={"b": "2", "a": "1"}, holdings=[fleet.HostHolding(installed_revision_id="r-1")]))
    assert shown["tags"] == {"a": "1", "b": "2"}
    assert shown["status"] == ""
    assert isinstance(shown["holdings"], list)
