"""Ten thousand rollouts by chance: the floor is never broken, and every deployment ends."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.rollouts import play


@pytest.mark.timeout(300)  # a few seconds on a machine that has nothing else to do
def test_the_floor_is_never_broken_and_every_deployment_ends(handful: range, record_property: Callable[[str, object], None]) -> None:
    seen: Counter[str] = Counter()
    for seed in handful:
        try:
            seen.update(play(seed))
        except AssertionError as broken:
            again = f".venv/bin/pytest tests/simulation/test_rollouts.py --seed {seed} -n 0"
            pytest.fail(f"seed {seed}: {broken}\nthe same again: {again}", pytrace=True)
    for name, count in seen.items():
        record_property(name, count)
