"""Deals the seeds out to the processors, and says at the end how many worlds a second were seen."""

from collections.abc import Iterator

import pytest

from tests.simulation.census import WORLDS_WITH

CHUNK = 20
"""Seeds of one test: few enough that it ends in time on a busy machine, many enough that dealing them out costs nothing."""

ROLLOUTS = 10
"""Rollouts on the bare core for each world."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each chunk of the seeds that were asked for, and ten rollouts by chance for each of them."""
    for name, times in (("chunk", 1), ("handful", ROLLOUTS)):
        if name in metafunc.fixturenames:
            only = metafunc.config.getoption("--seed")
            seeds = range(metafunc.config.getoption("--seeds") * times) if only is None else range(only, only + 1)
            chunks = [seeds[first : first + CHUNK * times] for first in range(0, len(seeds), CHUNK * times)]
            metafunc.parametrize(name, chunks, ids=[f"seeds-{chunk[0]}-to-{chunk[-1]}" for chunk in chunks])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the worlds have seen."""
    totals: dict[str, float] = {}
    for name, value in _properties(terminalreporter):
        totals[name] = totals.get(name, 0.0) + value
    if "rollouts" in totals:
        terminalreporter.write_line(f"{totals.pop('rollouts'):.0f} rollouts by chance, {totals.pop('rollbacks', 0):.0f} rolled back")
    if totals.get("seconds"):
        rate = totals["worlds"] / totals["seconds"]
        with_it = {name: totals.pop(name) for name in sorted(totals) if name.startswith(WORLDS_WITH)}
        seen = ", ".join(f"{value:.0f} {name}" for name, value in totals.items() if name not in ("worlds", "seconds"))
        terminalreporter.write_line(f"{totals['worlds']:.0f} worlds, {rate:.1f} a second and processor: {seen}")
        there = ", ".join(f"{value:.0f} {name.removeprefix(WORLDS_WITH)}" for name, value in with_it.items())
        terminalreporter.write_line(f"of those worlds so many have: {there}")


def _properties(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, float]]:
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if isinstance(value, int | float):
                yield str(name), float(value)
