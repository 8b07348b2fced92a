"""What hooks print reaches an operator's terminal once and whole, whoever is killed meanwhile."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, until

HOOK = """#!/usr/bin/env python3
import sys, time
for number in range(250):
    print(f"{number} printed at {time.time():.6f} \\x1b[31m", file=(sys.stdout, sys.stderr)[number % 2], flush=True)
    time.sleep(0.01)
"""


def bundle(directory: Path) -> Path:
    """A bundle whose hooks print for about three seconds each."""
    directory.mkdir()
    (directory / "print.py").write_text(HOOK)
    events = "".join(f"  {event}:\n    - location: print.py\n      timeout: 60\n" for event in ("BeforeInstall", "AfterInstall"))
    (directory / "appspec.yml").write_text(f"version: 0.0\nos: linux\nhooks:\n{events}")
    return directory


def deploy(cluster: Cluster, directory: Path) -> str:
    cluster.hookline("app", "create", "shop")
    cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--config", "CodeDeployDefault.AllAtOnce")
    revision = cluster.typed("push", "shop", str(bundle(directory))).out.strip()
    return cluster.typed("deploy", "shop", "production", "--revision", revision).out.strip()


@pytest.mark.timeout(120)
def test_an_operator_reads_every_line_once_though_coordinator_and_agent_are_killed(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1", "web-2")
        deployment = deploy(cluster, tmp_path / "v1")
        shown = tmp_path / "shown"
        with shown.open("wb") as out, (tmp_path / "remarks").open("wb") as err:
            reading = subprocess.Popen(
                cluster.command("logs", deployment, "-f", "--no-fold"), stdout=out, stderr=err, env=cluster.environment
            )
        for number in (60, 120, 200):
            until(lambda number=number: f"]{number} printed" in shown.read_text(), f"line {number} is shown")  # type: ignore[misc]
            if number == 120:
                cluster.kill("web-1")
                cluster.start_agent("web-1")
            else:
                cluster.kill_coordinator()
                cluster.start_coordinator()
        assert reading.wait(90) == 0
        assert cluster.ended(deployment) == "Succeeded"
        lines = shown.read_text().splitlines()
        for host in ("web-1", "web-2"):
            (printed,) = (cluster.directory / "hosts" / host).rglob("scripts.log")
            expected = [line.replace("\x1b[31m", "").rstrip() for line in printed.read_text().splitlines()]
            assert [line.removeprefix(f"{host} | ") for line in lines if line.startswith(f"{host} | ")] == expected
            assert sum("printed at" in line for line in expected) == 500
            until(lambda host=host: not outputs(cluster, host), f"{host} needs to keep nothing")  # type: ignore[misc]


@pytest.mark.timeout(60)
def test_a_line_is_shown_within_a_second_and_what_both_hosts_say_once(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1", "web-2")
        deployment = deploy(cluster, tmp_path / "v1")
        with subprocess.Popen(
            cluster.command("logs", deployment, "-f"), stdout=subprocess.PIPE, text=True, env=cluster.environment
        ) as reading:
            assert reading.stdout is not None
            lines = [(time.time(), line.rstrip()) for line in reading.stdout]
        shown = [(at, float(line.split(" printed at ")[1])) for at, line in lines if " printed at " in line]
        assert len(shown) == 1000
        late = sorted(at - printed for at, printed in shown if printed > shown[0][0])  # before that, the reader was not there yet
        assert late[int(0.9 * len(late))] < 1.0
        # What follows the different lines is folded or not by which host was first; live, only what comes within a moment is.
        afterwards = subprocess.run(
            cluster.command("logs", deployment), capture_output=True, text=True, env=cluster.environment, check=True, timeout=20
        ).stdout.splitlines()
        assert any(line.startswith("2 hosts: ") and line.endswith("LifecycleEvent - BeforeInstall") for line in afterwards)


def outputs(cluster: Cluster, host: str) -> list[Path]:
    return list((cluster.directory / "agents" / host / "hooks" / "output").iterdir())
