"""Hosts that download a bundle with the agent's own fetch code: it writes to a file, hashes, and comes back when it is asked to wait.

They stand for other machines, so they take only the time that nobody else wants.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from agent.bundle.archives.archive import Limits
from agent.bundle.requests import CoordinatorSource
from agent.bundle.sources.coordinator import fetch_from_coordinator
from agent.bundle.sources.incoming import FetchInterrupted, Incoming, SourceBusy
from agent.workspace import DeploymentDirectory
from scripts.benchmarks import child

NICENESS = 19
PAUSE = 0.25


class Fetchers:
    """So many hosts, each a thread and a connection of its own."""

    def __init__(self, *, source: CoordinatorSource, sha256: str, directory: Path) -> None:
        """Files of a host lie in `directory` until its bundle is whole and checked."""
        self._source = source
        self._sha256 = sha256
        self._directory = directory
        self._counting = threading.Lock()
        self.done = self.waits = self.interruptions = 0

    def start(self, first: int, count: int) -> None:
        """Have all hosts begin."""
        for number in range(first, first + count):
            threading.Thread(target=self._fetch, args=(self._directory / str(number),), daemon=True).start()

    def _fetch(self, path: Path) -> None:
        path.mkdir()
        directory = DeploymentDirectory(path=path)
        incoming = Incoming(directory, source="the coordinator", sha256=self._sha256, limits=Limits(), progress=lambda done, total: None)
        while not self._is_whole(incoming):
            time.sleep(PAUSE)
        incoming.finish()
        incoming.close()
        directory.bundle.unlink()
        with self._counting:
            self.done += 1

    def _is_whole(self, incoming: Incoming) -> bool:
        try:
            fetch_from_coordinator(self._source, self._sha256, incoming)
        except SourceBusy as busy:
            with self._counting:
                self.waits += 1
            time.sleep(busy.seconds - PAUSE)
        except FetchInterrupted:
            with self._counting:
                self.interruptions += 1
        return incoming.is_whole


async def main() -> None:
    """Start when told to, and say how far all have come."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    settings = parser.parse_args()
    os.nice(NICENESS)
    source = CoordinatorSource(address=settings.address, metadata=(("hookline-host-id", "0" * 32),))
    fetchers = Fetchers(source=source, sha256=settings.sha256, directory=settings.directory)

    async def answer(command: child.Line) -> child.Line:
        if command["do"] == "start":
            fetchers.start(settings.first, settings.count)
        return {"done": fetchers.done, "waits": fetchers.waits, "interruptions": fetchers.interruptions}

    await child.serve(answer)
    os._exit(0)  # Threads that wait for a turn are not waited for.


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
