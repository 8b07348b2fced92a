"""Who calls with a token: looked up once a second, and never as it was before a change; and what is told of the audit every hour."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.adapters.ids import RandomIds
from coordinator.core.errors import Limit, Unauthenticated
from coordinator.core.identity.access import Grant, OperatorStatus, Role
from coordinator.service.access.attempts import ADDRESSES_AT_MOST, FAILURES_AT_MOST, WINDOW, Attempts
from coordinator.service.access.audit import HOUR, AuditService
from coordinator.service.access.callers import KNOWN_FOR, Callers
from coordinator.service.access.operators import AccessService
from coordinator.service.access.ports import Credential
from coordinator.store.access.operators import SqliteOperators
from coordinator.store.sqlite import SqliteStore
from tests.store.seeds import opened
from tests.store.things import NOW, audit_call, key, operator, operator_token
from tests.wire.memory import VirtualClock

HERE = "192.0.2.7"


class Watched(SqliteOperators):
    """Counts look-ups, and can hold one up."""

    asked = 0
    meanwhile: asyncio.Event | None = None
    begun: asyncio.Event | None = None

    async def credential(self, sha256: bytes) -> Credential | None:
        """See `Operators`."""
        self.asked += 1
        found = await super().credential(sha256)
        if self.meanwhile is not None and self.begun is not None:
            self.begun.set()
            await self.meanwhile.wait()
        return found


class Desk:
    """Callers and an AccessService that know anna, and her token."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock = VirtualClock()
        self.operators = Watched(store.writer, store.reader)
        self.callers = Callers(self.operators, store.certificates, clock=self.clock)
        self.access = AccessService(self.operators, self.callers, secrets=RandomIds(), clock=self.clock)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await opened(tmp_path / "hookline.db")
    made = Desk(store)
    token = operator_token("anna", expires_at=made.clock.now() + 3_600_000)
    await made.operators.create(operator("anna"), at=NOW, key=key(""))
    await made.operators.add_token(token, hashlib.sha256(b"hlo_anna").digest(), at=NOW, key=key(""))
    yield made
    store.close()


async def test_a_token_is_looked_up_once_a_second(desk: Desk) -> None:
    for _ in range(5):
        assert (await desk.callers.who("hlo_anna", HERE)).grants == (Grant(Role.Admin),)
    assert desk.operators.asked == 1
    desk.clock.at += KNOWN_FOR
    await desk.callers.who("hlo_anna", HERE)
    assert desk.operators.asked == 2


async def test_what_is_changed_in_the_midst_of_a_look_up_counts(desk: Desk) -> None:
    desk.operators.meanwhile, desk.operators.begun = asyncio.Event(), asyncio.Event()
    who = asyncio.create_task(desk.callers.who("hlo_anna", HERE))
    await desk.operators.begun.wait()
    await desk.access.suspend("anna", "", key(""))
    desk.operators.meanwhile.set()
    assert "suspended" in (await who).barred
    assert desk.operators.asked == 2
    await desk.access.resume("anna", key(""))
    assert not (await desk.callers.who("hlo_anna", HERE)).barred


async def test_a_change_behind_the_coordinators_back_counts_after_a_second(desk: Desk) -> None:
    await desk.callers.who("hlo_anna", HERE)
    await desk.operators.decide("anna", OperatorStatus.Suspended, "", at=NOW, key=key(""))
    assert not (await desk.callers.who("hlo_anna", HERE)).barred
    desk.clock.at += KNOWN_FOR
    assert (await desk.callers.who("hlo_anna", HERE)).barred


async def test_a_token_that_is_known_gets_in_however_many_were_wrong(desk: Desk) -> None:
    await desk.callers.who("hlo_anna", HERE)
    for _ in range(FAILURES_AT_MOST):
        with pytest.raises(Unauthenticated):
            await desk.callers.who("hlo_bert", HERE)
    with pytest.raises(Limit):
        await desk.callers.who("hlo_bert", HERE)
    desk.clock.at += KNOWN_FOR
    await desk.callers.who("hlo_anna", HERE)
    with pytest.raises(Unauthenticated):
        await desk.callers.who("hlo_bert", "192.0.2.8")


def test_failures_are_counted_by_network_for_a_minute_and_for_so_many_addresses() -> None:
    clock = VirtualClock()
    attempts = Attempts(clock)
    for number in range(FAILURES_AT_MOST):
        assert attempts.allowed("2001:db8::1")
        attempts.failed(f"2001:db8::{number:x}")
    assert not attempts.allowed("2001:db8:0:0:ffff::1")
    assert attempts.allowed("2001:db8:0:1::1")
    clock.at += WINDOW
    assert attempts.allowed("2001:db8::1")
    for number in range(ADDRESSES_AT_MOST + 5):
        attempts.failed(f"unix-{number}")
    assert attempts.allowed("unix-0")


async def test_the_newest_hash_is_told_every_hour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await opened(tmp_path / "hookline.db")
    entry = await store.audit.append(audit_call())
    hours: list[int] = []

    class Hours(VirtualClock):
        async def sleep(self, milliseconds: int) -> None:
            hours.append(milliseconds)
            if len(hours) == 2:
                raise asyncio.CancelledError

    with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
        await AuditService(store.audit, Hours()).run()
    store.close()
    assert hours == [HOUR, HOUR]
    assert [record.getMessage() for record in caplog.records] == [f"audit head audit_no=1 hash={entry.hash.hex()}"] * 2
