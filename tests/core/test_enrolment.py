"""Who may come back that was away for longer than a certificate lasts: by itself, after an operator's word, or never."""

from dataclasses import replace

import pytest

from coordinator.core.errors import Denied
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, Holder, readmitted
from coordinator.core.model import HostId

DAY = 86_400_000
ENDED = 100 * DAY
WITHIN = 7 * DAY
HOST = Enrolment(
    host_id=HostId("1" * 32),
    name="web-1",
    status=EnrolmentStatus.Approved,
    key="newest",
    generation=5,
    expires_at=ENDED,
    requested_at=0,
    address="10.0.0.1",
    token_id="jt-1",
    tags={},
    trust_tags=False,
)


def back(
    known: Enrolment, *, generation: int = 5, shown: str = "newest", key: str = "next", at: int = ENDED, ended: int = ENDED
) -> Enrolment:
    holder = Holder(host_id=known.host_id, key=shown, ended_at=ended)
    return readmitted(known, holder, generation=generation, key=key, expires_at=at + DAY, at=at, within=WITHIN)


@pytest.mark.parametrize("at", [ENDED - 1, ENDED, ENDED + WITHIN])
def test_a_host_that_is_back_in_time_is_renewed(at: int) -> None:
    assert back(HOST, at=at) == replace(HOST, generation=6, key="next", expires_at=at + DAY)


def test_a_host_that_is_back_too_late_waits_for_an_operator_and_comes_in_after_their_word() -> None:
    late = ENDED + WITHIN + 1
    away = back(HOST, at=late)
    assert away == replace(HOST, status=EnrolmentStatus.Away, expires_at=None)
    assert back(away, at=late + DAY) == away
    approved = replace(away, status=EnrolmentStatus.Approved)
    assert back(approved, at=late + 400 * DAY).generation == 6


def test_a_repeat_whose_answer_was_lost_gets_the_same_generation_again() -> None:
    once = back(HOST)
    again = back(once, at=ENDED + 1)
    assert again == replace(once, expires_at=ENDED + 1 + DAY)


@pytest.mark.parametrize(
    "generation, shown",
    [(4, "before"), (4, "newest"), (5, "another"), (6, "newest"), (0, "the first")],
)
def test_the_key_of_an_older_certificate_shows_that_there_are_two_of_a_host(generation: int, shown: str) -> None:
    assert back(HOST, generation=generation, shown=shown) == replace(HOST, status=EnrolmentStatus.Locked)
    away = replace(HOST, status=EnrolmentStatus.Away, expires_at=None)
    assert back(away, generation=generation, shown=shown).status is EnrolmentStatus.Locked


def test_an_old_disk_that_is_started_shuts_nobody_out() -> None:
    with pytest.raises(Denied, match="have it adopted"):
        back(HOST, generation=1, shown="of last year", ended=ENDED - 300 * DAY)


@pytest.mark.parametrize(
    "status, why",
    [(EnrolmentStatus.Revoked, "for ever"), (EnrolmentStatus.Locked, "two machines"), (EnrolmentStatus.Pending, "hosts approve")],
)
def test_who_may_not_come_in_may_not_come_back(status: EnrolmentStatus, why: str) -> None:
    with pytest.raises(Denied, match=why):
        back(replace(HOST, status=status))
