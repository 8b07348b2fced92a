"""`hookline push`, `register` and `revisions`: what can be deployed."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Unpack

import click

from coordinator.cli import protos
from coordinator.cli.arguments import APPLICATION, LIMIT, command
from coordinator.cli.clock import new_request_id
from coordinator.cli.console import Console, rich_console
from coordinator.cli.signing.commands import COUNTER, EXPIRES, GROUPS, SIGNATURE, SaidSignature, read_signature, signature_of
from coordinator.cli.wording.spelling import number, to_json
from coordinator.cli.wording.text import Columns, clean, columns, with_age

if TYPE_CHECKING:
    from coordinator.cli.pack import Bundle
    from hookline.v1.catalog_pb2 import PushRevisionHeader, PushRevisionRequest, Revision
    from hookline.v1.resources_pb2 import RevisionLocation

CHUNK = 1024 * 1024 - 4096
SLOWEST = 256 * 1024  # bytes a second that an upload is given time for
DESCRIPTION = click.option("--description", default="", metavar="TEXT", help="What people call it.")


@command(
    "push",
    examples=[
        "hookline push shop ./build",
        'hookline push shop ./build --description "release 4.2"',
        "hookline push shop ./build --sign release.key --counter 42",
        "hookline deploy shop production --revision $(hookline push shop ./build) --follow",
    ],
    related=["deploy", "revisions", "register", "sign"],
)
@APPLICATION
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@DESCRIPTION
@click.option(
    "--sign", "key", type=click.Path(dir_okay=False), metavar="KEY", help="Sign it with this secret key; needs --counter. See sign."
)
@COUNTER
@GROUPS
@EXPIRES
@SIGNATURE
def push(console: Console, /, application: str, directory: str, description: str, **said: Unpack[SaidSignature]) -> None:
    """Pack a directory, upload it, and print the revision's id.

    The directory must hold an appspec.yml. Everything in it is packed: the same directory is always the same revision.
    """
    from coordinator.cli.pack import check_directory, pack  # a third of the start of a program that seldom packs

    check_directory(directory)
    with _progress() as (packed, uploaded):
        bundle = pack(directory, packed)
        with bundle.file:
            header = protos.catalog.PushRevisionHeader(
                application_name=application,
                sha256=bundle.sha256,
                size=bundle.size,
                bundle_type=protos.resources.BUNDLE_TYPE_TGZ,
                description=description,
                signature=signature_of(console, application, bundle, directory, **said),
            )
            revision = _upload(console, header, bundle, lambda sent: uploaded(sent, bundle.size))
    _show_revision(console, revision)


def _upload(console: Console, header: "PushRevisionHeader", bundle: "Bundle", sent: Callable[[int], None]) -> "Revision":
    connection = console.connection

    def requests() -> "Iterator[PushRevisionRequest]":
        yield protos.catalog.PushRevisionRequest(header=header)
        for chunk in bundle.chunks(CHUNK, sent):
            yield protos.catalog.PushRevisionRequest(chunk=chunk)

    method = connection.catalog.PushRevision
    return connection.repeat(lambda left: method(requests(), timeout=left), console.timeout + bundle.size / SLOWEST).revision


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[int, int], None]]]:
    """Two functions to tell how many files are packed, and how many bytes of how many are uploaded: bars on a terminal."""
    if not sys.stderr.isatty():
        yield (lambda _count: None), (lambda _sent, _size: None)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        console=rich_console(stderr=True),
        transient=True,
    )
    with bar:
        shown = bar.add_task("packing", total=None, amount="")

        def packed(count: int) -> None:
            bar.update(shown, amount=f"{count:,} {'file' if count == 1 else 'files'}")

        def uploaded(sent: int, size: int) -> None:
            bar.update(shown, description="uploading", total=size, completed=sent, amount=f"{sent:,} of {size:,} bytes")

        yield packed, uploaded


def _show_revision(console: Console, revision: "Revision") -> None:
    if console.json:
        console.json_value(to_json(revision))
        return
    console.line(clean(revision.revision_id))
    console.remark(f"Next: hookline deploy {clean(revision.application_name)} GROUP --revision {clean(revision.revision_id)} --follow")


@command(
    "register",
    examples=[
        "hookline register shop --http https://artifacts.example/shop-4.2.tgz --sha256 9f86d081...",
        "hookline register shop --file /srv/bundles/shop",
        "hookline register shop --s3 s3://bundles/shop-4.2.zip --s3-version 3HL4kqtJvjVBH40N",
        "hookline register shop --github example/shop@0f3c2a9d...",
    ],
    related=["push", "revisions", "deploy"],
)
@APPLICATION
@click.option("--http", metavar="URL", help="Behind http or https; needs --sha256. Agents use their own proxies.")
@click.option("--file", "path", metavar="PATH", help="A file or directory that every host has: an absolute path.")
@click.option(
    "--s3",
    metavar="s3://BUCKET/KEY",
    help="An object in S3 or a server like it; agents use what the coordinator lends, or their own credentials.",
)
@click.option("--s3-version", default="", metavar="VERSION", help="The version of the object. [the newest]")
@click.option("--s3-etag", default="", metavar="ETAG", help="The ETag of the object: agents fetch no other. [any]")
@click.option(
    "--github",
    metavar="ACCOUNT/REPOSITORY@COMMIT",
    help="A commit on GitHub; for a private one agents use what the coordinator lends, or a token of theirs.",
)
@click.option("--sha256", default="", metavar="HEX", help="The bundle's digest, 64 hexadecimal digits: agents verify it.")
@click.option("--bundle-type", type=click.Choice(["tar", "tgz", "zip", "directory"]), help="How it is packed. [guessed]")
@SIGNATURE
@DESCRIPTION
def register(console: Console, /, application: str, description: str, signature: str | None, **typed: str | None) -> None:
    """Make a revision of a bundle that lies elsewhere. Nothing is fetched now."""
    location = _place(typed)
    if typed["bundle_type"]:
        location.bundle_type = protos.resources.BundleType.ValueType(number(protos.resources.BundleType, typed["bundle_type"]))
    request = protos.catalog.RegisterRevisionRequest(
        application_name=application,
        location=location,
        description=description,
        request_id=new_request_id(),
        signature=read_signature(signature),
    )
    _show_revision(console, console.connection.ask(console.connection.catalog.RegisterRevision, request).revision)


def _place(typed: dict[str, str | None]) -> "RevisionLocation":
    """The one place that was said."""
    places = [name for name in ("http", "path", "s3", "github") if typed[name]]
    if len(places) != 1:
        raise click.UsageError("cannot register a revision without exactly one place: say one of --http, --file, --s3 and --github")
    resources = protos.resources
    digest = _digest(typed["sha256"] or "")
    if typed["http"]:
        if not digest:
            raise click.UsageError(
                "cannot register --http without --sha256 HEX: what comes over the network must be verified; see: sha256sum FILE"
            )
        return resources.RevisionLocation(http=resources.HttpLocation(url=typed["http"]), sha256=digest)
    if typed["path"]:
        return resources.RevisionLocation(file=resources.FileLocation(path=typed["path"]), sha256=digest)
    if typed["s3"]:
        bucket, _, key = typed["s3"].removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise click.UsageError(f"cannot read --s3 {typed['s3']}: write s3://BUCKET/KEY")
        s3 = resources.S3Location(bucket=bucket, key=key, version=typed["s3_version"] or "", e_tag=typed["s3_etag"] or "")
        return resources.RevisionLocation(s3=s3, sha256=digest)
    repository, _, commit = (typed["github"] or "").partition("@")
    if repository.count("/") != 1 or not re.fullmatch(r"[0-9a-fA-F]{40}", commit):
        raise click.UsageError(
            f"cannot read --github {typed['github']}: write ACCOUNT/REPOSITORY@COMMIT with the commit's full id (40 digits)"
        )
    return resources.RevisionLocation(github=resources.GitHubLocation(repository=repository, commit_id=commit), sha256=digest)


def _digest(typed: str) -> bytes:
    if typed and not re.fullmatch(r"[0-9a-fA-F]{64}", typed):
        raise click.UsageError("cannot read --sha256: write 64 hexadecimal digits, as sha256sum prints them")
    return bytes.fromhex(typed)


@command("revisions", examples=["hookline revisions shop", "hookline revisions shop --limit 0 --output json"], related=["push", "deploy"])
@APPLICATION
@LIMIT
def revisions(console: Console, application: str, limit: int) -> None:
    """List the revisions of an application, newest first."""
    request = protos.catalog.ListRevisionsRequest(application_name=application)
    pages = console.connection.pages(console.connection.catalog.ListRevisions, request, limit)
    found = console.limited((revision for page in pages for revision in page.revisions), limit)
    now = console.clock.now()
    shown: Columns[Revision] = columns(
        ("REVISION", lambda revision: clean(revision.revision_id)),
        ("REGISTERED", lambda revision: with_age(revision.register_time, now)),
        ("LAST USED", lambda revision: with_age(revision.last_used_time, now)),
        ("PLACE", lambda revision: show_place(revision.location)),
        (
            "SIGNED",
            lambda revision: (
                f"{revision.signature.counter} by {clean(revision.signature.key_id)}" if revision.HasField("signature") else ""
            ),
        ),
        ("DESCRIPTION", lambda revision: clean(revision.description)),
        whole="REVISION",
    )
    console.listing(found, shown, f"{application} has no revision yet. Make one with: hookline push {application} DIR")


def show_place(location: "RevisionLocation") -> str:
    """Where a bundle lies, as people type it."""
    match location.WhichOneof("place"):
        case "coordinator":
            return f"coordinator, {location.coordinator.size:,} bytes"
        case "s3":
            return clean(f"s3://{location.s3.bucket}/{location.s3.key}")
        case "github":
            return clean(f"github {location.github.repository}@{location.github.commit_id}")
        case "http":
            return clean(location.http.url)
        case "file":
            return clean(location.file.path)
        case _:
            return ""
