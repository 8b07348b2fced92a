"""`kill -9` of the coordinator at any moment of a rollout to twenty hosts: it goes on at once, nothing is lost, nothing runs twice."""

import random
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.witness import check_history, check_hooks, integrity

HOSTS = tuple(f"web-{number:02}" for number in range(1, 21))
GOES_ON_WITHIN = 10.0  # seconds; under one on a quiet machine. Longer means that somebody waited for a deadline
"""Seconds from being ready again to the first report that is committed."""

CONFIGS = ("CodeDeployDefault.AllAtOnce", "CodeDeployDefault.HalfAtATime", "four-at-a-time", "CodeDeployDefault.OneAtATime")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("fleet")
    with Cluster(directory / "cluster") as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("config", "create", "four-at-a-time", "--minimum-healthy-hosts", "HOST_COUNT:16")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "failure")
        for version in ("v1", "v2"):
            cluster.hookline("push", "shop", str(bundle(directory / version, version)), "--description", version)
        yield cluster


def deploy(fleet: Cluster, version: str, config: str) -> tuple[str, bool]:
    """Create a deployment; says also whether it is the first one."""
    revision = next(one["revision_id"] for one in fleet.hookline("revisions", "shop").json if one["description"] == version)
    first = not fleet.rows("SELECT 1 FROM v_deployments")
    words = ("deploy", "shop", "production", "--revision", revision, "--config", config)
    return str(fleet.hookline(*words).json["deployment_id"]), first


def progress(fleet: Cluster, deployment_id: str) -> tuple[int, str]:
    """What is committed: events that ended, and the deployment's status."""
    query = "SELECT count(*) FROM v_lifecycle_events WHERE deployment_id = ? AND status = 'Succeeded'"
    return int(fleet.rows(query, deployment_id)[0][0]), fleet.status(deployment_id)


def kill_and_restart(fleet: Cluster, deployment_id: str) -> float:
    """Seconds from being ready to going on."""
    fleet.kill_coordinator()
    before = progress(fleet, deployment_id)
    ready_at = fleet.start_coordinator()
    if before[1] == "Succeeded":
        return 0.0
    until(lambda: progress(fleet, deployment_id) != before, f"{deployment_id} goes on")
    went_on = time.monotonic() - ready_at
    sys.stdout.write(f"{deployment_id} with {before[0]} events over went on {went_on:.2f} s after the coordinator was ready\n")
    return went_on


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed, config", list(enumerate(CONFIGS)))
def test_a_rollout_goes_on_when_the_coordinator_is_killed_at_any_moment(fleet: Cluster, seed: int, config: str) -> None:
    chance = random.Random(seed)
    deployment_id, first = deploy(fleet, "v1" if seed % 2 else "v2", config)
    moment = chance.randrange(len(HOSTS) * 4)
    fleet.begun(deployment_id, moment)
    went_on = kill_and_restart(fleet, deployment_id)
    check(fleet, deployment_id, first=first)
    assert went_on <= GOES_ON_WITHIN


@pytest.mark.timeout(400)
def test_a_rollout_survives_one_kill_after_another(fleet: Cluster) -> None:
    chance = random.Random(7)
    deployment_id, first = deploy(fleet, "v2", "four-at-a-time")
    went_on = []
    for moment in sorted(chance.sample(range(len(HOSTS) * (4 if first else 5) - 5), 5)):
        fleet.begun(deployment_id, moment)
        went_on.append(kill_and_restart(fleet, deployment_id))
    check(fleet, deployment_id, first=first)
    assert max(went_on) <= GOES_ON_WITHIN, went_on


def check(fleet: Cluster, deployment_id: str, *, first: bool) -> None:
    assert fleet.ended(deployment_id, 180) == "Succeeded"
    check_hooks(fleet, deployment_id, HOSTS, first=first)
    check_history(fleet, deployment_id, HOSTS)
    integrity(fleet)
