"""Operators' certificates on SQLite: one for each token, through its renewals."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.errors import Denied, OperatorCertificateDoesNotExist
from coordinator.core.identity.access import Leaf, OperatorStatus
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, key, operator, operator_certificate, operator_token

ISSUED = operator_certificate("anna")
NEW = Leaf(b"2" * 32, NOW + 2_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """One that knows anna, and her tokens for two certificates."""
    made = await opened(tmp_path / "hookline.db")
    await made.operators.create(operator("anna"), at=NOW, key=key("1"))
    for number in (1, 2):
        token = operator_token("anna", token_id=f"ot-{number}", certificate_lifetime=1_000)
        await made.operators.add_token(token, bytes([number]) * 32, at=NOW, key=key(f"t{number}"))
    yield made
    made.close()


async def test_a_token_is_used_up_by_one_certificate_and_listed_no_more(store: SqliteStore) -> None:
    assert await store.certificates.issue(ISSUED, "ot-1", at=NOW, key=key("")) == ISSUED
    assert await store.certificates.find("oc-1") == (ISSUED, operator("anna"))
    assert [one.token_id for one in (await store.operators.tokens("", at=NOW, size=9, after="")).items] == ["ot-2"]
    with pytest.raises(Denied, match="used already"):
        await store.certificates.issue(replace(ISSUED, key="k2"), "ot-1", at=NOW, key=key(""))
    again = replace(ISSUED, newest=NEW)
    assert await store.certificates.issue(again, "ot-1", at=NOW, key=key("")) == again
    assert await store.certificates.find("oc-1") == (again, operator("anna"))


@pytest.mark.parametrize("how", ["ended", "revoked"])
async def test_a_token_that_is_no_good_is_good_for_no_certificate(store: SqliteStore, how: str) -> None:
    at = NOW + 1_000 if how == "ended" else NOW
    if how == "revoked":
        await store.operators.revoke_token("ot-1", at=NOW, key=key("r"))
    with pytest.raises(Denied):
        await store.certificates.issue(ISSUED, "ot-1", at=at, key=key(""))
    assert await store.certificates.find("oc-1") is None


async def test_a_renewal_is_remembered_with_the_one_before(store: SqliteStore) -> None:
    await store.certificates.issue(ISSUED, "ot-1", at=NOW, key=key(""))
    now = await store.certificates.renew("oc-1", ISSUED.newest.sha256, NEW, digest="k2", at=NOW + 5, key=key(""))
    assert now == replace(ISSUED, newest=NEW, previous=ISSUED.newest, key="k2", renewed_at=NOW + 5)
    assert await store.certificates.find("oc-1") == (now, operator("anna"))
    copied = await store.certificates.renew("oc-1", ISSUED.newest.sha256, NEW, digest="k3", at=NOW + 6, key=key(""))
    assert copied.revoked
    with pytest.raises(Denied, match="was revoked"):
        await store.certificates.renew("oc-1", NEW.sha256, NEW, digest="k4", at=NOW + 7, key=key(""))
    with pytest.raises(OperatorCertificateDoesNotExist):
        await store.certificates.renew("oc-9", NEW.sha256, NEW, digest="k4", at=NOW, key=key(""))


async def test_only_certificates_that_are_good_are_listed(store: SqliteStore) -> None:
    await store.certificates.issue(ISSUED, "ot-1", at=NOW, key=key(""))
    second = replace(ISSUED, certificate_id="oc-2", newest=NEW)
    await store.certificates.issue(second, "ot-2", at=NOW, key=key(""))

    async def listed(name: str = "", at: int = NOW) -> list[str]:
        return [one.certificate_id for one in (await store.certificates.certificates(name, at=at, size=9, after="")).items]

    assert [await listed(), await listed("anna"), await listed("bert")] == [["oc-2", "oc-1"], ["oc-2", "oc-1"], []]
    assert [await listed(at=NOW + 1_000), await listed(at=NOW + 2_000)] == [["oc-2"], []]
    assert await store.certificates.revoke("oc-1", at=NOW, key=key("r")) == "anna"
    assert await listed() == ["oc-2"]
    with pytest.raises(OperatorCertificateDoesNotExist):
        await store.certificates.revoke("oc-9", at=NOW, key=key("r2"))


async def test_whose_it_is_is_found_as_they_are_now(store: SqliteStore) -> None:
    await store.certificates.issue(ISSUED, "ot-1", at=NOW, key=key(""))
    await store.operators.decide("anna", OperatorStatus.Suspended, "", at=NOW, key=key("s"))
    found = await store.certificates.find("oc-1")
    assert found is not None
    assert found[1].status is OperatorStatus.Suspended
