"""Simulated hosts: the agent's own stream and machine with an executor that does nothing and a journal in memory.

Each host has a TCP connection of its own. Against a hub, the reports of an instruction can be held back and sent in a given number of
messages; against the coordinator the agent's stream sends them as it always does.
"""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import grpc.aio

from agent.clock import SystemClock
from agent.config import Identity
from agent.facts import Begin, Close, Connected, EventEnded, InstructionReceived, Recover, SendReports
from agent.journal import MemoryJournal
from agent.loop import Agent
from agent.machine import Machine
from agent.model import InstructionId, Report
from agent.stream import AgentStream, insecure_channel, secure_channel, wire
from hookline.v1 import agent_pb2_grpc
from scripts.benchmarks import child
from scripts.benchmarks.figures import cpu_seconds
from scripts.benchmarks.fleets import certificates

CONNECTS_A_SECOND, WITH_TLS = 300, 120
"""How fast a process of the fleet comes: a storm of connects is another benchmark's matter."""

Connect = Callable[[], grpc.aio.Channel]


class NothingDone:
    """Every lifecycle event succeeds at once."""

    def begin(self, order: Begin, agent: Agent) -> None:
        """End the event that begins."""
        agent.tell(EventEnded(order.instruction.instruction_id, order.event))

    def recover(self, order: Recover, agent: Agent) -> None:
        """A journal in memory has nothing to recover."""
        raise RuntimeError("cannot recover an event that was never kept")

    def close(self, order: Close, agent: Agent) -> None:
        """Events that end at once have no closing hooks."""
        raise RuntimeError("cannot close an event that has no closing hooks")

    def finish(self, instruction_id: InstructionId) -> None:
        """Nothing is held."""

    def forget(self, instruction_ids: object) -> None:
        """Nothing is kept."""


class Collected:
    """Reports that are held back until all of them are there."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def send(self, order: SendReports) -> None:
        """Keep them."""
        self.reports += order.reports


def host(number: int, prefix: str) -> tuple[Agent, Identity]:
    """A host that has never been deployed to."""
    name = f"{prefix}{number}"
    identity = Identity(
        host_id=certificates.host_id(name),
        name=name,
        boot_id="bench",
        agent_version="bench",
        tags=tuple(certificates.TAGS.items()),
    )
    agent = Agent(machine=Machine(), journal=MemoryJournal(identity.host_id[::-1]), executor=NothingDone(), clock=SystemClock())
    return agent, identity


async def as_an_agent(number: int, prefix: str, connect: Connect, wait: float) -> None:
    """Be a host of the coordinator, after `wait` seconds."""
    agent, identity = host(number, prefix)
    await asyncio.sleep(wait)
    async with connect() as channel:
        await AgentStream(agent=agent, identity=identity, channel=channel, clock=SystemClock()).run()


async def as_a_floor(number: int, connect: Connect, messages: float, wait: float) -> None:
    """Be a host of a hub: take the instruction, walk it with the machine, send the reports in `messages` messages (on average)."""
    agent, identity = host(number, "floor")
    await asyncio.sleep(wait)
    collected = Collected()
    async with connect() as channel:
        stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
        call = stub.Connect()
        await call.write(wire.hello(identity, agent.journal.journal_id, agent.machine.standing))
        async for message in call:
            if not message.HasField("instruction"):
                continue
            collected.reports.clear()
            agent.outbox = collected
            agent.tell(Connected(agent.machine.standing.last_seq), InstructionReceived(wire.instruction(message.instruction)))
            pieces = int(messages) + (number % 100 < round(messages % 1 * 100))
            first_seq = agent.machine.standing.last_seq - len(collected.reports) + 1
            for piece in split(collected.reports, pieces):
                await call.write(wire.reports(first_seq, piece, diagnostics_bytes=8192))
                first_seq += len(piece)


def connecting(address: str, names: Sequence[str], pki: Path | None) -> Iterator[Connect]:
    """How each host connects; its certificate is issued here."""
    signer = certificates.authority(pki) if pki is not None else None
    for name in names:
        if signer is None:
            yield partial(insecure_channel, address)
        else:
            yield partial(secure_channel, address, certificates.credentials(signer, name))


def split(reports: list[Report], pieces: int) -> list[list[Report]]:
    """Cut into so many pieces, the first ones the smaller."""
    cuts = [len(reports) * cut // pieces for cut in range(pieces + 1)]
    return [reports[low:high] for low, high in zip(cuts, cuts[1:], strict=False)]


async def main() -> None:
    """Be a part of the fleet and answer the benchmark's commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--prefix", default=certificates.PREFIX)
    parser.add_argument("--pki", type=Path, help="the authority that has issued the hosts' certificates; none: plaintext")
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--messages", type=float, default=0, help="against a hub: messages for an instruction's reports")
    parser.add_argument("--quiet", action="store_true", help="say nothing of streams that are lost")
    settings = parser.parse_args()
    if settings.quiet:
        logging.getLogger("hookline").setLevel(logging.CRITICAL)
    gc.set_threshold(100_000, 50, 50)

    async def answer(_command: child.Line) -> child.Line:
        return {"cpu": cpu_seconds()}

    names = [f"{settings.prefix}{number}" for number in range(settings.first, settings.first + settings.count)]
    ways = list(connecting(settings.address, names, settings.pki))
    alive: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as hosts:
        for place, connect in enumerate(ways):
            number, wait = settings.first + place, place / (WITH_TLS if settings.pki else CONNECTS_A_SECOND)
            if settings.messages:
                alive.append(hosts.create_task(as_a_floor(number, connect, settings.messages, wait)))
            else:
                alive.append(hosts.create_task(as_an_agent(number, settings.prefix, connect, wait)))
        await child.serve(answer)
        for one in alive:
            one.cancel()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
