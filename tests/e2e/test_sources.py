"""Revisions that lie elsewhere reach a host: from GitHub, from S3 and from the host's own disk. Nobody's secret is left anywhere."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.website import Answer, Site, serving
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster

COMMIT = "0f3c2a9d" * 5
SECRETS = {"token": "ghp_never_to_be_seen", "key": "aws_never_to_be_seen"}
DATE = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def cluster(tmp_path: Path, elsewhere: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    (tmp_path / "token").write_text(SECRETS["token"])
    monkeypatch.setenv("HOOKLINE_AGENT_GITHUB_API", elsewhere.url)
    monkeypatch.setenv("HOOKLINE_AGENT_GITHUB_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("HOOKLINE_AGENT_S3_ENDPOINT", elsewhere.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["key"])
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        yield cluster


def packed(directory: Path, *, top: str) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as file:
        file.add(directory, arcname=top)
    return whole.getvalue()


def deployed(cluster: Cluster, *place: str) -> str:
    """What the host serves after a deployment of a revision at this place."""
    revision = cluster.typed("register", "shop", *place).out.strip()
    lines = cluster.hookline("deploy", "shop", "production", "--revision", revision, "--follow").lines
    assert lines[-1]["deployment"]["status"] == "Succeeded"
    return (cluster.directory / "hosts" / "web-1" / "srv" / "app" / "VERSION").read_text().strip()


@pytest.mark.timeout(120)
def test_revisions_elsewhere_are_deployed(cluster: Cluster, elsewhere: Site, tmp_path: Path) -> None:
    commit = packed(bundle(tmp_path / "v1", "from GitHub"), top="shop-0f3c2a9")
    elsewhere.answers[f"/repos/example/shop/tarball/{COMMIT}"] = Answer(commit)
    assert deployed(cluster, "--github", f"example/shop@{COMMIT}") == "from GitHub"
    assert elsewhere.asked[-1].headers["authorization"] == f"Bearer {SECRETS['token']}"

    object_ = packed(bundle(tmp_path / "v2", "from S3"), top=".")
    elsewhere.answers["/bundles/shop.tgz"] = Answer(object_, etag='"e"', headers=DATE)
    digest = hashlib.sha256(object_).hexdigest()
    assert deployed(cluster, "--s3", "s3://bundles/shop.tgz", "--s3-etag", "e", "--sha256", digest) == "from S3"
    assert elsewhere.asked[-1].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")

    bundle(cluster.directory / "hosts" / "web-1" / "bundles" / "v3", "from the host")
    assert deployed(cluster, "--file", "/bundles/v3", "--bundle-type", "directory") == "from the host"

    left = [path for path in cluster.directory.rglob("*") if path.is_file()]
    assert not [path for path in left if any(secret.encode() in path.read_bytes() for secret in SECRETS.values())]
