"""Hosts without keys of their own read bundles with what the coordinator lends them; nothing of what is secret is to be found anywhere."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.agent.test_fetch_s3 import _MOTO
from tests.agent.website import Answer, Site, serving
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
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


COMMIT = "0f3c2a9d" * 5
CANARIES = {"token": "ghs_c4n4ry", "address": "token=c4n4rY", "client": "c4N4RY-of-the-client", "bearer": "eyJ.c4n4RY.bearer"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Site]:
    """GitHub, an issuer of tokens and a server of artifacts, with what each of them answers."""
    with serving() as site:
        archive = f"/example/shop/legacy.tar.gz/{COMMIT}"
        said = {"token": CANARIES["token"], "expires_at": "2099-01-01T00:00:00Z"}
        bearer = {"access_token": CANARIES["bearer"], "token_type": "Bearer", "expires_in": 300}
        site.answers = {
            "/api/v3/app": Answer(b'{"id": 1234}'),
            "/api/v3/repos/example/shop/installation": Answer(b'{"id": 42}'),
            "/api/v3/app/installations/42/access_tokens": Answer(json.dumps(said).encode(), status=201),
            f"/api/v3/repos/example/shop/tarball/{COMMIT}": Answer(
                status=302, headers={"Location": f"{site.url}{archive}?{CANARIES['address']}"}
            ),
            archive: Answer(packed(bundle(tmp_path / "v1", "from GitHub"), top="example-shop-0f3c2a9")),
            "/token": Answer(json.dumps(bearer).encode()),
            "/artifacts/1.tgz": Answer(packed(bundle(tmp_path / "v2", "from the artifact server"), top=".")),
        }
        yield site


@pytest.fixture
def lent(tmp_path: Path, elsewhere: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "app.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    (tmp_path / "client").write_text(CANARIES["client"])
    (tmp_path / "sources.toml").write_text(
        f'[[github]]\nsource = "github://example/*"\napp_id = "1234"\napi = "{elsewhere.url}/api/v3"\n'
        f'private_key = {{file = "{tmp_path}/app.pem"}}\n'
        f'[[oauth]]\nsource = "{elsewhere.url}/artifacts/*"\ntoken_url = "{elsewhere.url}/token"\nclient_id = "hookline"\n'
        f'client_secret = {{file = "{tmp_path}/client"}}\n'
    )
    monkeypatch.setenv("HOOKLINE_AGENT_GITHUB_API", f"{elsewhere.url}/api/v3")
    monkeypatch.setenv("HOOKLINE_AGENT_PRIVATE_ORIGINS", "127.0.0.1")
    options = ("--source-credentials", str(tmp_path / "sources.toml"), "--log-level", "debug")
    with Cluster(tmp_path / "cluster", options=options, secure=True) as cluster:
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        yield cluster


def deployed(cluster: Cluster, *place: str) -> tuple[str, str]:
    """What the host serves after a deployment of a revision at this place, and everything that was said of it."""
    revision = cluster.typed("register", "shop", *place).out.strip()
    followed = cluster.hookline("deploy", "shop", "production", "--revision", revision, "--follow")
    assert followed.lines[-1]["deployment"]["status"] == "Succeeded"
    deployment_id = str(followed.lines[-1]["deployment"]["deployment_id"])
    said = [cluster.typed(*words, deployment_id) for words in (("status",), ("history",), ("logs",), ("explain",))]
    text = followed.out + "".join(one.out + one.err for one in said)
    return (cluster.directory / "hosts" / "web-1" / "srv" / "app" / "VERSION").read_text().strip(), text


@pytest.mark.timeout(120)
def test_a_host_deploys_from_github_and_from_a_web_server_with_what_it_is_lent_and_nothing_of_it_is_left(
    lent: Cluster, elsewhere: Site
) -> None:
    until(lambda: lent.log("coordinator").count("credential works source=") == 2, "the coordinator has tried both credentials")
    version, said = deployed(lent, "--github", f"example/shop@{COMMIT}")
    assert version == "from GitHub"
    assert elsewhere.asked[-1].path.endswith(f"/{COMMIT}?{CANARIES['address']}")
    assert elsewhere.asked[-1].headers.get("authorization") is None
    assert [asked.headers["authorization"] for asked in elsewhere.asked if "/tarball/" in asked.path] == [f"Bearer {CANARIES['token']}"]
    artifact = elsewhere.answers["/artifacts/1.tgz"].content
    version, more = deployed(lent, "--http", f"{elsewhere.url}/artifacts/1.tgz", "--sha256", hashlib.sha256(artifact).hexdigest())
    assert version == "from the artifact server"
    assert elsewhere.asked[-1].headers["authorization"] == f"Bearer {CANARIES['bearer']}"
    audit = lent.typed("audit", "export").out
    rows = [row for row in map(json.loads, audit.splitlines()) if row["method"].endswith("/LendSource")]
    assert [json.loads(row["request"])["source"] for row in rows] == ["github://example/shop", f"{elsewhere.url}/artifacts/1.tgz"]
    assert lent.hookline("audit", "verify").json["intact"] is True
    told = said + more + audit + lent.http("/metrics") + lent.http("/healthz")
    assert not [canary for canary in CANARIES.values() if canary in told]
    left = [path for path in lent.directory.rglob("*") if path.is_file()]
    secrets = [canary.encode() for canary in CANARIES.values()]
    assert not [path for path in left if any(secret in path.read_bytes() for secret in secrets)]
