"""What is typed for a local deployment becomes the instruction that a coordinator would have sent, or is refused with a sentence."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.local.deployment.instruction import EVENTS, add_arguments, events, instruction, location, refuse_to_pack_itself
from agent.model import BundleType, FileExistsBehavior, Instruction, LifecycleEvent, Place

E = LifecycleEvent
DIGEST = "AB" * 32


def typed(*arguments: str) -> Instruction:
    parser = ArgumentParser()
    add_arguments(parser)
    return instruction(parser.parse_args(arguments))


def test_nothing_typed_deploys_the_directory_that_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = typed()
    assert dict(wanted.location.words) == {"url": tmp_path.as_uri()}
    assert wanted.location.bundle_type is BundleType.DIRECTORY
    assert (wanted.group_id, wanted.group_name, wanted.appspec_name) == ("default-local-deployment-group", "LocalFleet", "")
    assert tuple(plan.event for plan in wanted.events) == EVENTS
    assert EVENTS[-1] is E.VALIDATE_SERVICE


def test_the_options_of_codedeploy_local_are_understood(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tgz"
    bundle.touch()
    wanted = typed(*f"-l {bundle} -t tgz -b OVERWRITE -g g-1 -d Web -a shop -e AfterInstall -A deploy/appspec.yml".split())
    assert wanted.location.bundle_type is BundleType.TGZ
    assert wanted.file_exists_behavior is FileExistsBehavior.OVERWRITE
    assert (wanted.group_id, wanted.group_name, wanted.application_name) == ("g-1", "Web", "shop")
    assert wanted.appspec_name == "deploy/appspec.yml"
    assert wanted.deployment_id.startswith("d-")
    assert wanted.deployment_id.endswith("-local")


@pytest.mark.parametrize(
    "where, place, words",
    [
        ("s3://releases/shop/1.tgz", Place.S3, {"bucket": "releases", "key": "shop/1.tgz"}),
        ("s3://b/k?versionId=v1&etag=e1", Place.S3, {"bucket": "b", "key": "k", "version": "v1", "e_tag": "e1"}),
        ("https://github.com/acme/shop/tree/0a1b2c", Place.GITHUB, {"repository": "acme/shop", "commit_id": "0a1b2c"}),
        ("https://github.com/acme/shop/commit/0a1b2c", Place.GITHUB, {"repository": "acme/shop", "commit_id": "0a1b2c"}),
        ("https://api.github.com/repos/acme/shop/tarball/0a1b2c", Place.GITHUB, {"repository": "acme/shop", "commit_id": "0a1b2c"}),
    ],
)
def test_a_bundle_may_lie_elsewhere(where: str, place: Place, words: dict[str, str]) -> None:
    found = location(where)
    assert (found.place, dict(found.words)) == (place, words)


def test_an_address_needs_its_digest() -> None:
    assert location("https://example.com/b.zip", kind="zip", sha256=DIGEST).sha256 == DIGEST.lower()
    with pytest.raises(AgentError, match="cannot deploy https://example.com/b.zip: say with --sha256"):
        location("https://example.com/b.zip")


@pytest.mark.parametrize(
    "where, kind, digest, why",
    [
        ("nowhere", None, "", "nowhere: no such file or directory"),
        ("ftp://example.com/b", None, "", "ftp is none of s3, https, http and file"),
        ("https://github.com/acme/shop", None, "", "a commit has the form https://github.com/ACCOUNT/REPOSITORY/tree/COMMIT"),
        ("s3://bucket", None, "", "has the form s3://BUCKET/KEY"),
        ("/dev/null", "directory", "", "it is not a directory"),
        ("/", "zip", "", "it is a directory and not a zip"),
        ("/", None, "abc", "64 digits"),
    ],
)
def test_a_bundle_that_cannot_be_is_refused(where: str, kind: str | None, digest: str, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        location(where, kind=kind, sha256=digest)


@pytest.mark.parametrize(
    "listed, walked",
    [
        ("ApplicationStop", (E.DOWNLOAD_BUNDLE, E.INSTALL, E.APPLICATION_STOP)),
        ("ValidateService,AfterInstall", (E.DOWNLOAD_BUNDLE, E.INSTALL, E.VALIDATE_SERVICE, E.AFTER_INSTALL)),
        ("ApplicationStop,DownloadBundle,Install", (E.APPLICATION_STOP, E.DOWNLOAD_BUNDLE, E.INSTALL)),
        ("DownloadBundle,BeforeInstall,Install", (E.DOWNLOAD_BUNDLE, E.BEFORE_INSTALL, E.INSTALL)),
        ("Install,AfterInstall", (E.DOWNLOAD_BUNDLE, E.INSTALL, E.AFTER_INSTALL)),
        ("DownloadBundle,AfterInstall", (E.DOWNLOAD_BUNDLE, E.INSTALL, E.AFTER_INSTALL)),
    ],
)
def test_download_and_install_come_first_unless_they_are_listed(listed: str, walked: tuple[LifecycleEvent, ...]) -> None:
    assert events(listed) == walked


@pytest.mark.parametrize(
    "listed, why",
    [
        ("AfterInstal", "did you mean AfterInstall?"),
        ("Zzz", "there are BeforeBlockTraffic, "),
        ("AfterInstall,AfterInstall", "cannot walk AfterInstall twice"),
        ("AfterInstall,DownloadBundle,Install", "cannot walk AfterInstall before DownloadBundle"),
        ("Install,DownloadBundle", "cannot walk Install before DownloadBundle"),
    ],
)
def test_events_that_make_no_sense_are_refused(listed: str, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        events(listed)


@pytest.mark.parametrize("group", ["", "../x", "a/b"])
def test_a_group_that_cannot_name_a_directory_is_refused(group: str) -> None:
    with pytest.raises(AgentError, match="as the deployment group"):
        typed("-l", "/", "-g", group)


@pytest.mark.parametrize(
    "data_dir, root, why",
    [
        (
            "b u/data",
            "root",
            "the data directory .*data lies in it, and would be packed while it is written; name one elsewhere with --data-dir",
        ),
        ("link/data", "root", "the data directory"),
        ("b u", "root", "the data directory"),
        ("data", "b u/r/opt", "the deployment root .* name one elsewhere with --root-prefix"),
        ("data", "root", ""),
        ("b u beside", "b u2", ""),
    ],
)
def test_a_directory_in_which_the_agent_writes_is_not_deployed(tmp_path: Path, data_dir: str, root: str, why: str) -> None:
    (tmp_path / "b u").mkdir()
    (tmp_path / "link").symlink_to("b u")
    place = typed("-l", str(tmp_path / "b u")).location
    if not why:
        refuse_to_pack_itself(place, tmp_path / data_dir, tmp_path / root)
        return
    with pytest.raises(AgentError, match=why):
        refuse_to_pack_itself(place, tmp_path / data_dir, tmp_path / root)
