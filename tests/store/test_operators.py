"""Operators and their tokens on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.core.errors import GrantDoesNotExist, OperatorAlreadyExists, OperatorDoesNotExist, OperatorTokenDoesNotExist
from coordinator.core.identity.access import Grant, OperatorStatus, Role
from coordinator.service.ports import Replayed
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, key, operator, operator_token

TEXT = b"t" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """One that knows anna."""
    made = await opened(tmp_path / "hookline.db")
    await made.operators.create(operator("anna"), at=NOW, key=key("1"))
    yield made
    made.close()


async def told(store: SqliteStore) -> list[tuple[str, str]]:
    page = await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=9, after="")
    return [(entry.entry, entry.message) for entry in page.items]


async def test_an_operator_is_remembered_and_told_of(store: SqliteStore) -> None:
    await store.operators.create(operator("bert", Grant(Role.Viewer, "shop", "web")), at=NOW, key=key("2"))
    page = await store.operators.operators(size=1, after="")
    rest = await store.operators.operators(size=9, after=page.next)
    assert [*page.items, *rest.items] == [operator("anna"), operator("bert", Grant(Role.Viewer, "shop", "web"))]
    assert await told(store) == [("OperatorCreated", "bert: viewer of shop/web"), ("OperatorCreated", "anna: admin")]


async def test_a_name_is_had_once_and_a_call_done_once(store: SqliteStore) -> None:
    with pytest.raises(OperatorAlreadyExists):
        await store.operators.create(operator("anna"), at=NOW, key=key("2"))
    with pytest.raises(Replayed):
        await store.operators.create(operator("anna"), at=NOW, key=key("1"))


async def test_grants_come_and_go(store: SqliteStore) -> None:
    grant = Grant(Role.Deployer, "shop")
    for request in ("2", "3"):
        assert (await store.operators.grant("anna", grant, at=NOW, key=key(request))).grants == (Grant(Role.Admin), grant)
    assert (await store.operators.ungrant("anna", Grant(Role.Admin), at=NOW, key=key("4"))).grants == (grant,)
    with pytest.raises(GrantDoesNotExist, match="the grants are deployer of shop"):
        await store.operators.ungrant("anna", Grant(Role.Deployer), at=NOW, key=key("5"))
    with pytest.raises(OperatorDoesNotExist):
        await store.operators.grant("bert", grant, at=NOW, key=key("6"))


async def test_a_token_is_found_by_its_digest_with_its_operator_as_they_are_now(store: SqliteStore) -> None:
    made = operator_token("anna", grants=(Grant(Role.Viewer),))
    await store.operators.add_token(made, TEXT, at=NOW, key=key("2"))
    found = await store.operators.credential(TEXT)
    assert found is not None
    assert (found.sha256, found.shown, found.operator) == (TEXT, made, operator("anna"))
    await store.operators.decide("anna", OperatorStatus.Suspended, "left", at=NOW, key=key("3"))
    found = await store.operators.credential(TEXT)
    assert found is not None
    assert found.operator.status is OperatorStatus.Suspended
    assert await store.operators.credential(b"another") is None


async def test_only_tokens_that_are_good_are_listed(store: SqliteStore) -> None:
    await store.operators.create(operator("bert"), at=NOW, key=key("b"))
    for number, (name, expires_at) in enumerate((("anna", NOW + 9), ("anna", NOW), ("bert", NOW + 9), ("anna", NOW + 8))):
        made = operator_token(name, token_id=f"ot-{number}", expires_at=expires_at)
        await store.operators.add_token(made, bytes([number]) * 32, at=NOW, key=key(f"t{number}"))

    async def listed(name: str) -> list[str]:
        return [one.token_id for one in (await store.operators.tokens(name, at=NOW, size=9, after="")).items]

    assert [await listed(""), await listed("anna"), await listed("bert")] == [["ot-3", "ot-2", "ot-0"], ["ot-3", "ot-0"], ["ot-2"]]
    assert await store.operators.revoke_token("ot-0", at=NOW, key=key("r")) == "anna"
    assert await listed("anna") == ["ot-3"]
    with pytest.raises(OperatorTokenDoesNotExist):
        await store.operators.revoke_token("ot-9", at=NOW, key=key("r2"))
    with pytest.raises(OperatorDoesNotExist):
        await store.operators.add_token(operator_token("carl"), TEXT, at=NOW, key=key("c"))
