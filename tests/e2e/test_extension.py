"""`x-hookline` on real processes: scripts get what it says, interrupted ones run again or are asked after, and events are closed once."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.bundles import Gate, bundle
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
CLOSED = """version: 0.0
os: linux
x-hookline:
  interrupted: {AfterInstall: probe, ApplicationStart: probe, ValidateService: fail}
  probe:
    location: scripts/probe.sh
  on_failure:
    ValidateService: [{location: scripts/close.sh, x-hookline: {args: [failure]}}]
  always:
    AfterInstall: [{location: scripts/close.sh, x-hookline: {args: [always]}}]
    ValidateService: [{location: scripts/close.sh, x-hookline: {args: [always]}}]
hooks:
  AfterInstall: [{location: scripts/hook.sh}]
  ApplicationStart: [{location: scripts/hook.sh}]
  ValidateService: [{location: scripts/hook.sh}]
"""
TELL = '#!/bin/sh\nprintf "<%s>" "$@" "$COLOUR" "$SIZE" "$LIFECYCLE_EVENT" >> "$WITNESS/told"\n'
PROBE = """#!/bin/sh
echo "probes $LIFECYCLE_EVENT"
echo "$LIFECYCLE_EVENT" >> "$WITNESS/probed"
if [ "$LIFECYCLE_EVENT" = AfterInstall ]; then exit 0; fi
exit 21
"""
CLOSE = """#!/bin/sh
echo "closes $LIFECYCLE_EVENT, $1"
echo "$1 $LIFECYCLE_EVENT $HOOKLINE_EVENT_STATUS ${HOOKLINE_EVENT_ERROR-}" >> "$WITNESS/closing"
if [ -p "$WITNESS/gates/closing" ]; then read -r _ < "$WITNESS/gates/closing"; fi
echo "$1 $LIFECYCLE_EVENT" >> "$WITNESS/closed"
"""
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


def lines(fleet: Cluster, name: str) -> list[str]:
    path = fleet.directory / name
    return path.read_text().splitlines() if path.exists() else []


def test_an_interrupted_event_is_probed_and_every_event_is_closed_once_whatever_is_killed(fleet: Cluster, tmp_path: Path) -> None:
    source = bundle(tmp_path / "v2", "v2")
    (source / "appspec.yml").write_text(CLOSED)
    for name, text in (("probe.sh", PROBE), ("close.sh", CLOSE)):
        (source / "scripts" / name).write_text(text)
    revision = fleet.hookline("push", "shop", str(source)).json["revision_id"]
    fleet.wait_for_agents()
    gates = {event: fleet.gate(event, HOST) for event in ("AfterInstall", "ApplicationStart", "ValidateService")}
    deployment_id = str(fleet.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"])

    fleet.reached(deployment_id, "AfterInstall", HOST)
    kill_agent_and_supervisors(fleet)
    fleet.start_agent(HOST)  # the probe says that it is done
    until(lambda: fleet.times(deployment_id).get((HOST, "ApplicationStart")) == 1, "AfterInstall is over")
    assert (fleet.times(deployment_id)[HOST, "AfterInstall"], lines(fleet, "closing")) == (1, ["always AfterInstall Succeeded "])

    kill_agent_and_supervisors(fleet)
    fleet.start_agent(HOST)  # the probe says that it has to run again
    until(lambda: fleet.times(deployment_id)[HOST, "ApplicationStart"] == 2, "ApplicationStart begins again")
    gates["ApplicationStart"].let()

    fleet.reached(deployment_id, "ValidateService", HOST)
    closing = Gate(fleet.directory / "gates" / "closing")
    gates["ValidateService"].let("fail")
    until(lambda: len(lines(fleet, "closing")) == 2, "ValidateService is being closed")
    fleet.kill(HOST)  # the supervisor goes on with what closes the event
    fleet.start_agent(HOST)
    closing.let()
    try:
        assert fleet.ended(deployment_id) == "Failed"
    finally:
        closing.close()
    assert lines(fleet, "probed") == ["AfterInstall", "ApplicationStart"]
    failed = ["failure ValidateService Failed ScriptFailed", "always ValidateService Failed ScriptFailed"]
    assert lines(fleet, "closing") == ["always AfterInstall Succeeded ", *failed]
    assert lines(fleet, "closed") == ["always AfterInstall", "failure ValidateService", "always ValidateService"]
    assert fleet.times(deployment_id)[HOST, "ValidateService"] == 1
    printed = ["probes AfterInstall", "closes AfterInstall, always", "probes ApplicationStart"]
    printed += ["broken on purpose", "closes ValidateService, failure", "closes ValidateService, always"]
    until(lambda: re.findall(r"\[stdout\](.*)", fleet.typed("logs", deployment_id).out) == printed, "the output is published, once")
