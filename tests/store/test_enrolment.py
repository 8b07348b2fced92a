"""Enrolment on SQLite: a token is used as often as it says and no oftener, names are had once, and a renewal is counted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.core.errors import Conflict, Denied, InstanceDoesNotExist, InstanceNameAlreadyRegistered, JoinTokenDoesNotExist
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, Holder
from coordinator.core.model import HostId
from coordinator.core.orders import Changes
from coordinator.service.ports import Replayed
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, applicant, join_token, key, known

TEXT = b"t" * 32


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty one."""
    made = await opened(tmp_path / "hookline.db")
    yield made
    made.close()


async def token(store: SqliteStore, sha256: bytes = TEXT, **other: object) -> None:
    await store.enrolments.add_token(join_token(**other), sha256, at=NOW, key=key(""))


async def test_a_hundred_uses_of_one_token_at_once_are_one(store: SqliteStore) -> None:
    await token(store)
    asked = (store.enrolments.enrol(applicant(f"web-{number}"), TEXT, at=NOW) for number in range(100))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    let_in = [one for one in answers if not isinstance(one, Denied)]
    assert len(let_in) == 1
    assert len((await store.enrolments.enrolments((), size=200, after="")).items) == 1
    assert all("it was used already" in str(one) for one in answers if isinstance(one, Denied))


async def test_a_machine_that_asks_again_is_the_same_and_uses_nothing_up(store: SqliteStore) -> None:
    await token(store, uses_left=2)
    first = await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    again = await store.enrolments.enrol(applicant("another name", key=first.key), b"no token", at=NOW + 1)
    assert again == first
    assert [one.uses_left for one in (await store.enrolments.tokens(at=NOW, size=5, after="")).items] == [1]


@pytest.mark.parametrize(
    "other, why",
    [
        ({"expires_at": NOW}, "it has ended"),
        ({"uses_left": 0}, "it was used already"),
        ({"name_pattern": "db-*"}, "for hosts named db-"),
    ],
)
async def test_a_token_that_cannot_be_used_lets_nobody_in(store: SqliteStore, other: dict[str, object], why: str) -> None:
    await store.enrolments.add_token(join_token(**other), TEXT, at=NOW, key=key(""))
    with pytest.raises(Denied, match=why):
        await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    with pytest.raises(Denied, match="it is unknown"):
        await store.enrolments.enrol(applicant("web-1"), b"guessed", at=NOW)
    assert await store.enrolments.everybody() == []


async def test_a_revoked_token_lets_nobody_in(store: SqliteStore) -> None:
    await token(store)
    await store.enrolments.revoke_token("jt-1", at=NOW, key=key(""))
    with pytest.raises(Denied, match="it was revoked"):
        await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    with pytest.raises(JoinTokenDoesNotExist):
        await store.enrolments.revoke_token("jt-9", at=NOW, key=key(""))


async def test_a_token_says_what_its_hosts_are(store: SqliteStore) -> None:
    await token(store, auto_approve=False, trust_tags=True, tags={"zone": "a"})
    host = await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    assert (host.status, host.tags, host.trust_tags, host.token_id) == (EnrolmentStatus.Pending, {"zone": "a"}, True, "jt-1")


def another(name: str, host_id: str) -> Enrolment:
    return replace(applicant(name, key=f"key of {host_id}"), host_id=HostId(host_id))


async def test_a_name_is_had_once_until_its_host_is_revoked(store: SqliteStore) -> None:
    await token(store, uses_left=4)
    await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    waits = await store.enrolments.enrol(another("web-1", "id-2"), TEXT, at=NOW)
    assert (waits.status, waits.name_of) == (EnrolmentStatus.Pending, "id-web-1")  # although its token lets hosts in at once
    with pytest.raises(InstanceNameAlreadyRegistered, match="the machine id-2 waits for it"):
        await store.enrolments.enrol(another("web-1", "id-3"), TEXT, at=NOW)
    assert [one.uses_left for one in (await store.enrolments.tokens(at=NOW, size=5, after="")).items] == [2]
    assert (await store.enrolments.enrolment("web-1")).host_id == "id-web-1"
    for host in ("web-1", "id-2"):
        with pytest.raises(Conflict, match="hookline hosts adopt web-1"):
            await store.enrolments.decide(host, EnrolmentStatus.Approved, "", at=NOW, key=key(""))
    await store.enrolments.decide("web-1", EnrolmentStatus.Revoked, "gone", at=NOW, key=key(""))
    assert (await store.enrolments.enrolment("web-1")).host_id == "id-2"
    approved = await store.enrolments.decide("web-1", EnrolmentStatus.Approved, "", at=NOW, key=key(""))
    assert (approved.host_id, approved.name_of) == ("id-2", None)
    with pytest.raises(Conflict, match="for ever"):
        await store.enrolments.decide("id-web-1", EnrolmentStatus.Approved, "", at=NOW, key=key(""))


async def test_a_machine_takes_the_place_of_a_host_with_its_name_and_its_tags_and_never_its_id(store: SqliteStore) -> None:
    await token(store, uses_left=2, tags={"zone": "a"}, trust_tags=True)
    await store.enrolments.enrol(another("web-1", "id-h1"), TEXT, at=NOW)
    await store.commit(known("h1"))
    await store.fleet.add_tags(["id-h1"], {"stage": "production"}, at=NOW, key=key(""))
    await store.fleet.set_sources("id-h1", ("coordinator",), at=NOW, key=key(""))
    await store.enrolments.add_token(join_token(token_id="jt-2", tags={}), b"u" * 32, at=NOW, key=key(""))
    await store.enrolments.enrol(another("web-1", "id-h2"), b"u" * 32, at=NOW)
    once = key("1", method="AdoptHost")
    before, now = await store.enrolments.adopt("web-1", "", at=NOW, key=once)
    assert (before.host_id, before.status) == ("id-h1", EnrolmentStatus.Revoked)
    assert (now.host_id, now.name, now.status, now.tags) == ("id-h2", "web-1", EnrolmentStatus.Approved, {"zone": "a"})
    assert now == await store.enrolments.enrolment("web-1")
    assert await store.enrolments.departed() == ["id-h1"]
    with pytest.raises(Replayed, match="id-h2"):
        await store.enrolments.adopt("web-1", "", at=NOW, key=once)
    with pytest.raises(InstanceDoesNotExist):
        await store.fleet.host("id-h2")  # it has not been here yet
    gone = Changes(removed=[HostId("id-h1")])
    await store.commit(gone)
    assert await store.enrolments.departed() == []
    await store.commit(known("h2"))
    inherited = await store.fleet.host("id-h2")
    assert (inherited.operator_tags, inherited.sources) == ({"stage": "production"}, ("coordinator",))
    (_, said, *_) = (
        await store.history.entries(application_name="", group_name="", deployment_id="", host="id-h2", size=9, after="")
    ).items
    assert (said.entry, "id-h2 takes the place of id-h1" in said.message) == ("HostAdopted", True)


async def test_only_a_machine_that_waits_takes_the_place_of_a_host(store: SqliteStore) -> None:
    await token(store, uses_left=3)
    for name in ("web-1", "web-2"):
        await store.enrolments.enrol(applicant(name), TEXT, at=NOW)
    for host, machine, error, why in (
        ("web-1", "", InstanceDoesNotExist, "no machine waits for that name"),
        ("web-1", "web-9", InstanceDoesNotExist, "cannot find host web-9"),
        ("web-1", "web-2", Conflict, "it does not wait to be let in"),
        ("web-1", "web-1", Conflict, "it does not wait to be let in"),
    ):
        with pytest.raises(error, match=why):
            await store.enrolments.adopt(host, machine, at=NOW, key=key(""))
    await store.enrolments.decide("web-2", EnrolmentStatus.Revoked, "", at=NOW, key=key(""))
    waits = await store.enrolments.enrol(another("web-1", "id-3"), TEXT, at=NOW)
    for host in ("web-2", "id-3"):
        with pytest.raises(Conflict, match="it is no host"):
            await store.enrolments.adopt(host, waits.host_id, at=NOW, key=key(""))


async def test_renewals_are_counted_and_a_copy_locks_both(store: SqliteStore) -> None:
    await token(store)
    host = await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)

    async def renew(generation: int, of: str) -> tuple[EnrolmentStatus, int]:
        now = await store.enrolments.renew(host.host_id, generation=generation, key=of, expires_at=NOW + 1, at=NOW)
        return now.status, now.generation

    assert await renew(0, "second") == (EnrolmentStatus.Approved, 1)
    assert await renew(0, "second") == (EnrolmentStatus.Approved, 1)  # its answer was lost
    assert await renew(1, "third") == (EnrolmentStatus.Approved, 2)
    assert await renew(1, "of the copy") == (EnrolmentStatus.Locked, 2)
    with pytest.raises(Denied, match="one is a copy of the other"):
        await renew(2, "fourth")
    said = (await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=9, after="")).items
    assert said[0].entry == "HostLocked"
    await store.enrolments.decide("web-1", EnrolmentStatus.Approved, "", at=NOW, key=key(""))
    assert await renew(2, "fourth") == (EnrolmentStatus.Approved, 3)


async def test_a_host_that_comes_back_is_told_in_the_history_whatever_becomes_of_it(store: SqliteStore) -> None:
    await token(store)
    host = await store.enrolments.enrol(applicant("web-1"), TEXT, at=NOW)
    await store.enrolments.certified(host.host_id, NOW + 10)

    async def back(shown: str, generation: int, at: int) -> tuple[EnrolmentStatus, int, bool]:
        holder = Holder(host_id=host.host_id, key=shown, ended_at=NOW + 10)
        now, news = await store.enrolments.readmit(
            holder, generation=generation, key="next", expires_at=at + 10, at=at, within=5, address="10.0.0.9"
        )
        return now.status, now.generation, news

    assert await back(host.key, 0, NOW + 16) == (EnrolmentStatus.Away, 0, True)
    assert await back(host.key, 0, NOW + 17) == (EnrolmentStatus.Away, 0, False)
    assert [one.status for one in await store.enrolments.everybody()] == [EnrolmentStatus.Away]
    await store.enrolments.decide("web-1", EnrolmentStatus.Approved, "", at=NOW + 17, key=key(""))
    assert await back(host.key, 0, NOW + 18) == (EnrolmentStatus.Approved, 1, True)
    assert await back(host.key, 0, NOW + 19) == (EnrolmentStatus.Approved, 1, True)  # the answer was lost
    with pytest.raises(Denied, match="join again"):
        await back("an old one", 5, NOW + 19)
    said = (await store.history.entries(application_name="", group_name="", deployment_id="", host="", size=3, after="")).items
    assert [one.entry for one in said] == ["HostReadmitted", "HostReadmitted", "HostApproved"]
    assert "10.0.0.9" in said[0].message


async def test_hosts_are_renamed_found_and_listed(store: SqliteStore) -> None:
    await token(store, uses_left=9)
    for name in ("web-1", "web-2", "web-3"):
        await store.enrolments.enrol(applicant(name), TEXT, at=NOW)
    renamed = await store.enrolments.rename("web-1", "front-1", at=NOW, key=key(""))
    assert (renamed.host_id, renamed.name) == (HostId("id-web-1"), "front-1")
    with pytest.raises(InstanceNameAlreadyRegistered):
        await store.enrolments.rename("web-2", "front-1", at=NOW, key=key(""))
    with pytest.raises(InstanceDoesNotExist):
        await store.enrolments.enrolment("web-1")
    first = await store.enrolments.enrolments((), size=2, after="")
    rest = await store.enrolments.enrolments((), size=2, after=first.next)
    assert [one.name for page in (first, rest) for one in page.items] == ["web-3", "web-2", "front-1"]
    assert (await store.enrolments.enrolments([EnrolmentStatus.Pending], size=2, after="")).items == []


async def test_a_repeated_call_changes_nothing(store: SqliteStore) -> None:
    once = key("1", method="CreateJoinToken")
    await store.enrolments.add_token(join_token(), TEXT, at=NOW, key=once)
    with pytest.raises(Replayed, match="jt-1"):
        await store.enrolments.add_token(join_token(token_id="jt-2"), b"u" * 32, at=NOW, key=once)
