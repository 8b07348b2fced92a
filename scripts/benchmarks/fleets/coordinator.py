"""The coordinator as a benchmark's child: the real one, with a gateway that notes when an instruction leaves and its first report comes."""

import argparse
import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import grpc.aio
import uvloop

from coordinator.adapters.clock import SystemClock
from coordinator.app.coordinator import Coordinator
from coordinator.config.settings import Address, Settings, Tls
from coordinator.core.model import DeploymentId, HostId
from coordinator.core.orders import Instruction
from coordinator.gateway.streams import Stream, Streams
from coordinator.program import tune
from coordinator.store.sqlite import FILE_NAME, SqliteStore
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import catalog_pb2_grpc, deployments_pb2_grpc
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from scripts.benchmarks import child
from scripts.benchmarks.figures import cpu_seconds, resident_kib
from scripts.benchmarks.fleets import certificates

APPLICATION: Final = "bench"
GROUP: Final = "fleet"
PIECE: Final = 512 << 10
LOOK_EVERY: Final = 0.02
TAG: Final = resources.TagFilter(key="fleet", value="bench")


class NotedStreams(Streams):
    """The gateway's streams, with a stopwatch for each host."""

    sent: dict[str, float]
    first: dict[str, float]
    messages: int
    unacknowledged: dict[str, float]
    acknowledged: list[float]

    def watch(self) -> None:
        """Start anew."""
        self.sent, self.first, self.messages = {}, {}, 0
        self.unacknowledged, self.acknowledged = {}, []

    def instruct(self, instruction: Instruction) -> None:
        """Note when the instruction is put on its stream."""
        self.sent[instruction.host_id] = time.monotonic()
        super().instruct(instruction)

    def hear(self, stream: Stream, kind: str, size: int) -> None:
        """Note when a host's first report comes."""
        super().hear(stream, kind, size)
        if kind == "reports":
            self.messages += 1
            now = time.monotonic()
            self.first.setdefault(stream.host_id, now)
            self.unacknowledged.setdefault(stream.host_id, now)

    def acknowledge(self, host_id: HostId, acked_seq: int) -> None:
        """Note how long the oldest of a host's reports has waited for it."""
        super().acknowledge(host_id, acked_seq)
        heard = self.unacknowledged.pop(host_id, None)
        if heard is not None:
            self.acknowledged.append(time.monotonic() - heard)


def settings(directory: Path, *, secure: bool, port: int) -> Settings:
    """A coordinator on free ports, but for the agents'; 0: that too."""
    anywhere = Address("127.0.0.1", 0)
    socket = directory / "admin.sock"
    names, cluster = certificates.NAMES, certificates.CLUSTER
    tls = Tls(
        operator_listen=anywhere, certificate_listen=anywhere, enrol_listen=anywhere, admin_socket=socket, names=names, cluster=cluster
    )
    return Settings(
        data_dir=directory,
        listen=Address("127.0.0.1", port),
        http_listen=anywhere,
        bundle_listen=anywhere,
        tls=tls if secure else None,
        max_bundle_bytes=1 << 30,
        log_level="warning",
    )


class Bench:
    """An operator of the coordinator, in its own process."""

    def __init__(self, coordinator: Coordinator, channel: grpc.aio.Channel, known: int) -> None:
        """`channel` goes to the coordinator; `known`: KiB that it has for its hosts before they connect."""
        self.coordinator = coordinator
        self.streams = coordinator.streams
        self.catalog: catalog_pb2_grpc.CatalogServiceAsyncStub = catalog_pb2_grpc.CatalogServiceStub(channel)
        self.deployments: deployments_pb2_grpc.DeploymentServiceAsyncStub = deployments_pb2_grpc.DeploymentServiceStub(channel)
        self.revision = ""
        self.empty = resident_kib() - known

    async def prepare(self) -> None:
        """An application, a group of all hosts, and a revision."""
        await self.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name=APPLICATION))
        group = catalog.DeploymentGroup(
            application_name=APPLICATION,
            deployment_group_name=GROUP,
            tag_filters=[TAG],
            deployment_config_name="CodeDeployDefault.AllAtOnce",
        )
        await self.catalog.CreateDeploymentGroup(catalog.CreateDeploymentGroupRequest(deployment_group=group))
        location = resources.RevisionLocation(file=resources.FileLocation(path="/bundle"), bundle_type=resources.BUNDLE_TYPE_DIRECTORY)
        registered = await self.catalog.RegisterRevision(catalog.RegisterRevisionRequest(application_name=APPLICATION, location=location))
        self.revision = registered.revision.revision_id

    async def push(self, path: Path) -> child.Line:
        """Take a bundle in: it is what is deployed from now on."""
        with path.open("rb") as file:
            header = catalog.PushRevisionHeader(
                application_name=APPLICATION,
                sha256=hashlib.file_digest(file, "sha256").digest(),
                size=file.tell(),
                bundle_type={".tgz": resources.BUNDLE_TYPE_TGZ, ".tar": resources.BUNDLE_TYPE_TAR}[path.suffix],
            )
            file.seek(0)

            async def pieces() -> AsyncIterator[catalog.PushRevisionRequest]:
                yield catalog.PushRevisionRequest(header=header)
                while chunk := file.read(PIECE):
                    yield catalog.PushRevisionRequest(chunk=chunk)

            self.revision = (await self.catalog.PushRevision(pieces())).revision.revision_id
        return {"revision": self.revision}

    async def deploy(self) -> child.Line:
        """Deploy to everybody, and measure until the last report is committed and the deployment has ended."""
        assert isinstance(self.streams, NotedStreams)
        self.streams.watch()
        began, cpu = time.monotonic(), cpu_seconds()
        request = deployments.CreateDeploymentRequest(application_name=APPLICATION, deployment_group_name=GROUP, revision_id=self.revision)
        deployment = (await self.deployments.CreateDeployment(request)).deployment
        while self.coordinator.engine.live(DeploymentId(deployment.deployment_id)):
            await self.coordinator.engine.beyond(self.coordinator.engine.committed)
        ended = time.monotonic()
        measured: child.Line = {
            "sent": min(self.streams.sent.values()),
            "ended": ended,
            "wall": ended - began,
            "cpu": cpu_seconds() - cpu,
            "messages": self.streams.messages,
            "first": [self.streams.first[host] - sent for host, sent in self.streams.sent.items()],
            "acknowledged": self.streams.acknowledged,
            "memory": resident_kib(peak=True) - self.empty,
        }
        request_again = deployments.GetDeploymentRequest(deployment_id=deployment.deployment_id)
        deployment = (await self.deployments.GetDeployment(request_again)).deployment
        if deployment.deployment_overview.succeeded != len(self.streams.sent) or not self.streams.sent:
            raise RuntimeError(f"cannot measure: not every host succeeded: {deployment}")
        return measured


def arguments() -> argparse.Namespace:
    """What the benchmark asks for; the directory is new, but for one that is started again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--secure", type=int, default=0, metavar="HOSTS", help="with TLS, for so many hosts")
    parser.add_argument("--again", type=int, default=0, metavar="PORT", help="after one that was killed, where its agents look for it")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=bool(given.again))
    return given


async def late(lags: list[float]) -> None:
    """Look 50 times a second by how much the event loop is late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_EVERY
        await asyncio.sleep(LOOK_EVERY)
        lags.append(loop.time() - due)


async def main() -> None:
    """Answer the benchmark's commands."""
    given = arguments()
    directory: Path = given.directory
    store = await SqliteStore.open(directory / FILE_NAME, SystemClock())
    known = await certificates.admit(store, given.secure) if given.secure and not given.again else 0
    chosen = settings(directory, secure=bool(given.secure), port=given.again)
    lags: list[float] = []
    coordinator = Coordinator(chosen, store, gateway=NotedStreams)
    assert isinstance(coordinator.streams, NotedStreams)
    coordinator.streams.watch()
    tune()
    async with asyncio.TaskGroup() as parts:
        parts.create_task(coordinator.run())
        await coordinator.ready.wait()
        operators = str(coordinator.listeners.agents) if chosen.tls is None else f"unix:{chosen.tls.admin_socket}"
        async with grpc.aio.insecure_channel(operators) as channel:
            bench = Bench(coordinator, channel, known)
            if not given.again:
                await bench.prepare()
            looking = parts.create_task(late(lags))

            async def answer(command: child.Line) -> child.Line:
                match command["do"]:
                    case "address":
                        return {"address": str(coordinator.listeners.agents)}
                    case "connected":
                        return {"hosts": len(coordinator.streams)}
                    case "lags":
                        return {"lags": lags, "lost": sum(coordinator.engine.lost(HostId(host)) for host in command["hosts"])}
                    case "bundles":
                        serving = coordinator.bundle_process
                        return {"address": str(serving.address), "directory": str(directory / "bundles"), "pid": serving.pid}
                    case "push":
                        return await bench.push(Path(command["path"]))
                    case _:
                        return await bench.deploy()

            await child.serve(answer)
            looking.cancel()
        coordinator.stop()
    store.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
