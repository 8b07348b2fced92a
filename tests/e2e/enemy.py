"""A coordinator in an enemy's hands, and a host with a real agent that it can speak to."""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from agent.appspec import parse
from agent.model import LifecycleEvent
from agent.workspace import Workspace
from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.coordinator import Coordinator, Line
from tests.agent.instructions import SEVEN
from tests.agent.releases import KEY, Release, bundle, release

APPSPEC = b"""version: 0.0
os: linux
hooks:
  ApplicationStop:
    - location: hook.sh
  BeforeInstall:
    - location: hook.sh
  AfterInstall:
    - location: hook.sh
"""
NUMBERS = {event: number for number, event in enumerate(LifecycleEvent, start=1)}
HOOKS = SEVEN[2:]


class Enemy(Coordinator):
    """Speaks the agent's protocol, and serves what it likes for whatever digest is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.served: bytes = b""
        self.lent = ""
        self.epochs = itertools.count(1)
        fetch = grpc.unary_stream_rpc_method_handler(
            self.fetch,
            request_deserializer=agent_pb2.FetchBundleRequest.FromString,
            response_serializer=agent_pb2.FetchBundleResponse.SerializeToString,
        )
        lend: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self.lend,
            request_deserializer=agent_pb2.LendSourceRequest.FromString,
            response_serializer=agent_pb2.LendSourceResponse.SerializeToString,
        )
        methods = {"FetchBundle": fetch, "LendSource": lend}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hookline.v1.AgentService", methods),))

    async def fetch(self, request: agent_pb2.FetchBundleRequest, _context: object) -> AsyncIterator[agent_pb2.FetchBundleResponse]:
        """The bundle of the hour."""
        yield agent_pb2.FetchBundleResponse(size=len(self.served))
        yield agent_pb2.FetchBundleResponse(chunk=self.served[request.offset :])

    async def lend(self, _request: object, _context: object) -> agent_pb2.LendSourceResponse:
        """The address of the hour."""
        return agent_pb2.LendSourceResponse(url=self.lent)

    def order(
        self, wanted: Release, *, deployment: str, served: bytes | None = None, events: Sequence[LifecycleEvent] = SEVEN, **said: object
    ) -> agent_pb2.Instruction:
        """An instruction for a release, with anything else about it that is said; `served` is what really comes."""
        self.served = wanted.bundle if served is None else served
        made = agent_pb2.Instruction(
            instruction_id=f"{deployment}/h/1/1",
            digest=os.urandom(32),
            target_epoch=next(self.epochs),
            deployment_id=deployment,
            deployment_group_id="g-1",
            deployment_group_name="production",
            application_name="shop",
            revision_id="r-1",
            location=resources_pb2.RevisionLocation(
                coordinator=resources_pb2.CoordinatorLocation(size=len(self.served)), sha256=bytes.fromhex(wanted.sha256)
            ),
        )
        for event in events:
            made.lifecycle_events.add(lifecycle_event=resources_pb2.LifecycleEvent.ValueType(NUMBERS[event])).timeout.FromSeconds(30)
        if wanted.signature is not None:
            made.signature.statement, made.signature.signature = wanted.signature.statement, wanted.signature.signature
        made.MergeFrom(agent_pb2.Instruction(**said))  # type: ignore[arg-type]  # fields of the message
        return made


class Victim:
    """A host with an agent, and the file in which every script that runs leaves its name."""

    def __init__(self, folder: Path, line: Line, agent: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.line = line
        self.agent = agent

    @property
    def ran(self) -> list[str]:
        """What has run, in order."""
        witness = self.folder / "root" / "witness"
        return witness.read_text().split() if witness.exists() else []

    def plant(self, deployment: str) -> None:
        """What a deployment from before the policy has left: an unpacked bundle that nobody signed."""
        directory = Workspace(root_prefix=self.folder / "root").deployment("g-1", deployment)
        directory.archive.mkdir(parents=True)
        (directory.archive / "hook.sh").write_text(EVIL_SCRIPT)
        directory.appspec.write_text(parse(APPSPEC, "appspec.yml").to_json())

    async def does(self, instruction: agent_pb2.Instruction) -> str:
        """How an instruction ends: empty when it succeeds, else the sentence."""
        await self.line.say(agent_pb2.CoordinatorMessage(instruction=instruction))
        events = instruction.restart_events or instruction.lifecycle_events
        last = events[-1].lifecycle_event if events else 0
        while True:
            async with asyncio.timeout(40):
                numbered = await self.line.reports()
            await self.line.acknowledge(numbered[-1][0])
            for _, report in numbered:
                if report.instruction_id != instruction.instruction_id:
                    continue
                if (
                    instruction.ignore_application_stop_failures
                    and report.lifecycle_event == resources_pb2.LIFECYCLE_EVENT_APPLICATION_STOP
                ):
                    continue
                if report.status == resources_pb2.LIFECYCLE_EVENT_STATUS_FAILED or report.instruction_status > 1:
                    return report.diagnostics.message
                if report.status == resources_pb2.LIFECYCLE_EVENT_STATUS_SUCCEEDED and report.lifecycle_event == last:
                    return ""


def named(counter: int, *, name: str = "", **said: object) -> Release:
    """A release whose script leaves a name, its counter unless said."""
    content = bundle(f'echo {name or counter} >> "$HOOKLINE_ROOT_PREFIX/witness"', APPSPEC)
    return release(counter, content=content, appspec=APPSPEC, **said)  # type: ignore[arg-type]  # what release takes


EVIL_SCRIPT = 'echo evil >> "$HOOKLINE_ROOT_PREFIX/witness"'
EVIL = bundle(EVIL_SCRIPT, APPSPEC)


STRICT = f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\nlowest_counter.shop = 40\n'
"""A policy under which nothing of the enemy's may run."""


@asynccontextmanager
async def besieged(folder: Path, policy: str = STRICT, *options: str) -> AsyncIterator[tuple[Victim, Enemy]]:
    """A host whose agent has called the enemy."""
    file = folder / "agent-policy.toml"
    file.write_text(policy)
    file.chmod(0o600)
    program = Path(sys.executable).parent / "hookline-agent"
    places = ("--data-dir", str(folder / "data"), "--root-prefix", str(folder / "root"), "--policy", str(file))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    async with Enemy() as enemy:
        agent = await asyncio.create_subprocess_exec(
            program, "run", "--insecure", "--coordinator", enemy.address, "--host", "h", *places, *options, env=clean
        )
        try:
            line = await enemy.called()
            await line.welcome()
            yield Victim(folder, line, agent), enemy
        finally:
            if agent.returncode is None:
                agent.terminate()
            await agent.wait()
