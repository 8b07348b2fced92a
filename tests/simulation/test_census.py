"""Everything that rollouts can be asked for occurs in the worlds that are looked at."""

from collections.abc import Iterator

import pytest

from tests.simulation.census import FEATURES
from tests.simulation.world import simulate

SEEDS = 1_000
"""As many worlds as `scripts/test` looks at."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_feature_occurs_in_some_world() -> None:
    missing = set(FEATURES)
    for found in _occurring():
        missing -= found
        if not missing:
            return
    assert not missing, f"no world of {SEEDS} has {', '.join(sorted(missing))}"


def _occurring() -> Iterator[frozenset[str]]:
    for seed in range(SEEDS):
        yield simulate(seed).occurred
