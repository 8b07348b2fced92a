"""Each guard is missed when it is gone: some world breaks a promise without it."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import simulate

SEEDS = 600
"""Worlds that a mutant has to survive, to be a scandal."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_the_guard_is_missed_when_it_is_gone(mutant: Mutant) -> None:
    with mutant.swap():
        assert any(simulate(seed, mutant.mutation).broken for seed in range(SEEDS)), f"nobody misses it: {mutant.guard}"
