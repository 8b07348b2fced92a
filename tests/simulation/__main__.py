"""`python -m tests.simulation SEED` tells the story of a world."""

import sys

from tests.simulation.world import simulate


def main() -> int:
    """Print the story; the exit code says whether every promise was kept."""
    outcome = simulate(int(sys.argv[1]))
    broken = "".join(f"BROKEN {what}\n" for what in outcome.broken)
    sys.stdout.write(f"{outcome.told()}\n{broken}{outcome.seconds - 1000:.0f} s of virtual time; {outcome.counts}\n")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
