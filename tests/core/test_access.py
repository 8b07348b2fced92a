"""Grants: what each role allows, where, and what is left of it with a token."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.errors import Conflict, Invalid
from coordinator.core.identity.access import (
    PERMISSIONS,
    Grant,
    Kind,
    Leaf,
    Operator,
    OperatorCertificate,
    OperatorStatus,
    OperatorToken,
    Permission,
    Principal,
    Role,
    narrowed,
    permits,
    principal,
    renewed,
)

PLACES = [("", ""), ("shop", ""), ("shop", "web"), ("shop", "db"), ("blog", ""), ("blog", "web")]
GRANTS = st.builds(lambda role, place: Grant(role, *place), st.sampled_from(Role), st.sampled_from(PLACES))
ANNA = Operator(name="anna", status=OperatorStatus.Active, grants=(Grant(Role.Deployer, "shop"),), created_at=0, created_by="local")
TOKEN = OperatorToken(token_id="ot-1", operator="anna", expires_at=10, grants=(), description="", created_at=0, created_by="local")

CERTIFICATE = OperatorCertificate(
    certificate_id="oc-1",
    operator="anna",
    newest=Leaf(b"1", 10),
    previous=None,
    key="a",
    lifetime=10,
    grants=(),
    description="",
    created_at=0,
    created_by="local",
)


def test_each_role_may_do_what_those_before_it_may() -> None:
    for before, after in itertools.pairwise(Role):
        assert PERMISSIONS[before] < PERMISSIONS[after]
    assert PERMISSIONS[Role.Admin] == set(Permission)


@pytest.mark.parametrize(
    "grant, application, group, allowed",
    [
        (Grant(Role.Viewer), "shop", "web", True),
        (Grant(Role.Viewer), "", "", True),
        (Grant(Role.Viewer, "shop"), "shop", "web", True),
        (Grant(Role.Viewer, "shop"), "shop", "", True),
        (Grant(Role.Viewer, "shop"), "blog", "", False),
        (Grant(Role.Viewer, "shop"), "", "", False),
        (Grant(Role.Viewer, "shop"), None, None, True),
        (Grant(Role.Viewer, "shop", "web"), "shop", "web", True),
        (Grant(Role.Viewer, "shop", "web"), "shop", "db", False),
        (Grant(Role.Viewer, "shop", "web"), "shop", "", False),
        (Grant(Role.Viewer, "shop", "web"), "shop", None, True),
        (Grant(Role.Viewer, "shop", "web"), "blog", None, False),
        (Grant(Role.Viewer, "shop", "web"), "blog", "web", False),
    ],
)
def test_a_grant_covers_its_part_and_what_its_parts_share(grant: Grant, application: str | None, group: str | None, allowed: bool) -> None:
    assert permits([grant], Permission.View, application, group) is allowed
    assert not permits([grant], Permission.Deploy, application, group)


@given(st.lists(GRANTS, max_size=3), st.lists(GRANTS, min_size=1, max_size=3), st.sampled_from(Permission), st.sampled_from(PLACES))
def test_a_token_allows_what_both_it_and_its_operator_may(
    operators: list[Grant], tokens: list[Grant], permission: Permission, place: tuple[str, str]
) -> None:
    both = permits(operators, permission, *place) and permits(tokens, permission, *place)
    assert permits(narrowed(tuple(operators), tuple(tokens)), permission, *place) is both


def shown(what: OperatorToken | OperatorCertificate, operator: Operator = ANNA, *, at: int = 0) -> Principal:
    return principal(what, operator, expires_at=what.expires_at, at=at, address="192.0.2.7")


def test_a_token_without_grants_allows_what_its_operator_may() -> None:
    assert shown(TOKEN, at=9).grants == ANNA.grants
    assert shown(CERTIFICATE, at=9).grants == ANNA.grants


@pytest.mark.parametrize("what", [TOKEN, CERTIFICATE])
def test_a_token_or_a_certificate_that_is_no_good_lets_nobody_in(what: OperatorToken | OperatorCertificate) -> None:
    for barred, why in (
        (shown(what, at=10), f"the {what.named} has ended"),
        (shown(replace(what, revoked=True)), f"the {what.named} was revoked"),
        (shown(what, replace(ANNA, status=OperatorStatus.Suspended)), "suspended"),
    ):
        assert (str(barred), barred.grants, why in barred.barred) == ("operator:anna", (), True)


def test_a_token_for_a_certificate_lets_nobody_do_anything_else() -> None:
    invited = shown(replace(TOKEN, certificate_lifetime=5))
    assert (invited.kind, invited.grants, invited.shown) == (Kind.Invited, (), "ot-1")


def test_a_renewal_goes_one_step_and_the_certificate_before_stays_good() -> None:
    once = renewed(CERTIFICATE, shown=b"1", new=Leaf(b"2", 20), key="b", at=5)
    assert (once.newest, once.previous, once.key, once.renewed_at) == (Leaf(b"2", 20), Leaf(b"1", 10), "b", 5)
    assert [once.leaf(digest) for digest in (b"1", b"2", b"3")] == [Leaf(b"1", 10), Leaf(b"2", 20), None]
    with pytest.raises(Conflict, match="again yet"):
        renewed(once, shown=b"2", new=Leaf(b"3", 30), key="c", at=9)
    twice = renewed(once, shown=b"2", new=Leaf(b"3", 30), key="c", at=10)
    assert [twice.leaf(digest) for digest in (b"1", b"2", b"3")] == [None, Leaf(b"2", 20), Leaf(b"3", 30)]
    with pytest.raises(Invalid, match="make a new one"):
        renewed(once, shown=b"2", new=Leaf(b"3", 30), key="b", at=6)


def test_a_renewal_whose_answer_was_lost_is_answered_again() -> None:
    once = renewed(CERTIFICATE, shown=b"1", new=Leaf(b"2", 20), key="b", at=5)
    again = renewed(once, shown=b"1", new=Leaf(b"3", 21), key="b", at=6)
    assert (again.newest, again.previous, again.revoked) == (Leaf(b"3", 21), Leaf(b"1", 10), False)


def test_two_who_renew_one_certificate_both_lose_it() -> None:
    once = renewed(CERTIFICATE, shown=b"1", new=Leaf(b"2", 20), key="b", at=5)
    assert renewed(once, shown=b"1", new=Leaf(b"3", 21), key="c", at=6).revoked


def test_the_history_gets_kind_and_name() -> None:
    assert [str(Principal(Kind.Local)), str(Principal(Kind.Operator, "anna", address="192.0.2.7"))] == ["local", "operator:anna"]
