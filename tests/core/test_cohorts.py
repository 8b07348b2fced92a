"""Who is compared with whom while a deployment goes on."""

import random

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.evidence.cohorts import Cohort, Standing, cohorts
from coordinator.core.lifecycle import TargetStatus
from coordinator.core.model import DeploymentId, HostId

D1 = DeploymentId("d-1")

standings = st.lists(
    st.builds(
        Standing,
        host_id=st.integers(0, 60).map(lambda number: HostId(f"h{number}")),
        status=st.sampled_from([None, *TargetStatus]),
        tries=st.booleans(),
        has_old=st.booleans(),
    ),
    unique_by=lambda one: one.host_id,
    max_size=50,
)


def of(found: dict[HostId, Cohort], cohort: Cohort) -> set[HostId]:
    return {host_id for host_id, one in found.items() if one is cohort}


@given(standings)
def test_the_canary_has_the_new_revision_and_the_control_the_old(hosts: list[Standing]) -> None:
    found = cohorts(D1, hosts)
    known = {one.host_id: one for one in hosts}
    canary, control = of(found, Cohort.CANARY), of(found, Cohort.CONTROL)
    assert canary == {one.host_id for one in hosts if one.tries and one.status is TargetStatus.Succeeded}
    assert all(known[one].has_old and known[one].status in (None, TargetStatus.Pending) for one in control)
    untouched = [one for one in hosts if one.has_old and one.status in (None, TargetStatus.Pending)]
    assert len(control) == min(len(canary), len(untouched))
    assert canary | control == set(found)


@given(standings, st.randoms(use_true_random=False))
def test_cohorts_do_not_depend_on_the_order_in_which_hosts_are_told(hosts: list[Standing], chance: random.Random) -> None:
    before = cohorts(D1, hosts)
    chance.shuffle(hosts)
    assert cohorts(D1, hosts) == before


@given(standings, st.integers(0, 49))
def test_nobody_leaves_the_control_before_its_turn_while_the_canary_grows(hosts: list[Standing], which: int) -> None:
    before = of(cohorts(D1, hosts), Cohort.CONTROL)
    if not hosts:
        return
    moved = hosts[which % len(hosts)]
    grown = [one._replace(status=TargetStatus.Succeeded, tries=True) if one is moved else one for one in hosts]
    assert before - {moved.host_id} <= of(cohorts(D1, grown), Cohort.CONTROL)


def test_other_deployments_draw_other_lots() -> None:
    canary = Standing(HostId("c"), TargetStatus.Succeeded, True, False)
    others = [Standing(HostId(f"h{number}"), TargetStatus.Pending, False, True) for number in range(100)]
    drawn = {frozenset(of(cohorts(DeploymentId(f"d-{number}"), [canary, *others]), Cohort.CONTROL)) for number in range(20)}
    assert len(drawn) > 10
