"""Grants: what each role allows, where, and what is left of it with a token."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.access import (
    PERMISSIONS,
    Grant,
    Kind,
    Operator,
    OperatorStatus,
    OperatorToken,
    Permission,
    Principal,
    Role,
    narrowed,
    permits,
    principal,
)

PLACES = [("", ""), ("shop", ""), ("shop", "web"), ("shop", "db"), ("blog", ""), ("blog", "web")]
GRANTS = st.builds(lambda role, place: Grant(role, *place), st.sampled_from(Role), st.sampled_from(PLACES))
ANNA = Operator(name="anna", status=OperatorStatus.Active, grants=(Grant(Role.Deployer, "shop"),), created_at=0, created_by="local")
TOKEN = OperatorToken(token_id="ot-1", operator="anna", expires_at=10, grants=(), description="", created_at=0, created_by="local")


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


def test_a_token_without_grants_allows_what_its_operator_may() -> None:
    assert principal(TOKEN, ANNA, at=9, address="192.0.2.7").grants == ANNA.grants


def test_a_token_that_is_no_good_lets_nobody_in() -> None:
    for barred, why in (
        (principal(TOKEN, ANNA, at=10, address=""), "has ended"),
        (principal(replace(TOKEN, revoked=True), ANNA, at=0, address=""), "was revoked"),
        (principal(TOKEN, replace(ANNA, status=OperatorStatus.Suspended), at=0, address=""), "suspended"),
    ):
        assert (str(barred), barred.grants, why in barred.barred) == ("operator:anna", (), True)


def test_the_history_gets_kind_and_name() -> None:
    assert [str(Principal(Kind.Local)), str(Principal(Kind.Operator, "anna", address="192.0.2.7"))] == ["local", "operator:anna"]
