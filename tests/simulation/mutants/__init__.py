"""Worlds with one guard removed. Each of them must be caught: else nobody would notice if the guard were lost."""

from collections.abc import Sequence

from tests.simulation.mutants import engine, evidence, hosts, queue, rollouts
from tests.simulation.mutants.mutant import Mutant

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: Sequence[Mutant] = (*hosts.MUTANTS, *engine.MUTANTS, *rollouts.MUTANTS, *queue.MUTANTS, *evidence.MUTANTS)
