"""Bad input, by the command line and by gRPC: a clear sentence, the right status, and nothing half-written."""

import functools
import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from hookline.v1 import catalog_pb2, catalog_pb2_grpc, deployments_pb2, deployments_pb2_grpc, resources_pb2
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster
from tests.e2e.refusals import refused

HOSTS = ("web-1", "web-2")
MISSING = "r-0123456789abcdef"
MAX_BUNDLE_BYTES = 100_000
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION, EXHAUSTED = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED


class Shop:
    """An application, a group of two hosts, a group of none, and a revision."""

    def __init__(self, cluster: Cluster, directory: Path, channel: grpc.Channel) -> None:
        self.cluster = cluster
        self.directory = directory
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        self.deployments = deployments_pb2_grpc.DeploymentServiceStub(channel)
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        cluster.hookline("group", "create", "shop", "nobody", "--tag", "role=nothing")
        cluster.hookline("config", "create", "both", "--minimum-healthy-hosts", "HOST_COUNT:2")
        self.revision = str(cluster.hookline("push", "shop", str(bundle(directory / "v1", "v1"))).json["revision_id"])

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is done inside leaves nothing behind."""
        before = self.cluster.kept()
        yield
        assert self.cluster.kept() == before

    def deploy(self, group: str = "production", revision: str = "", config: str = "") -> str:
        """Deploy by gRPC; returns the deployment's id."""
        request = deployments_pb2.CreateDeploymentRequest(
            application_name="shop",
            deployment_group_name=group,
            revision_id=revision or self.revision,
            deployment_config_name=config or "CodeDeployDefault.AllAtOnce",
        )
        return str(self.deployments.CreateDeployment(request, timeout=20).deployment.deployment_id)

    def push(self, content: bytes, sha256: bytes = b"") -> str:
        """Push bytes by gRPC as they are; returns the revision's id."""
        header = catalog_pb2.PushRevisionHeader(
            application_name="shop",
            sha256=sha256 or hashlib.sha256(content).digest(),
            size=len(content),
            bundle_type=resources_pb2.BUNDLE_TYPE_TGZ,
        )
        requests = [catalog_pb2.PushRevisionRequest(header=header), catalog_pb2.PushRevisionRequest(chunk=content)]
        return str(self.catalog.PushRevision(iter(requests), timeout=20).revision.revision_id)

    def failure(self, revision: str) -> str:
        """Deploy a revision that no host can fetch; returns what the first host's DownloadBundle says."""
        deployment_id = self.deploy(revision=revision)
        assert self.cluster.ended(deployment_id) == "Failed"
        event = self.cluster.hookline("target", deployment_id, HOSTS[0]).json["lifecycle_events"][1]
        assert (event["lifecycle_event"], event["status"]) == ("DownloadBundle", "Failed")
        assert {event for _, event in self.cluster.times(deployment_id)} <= {"ApplicationStop"}
        return str(event["diagnostics"]["message"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("shop")
    options = ("--max-bundle-bytes", str(MAX_BUNDLE_BYTES))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOOKLINE_AGENT_PRIVATE_ORIGINS", "127.0.0.1")
        with Cluster(directory / "cluster", options) as cluster, grpc.insecure_channel(cluster.addresses["listen"]) as channel:
            yield Shop(cluster, directory, channel)


@pytest.mark.parametrize(
    "group, revision, config, code, sentence",
    [
        ("unknown", "", "", NOT_FOUND, "cannot find deployment group unknown of application shop"),
        ("production", "v1", "", INVALID, "cannot accept 'v1' as a revision: an id is \"r-\" and 16 hexadecimal digits"),
        ("production", MISSING, "", NOT_FOUND, f"cannot find revision {MISSING}"),
        ("production", "", "unknown", NOT_FOUND, "cannot find deployment config unknown"),
        ("nobody", "", "", PRECONDITION, "no host"),
        ("production", "", "both", PRECONDITION, "2 of 2 hosts"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(
    shop: Shop, group: str, revision: str, config: str, code: grpc.StatusCode, sentence: str
) -> None:
    words = ["deploy", "shop", group, "--revision", revision or shop.revision, *(["--config", config] if config else [])]
    with shop.unchanged():
        status, why = refused(lambda: shop.deploy(group, revision, config))
        said = shop.cluster.typed(*words)
    assert status is code
    assert sentence in why
    assert why in said.err
    assert (said.code, said.out) == (1, "")
    assert "Traceback" not in said.err


def test_a_second_deployment_of_a_group_is_refused_with_the_first_ones_name(shop: Shop) -> None:
    gate = shop.cluster.gate("BeforeInstall", HOSTS[0])
    first = shop.deploy()
    shop.cluster.reached(first, "BeforeInstall", HOSTS[0])
    status, why = refused(shop.deploy)
    said = shop.cluster.typed("deploy", "shop", "production", "--revision", shop.revision)
    gate.let()
    assert shop.cluster.ended(first) == "Succeeded"
    assert status is PRECONDITION
    assert first in why
    assert said.code == 1
    assert f"hookline stop {first}" in said.err
    assert [row[0] for row in shop.cluster.rows("SELECT deployment_id FROM v_deployments")].count(first) == 1


def test_a_bundle_without_an_appspec_is_refused_before_and_after_it_is_sent(shop: Shop) -> None:
    directory = shop.directory / "plain"
    directory.mkdir()
    (directory / "index.html").write_text("<h1>hello</h1>\n")
    with shop.unchanged():
        said = shop.cluster.typed("push", "shop", str(directory))
        status, why = refused(lambda: shop.push(archive({"index.html": b"<h1>hello</h1>\n"})))
    assert said.code == 2
    assert f"cannot push {directory}: there is no appspec.yml" in said.err
    assert status is INVALID
    assert "appspec.yml" in why


def test_a_push_with_a_wrong_digest_is_refused_with_both(shop: Shop) -> None:
    content, wrong = archive({"appspec.yml": b"version: 0.0\nos: linux\n"}), hashlib.sha256(b"something else").digest()
    with shop.unchanged():
        status, why = refused(lambda: shop.push(content, wrong))
    assert status is INVALID
    assert hashlib.sha256(content).hexdigest() in why
    assert wrong.hex() in why


def test_a_bundle_past_the_size_limit_is_refused_with_the_limit(shop: Shop) -> None:
    directory = bundle(shop.directory / "large", "large")
    (directory / "noise").write_bytes(os.urandom(2 * MAX_BUNDLE_BYTES))
    with shop.unchanged():
        said = shop.cluster.typed("push", "shop", str(directory))
        status, why = refused(lambda: shop.push(os.urandom(2 * MAX_BUNDLE_BYTES)))
    assert status is EXHAUSTED
    assert f"the coordinator's limit is {MAX_BUNDLE_BYTES}" in why
    assert said.code == 1
    assert f"the coordinator's limit is {MAX_BUNDLE_BYTES}" in said.err


def test_a_broken_appspec_fails_the_download_with_line_and_column(shop: Shop) -> None:
    revision = shop.push(archive({"appspec.yml": b"version: 0.0\nos: linux\nhooks:\n  AfterInstall: [\n  oops\n"}))
    message = shop.failure(revision)
    assert "appspec.yml" in message
    assert "line 6" in message
    assert "column 1" in message


def test_a_bundle_behind_http_that_is_not_what_was_registered_fails_with_both_digests(shop: Shop) -> None:
    (shop.directory / "www").mkdir()
    content = archive({"appspec.yml": b"version: 0.0\nos: linux\n"})
    (shop.directory / "www" / "app.tgz").write_bytes(content)
    wrong = hashlib.sha256(b"something else").hexdigest()
    with web(shop.directory / "www") as address:
        url = f"http://{address}/app.tgz"
        registered = shop.cluster.hookline("register", "shop", "--http", url, "--sha256", wrong, "--bundle-type", "tgz")
        message = shop.failure(str(registered.json["revision_id"]))
    assert hashlib.sha256(content).hexdigest() in message
    assert wrong in message


def archive(files: dict[str, bytes]) -> bytes:
    """A tgz of files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def web(directory: Path) -> Iterator[str]:
    """Serve a directory over HTTP; yields HOST:PORT."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
