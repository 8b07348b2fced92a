"""Read-only connections, a few threads of them: readers never wait for the writer, and never checkpoint."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from coordinator.store.connections.writer import Told, passing, storage_error, told_nobody

T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]

READERS: Final = 3


class Reader:
    """Answers questions, each from one consistent moment."""

    def __init__(self, path: Path) -> None:
        """Connections are opened when they are first needed."""
        self._path = path
        self._threads = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="store-reader")
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self.told: Told = told_nobody

    async def run(self, query: Query[T]) -> T:
        """Ask in one read transaction. Raises StorageFailed when that passes; what SQLite says of a bug is raised as it is."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await loop.run_in_executor(self._threads, self._ask, query)
        self.told("read", loop.time() - began)
        return answer

    def close(self) -> None:
        """Wait for running questions and close the connections."""
        self._threads.shutdown()
        for db in self._opened:
            db.close()
        self._opened.clear()

    def _ask(self, query: Query[T]) -> T:
        try:
            db = self._connection()
            db.execute("BEGIN")
            try:
                return query(db)
            finally:
                db.execute("ROLLBACK")
        except sqlite3.Error as error:
            if passing(error):
                raise storage_error(error, self._path) from error
            raise

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            db = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=5
            )
            db.row_factory = sqlite3.Row
            self._own.db = db
            self._opened.append(db)
        return db
