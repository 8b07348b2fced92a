"""What a coordinator says when it cannot start, and how it and its bundle process end."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import PROGRAMS, SOON, Cluster, until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as cluster:
        yield cluster


def refuses(cluster: Cluster, *words: str) -> str:
    """What a second coordinator says when it ends at once."""
    here = ("--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--bundle-listen", "127.0.0.1:0", "--insecure")
    command = [str(PROGRAMS / "hookline-coordinator"), "--data-dir", str(cluster.directory / "second"), *here, *words]
    ended = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    (line,) = (line for line in ended.stderr.splitlines() if line.startswith("hookline-coordinator: "))
    return line.removeprefix("hookline-coordinator: cannot start: ")


def test_the_first_word_is_ready_and_every_line_of_the_log_is_ours(cluster: Cluster) -> None:
    assert set(cluster.addresses) == {"listen", "http", "bundles"}
    assert cluster.http("/healthz")
    cluster.kill("coordinator", signal.SIGTERM)
    assert "uvicorn" not in cluster.log("coordinator")
    assert all(line[:2] == "20" for line in cluster.log("coordinator").splitlines())


def test_a_second_coordinator_on_the_same_data_is_told_who_has_it(cluster: Cluster) -> None:
    said = refuses(cluster, "--data-dir", str(cluster.data_dir))
    assert f"another coordinator uses it (process {cluster.processes['coordinator'].pid})" in said


@pytest.mark.parametrize("option, place", [("--listen", "listen"), ("--http-listen", "http"), ("--bundle-listen", "bundles")])
def test_an_address_that_is_taken_is_named(cluster: Cluster, option: str, place: str) -> None:
    address = cluster.addresses[place]
    assert refuses(cluster, option, address).startswith(f"cannot listen on {address}: address already in use; ")


def test_a_data_directory_that_cannot_be_one_is_named(cluster: Cluster) -> None:
    file = cluster.directory / "file"
    file.write_text("not a directory\n")
    assert refuses(cluster, "--data-dir", str(file)) == f"cannot make the data directory {file}: File exists; name another --data-dir"


def test_a_database_of_something_else_is_left_alone(cluster: Cluster) -> None:
    data_dir = cluster.directory / "foreign"
    data_dir.mkdir()
    (data_dir / "hookline.db").write_bytes(b"this is no database, whatever its name says\n" * 40)
    assert f"cannot use {data_dir / 'hookline.db'}" in refuses(cluster, "--data-dir", str(data_dir))


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has said what it does on a signal."""
    (mask,) = (line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_coordinator_that_is_still_starting_can_be_stopped(cluster: Cluster, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it waits a while for the bundle process that may be leaving
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        log = cluster.directory / "second.log"
        with log.open("wb") as output:
            second = subprocess.Popen(
                [
                    *(str(PROGRAMS / "hookline-coordinator"), "--data-dir", str(cluster.directory / "second"), "--insecure"),
                    *("--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--bundle-listen", address),
                ],
                env=cluster.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(lambda: catches(second.pid, signal.SIGTERM), "it listens to signals")
        second.send_signal(number)
        assert second.wait(SOON) == 0
    assert log.read_text() == ""


def test_the_bundle_process_is_started_again_and_ends_with_the_coordinator(cluster: Cluster) -> None:
    def serving() -> int:
        return next((pid for pid, words in cluster.left() if "coordinator.gateway.bundles" in words), 0)

    first = serving()
    os.kill(first, signal.SIGKILL)
    again = until(lambda: serving() if serving() != first else 0, "another one serves")
    cluster.kill_coordinator()
    until(lambda: serving() == 0, "it has noticed")
    cluster.start_coordinator()
    assert serving() not in (0, again)


def test_what_an_operator_was_told_is_there_after_a_kill(cluster: Cluster) -> None:
    cluster.hookline("app", "create", "shop")
    cluster.kill_coordinator()
    cluster.start_coordinator()
    assert [app["application_name"] for app in cluster.hookline("app", "list").json] == ["shop"]
