"""DownloadBundle as a whole: what it leaves, what it does a second time."""

import hashlib
from pathlib import Path

import pytest

from agent.appspec import AppSpec
from agent.bundle import DownloadRequest, Limits, PayloadError, PayloadErrorCode, UrlSource
from agent.bundle.download import download, prepare
from agent.workspace import Workspace
from tests.agent.archives import APPSPEC, tar_entry, tgz

BUNDLE = tgz(
    tar_entry("deploy/web.yml", APPSPEC), tar_entry("appspec.yml", b"version: 0.0\nos: linux\nhooks: {Install: [{location: x}]}\n")
)


class Site:
    """A host that downloads from a file beside it."""

    def __init__(self, root: Path) -> None:
        self.source = root / "source.tgz"
        self.source.write_bytes(BUNDLE)
        self.workspace = Workspace(root_prefix=root)
        self.told: list[int] = []

    def request(self, deployment_id: str, *, content: bytes = BUNDLE, appspec_name: str | None = None) -> DownloadRequest:
        return DownloadRequest(
            group_id="g",
            deployment_id=deployment_id,
            revision="r",
            source=UrlSource(url=f"file://{self.source}"),
            sha256=hashlib.sha256(content).hexdigest(),
            timeout=10,
            appspec_name=appspec_name,
            limits=Limits(reserve_bytes=0),
        )

    def download(self, deployment_id: str, *, content: bytes = BUNDLE, appspec_name: str | None = None) -> None:
        request = self.request(deployment_id, content=content, appspec_name=appspec_name)
        download(request, self.workspace, self.tell, lambda: None)

    def tell(self, done: int, _total: int | None) -> None:
        self.told.append(done)

    def left(self, deployment_id: str) -> list[str]:
        return sorted(path.name for path in self.workspace.deployment("g", deployment_id).path.iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_archive_its_appspec_and_its_origin_are_left(site: Site) -> None:
    site.download("d-1")
    assert site.left("d-1") == [".bundle-source", "appspec.json", "deployment-archive"]
    warnings = AppSpec.from_json(site.workspace.deployment("g", "d-1").appspec.read_bytes()).warnings
    assert any("the scripts of Install never run" in warning for warning in warnings)


def test_another_appspec_may_be_asked_for(site: Site) -> None:
    site.download("d-1", appspec_name="deploy/web.yml")
    assert AppSpec.from_json(site.workspace.deployment("g", "d-1").appspec.read_bytes()).files[0].destination == "/srv/app"


def test_a_second_time_nothing_is_fetched(site: Site) -> None:
    site.download("d-1")
    site.source.unlink()
    site.told.clear()
    site.download("d-1")
    assert site.told == []


def test_what_a_killed_attempt_left_is_cleared_away(site: Site) -> None:
    directory = site.workspace.deployment("g", "d-1")
    (directory.unfinished_archive / "half").mkdir(parents=True)
    directory.partial_bundle.write_bytes(b"half")
    directory.appspec.write_text("{")
    site.download("d-1")
    assert site.left("d-1") == [".bundle-source", "appspec.json", "deployment-archive"]
    assert not (directory.archive / "half").exists()


def test_a_refused_bundle_leaves_nothing_and_the_pointer_as_it_was(site: Site) -> None:
    site.download("d-1")
    with pytest.raises(PayloadError) as caught:
        site.download("d-2", content=b"another")
    assert caught.value.code is PayloadErrorCode.WRONG_DIGEST
    assert site.left("d-2") == []
    assert site.workspace.most_recent("g") == site.workspace.deployment("g", "d-1")


def test_an_appspec_outside_the_bundle_is_refused(site: Site) -> None:
    with pytest.raises(PayloadError, match="lies outside the bundle"):
        site.download("d-1", appspec_name="../../../source.tgz")


def test_what_was_prepared_is_seen_by_nobody_and_then_fetched_from_nowhere(site: Site) -> None:
    request = site.request("d-1")
    prepared = prepare(request, site.workspace, site.tell, lambda: None)
    assert prepared is not None
    directory = site.workspace.deployment("g", "d-1")
    assert (directory.archive.exists(), directory.appspec.exists(), site.workspace.most_recent("g")) == (False, False, None)
    site.source.unlink()
    download(request, site.workspace, site.tell, lambda: None, prepared)
    assert site.left("d-1") == [".bundle-source", "appspec.json", "deployment-archive"]
    assert site.workspace.most_recent("g") == directory
    assert prepare(request, site.workspace, site.tell, lambda: None) is None


def test_what_was_prepared_for_another_download_is_not_used(site: Site) -> None:
    prepared = prepare(site.request("d-1"), site.workspace, site.tell, lambda: None)
    download(site.request("d-1", appspec_name="deploy/web.yml"), site.workspace, site.tell, lambda: None, prepared)
    assert AppSpec.from_json(site.workspace.deployment("g", "d-1").appspec.read_bytes()).files[0].destination == "/srv/app"
