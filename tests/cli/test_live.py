"""The live picture of a rollout."""

import io

import click
import pytest
from rich.console import Console as RichConsole

from coordinator.cli.arguments import Command
from coordinator.cli.console import Console
from coordinator.cli.following.live import LiveView
from coordinator.cli.following.rollout import Rollout
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import FakeClock
from tests.cli.coordinator import at, target
from tests.cli.test_follow import IN_PROGRESS, about, broken, deployment, targets


def seen(*of: deployments.Target, **counts: int) -> Rollout:
    """A rollout of which these targets were seen."""
    rollout = Rollout("d-AAAAAAAA1")
    made = deployment(IN_PROGRESS)
    made.deployment_overview.CopyFrom(deployments.DeploymentOverview(**counts))
    rollout.apply(about(made))
    rollout.apply(targets(*of))
    return rollout


def view(rollout: Rollout, height: int, encoding: str = "utf-8") -> tuple[LiveView, io.TextIOWrapper]:
    """A live view on a terminal of 100 columns."""
    context = click.Context(Command("x"))
    context.meta["hookline.clock"] = FakeClock()
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    rich = RichConsole(file=out, width=100, height=height, force_terminal=True, color_system=None, legacy_windows=False, markup=False)
    return LiveView(Console(context), rollout, rich), out


def picture(rollout: Rollout, height: int = 30, encoding: str = "utf-8") -> list[str]:
    """The lines of the picture."""
    live, _ = view(rollout, height, encoding)
    drawn = RichConsole(file=io.StringIO(), width=100, height=height, color_system=None, markup=False)
    with drawn.capture() as captured:
        drawn.print(live.picture())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_every_host_has_a_row_with_a_cell_for_each_event() -> None:
    rollout = seen(
        target("web-2", resources.TARGET_STATUS_IN_PROGRESS, 3, 3, 2),
        broken("web-1"),
        target("web-3", resources.TARGET_STATUS_PENDING),
        in_progress=1,
        failed=1,
        pending=1,
    )
    lines = picture(rollout)
    assert lines[0] == "d-AAAAAAAA1  shop/production  r-1  CodeDeployDefault.OneAtATime  by local  5m"
    assert lines[1].startswith("InProgress")
    assert lines[1].endswith("1/3  1 Failed, 1 InProgress, 1 Pending")
    assert lines[3:6] == [
        "web-1  ■■■■■■✖  Failed  ValidateService ScriptFailed: check.sh: exit code 7",
        "web-2  ■■▶····  BeforeInstall 4m 58s",
        "web-3  ·······  Pending",
    ]


def test_a_fleet_that_does_not_fit_shows_what_matters_and_counts_the_rest() -> None:
    done = [target(f"web-{number:05}", resources.TARGET_STATUS_SUCCEEDED, *[3] * 7) for number in range(9000)]
    waiting = [target(f"zeb-{number:03}", resources.TARGET_STATUS_PENDING) for number in range(412)]
    rollout = seen(*done, *waiting, broken("bad-1"), target("now-1", resources.TARGET_STATUS_IN_PROGRESS, 2))
    lines = picture(rollout, height=7)
    assert [line.split()[0] for line in lines[3:5]] == ["now-1", "bad-1"]
    assert lines[5] == "… 9,412 more: 9,000 Succeeded, 412 Pending"
    assert len(lines) < 7


def test_a_terminal_without_unicode_gets_ascii() -> None:
    rollout = seen(
        target("web-1", resources.TARGET_STATUS_IN_PROGRESS, 3, 2),
        *[target(f"x{number}", resources.TARGET_STATUS_PENDING) for number in range(9)],
    )
    lines = picture(rollout, height=7, encoding="ascii")
    assert lines[3].startswith("web-1  #>.....")
    assert lines[5].startswith("... 8 more")


def test_a_disconnect_is_shown_until_something_comes_again() -> None:
    rollout = seen(target("web-1", resources.TARGET_STATUS_PENDING))
    live, _ = view(rollout, 30)
    live.reconnecting()
    console = RichConsole(file=io.StringIO(), width=120, color_system=None)
    with console.capture() as captured:
        console.print(live.picture())
    assert "reconnecting..." in captured.get()


@pytest.mark.parametrize("failures,more", [(1, ""), (12, "2 more failed; see: hookline targets d-AAAAAAAA1 --status Failed")])
def test_at_the_end_the_failures_stand_below_the_picture(failures: int, more: str) -> None:
    rollout = seen(*(broken(f"web-{number:02}") for number in range(failures)))
    live, out = view(rollout, 40)
    with live:
        live.end()
    out.flush()
    shown = out.buffer.getvalue().decode()  # type: ignore[attr-defined]  # a BytesIO
    assert "web-00  ValidateService ScriptFailed: check.sh: exit code 7" in shown
    assert "  | no answer" in shown
    assert more in shown


def test_what_changes_costs_nothing_for_the_rest_of_the_fleet() -> None:
    rollout = seen(*(target(f"web-{number}", resources.TARGET_STATUS_PENDING) for number in range(3)))
    rollout.apply(targets(target("web-1", resources.TARGET_STATUS_SUCCEEDED, *[3] * 7)))
    assert rollout.counts() == {"InProgress": 0, "Failed": 0, "Unknown": 0, "Pending": 2, "Succeeded": 1, "Skipped": 0}
    assert rollout.total == 3


def test_what_the_alarms_say_stands_below_the_header() -> None:
    rollout = seen(target("web-1", resources.TARGET_STATUS_IN_PROGRESS, 3, 2))
    assert rollout.deployment is not None
    rollout.deployment.alarm_configuration.enabled = True
    rollout.deployment.alarm_configuration.alarms.extend(["A", "B"])
    assert picture(rollout)[1].startswith("waits: until somebody sees A, B: no further host begins")
    for number, name in enumerate("AB"):
        message = "UNKNOWN -> OK: 0 is not > 1"
        entry = deployments.HistoryEntry(history_id=number, time=at(7), entry="AlarmStatus", because=f"alarm {name}", message=message)
        rollout.tell([entry])
    assert picture(rollout)[1:3] == ["alarm A OK since 12:00:07: 0 is not > 1", "alarm B OK since 12:00:07: 0 is not > 1"]
    assert picture(rollout)[3].startswith("InProgress")
