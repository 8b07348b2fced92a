"""What hooks print, as operators see it: whole lines, harmless ones, across disconnects, and a sentence where there is nothing."""

import base64
import json

import grpc
import pytest

from coordinator.cli.wording.text import clean_output
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.cli.conftest import Operator
from tests.cli.coordinator import FakeCoordinator, Refused

D = "d-AAAAAAAA1"
AWAY = Refused(grpc.StatusCode.UNAVAILABLE, "connection refused")


def deployed(coordinator: FakeCoordinator, *, hosts: int = 1, status: str = "SUCCEEDED") -> None:
    coordinator.deployments.append(
        deployments.Deployment(
            deployment_id=D,
            status=resources.DeploymentStatus.Value(f"DEPLOYMENT_STATUS_{status}"),
            deployment_overview=deployments.DeploymentOverview(in_progress=hosts),
        )
    )


def piece(offset: int, content: bytes = b"", host: str = "web-1", **more: int) -> deployments.ReadLogsResponse:
    complete = bool(more.pop("complete", False))
    end = offset + len(content)
    return deployments.ReadLogsResponse(
        host_id=f"id-{host}", host_name=host, offset=offset, content=content, complete=complete, resume_token=f"t-{host}-{end}", **more
    )


def end(offset: int, host: str = "web-1") -> deployments.ReadLogsResponse:
    return piece(offset, host=host, complete=True)


def test_lines_of_one_host_are_shown_as_they_are(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs.append([piece(0, b"first\nsec"), piece(9, b"ond\n    indented\nlast"), end(30)])
    result = operator.types("logs", D)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "first\nsecond\n    indented\nlast\n", "")


def test_lines_of_several_hosts_begin_with_their_host_and_are_never_mixed(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, hosts=2)
    coordinator.logs.append(
        [piece(0, b"one "), piece(0, b"other\n", "web-2"), piece(4, b"two\n"), end(8), piece(6, b"rest", "web-2"), end(10, "web-2")]
    )
    assert operator.types("logs", D, "--no-fold").stdout == "web-2 | other\nweb-1 | one two\nweb-2 | rest\n"


def test_a_host_that_is_asked_for_needs_no_name_before_its_lines(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, hosts=2)
    coordinator.logs.append([piece(0, b"line\n"), end(5)])
    assert operator.types("logs", D, "--host", "web-1").stdout == "line\n"
    assert coordinator.requests("ReadLogs")[0].host == "web-1"


def test_reading_begins_at_an_offset_of_a_host(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs += [[piece(5, b"rest\nof "), AWAY], [piece(13, b"it\n"), end(16)]]
    assert operator.types("logs", D, "--host", "web-1", "--offset", "5").stdout == "rest\nof it\n"
    assert coordinator.requests("ReadLogs")[0].offset == 5
    assert "name it with --host" in operator.types("logs", D, "--offset", "5").stderr


@pytest.mark.parametrize(
    "printed, shown",
    [
        ("2026-11-23 12:00:00 [stdout]\x1b[31mred\x1b[0m text", "2026-11-23 12:00:00 [stdout]red text"),
        ("2026-11-23 12:00:00 [stderr] 10%\r 50%\r100%", "2026-11-23 12:00:00 [stderr]100%"),
        ("2026-11-23 12:00:00 [stdout]  indented\x07", "2026-11-23 12:00:00 [stdout]  indented\N{REPLACEMENT CHARACTER}"),
        ("\x1b]0;title\x07plain\r", "plain"),
        ("2026-11-23 12:00:00 Script - a.sh", "2026-11-23 12:00:00 Script - a.sh"),
    ],
)
def test_nothing_that_a_hook_prints_moves_the_terminal(printed: str, shown: str) -> None:
    assert clean_output(printed) == shown


def test_dropped_bytes_are_said(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs.append([piece(0, b"kept\ncut o", dropped_bytes=990), piece(1000, b"after\n"), end(1006)])
    assert operator.types("logs", D).stdout == "kept\ncut o\n[hookline]dropped 990 bytes of output\nafter\n"


def test_a_broken_stream_goes_on_where_it_broke(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs += [[piece(0, b"one\ntw"), AWAY], [AWAY], [piece(6, b"o\nthree\n"), end(14)]]
    result = operator.types("logs", D, "-f")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\nthree\n")
    assert [request.resume_token for request in coordinator.requests("ReadLogs")] == ["", "t-web-1-6", "t-web-1-6"]
    assert result.stderr.count("connecting again") == 1


def test_a_coordinator_that_has_lost_what_was_read_repeats_nothing(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    refused = Refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot go on from position 70")
    coordinator.logs += [[piece(0, b"one\ntwo\n"), AWAY], [refused], [piece(0, b"one\n"), piece(4, b"two\nthree\n"), end(14)]]
    assert operator.types("logs", D, "-f").stdout == "one\ntwo\nthree\n"


def test_a_gap_after_a_disconnect_is_filled_from_the_beginning(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs += [[piece(0, b"one\n"), AWAY], [piece(8, b"three\n")], [piece(0, b"one\ntwo\nthree\n"), end(14)]]
    assert operator.types("logs", D, "-f").stdout == "one\ntwo\nthree\n"


def test_json_is_an_object_a_line_with_the_offset_at_which_it_begins(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, hosts=2)
    coordinator.logs.append([piece(0, b"caf\xc3"), piece(4, b"\xa9 \x1b[1m\nne"), piece(13, b"xt\n", dropped_bytes=5), end(21)])
    host = {"host_id": "id-web-1", "host_name": "web-1"}
    assert [json.loads(line) for line in operator.types("logs", D, "--output", "json").stdout.splitlines()] == [
        {**host, "offset": 0, "line": "café \x1b[1m"},
        {**host, "offset": 11, "line": "next"},
        {**host, "offset": 16, "dropped_bytes": 5},
    ]


def test_no_output_is_said_in_a_sentence(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs.append([])
    assert f"no output of {D}: its hooks printed nothing" in operator.types("logs", D).stderr
    coordinator.deployments.clear()
    deployed(coordinator, status="IN_PROGRESS")
    coordinator.logs.append([])
    assert f"wait for it with: hookline logs {D} -f" in operator.types("logs", D).stderr


def test_a_host_whose_output_has_no_end_is_named(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, hosts=2)
    coordinator.logs.append([piece(0, b"cut off\n"), piece(0, b"all\n", "web-2"), end(4, "web-2")])
    assert "not all has come from web-1" in operator.types("logs", D, "-f").stderr


def test_an_unknown_deployment_and_an_unknown_host_are_refused(coordinator: FakeCoordinator, operator: Operator) -> None:
    result = operator.types("logs", "d-ZZZZZZZZZ")
    assert (result.exit_code, "cannot find deployment d-ZZZZZZZZZ" in result.stderr) == (1, True)
    deployed(coordinator)
    why = f"cannot find host web-9 among the targets of deployment {D}"
    coordinator.logs.append([Refused(grpc.StatusCode.NOT_FOUND, why, "DEPLOYMENT_TARGET_DOES_NOT_EXIST")])
    result = operator.types("logs", D, "--host", "web-9")
    assert result.exit_code == 1
    assert why in result.stderr
    assert f"hookline targets {D}" in result.stderr


def test_ctrl_c_detaches(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, status="IN_PROGRESS")
    coordinator.logs.append([piece(0, b"line\n"), AWAY])
    operator.clock.interrupt = True
    result = operator.types("logs", D, "-f")
    assert (result.exit_code, result.stdout) == (130, "line\n")
    assert f"{D} goes on without you" in result.stderr
    assert f"hookline logs {D} -f" in result.stderr


def test_lines_that_hosts_print_alike_are_shown_once_with_their_number(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator, hosts=3)
    at = b"2026-11-23 12:00:0%d [stdout]%s\n"
    both = b"".join(at % (0, word) for word in (b"begin", b"check", b"end"))
    odd = b"".join(at % (7, word) for word in (b"begin", b"check", b"slow disk", b"end"))
    coordinator.logs.append([piece(0, both), end(len(both)), piece(0, both, "web-2"), end(len(both), "web-2")])
    coordinator.logs[0] += [piece(0, odd, "web-3"), end(len(odd), "web-3")]
    assert operator.types("logs", D).stdout.splitlines() == [
        "3 hosts: 2026-11-23 12:00:00 [stdout]begin",
        "3 hosts: 2026-11-23 12:00:00 [stdout]check",
        "web-3 | 2026-11-23 12:00:07 [stdout]slow disk",
        "3 hosts: 2026-11-23 12:00:00 [stdout]end",
    ]
    coordinator.logs.append([piece(0, b"same\n"), end(5), piece(0, b"same\n", "web-2"), end(5, "web-2")])
    assert operator.types("logs", D, "--no-fold").stdout == "web-1 | same\nweb-2 | same\n"


def test_raw_is_what_the_hook_printed_byte_for_byte(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs.append([piece(0, b"\x1b[31mred\x1b[0m 10%\r100% \xff\n"), end(23)])
    assert operator.types("logs", D, "--raw").stdout_bytes == b"\x1b[31mred\x1b[0m 10%\r100% \xff\n"
    result = operator.types("logs", D, "--raw", "--output", "json")
    assert (result.exit_code, "what JSON says is exact without it" in result.stderr) == (2, True)


def test_json_gives_the_bytes_of_a_line_that_is_no_text(coordinator: FakeCoordinator, operator: Operator) -> None:
    deployed(coordinator)
    coordinator.logs.append([piece(0, b"caf\xe9\r\n"), end(6)])
    (line,) = [json.loads(line) for line in operator.types("logs", D, "--output", "json").stdout.splitlines()]
    assert base64.b64decode(line["line_base64"]) == b"caf\xe9\r"
    assert line["line"] == "caf\N{REPLACEMENT CHARACTER}\r"
