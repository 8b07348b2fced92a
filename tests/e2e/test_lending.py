"""A host without keys of its own reads a bundle in S3 with what the coordinator lends it; the coordinator's key is nowhere to be found."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.agent.test_fetch_s3 import _MOTO
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster
from tests.e2e.test_sources import packed

SECRET = "aws_never_to_be_seen"


@pytest.fixture
def s3() -> Iterator[str]:
    """Moto's S3, with a bucket."""
    with subprocess.Popen([sys.executable, "-c", _MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as moto:
        assert moto.stdout is not None
        assert moto.stdin is not None
        url = f"http://127.0.0.1:{moto.stdout.readline().strip()}"
        httpx.put(f"{url}/bundles").raise_for_status()
        yield url
        moto.stdin.close()


@pytest.fixture
def cluster(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "sources.toml").write_text(
        f'[[s3]]\nsource = "s3://bundles/*"\nregion = "us-east-1"\nendpoint = "{s3}"\n'
        f'access_key_id = "AKIDEXAMPLE"\nsecret_access_key = {{file = "{tmp_path}/secret"}}\n'
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOOKLINE_AGENT_S3_ENDPOINT", s3)
    options = ("--source-credentials", str(tmp_path / "sources.toml"), "--log-level", "debug")
    with Cluster(tmp_path / "cluster", options=options, secure=True) as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        yield cluster


@pytest.mark.timeout(120)
def test_a_host_without_keys_deploys_from_s3_and_nothing_of_what_it_was_lent_is_left(cluster: Cluster, s3: str, tmp_path: Path) -> None:
    content = packed(bundle(tmp_path / "v1", "from S3"), top=".")
    httpx.put(f"{s3}/bundles/shop/1.tgz", content=content).raise_for_status()
    revision = cluster.typed("register", "shop", "--s3", "s3://bundles/shop/1.tgz", "--sha256", hashlib.sha256(content).hexdigest())
    lines = cluster.hookline("deploy", "shop", "production", "--revision", revision.out.strip(), "--follow").lines
    assert lines[-1]["deployment"]["status"] == "Succeeded"
    assert (cluster.directory / "hosts" / "web-1" / "srv" / "app" / "VERSION").read_text().strip() == "from S3"
    assert "credential lent host=" in cluster.log("coordinator")
    assert "source=s3://bundles/shop/1.tgz lasts_s=300" in cluster.log("coordinator")
    left = [path for path in cluster.directory.rglob("*") if path.is_file()]
    assert not [path for path in left if any(word in path.read_bytes() for word in (SECRET.encode(), b"X-Amz-Signature"))]
