"""`kill -9` of agents and supervisors around their hooks: a hook runs once, its true result is told, what cannot be known is said."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import SOON, Cluster, Hook, until
from tests.e2e.kills import AgentKills
from tests.e2e.witness import check_history, check_hooks, check_once

HOSTS = ("web-1", "web-2")
KILLED = "web-1"
KILLS = 200


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("fleet")
    with Cluster(directory / "cluster") as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        words = ("--tag", "role=web", "--config", "CodeDeployDefault.AllAtOnce")
        cluster.hookline("group", "create", "shop", "production", *words)
        cluster.hookline("push", "shop", str(bundle(directory / "v1", "v1")))
        yield cluster
        cluster.wait_for_agents()


def deploy(fleet: Cluster) -> tuple[str, bool]:
    """Create a deployment; says also whether no other one ever succeeded."""
    fleet.wait_for_agents()
    first = not fleet.rows("SELECT 1 FROM v_deployments WHERE status = 'Succeeded'")
    revision = fleet.hookline("revisions", "shop").json[0]["revision_id"]
    return str(fleet.hookline("deploy", "shop", "production", "--revision", revision).json["deployment_id"]), first


def event(fleet: Cluster, deployment_id: str, lifecycle_event: str) -> dict[str, object]:
    """How an event on the host that was hit is reported."""
    target = fleet.hookline("target", deployment_id, KILLED).json
    found: dict[str, object] = next(each for each in target["lifecycle_events"] if each["lifecycle_event"] == lifecycle_event)
    return found


def alive(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


def hook_ended(fleet: Cluster, hook: Hook) -> None:
    until(lambda: hook in fleet.finished() and not alive(hook.pid), f"{hook.lifecycle_event} ends")


@pytest.mark.parametrize("lifecycle_event", ["BeforeInstall", "AfterInstall", "ValidateService"])
def test_a_hook_outlives_its_agent_and_the_next_agent_tells_its_result(fleet: Cluster, lifecycle_event: str) -> None:
    gate = fleet.gate(lifecycle_event, KILLED)
    deployment_id, first = deploy(fleet)
    hook = fleet.reached(deployment_id, lifecycle_event, KILLED)
    fleet.kill(KILLED)
    assert alive(hook.pid)
    gate.let()
    hook_ended(fleet, hook)
    fleet.start_agent(KILLED)
    assert fleet.ended(deployment_id) == "Succeeded"
    check_hooks(fleet, deployment_id, HOSTS, first=first)
    check_history(fleet, deployment_id, HOSTS)


def test_an_agent_that_comes_back_waits_for_the_hook_that_still_runs(fleet: Cluster) -> None:
    gate = fleet.gate("ApplicationStart", KILLED)
    deployment_id, first = deploy(fleet)
    hook = fleet.reached(deployment_id, "ApplicationStart", KILLED)
    fleet.kill(KILLED)
    fleet.start_agent(KILLED)
    fleet.wait_for_agents()
    assert alive(hook.pid)
    assert event(fleet, deployment_id, "ApplicationStart")["status"] == "InProgress"
    gate.let()
    assert fleet.ended(deployment_id) == "Succeeded"
    check_hooks(fleet, deployment_id, HOSTS, first=first)


def test_a_hook_that_fails_while_its_agent_is_away_is_reported_as_failed(fleet: Cluster) -> None:
    gate = fleet.gate("AfterInstall", KILLED)
    deployment_id, _ = deploy(fleet)
    hook = fleet.reached(deployment_id, "AfterInstall", KILLED)
    fleet.kill(KILLED)
    gate.let("fail")
    hook_ended(fleet, hook)
    fleet.start_agent(KILLED)
    assert fleet.ended(deployment_id) in ("Failed", "Succeeded")  # AllAtOnce: one of two is enough
    failed = event(fleet, deployment_id, "AfterInstall")
    assert failed["status"] == "Failed"
    assert "exit code 3" in str(failed["diagnostics"])
    assert "broken on purpose" in str(failed["diagnostics"])
    assert event(fleet, deployment_id, "ApplicationStart")["status"] == "Skipped"
    check_once(fleet, deployment_id)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(3))
def test_an_agent_that_is_killed_again_and_again_runs_every_hook_once(fleet: Cluster, seed: int) -> None:
    chance = random.Random(seed)
    deployment_id, first = deploy(fleet)
    for count in sorted(chance.sample(range(8), 3)):
        fleet.begun(deployment_id, count)
        fleet.kill(chance.choice(HOSTS))
        for name in set(HOSTS) - set(fleet.processes):
            fleet.start_agent(name)
    assert fleet.ended(deployment_id) == "Succeeded"
    check_hooks(fleet, deployment_id, HOSTS, first=first)
    check_history(fleet, deployment_id, HOSTS)


def test_a_hook_whose_agent_and_supervisor_were_killed_is_interrupted_and_not_run_again(fleet: Cluster) -> None:
    gate = fleet.gate("AfterInstall", KILLED)
    deployment_id, _ = deploy(fleet)
    hook = fleet.reached(deployment_id, "AfterInstall", KILLED)
    fleet.kill(KILLED)
    for pid in fleet.supervisors(KILLED):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    fleet.start_agent(KILLED)
    until(lambda: event(fleet, deployment_id, "AfterInstall")["status"] == "Failed", "AfterInstall is reported")
    fleet.ended(deployment_id)
    diagnostics = str(event(fleet, deployment_id, "AfterInstall")["diagnostics"])
    assert "interrupted (supervisor killed)" in diagnostics
    assert not alive(hook.pid)
    gate.let()
    check_once(fleet, deployment_id)
    assert hook not in fleet.finished(deployment_id)
    assert event(fleet, deployment_id, "ApplicationStart")["status"] == "Skipped"


def test_an_agent_that_is_told_to_stop_lets_its_hook_finish(fleet: Cluster) -> None:
    gate = fleet.gate("BeforeInstall", KILLED)
    deployment_id, first = deploy(fleet)
    hook = fleet.reached(deployment_id, "BeforeInstall", KILLED)
    process = fleet.processes[KILLED]
    fleet.kill(KILLED, signal.SIGTERM)
    assert process.returncode == 0
    assert alive(hook.pid)
    gate.let()
    hook_ended(fleet, hook)
    until(lambda: not fleet.supervisors(KILLED), "the supervisor ends with its hook", SOON)
    assert fleet.hooks(deployment_id)[-1].lifecycle_event != "AfterInstall" or fleet.hooks(deployment_id)[-1].host != KILLED
    fleet.start_agent(KILLED)
    assert fleet.ended(deployment_id) == "Succeeded"
    check_hooks(fleet, deployment_id, HOSTS, first=first)


@pytest.mark.timeout(300)
def test_two_hundred_kills_of_agents_leave_every_hook_with_one_execution_and_its_true_result(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", hook_seconds="0.1", quiet=True) as cluster:
        killed = AgentKills(cluster, random.Random(200), [f"web-{number}" for number in range(1, 9)])
        while killed.kills < KILLS:
            killed.rollout(KILLS - killed.kills)
        cluster.wait_for_agents()
