"""`x-hookline` on real processes: scripts get what it says, and interrupted ones run again, once for each attempt."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until

HOST = "web-1"
APPSPEC = """version: 0.0
os: linux
files:
  - source: files
    destination: /srv/app
x-hookline:
  env: {COLOUR: green, SIZE: small}
  interrupted: {AfterInstall: rerun}
hooks:
  AfterInstall:
    - location: scripts/tell.sh
      x-hookline:
        args: [--port, 8080, "two words"]
        env: {SIZE: large}
    - location: scripts/hook.sh
  ApplicationStart:
    - location: scripts/hook.sh
"""
TELL = '#!/bin/sh\nprintf "<%s>" "$@" "$COLOUR" "$SIZE" "$LIFECYCLE_EVENT" >> "$WITNESS/told"\n'
TOLD = "<--port><8080><two words><green><large><AfterInstall>"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("extension")
    with Cluster(directory / "cluster") as cluster:
        cluster.start_agents(HOST)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--config", "CodeDeployDefault.AllAtOnce")
        source = bundle(directory / "v1", "v1")
        (source / "appspec.yml").write_text(APPSPEC)
        (source / "scripts/tell.sh").write_text(TELL)
        cluster.hookline("push", "shop", str(source))
        yield cluster


def deploy(fleet: Cluster) -> str:
    fleet.wait_for_agents()
    revision = fleet.hookline("revisions", "shop").json[0]["revision_id"]
    return str(fleet.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"])


def kill_agent_and_supervisors(fleet: Cluster) -> None:
    fleet.kill(HOST)
    for pid in fleet.supervisors(HOST):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def told(fleet: Cluster) -> str:
    return Path(fleet.directory / "told").read_text()


def test_scripts_get_their_arguments_and_variables_and_run_again_after_an_interruption_once_for_each_attempt(fleet: Cluster) -> None:
    gate = fleet.gate("AfterInstall", HOST)
    deployment_id = deploy(fleet)
    fleet.reached(deployment_id, "AfterInstall", HOST)
    assert told(fleet) == TOLD
    kill_agent_and_supervisors(fleet)
    fleet.start_agent(HOST)
    until(lambda: fleet.times(deployment_id)[HOST, "AfterInstall"] == 2, "AfterInstall begins again")
    gate.let()
    assert fleet.ended(deployment_id) == "Succeeded"
    assert fleet.times(deployment_id) == {(HOST, "AfterInstall"): 2, (HOST, "ApplicationStart"): 1}
    assert told(fleet) == TOLD * 2


def test_an_event_that_is_not_named_is_not_run_again(fleet: Cluster) -> None:
    gate = fleet.gate("ApplicationStart", HOST)
    deployment_id = deploy(fleet)
    fleet.reached(deployment_id, "ApplicationStart", HOST)
    kill_agent_and_supervisors(fleet)
    fleet.start_agent(HOST)
    assert fleet.ended(deployment_id) == "Failed"
    gate.let()
    assert fleet.times(deployment_id)[HOST, "ApplicationStart"] == 1
