"""What a host is lent: only for its own outstanding instruction, only what its instance profile allows at that moment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from coordinator.core.errors import Denied, Unavailable
from coordinator.core.model import BundleType, HostId, HttpLocation, InstructionId, Revision, RevisionId, S3Location
from coordinator.service.access.audit import AuditCall
from coordinator.service.sources.lending import METHOD, ComeBack, LendingService, Lent, NoCredential
from tests.wire.memory import VirtualClock

WEB, DB = HostId("1" * 32), HostId("2" * 32)
ONE, OTHER = InstructionId("d-1/h/0/1"), InstructionId("d-2/h/0/1")
BUNDLE = Revision(
    revision_id=RevisionId("r-1"), place=S3Location(bucket="bundles", key="shop/1.tgz"), sha256=b"", bundle_type=BundleType.tgz
)


@dataclass
class House:
    """Profiles that change, and credentials for S3 alone."""

    sources: dict[HostId, tuple[str, ...]] = field(default_factory=dict)
    asked: list[Revision] = field(default_factory=list)
    book: list[AuditCall] = field(default_factory=list)
    busy: int = 0

    async def profiles(self) -> Mapping[HostId, tuple[str, ...]]:
        return self.sources

    async def lend(self, revision: Revision) -> Lent | ComeBack | None:
        self.asked.append(revision)
        if self.busy:
            return ComeBack(after=self.busy)
        place = revision.place
        return Lent(url=f"https://store/{place.key}?secret", lasts=300) if isinstance(place, S3Location) else None

    async def record(self, call: AuditCall) -> None:
        self.book.append(call)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def lending(house: House) -> LendingService:
    return LendingService(house, house, house, VirtualClock())


async def test_a_host_is_lent_what_its_outstanding_instruction_needs(lending: LendingService) -> None:
    lending.need(WEB, ONE, BUNDLE)
    lent = await lending.lend(WEB, ONE)
    assert isinstance(lent, Lent)
    assert (lent.url, lent.lasts) == ("https://store/shop/1.tgz?secret", 300)
    assert "secret" not in repr(lent)


async def test_nobody_is_lent_anything_for_the_instruction_of_another(lending: LendingService, house: House) -> None:
    lending.need(WEB, ONE, BUNDLE)
    lending.need(DB, OTHER, BUNDLE)
    with pytest.raises(Denied, match="d-1/h/0/1: it is not outstanding for this host"):
        await lending.lend(DB, ONE)
    assert house.asked == []


async def test_what_has_ended_is_lent_no_more_and_who_was_not_welcomed_yet_asks_again(lending: LendingService) -> None:
    lending.need(WEB, ONE, BUNDLE)
    lending.settle(WEB)
    with pytest.raises(Unavailable, match="after the next Welcome"):
        await lending.lend(WEB, ONE)


async def test_a_profile_that_was_narrowed_since_the_deployment_began_counts(lending: LendingService, house: House) -> None:
    lending.need(WEB, ONE, BUNDLE)
    house.sources[WEB] = ("s3://bundles/shop/*",)
    assert isinstance(await lending.lend(WEB, ONE), Lent)
    house.sources[WEB] = ("coordinator",)
    with pytest.raises(Denied, match=r"cannot let this host read s3://bundles/shop/1.tgz: its instance profile allows coordinator"):
        await lending.lend(WEB, ONE)


async def test_where_the_coordinator_has_no_credential_the_host_uses_its_own(lending: LendingService) -> None:
    lending.need(
        WEB, ONE, Revision(revision_id=RevisionId("r-2"), place=HttpLocation(url="https://h/b"), sha256=b"x", bundle_type=BundleType.tgz)
    )
    with pytest.raises(NoCredential, match="the host's own is to be used"):
        await lending.lend(WEB, ONE)


async def test_what_is_lent_and_what_is_refused_stands_in_the_audit_once_and_without_secrets(lending: LendingService, house: House) -> None:
    lending.need(WEB, ONE, BUNDLE)
    for _ in range(3):
        await lending.lend(WEB, ONE, address="10.0.0.7")
    house.sources[WEB] = ("coordinator",)
    for _ in range(3):
        with pytest.raises(Denied):
            await lending.lend(WEB, ONE)
    lent, refused = house.book
    assert (lent.principal, lent.address, lent.method, lent.code, lent.subject) == (f"agent:{WEB}", "10.0.0.7", METHOD, "OK", WEB)
    assert json.loads(lent.request) == {"instruction_id": ONE, "source": "s3://bundles/shop/1.tgz"}
    assert refused.code == "PERMISSION_DENIED"
    assert "secret" not in repr(house.book)
    lending.settle(WEB)
    lending.need(WEB, ONE, BUNDLE)
    house.sources.clear()
    await lending.lend(WEB, ONE)
    assert len(house.book) == 3


async def test_a_host_is_asked_to_come_back_where_the_source_asks_that_of_the_coordinator(lending: LendingService, house: House) -> None:
    lending.need(WEB, ONE, BUNDLE)
    house.busy = 30_000
    assert await lending.lend(WEB, ONE) == ComeBack(after=30_000)
    assert house.book == []
