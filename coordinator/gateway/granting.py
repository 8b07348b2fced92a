"""Who may fetch which bundle now: a host that may come in, for as long as an instruction of it needs that bundle.

The coordinator decides, and tells the process that serves bundles, in lines:

    +HOST_ID           it may come in from now on
    -HOST_ID           it may come in no more, and has nothing granted
    =HOST_ID SHA256    it was instructed to deploy this bundle
    .HOST_ID           nothing is outstanding for it any more
"""

import asyncio
import os
from typing import Final

from coordinator.core.errors import Denied
from coordinator.core.model import HostId
from coordinator.gateway.identity import Context, host_of

COMES_WITHIN: Final = 5.0
"""Seconds that the word of the coordinator may be behind the host's: they go different ways."""

YOUNG: Final = 120.0
"""Seconds after its start in which the serving process refuses nobody: before hosts are back, the coordinator has told it nothing."""


class Grants:
    """Who may come in, and for which bundles. Both sides have the same."""

    def __init__(self) -> None:
        """Nobody may, before the coordinator says so."""
        self.hosts: set[str] = set()
        self.bundles: dict[str, set[str]] = {}

    def hear(self, line: str) -> None:
        """Take in a line."""
        sign, (host_id, _, sha256) = line[:1], line[1:].partition(" ")
        match sign:
            case "+":
                self.hosts.add(host_id)
            case "-":
                self.hosts.discard(host_id)
                self.bundles.pop(host_id, None)
            case "=":
                self.bundles.setdefault(host_id, set()).add(sha256)
            case _:
                self.bundles.pop(host_id, None)

    def lines(self) -> str:
        """Everything, for a process that knows nothing yet."""
        granted = (f"={host_id} {sha256}\n" for host_id, bundles in self.bundles.items() for sha256 in bundles)
        return "".join((*(f"+{host_id}\n" for host_id in self.hosts), *granted))


class Serving(Grants):
    """The serving process's side: waits a little for what has not been said yet."""

    def __init__(self, *, young: float = YOUNG, patience: float = COMES_WITHIN) -> None:
        """It has just begun."""
        super().__init__()
        self._old_at = asyncio.get_running_loop().time() + young
        self._patience = patience
        self._news = asyncio.Event()

    def hear(self, line: str) -> None:
        """Take in a line."""
        super().hear(line)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def allows(self, host_id: HostId, sha256: str) -> bool | None:
        """Whether a host may fetch a bundle; None: nobody knows yet."""
        try:
            async with asyncio.timeout(self._patience):
                while sha256 not in self.bundles.get(host_id, ()):
                    await self._news.wait()
        except TimeoutError:
            return None if asyncio.get_running_loop().time() < self._old_at else False
        return True


class Admitted:
    """TLS: certificates say who calls, and the coordinator who may."""

    def __init__(self, cluster: str, grants: Grants) -> None:
        """`grants` know who may come in."""
        self._cluster = cluster
        self._grants = grants

    def host(self, context: Context) -> HostId:
        """See `Callers`."""
        host_id = host_of(context.auth_context(), self._cluster)
        if host_id not in self._grants.hosts:
            raise Denied("cannot serve bundles to this host: it may not come in any more")
        return host_id


class Pipe:
    """Lines to a process, without ever waiting for it."""

    def __init__(self, descriptor: int) -> None:
        """The end that is written; whoever opened it closes it, after `end`."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._left = bytearray()
        self._waits = False

    def say(self, lines: str) -> None:
        """Write them now or soon. A process that is ending hears nothing: the next one is told all."""
        self._left += lines.encode()
        if not self._waits:
            self._write()

    def end(self) -> None:
        """Say nothing more."""
        self._left.clear()
        self._write()

    def _write(self) -> None:
        try:
            while self._left:
                del self._left[: os.write(self._descriptor, self._left)]
        except BlockingIOError:
            if not self._waits:
                asyncio.get_running_loop().add_writer(self._descriptor, self._write)
            self._waits = True
            return
        except BrokenPipeError:
            self._left.clear()
        if self._waits:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            self._waits = False
