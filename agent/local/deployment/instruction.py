"""What an operator types on the spot, as the instruction that a coordinator would have sent. The options are `codedeploy-local`'s."""

from __future__ import annotations

import re
import secrets
import string
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from agent.errors import AgentError
from agent.model import (
    BundleType,
    DeploymentId,
    EventPlan,
    FileExistsBehavior,
    GroupId,
    Instruction,
    InstructionId,
    LifecycleEvent,
    Location,
    Place,
    RevisionId,
)

if TYPE_CHECKING:
    import argparse

DEFAULT_GROUP = "default-local-deployment-group"
EVENTS = tuple(
    LifecycleEvent(name)
    for name in (
        "BeforeBlockTraffic AfterBlockTraffic ApplicationStop DownloadBundle BeforeInstall Install AfterInstall ApplicationStart"
        " BeforeAllowTraffic AfterAllowTraffic ValidateService"
    ).split()
)
"""What is walked when nobody lists events: ValidateService comes last, as with codedeploy-local."""

_EVENT_SECONDS = 3600.0
_TYPES = [kind.value for kind in BundleType if kind is not BundleType.GUESSED]
_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_GITHUB = (
    re.compile(r"https://api\.github\.com/repos/(?P<repository>[^/]+/[^/]+)/(?P<packed>tar|zip)ball/(?P<commit_id>[^/?#]+)"),
    re.compile(r"https://github\.com/(?P<repository>[^/]+/[^/]+)/(?:tree|commit)/(?P<commit_id>[^/?#]+)/?"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says what is deployed."""
    where = (
        "a directory, a file, s3://BUCKET/KEY[?versionId=V&etag=E], https://github.com/ACCOUNT/REPOSITORY/tree/COMMIT, or an"
        " https:// address together with --sha256 (default: the directory that you are in)"
    )
    listed = "events to walk instead of all, in this order, with commas between; DownloadBundle and Install come first unless listed"
    parser.add_argument("-l", "--bundle-location", default=".", metavar="WHERE", help=where)
    parser.add_argument("-t", "--type", choices=_TYPES, help="how the bundle is packed (default: what its first bytes say)")
    parser.add_argument("--sha256", default="", metavar="HEX", help="the SHA-256 that the bundle must have")
    parser.add_argument(
        "-b",
        "--file-exists-behavior",
        choices=[behavior.value for behavior in FileExistsBehavior if behavior.value],
        help="what becomes of a file that is there already and not ours; the AppSpec's own word wins (default: DISALLOW)",
    )
    parser.add_argument(
        "-g",
        "--deployment-group",
        default=DEFAULT_GROUP,
        metavar="ID",
        help="the group's id: earlier deployments to it are cleaned up and stopped (default: %(default)s)",
    )
    parser.add_argument(
        "-d", "--deployment-group-name", default="LocalFleet", metavar="NAME", help="for the hooks' environment (default: %(default)s)"
    )
    parser.add_argument("-a", "--application-name", metavar="NAME", help="for the hooks' environment (default: the bundle's location)")
    parser.add_argument("-e", "--events", default="", metavar="EVENT,...", help=listed)
    parser.add_argument(
        "-A", "--appspec-filename", default="", metavar="NAME", help="the AppSpec file (default: appspec.yml, appspec.yaml)"
    )


def instruction(args: argparse.Namespace) -> Instruction:
    """What was typed; its epoch is still to be said. Raises AgentError."""
    place = location(args.bundle_location, kind=args.type, sha256=args.sha256)
    group_id = args.deployment_group
    if not _IDENTIFIER.fullmatch(group_id):
        raise AgentError(f"cannot use {group_id!r} as the deployment group: an id has up to 128 of A-Z a-z 0-9 . _ -")
    deployment_id = f"d-{''.join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))}-local"
    return Instruction(
        instruction_id=InstructionId(deployment_id),
        digest="local",
        target_epoch=0,
        deployment_id=DeploymentId(deployment_id),
        group_id=GroupId(group_id),
        group_name=args.deployment_group_name,
        application_name=args.application_name or args.bundle_location,
        revision_id=RevisionId(dict(place.words).get("url", args.bundle_location)),
        location=place,
        events=tuple(EventPlan(event=event, timeout_seconds=_EVENT_SECONDS) for event in events(args.events)),
        file_exists_behavior=FileExistsBehavior(args.file_exists_behavior or ""),
        appspec_name=args.appspec_filename,
    )


def location(typed: str, *, kind: str | None = None, sha256: str = "") -> Location:
    """Where a bundle lies. Raises AgentError."""
    if sha256 and not _DIGEST.fullmatch(sha256):
        raise AgentError(f"cannot use {sha256!r} as a SHA-256: it has to be 64 digits of 0-9 a-f")
    packed = BundleType(kind) if kind else BundleType.GUESSED
    scheme = typed.partition("://")[0].lower() if "://" in typed else ""
    for form in _GITHUB:
        if (found := form.fullmatch(typed)) is not None:
            words = {"repository": found["repository"], "commit_id": found["commit_id"]}
            if packed is BundleType.GUESSED and found.groupdict().get("packed") == "zip":
                packed = BundleType.ZIP
            return _located(Place.GITHUB, words, packed, sha256)
    if scheme == "s3":
        return _located(Place.S3, _object(typed), packed, sha256)
    if scheme in ("https", "http"):
        if not sha256 and typed.startswith("https://github.com/"):
            raise AgentError(f"cannot deploy {typed}: a commit has the form https://github.com/ACCOUNT/REPOSITORY/tree/COMMIT")
        if not sha256:
            raise AgentError(f"cannot deploy {typed}: say with --sha256 what it must be, so that nothing else is run")
        return _located(Place.HTTP, {"url": typed}, packed, sha256)
    if scheme in ("file", ""):
        return _on_this_host(typed, packed, sha256)
    raise AgentError(f"cannot deploy {typed}: {scheme} is none of s3, https, http and file")


def events(typed: str) -> tuple[LifecycleEvent, ...]:
    """The events to walk: those that were listed, with DownloadBundle and Install, or all. Raises AgentError."""
    listed = [_event(name.strip()) for name in typed.split(",") if name.strip()]
    if not listed:
        return EVENTS
    twice = next((event for event in listed if listed.count(event) > 1), None)
    if twice is not None:
        raise AgentError(f"cannot walk {twice} twice: an event comes once in a deployment")
    required = [event for event in (LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.INSTALL) if event not in listed]
    if LifecycleEvent.DOWNLOAD_BUNDLE in required and LifecycleEvent.INSTALL in listed:
        required, listed = [], [LifecycleEvent.DOWNLOAD_BUNDLE, *listed]
    elif LifecycleEvent.INSTALL in required and LifecycleEvent.DOWNLOAD_BUNDLE in listed:
        after = listed.index(LifecycleEvent.DOWNLOAD_BUNDLE) + 1
        required, listed = [], [*listed[:after], LifecycleEvent.INSTALL, *listed[after:]]
    walked = [*required, *listed]
    for event in (LifecycleEvent.DOWNLOAD_BUNDLE, LifecycleEvent.INSTALL):
        for earlier in walked[: walked.index(event)]:
            if EVENTS.index(earlier) > EVENTS.index(event):
                raise AgentError(f"cannot walk {earlier} before {event}: list {event} earlier, or leave it out and it comes first")
    return tuple(walked)


def _event(name: str) -> LifecycleEvent:
    if name in EVENTS:
        return LifecycleEvent(name)
    near = get_close_matches(name, EVENTS, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(EVENTS)}"
    raise AgentError(f"cannot walk {name}: there is no such lifecycle event; {advice}")


def _located(place: Place, words: dict[str, str], packed: BundleType, sha256: str) -> Location:
    return Location(place=place, words=tuple(words.items()), bundle_type=packed, sha256=sha256.lower())


def _object(typed: str) -> dict[str, str]:
    parts = urlsplit(typed)
    if not parts.netloc or not parts.path.strip("/"):
        raise AgentError(f"cannot deploy {typed}: an object has the form s3://BUCKET/KEY")
    said = {name.lower(): value for name, value in parse_qsl(parts.query)}
    words = {"bucket": parts.netloc, "key": parts.path.removeprefix("/")}
    return words | {word: said[name] for name, word in (("versionid", "version"), ("etag", "e_tag")) if name in said}


def refuse_to_pack_itself(place: Location, data_dir: Path, deployment_root: Path) -> None:
    """Raise AgentError for a directory in which the agent writes while it is packed."""
    url = urlsplit(dict(place.words).get("url", ""))
    if url.scheme != "file" or place.bundle_type is not BundleType.DIRECTORY:
        return
    bundle = Path(unquote(url.path)).resolve()
    for written, name, option in ((data_dir, "data directory", "--data-dir"), (deployment_root, "deployment root", "--root-prefix")):
        if written.resolve().is_relative_to(bundle):
            why = f"the {name} {written} lies in it, and would be packed while it is written; name one elsewhere with {option}"
            raise AgentError(f"cannot deploy {bundle}: {why}")


def _on_this_host(typed: str, packed: BundleType, sha256: str) -> Location:
    path = Path(typed.removeprefix("file://")).absolute()
    if not path.exists():
        raise AgentError(f"cannot deploy {path}: no such file or directory")
    if packed is BundleType.DIRECTORY and not path.is_dir():
        raise AgentError(f"cannot deploy {path}: it is not a directory; leave --type out, or say how it is packed")
    if path.is_dir():
        if packed not in (BundleType.DIRECTORY, BundleType.GUESSED):
            raise AgentError(f"cannot deploy {path}: it is a directory and not a {packed}")
        packed = BundleType.DIRECTORY
    # As an address and not as Place.FILE, because the operator's path is not below the root prefix.
    return _located(Place.HTTP, {"url": path.as_uri()}, packed, sha256)
