"""Which world misses each guard: tried first, so that nobody waits for worlds that do not.

A seed that is out of date costs time and nothing else; `PYTHONPATH=.:protos .venv/bin/python -m tests.simulation.mutants.seen` looks anew.
"""

import json
from pathlib import Path
from typing import Final

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import simulate

SEEDS: Final = 600
"""Worlds that a mutant has to survive, to be a scandal."""

PATH: Final = Path(__file__).with_name("seen.json")


def seen_by(mutant: Mutant, first: int = 0) -> int | None:
    """The seed of a world that misses the guard; `first` is tried before all others."""
    with mutant.swap():
        return next((seed for seed in (first, *range(SEEDS)) if simulate(seed, mutant.mutation).broken), None)


def known() -> dict[str, int]:
    """What was found when somebody looked last, by guard."""
    found: dict[str, int] = json.loads(PATH.read_text())
    return found


def main() -> None:
    """Look for each guard, and write down what is found."""
    found = {mutant.guard: seed for mutant in MUTANTS if (seed := seen_by(mutant)) is not None}
    PATH.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
