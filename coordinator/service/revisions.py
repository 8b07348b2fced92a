"""What an operator may do with revisions: push a bundle, register one that lies elsewhere, look them up.

A revision's id is derived from where its bundle lies, what it hashes to and who answers for it, so the same bundle again is the same
revision, in every application.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import assert_never

from coordinator.core.errors import ApplicationDoesNotExist, BundleTooLarge, Invalid, InvalidRevision
from coordinator.core.facts import RequestKey
from coordinator.core.identity import signature
from coordinator.core.model import (
    BundleType,
    CoordinatorLocation,
    FileLocation,
    GitHubLocation,
    HttpLocation,
    Place,
    Revision,
    RevisionId,
    S3Location,
    Signature,
)
from coordinator.engine.ports import Clock
from coordinator.service.keep import BundleKeep, Upload
from coordinator.service.ports import Catalog, Cursor, Page, Replayed
from coordinator.service.records import CatalogRevision
from coordinator.service.rules import check_description
from coordinator.service.urls import check_url

DIGEST_SIZE = 32
SNIFFED = 512

_REVISION_ID = re.compile(r"r-[0-9a-f]{16}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a caller says of the bundle that follows."""

    application_name: str
    sha256: bytes
    size: int
    bundle_type: BundleType
    description: str
    signature: Signature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a caller says of a bundle that lies elsewhere."""

    place: Place
    bundle_type: BundleType
    sha256: bytes
    signature: Signature | None = None


class RevisionService:
    """Makes and shows revisions."""

    def __init__(self, catalog: Catalog, keep: BundleKeep, *, clock: Clock, max_bundle_bytes: int) -> None:
        """`catalog` remembers revisions, `keep` holds pushed bundles, each of at most `max_bundle_bytes`."""
        self._catalog = catalog
        self._keep = keep
        self._clock = clock
        self._max_bundle_bytes = max_bundle_bytes

    async def push(self, push: Push, chunks: AsyncIterator[bytes], key: RequestKey) -> CatalogRevision:
        """Take a bundle in and make a revision of it. Nothing is kept unless all of it arrived and is right."""
        self._check_push(push)
        await self._catalog.application(push.application_name)
        try:
            with self._keep.hold(push.sha256):
                return await self._taken_in(push, chunks, key)
        except ApplicationDoesNotExist:  # it was deleted meanwhile
            await self._keep.tidy(self._catalog.pushed)
            raise

    async def _taken_in(self, push: Push, chunks: AsyncIterator[bytes], key: RequestKey) -> CatalogRevision:
        if await self._keep.has(push.sha256):
            kind = await _received(push, chunks, None)
        else:
            upload = await self._keep.begin(push.size, push.sha256)
            try:
                kind = await _received(push, chunks, upload)
                await upload.finish()
            finally:
                await upload.discard()
        revision = _revision(CoordinatorLocation(size=push.size), kind, push.sha256, push.signature)
        return await self._remember(push.application_name, revision, description=push.description, key=key)

    async def register(self, application_name: str, registered: Registered, *, description: str, key: RequestKey) -> CatalogRevision:
        """Make a revision of a bundle that lies elsewhere. Nothing is fetched."""
        place, bundle_type, sha256 = registered.place, registered.bundle_type, registered.sha256
        check_description(description)
        _check_place(place)
        _check_packing(place, bundle_type, sha256)
        if registered.signature is not None:
            _check_signature(registered.signature, application_name, sha256=sha256)
            if bundle_type is BundleType.directory:
                raise InvalidRevision("cannot accept a signature for a directory: agents could not verify it", field="signature")
        revision = _revision(place, bundle_type, sha256, registered.signature)
        return await self._remember(application_name, revision, description=description, key=key)

    async def revision(self, application_name: str, revision_id: str) -> CatalogRevision:
        """Show a revision."""
        return await self._catalog.revision(application_name, revision_id_of(revision_id))

    async def revisions(self, application_name: str, *, size: int, after: Cursor) -> Page[CatalogRevision]:
        """List the revisions of an application, newest first."""
        return await self._catalog.revisions(application_name, size=size, after=after)

    async def _remember(self, application_name: str, revision: Revision, *, description: str, key: RequestKey) -> CatalogRevision:
        now = self._clock.now()
        made = CatalogRevision(application_name=application_name, revision=revision, description=description, registered_at=now)
        try:
            return await self._catalog.register_revision(made, at=now, key=key)
        except Replayed:
            return await self._catalog.revision(application_name, revision.revision_id)

    def _check_push(self, push: Push) -> None:
        check_description(push.description, field="header.description")
        _check_digest(push.sha256, field="header.sha256")
        if push.size > self._max_bundle_bytes:
            raise BundleTooLarge(
                f"cannot accept a bundle of {push.size} bytes: the coordinator's limit is {self._max_bundle_bytes}", field="header.size"
            )
        if push.size <= 0:
            raise Invalid("cannot accept an empty bundle: say its size in bytes", field="header.size")
        if push.bundle_type is BundleType.directory:
            raise Invalid("cannot push a directory: pack it as tar, tgz or zip", field="header.bundle_type")
        if push.signature is not None:
            _check_signature(push.signature, push.application_name, sha256=push.sha256, size=push.size, field="header.signature")


def revision_id_of(text: str) -> RevisionId:
    """The revision id that `text` is. Raises InvalidRevision when it cannot be one."""
    if not _REVISION_ID.fullmatch(text):
        raise InvalidRevision(
            f'cannot accept {text[:100]!r} as a revision: an id is "r-" and 16 hexadecimal digits, such as r-0123456789abcdef',
            field="revision_id",
        )
    return RevisionId(text)


async def _received(push: Push, chunks: AsyncIterator[bytes], upload: Upload | None) -> BundleType:
    """Take all chunks in, compare size and digest, and say how the bundle is packed."""
    digest, received, head = hashlib.sha256(), 0, b""
    async for chunk in chunks:
        received += len(chunk)
        if received > push.size:
            raise InvalidRevision(f"cannot accept the bundle: more than the {push.size} bytes arrived that were said", field="header.size")
        head = head + chunk[: SNIFFED - len(head)]
        await asyncio.to_thread(digest.update, chunk)
        if upload is not None:
            await upload.write(chunk)
    if received != push.size:
        raise InvalidRevision(f"cannot accept the bundle: {received} of {push.size} bytes arrived; push it again", field="header.size")
    if digest.digest() != push.sha256:
        raise InvalidRevision(
            f"cannot accept the bundle: its SHA-256 is {digest.hexdigest()}, but {push.sha256.hex()} was said; push it again",
            field="header.sha256",
        )
    kind = _packing(head)
    if push.bundle_type not in (BundleType.Unspecified, kind):
        raise InvalidRevision(
            f"cannot accept the bundle as {push.bundle_type.name}: its first bytes are those of a {kind.name}", field="header.bundle_type"
        )
    return kind


def _packing(head: bytes) -> BundleType:
    if head.startswith(b"\x1f\x8b"):
        return BundleType.tgz
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return BundleType.zip
    if head[257:262] == b"ustar":
        return BundleType.tar
    raise InvalidRevision("cannot accept the bundle: its first bytes are those of no tar, tgz or zip archive", field="header.bundle_type")


def _check_digest(sha256: bytes, *, field: str) -> None:
    if len(sha256) != DIGEST_SIZE:
        raise InvalidRevision(f"cannot accept a SHA-256 of {len(sha256)} bytes: it has {DIGEST_SIZE}", field=field)


def _check_place(place: Place) -> None:
    match place:
        case CoordinatorLocation():
            raise InvalidRevision("cannot register a bundle that the coordinator keeps: push it instead", field="location.coordinator")
        case S3Location():
            if not _BUCKET.fullmatch(place.bucket):
                raise InvalidRevision(f"cannot accept {place.bucket[:100]!r} as an S3 bucket's name", field="location.s3.bucket")
            if not 1 <= len(place.key.encode()) <= 1024:
                raise InvalidRevision("cannot accept the S3 key: it must have 1 to 1024 bytes", field="location.s3.key")
            if any(part in ("", ".", "..") for part in place.key.split("/")):
                raise InvalidRevision(
                    f'cannot accept S3 key {place.key[:100]!r}: agents fetch none with an empty part, "." or ".." between its slashes',
                    field="location.s3.key",
                )
        case GitHubLocation():
            if not _REPOSITORY.fullmatch(place.repository):
                raise InvalidRevision(
                    f"cannot accept {place.repository[:100]!r}: a repository is ACCOUNT/REPOSITORY", field="location.github.repository"
                )
            if not _COMMIT.fullmatch(place.commit_id):
                raise InvalidRevision(
                    f"cannot accept {place.commit_id[:100]!r}: a commit is its full id, 40 hexadecimal digits",
                    field="location.github.commit_id",
                )
        case HttpLocation(url=url):
            check_url(url)
        case FileLocation(path=path):
            if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
                raise InvalidRevision(f'cannot accept path {path[:200]!r}: it must be absolute, without ".."', field="location.file.path")
        case _:
            assert_never(place)


def _check_packing(place: Place, bundle_type: BundleType, sha256: bytes) -> None:
    if isinstance(place, HttpLocation) and not sha256:
        raise InvalidRevision("cannot register an http location without a SHA-256: agents verify it", field="location.sha256")
    if sha256:
        _check_digest(sha256, field="location.sha256")
    if bundle_type is BundleType.directory:
        if not isinstance(place, FileLocation):
            raise InvalidRevision("cannot accept a directory there: only a file location can be one", field="location.bundle_type")
        if sha256:
            raise InvalidRevision("cannot accept a SHA-256 for a directory: nobody could verify it", field="location.sha256")


def _check_signature(given: Signature, application_name: str, *, sha256: bytes, size: int = 0, field: str = "signature") -> None:
    """A signature has the form of one and is about this bundle, as far as that is known; empty and 0: it is not."""
    try:
        said = signature.read(given)
    except signature.Malformed as error:
        raise InvalidRevision(f"cannot accept the signature: {error}", field=field) from error
    if said.application != application_name:
        raise InvalidRevision(
            f"cannot accept the signature: its statement is about application {said.application}, and this is {application_name}",
            field=field,
        )
    if sha256 not in (b"", said.bundle_sha256):
        raise InvalidRevision(
            f"cannot accept the signature: its statement is about bundle {said.bundle_sha256.hex()}, and this is {sha256.hex()}",
            field=field,
        )
    if size not in (0, said.bundle_size):
        raise InvalidRevision(f"cannot accept the signature: its statement says {said.bundle_size} bytes, and it is {size}", field=field)


def _revision(place: Place, bundle_type: BundleType, sha256: bytes, given: Signature | None) -> Revision:
    revision_id = _derived(place, bundle_type, sha256, given)
    return Revision(revision_id=revision_id, place=place, bundle_type=bundle_type, sha256=sha256, signature=given)


def _derived(place: Place, bundle_type: BundleType, sha256: bytes, given: Signature | None = None) -> RevisionId:
    match place:
        case CoordinatorLocation(size=size):
            words: tuple[str, ...] = ("coordinator", str(size))
        case S3Location():
            words = ("s3", place.bucket, place.key, place.version, place.e_tag)
        case GitHubLocation(repository=repository, commit_id=commit_id):
            words = ("github", repository, commit_id)
        case HttpLocation(url=url):
            words = ("http", url)
        case FileLocation(path=path):
            words = ("file", path)
        case _:
            assert_never(place)
    # Lengths stand before the words, so that no two places read the same.
    signed = () if given is None else (given.statement, given.signature)
    canonical = "".join(f"{len(word)}:{word}" for word in (*words, bundle_type.name, sha256.hex(), *signed))
    return RevisionId("r-" + hashlib.sha256(canonical.encode()).hexdigest()[:16])
