"""Each guard is missed when it is gone: some world breaks a promise without it."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.mutants.seen import known, seen_by

KNOWN = known()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_the_guard_is_missed_when_it_is_gone(mutant: Mutant) -> None:
    assert seen_by(mutant, KNOWN.get(mutant.guard, 0)) is not None, f"nobody misses it: {mutant.guard}"
