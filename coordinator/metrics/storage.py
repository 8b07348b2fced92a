"""What the coordinator keeps, and how long keeping it takes."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
OPERATIONS: Final = ("commit", "write", "read")


class Sizes(NamedTuple):
    """How large the database is."""

    database: int
    wal: int
    free: int
    """Bytes that are free on its disk."""
    backed_up_at: float | None
    """When a backup was made last, in UTC seconds; None when nobody knows of any."""


class Store(Protocol):
    """What keeps everything."""

    def sizes(self) -> Sizes:
        """How large it is."""
        ...

    def time(self, told: Callable[[str, float], None]) -> None:
        """Tell how long every transaction takes, and of which of OPERATIONS it was one."""
        ...


class Storage:
    """Commits and transactions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """All zero."""
        self._registry = registry
        self._commit_seconds = Histogram(
            "hookline_commit_duration_seconds", "How long the engine waited for a commit.", buckets=SECONDS, registry=registry
        )
        self._commit_rows = Histogram("hookline_commit_rows", "How many rows a commit had.", buckets=ROWS, registry=registry)
        transactions = Histogram(
            "hookline_db_transaction_duration_seconds",
            "How long transactions took, the wait for their turn included: the engine's commits, other changes, and reads.",
            ("op",),
            buckets=SECONDS,
            registry=registry,
        )
        self._transactions = {op: transactions.labels(op) for op in OPERATIONS}

    def committed(self, seconds: float, rows: int) -> None:
        """A commit was made."""
        self._commit_seconds.observe(seconds)
        self._commit_rows.observe(rows)

    def transacted(self, op: str, seconds: float) -> None:
        """A transaction has ended; `op` is one of OPERATIONS."""
        self._transactions[op].observe(seconds)

    def watch(self, store: Store, bundles: Callable[[], tuple[int, int]]) -> None:
        """Time its transactions; ask for its sizes, and for bundles and their bytes, whenever somebody looks."""
        store.time(self.transacted)
        self._registry.register(_Kept(store.sizes, bundles))


class _Kept(Collector):
    """Looks at the disk when somebody asks."""

    def __init__(self, sizes: Callable[[], Sizes], bundles: Callable[[], tuple[int, int]]) -> None:
        self._sizes = sizes
        self._bundles = bundles

    def collect(self) -> Iterator[Metric]:
        """As it is now."""
        sizes, (bundles, octets) = self._sizes(), self._bundles()
        yield GaugeMetricFamily("hookline_db_size_bytes", "Bytes of the database, without its write-ahead log.", sizes.database)
        yield GaugeMetricFamily("hookline_db_wal_bytes", "Bytes of the database's write-ahead log.", sizes.wal)
        yield GaugeMetricFamily("hookline_db_free_bytes", "Bytes that are free on the disk that holds the database.", sizes.free)
        backup = GaugeMetricFamily("hookline_last_backup_timestamp_seconds", "When a backup was made last, once there was one.")
        if sizes.backed_up_at is not None:
            backup.add_metric((), sizes.backed_up_at)
        yield backup
        yield GaugeMetricFamily("hookline_bundles", "Bundles that the coordinator keeps.", bundles)
        yield GaugeMetricFamily("hookline_bundle_bytes", "Bytes of the bundles that the coordinator keeps.", octets)
