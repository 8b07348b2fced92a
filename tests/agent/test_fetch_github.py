"""Commits from GitHub: the archive that it makes, the token and who gets to see it, and refusals in words that help."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from agent.bundle import DownloadRequest, Limits, PayloadError
from agent.bundle.download import download
from agent.bundle.requests import GitHubSource, Lender
from agent.bundle.sources.github import belongs
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy
from agent.model import BundleType
from agent.workspace import Workspace
from tests.agent.archives import APPSPEC, pax, tar_entry, tgz, zip_of
from tests.agent.lender import Coordinator, lending
from tests.agent.website import Answer, Site, serving

COMMIT = "0f3c2a9d" * 5
TOP = "example-shop-0f3c2a9"
TARBALL = tgz(pax([("comment", COMMIT)], kind=b"g"), tar_entry(f"{TOP}/appspec.yml", APPSPEC), tar_entry(f"{TOP}/app/a", b"x"))
ZIPBALL = zip_of((f"{TOP}/appspec.yml", APPSPEC), (f"{TOP}/app/a", b"x"))
TOKEN = "ghp_secret"


class GitHub:
    """An API that sends to another server for the archives, as the real one does."""

    def __init__(self, api: Site, archives: Site, root: Path) -> None:
        self.api = api
        self.archives = archives
        self.workspace = Workspace(root_prefix=root / "host")
        self.lender: Lender | None = None
        self.token_file = root / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        for form, content in (("tarball", TARBALL), ("zipball", ZIPBALL)):
            elsewhere = f"http://localhost:{archives.port}/{form}?signed=yes"
            api.answers[f"/api/v3/repos/example/shop/{form}/{COMMIT}"] = Answer(status=302, headers={"Location": elsewhere})
            archives.answers[f"/{form}"] = Answer(content)

    def download(self, *, bundle_type: BundleType = BundleType.GUESSED, with_token: bool = True, sha256: str = "") -> Path:
        source = GitHubSource(
            repository="example/shop",
            commit_id=COMMIT,
            api=f"{self.api.url}/api/v3/",
            token_file=str(self.token_file) if with_token else "",
            private_origins=("localhost",),
            lender=self.lender,
        )
        request = DownloadRequest(
            group_id="g",
            deployment_id="d-1",
            revision="r",
            source=source,
            sha256=sha256,
            timeout=10,
            bundle_type=bundle_type,
            limits=Limits(reserve_bytes=0),
        )
        download(request, self.workspace, lambda done, total: None, lambda: None)
        return self.workspace.deployment("g", "d-1").archive


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serving() as api, serving() as archives:
        yield GitHub(api, archives, tmp_path)


@pytest.fixture
def coordinator(github: GitHub) -> Iterator[Coordinator]:
    with lending() as coordinator:
        github.lender = coordinator.lender
        yield coordinator


@pytest.mark.parametrize("bundle_type", [BundleType.GUESSED, BundleType.TAR, BundleType.TGZ, BundleType.ZIP])
def test_the_files_of_a_commit_become_the_bundle(github: GitHub, bundle_type: BundleType) -> None:
    archive = github.download(bundle_type=bundle_type)
    assert sorted(path.name for path in archive.iterdir()) == ["app", "appspec.yml"]
    form = "zipball" if bundle_type is BundleType.ZIP else "tarball"
    assert [asked.path for asked in github.archives.asked] == [f"/{form}?signed=yes"]


def test_the_token_is_sent_to_the_api_and_to_nobody_else(github: GitHub) -> None:
    github.download()
    assert github.api.heard("authorization") == [f"Bearer {TOKEN}"]
    assert github.archives.heard("authorization") == [None]
    left = [path for path in github.workspace.root_prefix.rglob("*") if path.is_file()]
    assert left
    assert not any(TOKEN.encode() in path.read_bytes() for path in left)


def test_a_public_repository_needs_no_token(github: GitHub) -> None:
    github.download(with_token=False)
    assert github.api.heard("authorization") == [None]


def test_a_commit_never_changes_and_is_not_fetched_twice(github: GitHub) -> None:
    github.download()
    github.download()
    assert len(github.api.asked) == 1


def test_a_digest_is_compared_when_there_is_one(github: GitHub) -> None:
    github.download(sha256=hashlib.sha256(TARBALL).hexdigest())
    with pytest.raises(PayloadError, match="the SHA-256 of what GitHub"):
        github.download(sha256="0" * 64)


@pytest.mark.parametrize(
    "status, with_token, says",
    [
        (404, True, "there is no such repository or commit, or the agent's own token ({file}) may not see it"),
        (404, False, "no token was used: the agent has none (--github-token-file), and this host asks no coordinator"),
        (401, True, "it does not accept the agent's own token ({file}); it may have expired"),
        (403, False, "or it wants a token; no token was used"),
        (403, True, "or the agent's own token ({file}) may not do this"),
    ],
)
def test_a_refusal_says_what_it_may_mean(github: GitHub, status: int, with_token: bool, says: str) -> None:
    github.api.answers = dict.fromkeys(github.api.answers, Answer(status=status))
    with pytest.raises(PayloadError) as caught:
        github.download(with_token=with_token)
    assert says.format(file=github.token_file) in caught.value.message
    assert f"GitHub (example/shop at {COMMIT})" in caught.value.message
    assert TOKEN not in caught.value.message


@pytest.mark.parametrize(
    "content, says", [(None, "no such file"), (b"", "does not hold a token"), (b"two words", "one word"), (b"\xff", "hold")]
)
def test_a_token_file_without_a_token_is_named(github: GitHub, content: bytes | None, says: str) -> None:
    github.token_file.unlink()
    if content is not None:
        github.token_file.write_bytes(content)
    with pytest.raises(PayloadError) as caught:
        github.download()
    assert says in caught.value.message
    assert str(github.token_file) in caught.value.message
    assert github.api.asked == []


def test_an_archive_is_fetched_from_where_the_coordinator_says_without_any_token(github: GitHub, coordinator: Coordinator) -> None:
    path = f"/Example/Shop/legacy.tar.gz/{COMMIT}"
    coordinator.url = f"{github.api.url}{path}?token=AAAA"
    github.api.answers[path] = Answer(TARBALL)
    assert sorted(found.name for found in github.download().iterdir()) == ["app", "appspec.yml"]
    assert [asked.path for asked in github.api.asked] == [f"{path}?token=AAAA"]
    assert github.api.heard("authorization") == [None]
    left = [found for found in github.workspace.root_prefix.rglob("*") if found.is_file()]
    assert not any(b"token=AAAA" in found.read_bytes() for found in left)


@pytest.mark.parametrize(
    "url",
    [
        f"{{api}}/example/other/legacy.tar.gz/{COMMIT}",
        f"{{api}}/example/shop/legacy.tar.gz/{'1' * 40}",
        f"{{api}}/example/shop/../other/{COMMIT}",
        f"{{api}}/example/shop/%2e%2e/other/{COMMIT}",
        f"{{archives}}/example/shop/legacy.tar.gz/{COMMIT}",
        f"https://codeload.github.com/example/shop/legacy.tar.gz/{COMMIT}",
        f"http://169.254.169.254/example/shop/legacy.tar.gz/{COMMIT}",
        "x",
    ],
)
def test_an_address_that_is_not_the_commits_own_is_not_asked(github: GitHub, coordinator: Coordinator, url: str) -> None:
    coordinator.url = url.format(api=github.api.url, archives=github.archives.url) + "?token=AAAA"
    with pytest.raises(PayloadError, match="the coordinator lent an address that is not this commit's; github_api here") as refused:
        github.download()
    assert "AAAA" not in refused.value.message
    assert github.api.asked == github.archives.asked == []


def test_an_address_that_opens_nothing_any_more_is_not_shown(github: GitHub, coordinator: Coordinator) -> None:
    coordinator.url = f"{github.api.url}/example/shop/legacy.tar.gz/{COMMIT}?token=AAAA"
    with pytest.raises(PayloadError, match="404 Not Found: the address that the coordinator lent does not open it") as refused:
        github.download()
    assert "AAAA" not in refused.value.message


def test_where_nothing_is_lent_the_agents_own_token_is_used(github: GitHub, coordinator: Coordinator) -> None:
    coordinator.refusal = (grpc.StatusCode.NOT_FOUND, "cannot lend anything: GitHub App 1234 is not installed on example/shop")
    github.download()
    assert github.api.heard("authorization") == [f"Bearer {TOKEN}"]
    github.api.answers.clear()
    github.workspace = Workspace(root_prefix=github.workspace.root_prefix / "other")
    with pytest.raises(
        PayloadError, match="and the coordinator says: cannot lend anything: GitHub App 1234 is not installed on example/shop"
    ):
        github.download(with_token=False)


def test_while_the_coordinator_is_away_what_wants_a_token_is_asked_for_again_later(github: GitHub, coordinator: Coordinator) -> None:
    coordinator.refusal = (grpc.StatusCode.UNAVAILABLE, "its log says why")
    github.api.answers.clear()
    with pytest.raises(FetchInterrupted, match="does not say how to read it: its log says why"):
        github.download(with_token=False)


def test_a_host_comes_back_when_github_may_be_asked_again(github: GitHub, coordinator: Coordinator) -> None:
    coordinator.retry_after = 30
    with pytest.raises(SourceBusy) as busy:
        github.download()
    assert busy.value.seconds == 30
    assert github.api.asked == []


@pytest.mark.parametrize(
    "api, url, is_asked",
    [
        ("https://api.github.com", "https://codeload.github.com", True),
        ("https://api.github.com", "https://github.com", False),
        ("https://api.github.com", "https://codeload.github.com.evil.example", False),
        ("https://github.example.com/api/v3", "https://github.example.com/_codeload", True),
        ("https://github.example.com/api/v3", "https://codeload.github.example.com", True),
        ("https://github.example.com/api/v3", "http://github.example.com/_codeload", False),
        ("https://github.example.com/api/v3", "https://codeload.github.com", False),
        ("https://api.shop.ghe.com", "https://codeload.shop.ghe.com", True),
    ],
)
def test_archives_come_from_the_server_that_belongs_to_the_api(api: str, url: str, is_asked: bool) -> None:
    source = GitHubSource(repository="example/shop", commit_id=COMMIT, api=api)
    assert belongs(f"{url}/example/shop/legacy.tar.gz/{COMMIT}?token=AAAA", source) is is_asked
