"""A host that joins later gets what its group has, without anybody asking."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.witness import check_hooks


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        yield cluster


@pytest.mark.timeout(120)
def test_a_host_that_joins_gets_the_last_successful_revision(cluster: Cluster, tmp_path: Path) -> None:
    cluster.hookline("app", "create", "shop")
    cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
    revision = cluster.typed("push", "shop", str(bundle(tmp_path / "v1", "v1"))).out.strip()
    cluster.hookline("deploy", "shop", "production", "--revision", revision, "--follow")
    cluster.start_agents("web-2")
    query = "SELECT deployment_id FROM v_deployments WHERE creator = 'CodeDeployAutoUpdate'"
    ((brought,),) = until(lambda: cluster.rows(query), "the newcomer is seen", within=30)
    assert cluster.ended(brought) == "Succeeded"
    check_hooks(cluster, brought, ("web-2",), first=True)
    targets = cluster.hookline("targets", brought).json
    assert [(one["host_name"], one["revision_health"]) for one in targets] == [("web-2", "Current")]
