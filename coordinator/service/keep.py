"""What the services need of a place for pushed bundles, as a port."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol


class Upload(Protocol):
    """A bundle on its way in. Nothing of it can be seen before `finish` has returned."""

    async def write(self, chunk: bytes) -> None:
        """The next bytes. Raises StorageFull."""
        ...

    async def finish(self) -> None:
        """Check the archive and keep the bundle, durably. Raises InvalidRevision, naming what was looked for, when it is no archive or
        has no AppSpec file, and StorageFull; then nothing is kept. The caller has compared size and digest before."""
        ...

    async def discard(self) -> None:
        """Forget what was written; harmless after `finish` or twice."""
        ...


class BundleKeep(Protocol):
    """Bundles that the coordinator keeps, by their SHA-256."""

    async def begin(self, size: int, sha256: bytes) -> Upload:
        """Make room for a bundle of `size` bytes. Raises StorageFull."""
        ...

    async def has(self, sha256: bytes) -> bool:
        """Whether the bundle with this digest is kept."""
        ...

    def hold(self, sha256: bytes) -> AbstractContextManager[None]:
        """Until the end of this, `tidy` leaves the bundle with this digest alone, be it kept already or on its way in."""
        ...

    async def tidy(self, wanted: Callable[[], Awaitable[Collection[bytes]]]) -> None:
        """Remove the bundles whose digests are not `wanted`, but for those that somebody holds. What cannot be removed is logged."""
        ...
