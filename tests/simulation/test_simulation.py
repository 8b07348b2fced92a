"""Every promise is kept in every world. A failure names its seed and tells the end of its story."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.census import WORLDS_WITH
from tests.simulation.world import Outcome, simulate

TOLD = 60
"""Lines of the story that a failure prints before the first promise was broken."""


def failure(outcome: Outcome) -> str:
    """What was broken, what happened before it, and how to see it again."""
    first = next((number for number, (_, who, _what) in enumerate(outcome.story) if who == "BROKEN"), len(outcome.story))
    return "\n".join(
        (
            f"seed {outcome.seed}:",
            *outcome.broken,
            "",
            Outcome.told(Outcome(outcome.seed, [], outcome.story[: first + 1], {}, 0.0), TOLD),
            "",
            f"the same again: .venv/bin/pytest tests/simulation --seed {outcome.seed} -n 0",
            f"the whole story: PYTHONPATH=.:protos .venv/bin/python -m tests.simulation {outcome.seed}",
        )
    )


@pytest.mark.timeout(300)  # three seconds on a machine that has nothing else to do
def test_every_promise_is_kept(chunk: range, record_property: Callable[[str, object], None]) -> None:
    began = time.process_time()
    seen: Counter[str] = Counter()
    for seed in chunk:
        outcome = simulate(seed)
        seen.update(outcome.counts)
        seen.update(f"{WORLDS_WITH}{name}" for name in outcome.occurred)
        if outcome.broken:
            pytest.fail(failure(outcome), pytrace=False)
    record_property("worlds", len(chunk))
    record_property("seconds", time.process_time() - began)
    for name, count in seen.items():
        record_property(name, count)


@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_a_seed_is_one_history(seed: int) -> None:
    stories = [hashlib.sha256(simulate(seed).told().encode()).hexdigest() for _ in range(2)]
    assert stories[0] == stories[1], "chance comes in from somewhere else than the seed"
