"""Serves the coordinator's bundles to agents, as a process of its own, so that a fleet that downloads never slows the control path.

`python -m coordinator.gateway.bundles --directory DIR --listen HOST:PORT [--pki DIR --cluster NAME]` serves until its standard input ends;
the lines that come there say who may fetch what (`granting`). The coordinator's side is `BundleProcess`, which starts it, and again when it
dies.
"""

import argparse
import asyncio
import errno
import functools
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from coordinator.config.settings import Address
from coordinator.core.errors import Denied, Unauthenticated
from coordinator.core.model import HostId
from coordinator.engine.ports import Clock
from coordinator.gateway.granting import Admitted, Grants, Pipe, Serving
from coordinator.gateway.identity import Believed, Callers
from coordinator.gateway.listeners.server import make_server
from coordinator.gateway.listeners.tls import PairFile, certificate_credentials
from hookline.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Hosts that read at the same time (architecture 3.11)."""

EACH: Final = 2
"""Calls of one host among them: it may have lost one and not know it."""

RETRY_AFTER: Final = 1_000
"""Milliseconds after which a host that found no turn asks again."""

CHUNK: Final = 256 << 10

NICENESS: Final = 10
"""Downloads yield to the control path."""

RESTART_AFTER: Final = 1_000
"""Milliseconds before a serving process that died is started again."""

PREDECESSOR_LEAVES_WITHIN: Final = 3_000
PREDECESSOR_LOOKED_FOR_EVERY: Final = 50
"""Milliseconds that an address may still be taken when a coordinator starts, and between looks at it."""


class BundleServicer:
    """FetchBundle, and nothing else of AgentService."""

    def __init__(self, directory: Path, callers: Callers, grants: Serving) -> None:
        """`directory` holds files named by their SHA-256; `grants` know who may fetch which."""
        self._directory = directory
        self._callers = callers
        self._grants = grants
        self._reading: Counter[HostId] = Counter()

    def register(self, server: grpc.aio.Server) -> None:
        """Serve FetchBundle on `server`."""
        fetch: grpc.RpcMethodHandler[pb.FetchBundleRequest, bytes] = grpc.unary_stream_rpc_method_handler(
            self.fetch_bundle, request_deserializer=pb.FetchBundleRequest.FromString
        )
        server.add_registered_method_handlers("hookline.v1.AgentService", {"FetchBundle": fetch})

    async def fetch_bundle(
        self,
        request: pb.FetchBundleRequest,
        context: grpc.aio.ServicerContext[pb.FetchBundleRequest, bytes],
    ) -> AsyncIterator[bytes]:
        """Send a bundle from an offset, or ask the host to wait for its turn. What is sent is serialised here."""
        try:
            host_id = self._callers.host(context)
        except Unauthenticated as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)
        except Denied as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
        if len(request.sha256) != 32:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "cannot fetch the bundle: sha256 has to be 32 bytes")
        allowed = await self._grants.allows(host_id, request.sha256.hex())
        if allowed is False:
            why = "no deployment that goes on there needs it, or its instance profile allows other sources only"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"cannot serve this bundle to this host: {why}")
        if allowed is None or self._reading.total() >= AT_ONCE or self._reading[host_id] >= EACH:
            response = pb.FetchBundleResponse()
            response.retry_after.FromMilliseconds(RETRY_AFTER)
            yield response.SerializeToString()
            return
        self._reading[host_id] += 1
        try:
            async for message in self._read(request, context):
                yield message
        finally:
            self._reading[host_id] -= 1
            self._reading += Counter()  # forgets who reads nothing

    async def _read(
        self, request: pb.FetchBundleRequest, context: grpc.aio.ServicerContext[pb.FetchBundleRequest, bytes]
    ) -> AsyncIterator[bytes]:
        name = request.sha256.hex()
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY)
        except FileNotFoundError:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"cannot find bundle {name}: the coordinator does not keep it")
        try:
            size = os.fstat(descriptor).st_size
            if request.offset > size:
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, f"cannot read from {request.offset}: bundle {name} has {size} bytes")
            yield pb.FetchBundleResponse(size=size).SerializeToString()
            offset = request.offset
            buffer = memoryview(bytearray(min(CHUNK, size - offset)))
            while offset < size:
                count = _read_at_once(descriptor, buffer, offset)
                if count is None:
                    count = await asyncio.to_thread(os.preadv, descriptor, (buffer,), offset)
                if not count:
                    await context.abort(grpc.StatusCode.DATA_LOSS, f"cannot read bundle {name} past {offset} bytes")
                yield b"".join((_before_chunk(count), buffer[:count]))
                offset += count
        finally:
            os.close(descriptor)


def _read_at_once(descriptor: int, buffer: memoryview, offset: int) -> int | None:
    """The number of bytes read, None when they are not in memory: passing a thread by costs more than reading what is there."""
    try:
        return os.preadv(descriptor, (buffer,), offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            return None
        raise


@functools.lru_cache(maxsize=64)
def _before_chunk(count: int) -> bytes:
    """What comes before so many bytes in a serialised response; a message object for each chunk would copy its bytes twice more."""
    return pb.FetchBundleResponse(chunk=bytes(count)).SerializeToString()[:-count]


class BundleProcess:
    """The coordinator's side: keeps the serving process alive on one address."""

    def __init__(self, *, directory: Path, listen: Address, clock: Clock, tls: tuple[Path, str] | None = None) -> None:
        """Port 0 lets the system choose one, once. `tls`: the authority's directory and the cluster's name."""
        self._tls = tls
        self._grants = Grants()
        self._pipe: Pipe | None = None
        self._clock = clock
        self._directory = directory
        self._listen = listen
        self.pid: int | None = None

    @property
    def address(self) -> Address:
        """Where it serves; right once `run` has said that it does."""
        return self._listen

    async def run(self, started: asyncio.Event) -> None:
        """Keep it alive until cancelled; `started` is set when it serves for the first time. Raises OSError when it cannot begin to.

        Started by the standard library, not by the event loop: uvloop forks, and a fork of a process that serves gRPC is not safe.
        """
        await self._wait_for_predecessor()
        while True:
            process = await asyncio.to_thread(self._start)
            self.pid = process.pid
            assert process.stdin is not None
            self._pipe = Pipe(process.stdin.fileno())
            self._pipe.say(self._grants.lines())
            try:
                said = await asyncio.to_thread(_said, process)
                if said:
                    self._listen = Address(self._listen.host, int(said))
                    started.set()
                await _ended(process)
            finally:
                self._pipe.end()
                self._pipe = None
                _end(process)
            log.error("bundle process ended, starting it again code=%s", process.returncode)
            await self._clock.sleep(RESTART_AFTER)

    def let_in(self, host_id: HostId) -> None:
        """The host may come in from now on."""
        if host_id not in self._grants.hosts:
            self._tell(f"+{host_id}")

    def shut_out(self, host_id: HostId) -> None:
        """The host may come in no more."""
        if host_id in self._grants.hosts:
            self._tell(f"-{host_id}")

    def grant(self, host_id: HostId, sha256: bytes) -> None:
        """See `lending.Shelves`."""
        if sha256.hex() not in self._grants.bundles.get(host_id, ()):
            self._tell(f"={host_id} {sha256.hex()}")

    def withdraw(self, host_id: HostId) -> None:
        """See `lending.Shelves`."""
        if host_id in self._grants.bundles:
            self._tell(f".{host_id}")

    def _tell(self, line: str) -> None:
        self._grants.hear(line)
        if self._pipe is not None:
            self._pipe.say(f"{line}\n")

    async def _wait_for_predecessor(self) -> None:
        """The process of a coordinator that was killed holds the address until it has noticed."""
        give_up_at = self._clock.elapsed() + PREDECESSOR_LEAVES_WITHIN
        while True:
            try:
                return self._listen.check_free()
            except OSError:
                if self._clock.elapsed() >= give_up_at:
                    raise
            await self._clock.sleep(PREDECESSOR_LOOKED_FOR_EVERY)

    def _start(self) -> subprocess.Popen[bytes]:
        tls = () if self._tls is None else ("--pki", str(self._tls[0]), "--cluster", self._tls[1])
        return subprocess.Popen(
            (sys.executable, "-m", __name__, "--directory", str(self._directory), "--listen", str(self._listen), *tls),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )


def _said(process: subprocess.Popen[bytes]) -> str:
    """The port that the process says it serves at; empty when it ended instead."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The end of its standard input is its sign to stop; it holds nothing that a kill could harm."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _environment() -> Mapping[str, str]:
    """Ours, with this program's own packages in reach of the child."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


async def serve(directory: Path, listen: str, pki: Path | None, cluster: str) -> None:
    """Serve until standard input ends."""
    server = make_server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 10)))
    grants = Serving()
    BundleServicer(directory, Believed() if pki is None else Admitted(cluster, grants), grants).register(server)
    try:
        port = server.add_insecure_port(listen) if pki is None else server.add_secure_port(listen, certificate_credentials(PairFile(pki)))
    except RuntimeError:
        sys.exit(f"cannot serve bundles on {listen}: nobody can listen there just now")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        grants.hear(line.decode().strip())
    await server.stop(1)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--pki", type=Path)
    parser.add_argument("--cluster", default="")
    settings = parser.parse_args()
    os.nice(NICENESS)
    asyncio.run(serve(settings.directory, settings.listen, settings.pki, settings.cluster))


if __name__ == "__main__":
    main()
