"""The floor: a bare grpc.aio server that pushes one instruction to every host and counts the reports that come back.

It speaks as much of AgentService as the simulated hosts need, stores nothing, acknowledges nothing, decides nothing.
"""

import argparse
import asyncio
import gc
import hashlib
import sys
import time
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from coordinator.core.lifecycle import IN_PLACE
from coordinator.gateway.listeners.tls import PairFile, certificate_credentials
from hookline.v1 import agent_pb2 as pb
from hookline.v1 import resources_pb2 as resources
from scripts.benchmarks import child
from scripts.benchmarks.figures import cpu_seconds, resident_kib

REPORTS = 2 * len(IN_PLACE)
CHUNK = 256
OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 20))


class Hub:
    """Streams that wait for one push, and counts."""

    def __init__(self) -> None:
        self.hosts: list[tuple[str, grpc.aio.ServicerContext[pb.AgentMessage, bytes]]] = []
        self.sent: dict[str, float] = {}
        self.first: dict[str, float] = {}
        self.messages = 0
        self.reports = 0
        self.expected = 0
        self.rounds = 0
        self.done = asyncio.Event()
        self.welcome = pb.CoordinatorMessage()
        self.welcome.welcome.session_epoch = 1
        self.welcome.welcome.heartbeat_interval.FromSeconds(600)
        self.welcome.welcome.busy_heartbeat_interval.FromSeconds(600)

    async def connect(self, _requests: object, context: grpc.aio.ServicerContext[pb.AgentMessage, bytes]) -> None:
        """One host's stream."""
        hello: object = await context.read()
        assert isinstance(hello, pb.AgentMessage)
        name = hello.hello.name
        await context.write(self.welcome.SerializeToString())
        self.hosts.append((name, context))
        read = context.read
        while True:
            message: object = await read()
            if not isinstance(message, pb.AgentMessage):
                return
            self.messages += 1
            self.first.setdefault(name, time.monotonic())
            self.reports += len(message.reports.reports)
            if self.reports == self.expected:
                self.done.set()

    async def push(self) -> None:
        """One instruction to every host, in chunks."""
        self.rounds += 1
        self.expected = REPORTS * len(self.hosts)
        self.reports = self.messages = 0
        self.first.clear()
        self.done.clear()
        decided = time.monotonic()
        self.sent = {name: decided for name, _ in self.hosts}
        for start in range(0, len(self.hosts), CHUNK):
            chunk = self.hosts[start : start + CHUNK]
            await asyncio.gather(*(context.write(instruction(name, self.rounds)) for name, context in chunk))
        await self.done.wait()


def instruction(host: str, number: int) -> bytes:
    """About as many bytes as the coordinator's; another one in each round."""
    message = pb.Instruction(
        instruction_id=f"d-FLOOR{number:04}/{hashlib.md5(host.encode(), usedforsecurity=False).hexdigest()}/0/1",
        digest=bytes(32),
        target_epoch=number,
        deployment_id=f"d-FLOOR{number:04}",
        deployment_group_id="00000000-0000-0000-0000-000000000000",
        deployment_group_name="fleet",
        application_name="bench",
        revision_id="r-0123456789abcdef",
    )
    message.location.sha256 = bytes(32)
    message.location.coordinator.size = 1
    for event in IN_PLACE:
        message.lifecycle_events.add(lifecycle_event=resources.LifecycleEvent.ValueType(event)).timeout.FromSeconds(3600)
    return pb.CoordinatorMessage(instruction=message).SerializeToString()


async def main() -> None:
    """Answer the benchmark's commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pki", type=Path, help="an authority: its hosts alone get in; none: plaintext")
    pki = parser.parse_args().pki
    hub = Hub()
    server = grpc.aio.server(options=OPTIONS)
    handler: grpc.RpcMethodHandler[pb.AgentMessage, bytes] = grpc.stream_stream_rpc_method_handler(
        hub.connect, request_deserializer=pb.AgentMessage.FromString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hookline.v1.AgentService", {"Connect": handler}),))
    anywhere = "127.0.0.1:0"
    port = server.add_secure_port(anywhere, certificate_credentials(PairFile(pki))) if pki else server.add_insecure_port(anywhere)
    await server.start()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    empty = resident_kib()

    async def answer(command: child.Line) -> child.Line:
        match command["do"]:
            case "address":
                return {"address": f"127.0.0.1:{port}"}
            case "connected":
                return {"hosts": len(hub.hosts)}
            case _:
                began, cpu = time.monotonic(), cpu_seconds()
                await hub.push()
                return {
                    "wall": time.monotonic() - began,
                    "cpu": cpu_seconds() - cpu,
                    "messages": hub.messages,
                    "first": [hub.first[name] - sent for name, sent in hub.sent.items()],
                    "memory": resident_kib(peak=True) - empty,
                }

    await child.serve(answer)
    await server.stop(None)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
