"""`scripts/bench NAME [--json]`."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from scripts.benchmarks import alarms, bundles, deciding, files, growth, host, metrics
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.fleets import rollout, storm, tls

NAMES = (
    "fleet: a rollout to simulated hosts, against a bare hub; tls: what mTLS costs, against plaintext; "
    "storm: a fleet comes back to a coordinator that was killed; host: one real host, against bare spawns and fsyncs; "
    "agent: the same, and its memory over many deployments, and Install of many files, against cp; "
    "alarms: from an alert to the stop and the rollback, and what looking costs; "
    "metrics: how long a scrape takes; "
    "bundles: a rollout while other hosts download, against one without; "
    "deciding: what the core needs to decide about a fact, among few targets and among very many"
)


def benchmark(settings: argparse.Namespace, directory: Path) -> AsyncIterator[Figure]:
    """The figures of the benchmark that was asked for."""
    match settings.name:
        case "fleet":
            return rollout.measure(settings.hosts or [100, 1_000, 10_000], directory, secure=not settings.plaintext)
        case "tls":
            return tls.measure(settings.hosts or [1_000], settings.pairs, directory)
        case "storm":
            return storm.measure(settings.hosts or [5_000], directory)
        case "host":
            return host.measure(settings.rounds, directory)
        case "agent":
            return agent(settings.rounds, directory)
        case "alarms":
            return alarms.measure(settings.rounds, directory)
        case "metrics":
            return metrics.measure(settings.rounds)
        case "bundles":
            return bundles.measure(settings.fetchers, settings.bundle_mb, directory)
        case "deciding":
            return deciding.measure(settings.hosts or [100, 1_000, 10_000, 100_000], settings.rounds)
        case name:
            raise SystemExit(f"cannot measure {name}: there is no such benchmark")


async def agent(rounds: int, directory: Path) -> AsyncIterator[Figure]:
    """All that is measured of an agent."""
    for part in ("host", "growth"):
        (directory / part).mkdir()
    async for figure in host.measure(rounds, directory / "host"):
        yield figure
    async for figure in growth.measure(directory / "growth"):
        yield figure
    async for figure in files.measure(directory):
        yield figure


async def report(settings: argparse.Namespace) -> bool:
    """Print figures as they become known; whether every promise was kept."""
    kept = True
    with tempfile.TemporaryDirectory(prefix="hookline-bench-", dir=settings.directory) as directory:
        async for figure in benchmark(settings, Path(directory)):
            sys.stdout.write((figure.as_json() if settings.json else figure.as_text()) + "\n")
            sys.stdout.flush()
            kept = kept and figure.kept is not False
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every promise was kept, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Hookline against floors taken in the same run.")
    parser.add_argument("name", choices=["agent", "alarms", "bundles", "deciding", "fleet", "host", "metrics", "storm", "tls"], help=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object a line: name, value, unit, floor, ratio")
    parser.add_argument(
        "--hosts",
        type=int,
        nargs="+",
        help="sizes; fleet: 100 1000 10000, tls: 1000, storm: 5000, deciding: 100 1000 10000 100000 unless said otherwise",
    )
    parser.add_argument("--plaintext", action="store_true", help="fleet: without TLS, on both sides")
    parser.add_argument("--pairs", type=int, default=15, help="tls: rollouts of each kind, in turns")
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        help="agent, alarms, host: deployments that are measured; deciding: runs of each size, in turns; metrics: scrapes",
    )
    parser.add_argument("--fetchers", type=int, default=100, help="bundles: hosts that download")
    parser.add_argument("--bundle-mb", type=int, default=100, help="bundles: megabytes that each downloads")
    parser.add_argument("--directory", help="where databases and bundles are written (default: the system's temporary directory)")
    return 0 if asyncio.run(report(parser.parse_args(arguments))) else 1


if __name__ == "__main__":
    sys.exit(main())
