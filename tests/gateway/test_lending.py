"""What a host may read of the coordinator's own bundles: what an instruction needs, as far as its instance profile allows it just then."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from coordinator.core.errors import Unavailable
from coordinator.core.model import BundleType, CoordinatorLocation, HostId, InstructionId, Revision, RevisionId
from coordinator.gateway.granting import Grants
from coordinator.gateway.lending import Readers
from coordinator.service.access.audit import AuditCall
from coordinator.service.sources.lending import LendingService

WEB, DB = HostId("1" * 32), HostId("2" * 32)
ONE = InstructionId("d-1/h/0/1")
PUSHED = Revision(revision_id=RevisionId("r-1"), place=CoordinatorLocation(size=1), sha256=b"\x01" * 32, bundle_type=BundleType.tar)


class Impatient:
    """A clock on which nobody waits."""

    def now(self) -> int:
        return 0

    def elapsed(self) -> int:
        return 0

    async def sleep(self, milliseconds: int) -> None:
        await asyncio.sleep(0)


class House(Grants):
    """Profiles that change, and bundles that are granted."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[HostId, tuple[str, ...]] = {}
        self.troubles = 0
        self.looked = 0
        self.readers = Readers(self, LendingService(self, self, self, Impatient()), self, Impatient())

    async def profiles(self) -> Mapping[HostId, tuple[str, ...]]:
        self.looked += 1
        if self.looked <= self.troubles:
            raise Unavailable("cannot read just now")
        return self.sources

    async def lend(self, revision: Revision) -> None:
        raise AssertionError("nothing lies elsewhere here")

    async def record(self, call: AuditCall) -> None:
        raise AssertionError("nothing is lent here")

    def grant(self, host_id: HostId, sha256: bytes) -> None:
        self.hear(f"={host_id} {sha256.hex()}")

    def withdraw(self, host_id: HostId) -> None:
        self.hear(f".{host_id}")

    async def seen(self) -> dict[str, set[str]]:
        """What is granted once nothing is left to look at."""
        for _ in range(10):
            await asyncio.sleep(0)
        return self.bundles


@asynccontextmanager
async def housed() -> AsyncIterator[House]:
    house = House()
    running = asyncio.create_task(house.readers.run())
    try:
        yield house
    finally:
        running.cancel()


async def test_a_bundle_is_granted_with_its_instruction_and_withdrawn_with_its_end() -> None:
    async with housed() as house:
        house.readers.need(WEB, ONE, PUSHED)
        house.readers.need(DB, ONE, PUSHED)
        assert await house.seen() == {WEB: {"01" * 32}, DB: {"01" * 32}}
        assert house.looked == 1
        house.readers.settle(WEB)
        assert await house.seen() == {DB: {"01" * 32}}


async def test_a_profile_that_was_narrowed_since_the_deployment_was_created_keeps_the_bundle_back() -> None:
    async with housed() as house:
        house.sources[WEB] = ("s3://bundles/*",)
        house.readers.need(WEB, ONE, PUSHED)
        house.readers.need(DB, ONE, PUSHED)
        assert await house.seen() == {DB: {"01" * 32}}


async def test_a_profile_that_changes_meanwhile_counts_at_once() -> None:
    async with housed() as house:
        house.readers.need(WEB, ONE, PUSHED)
        assert WEB in await house.seen()
        house.sources[WEB] = ("s3://bundles/*",)
        house.readers.look_again(WEB)
        assert await house.seen() == {}
        house.sources[WEB] = ("coordinator",)
        house.readers.look_again(WEB)
        assert WEB in await house.seen()
        house.readers.look_again(DB)
        assert DB not in await house.seen()


async def test_profiles_that_cannot_be_read_just_now_are_looked_at_again() -> None:
    async with housed() as house:
        house.troubles = 2
        house.readers.need(WEB, ONE, PUSHED)
        assert WEB in await house.seen()
        assert house.looked == 3
