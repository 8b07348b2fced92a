"""A coordinator in an enemy's hands, against an agent whose policy names a signing key: whatever it says, it runs nothing of its own."""

import asyncio
import hashlib
import itertools
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import DecodeError

from agent.appspec import parse
from agent.model import LifecycleEvent
from agent.workspace import Workspace
from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.coordinator import Coordinator, Line
from tests.agent.instructions import SEVEN
from tests.agent.releases import KEY, NOON, STRANGER, Release, bundle, release

pytestmark = pytest.mark.e2e

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
        self.epochs = itertools.count(1)
        fetch = grpc.unary_stream_rpc_method_handler(
            self.fetch,
            request_deserializer=agent_pb2.FetchBundleRequest.FromString,
            response_serializer=agent_pb2.FetchBundleResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hookline.v1.AgentService", {"FetchBundle": fetch}),))

    async def fetch(self, request: agent_pb2.FetchBundleRequest, _context: object) -> AsyncIterator[agent_pb2.FetchBundleResponse]:
        """The bundle of the hour."""
        yield agent_pb2.FetchBundleResponse(size=len(self.served))
        yield agent_pb2.FetchBundleResponse(chunk=self.served[request.offset :])

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

    def __init__(self, folder: Path, line: Line) -> None:
        self.folder = folder
        self.line = line
        self.acked = 0

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
        last = instruction.lifecycle_events[-1].lifecycle_event if instruction.lifecycle_events else 0
        while True:
            async with asyncio.timeout(40):
                numbered = await self.line.reports()
            await self.line.acknowledge(numbered[-1][0])
            for _, report in numbered:
                if report.instruction_id != instruction.instruction_id:
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


@pytest.fixture
async def enemy() -> AsyncIterator[Enemy]:
    async with Enemy() as enemy:
        yield enemy


@pytest.fixture
async def victim(tmp_path: Path, enemy: Enemy) -> AsyncIterator[Victim]:
    policy = tmp_path / "agent-policy.toml"
    policy.write_text(f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\nlowest_counter.shop = 40\n')
    policy.chmod(0o600)
    program = Path(sys.executable).parent / "hookline-agent"
    places = ("--data-dir", str(tmp_path / "data"), "--root-prefix", str(tmp_path / "root"))
    agent = await asyncio.create_subprocess_exec(
        program, "run", "--insecure", "--coordinator", enemy.address, "--host", "h", "--policy", str(policy), *places
    )
    try:
        line = await enemy.called()
        await line.welcome()
        yield Victim(tmp_path, line)
    finally:
        agent.terminate()
        await agent.wait()


async def test_nothing_that_was_not_signed_runs_and_nothing_below_the_lowest(victim: Victim, enemy: Enemy) -> None:
    good, file, folder = named(42), victim.folder / "root" / "evil.tar", victim.folder / "root" / "evil"
    unsigned = Release(bundle=EVIL, signature=None)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(EVIL)
    folder.mkdir()
    (folder / "appspec.yml").write_bytes(APPSPEC)
    (folder / "hook.sh").write_text(EVIL_SCRIPT)
    victim.plant("d-12")
    evil_digest = resources_pb2.RevisionLocation(
        coordinator=resources_pb2.CoordinatorLocation(size=len(EVIL)), sha256=hashlib.sha256(EVIL).digest()
    )
    at_file = resources_pb2.RevisionLocation(file=resources_pb2.FileLocation(path="/evil.tar"))
    at_folder = resources_pb2.RevisionLocation(file=resources_pb2.FileLocation(path="/evil"))
    past = named(42, name="ended", not_after=NOON - 400 * 86_400_000)
    attempts = [
        (enemy.order(unsigned, deployment="d-1"), EVIL, "it is not signed"),
        (enemy.order(good, deployment="d-2", location=evil_digest), EVIL, "its statement is about bundle"),
        (enemy.order(good, deployment="d-3"), EVIL, "cannot use the bundle: the SHA-256 of what"),
        (enemy.order(good, deployment="d-4", location=at_file), EVIL, "SHA-256"),
        (enemy.order(good, deployment="d-5", location=at_folder), EVIL, "SHA-256"),
        (enemy.order(named(42, name="evil", key=STRANGER), deployment="d-6"), None, "which is none of signing_keys"),
        (enemy.order(named(39), deployment="d-7"), None, "its counter is 39, and 40 is the lowest here"),
        (enemy.order(past, deployment="d-8"), None, "its statement was good until"),
        (enemy.order(named(42, application="bank"), deployment="d-9"), None, "it is signed for application bank"),
        (enemy.order(named(42, groups=["shop/staging"]), deployment="d-10"), None, "it is signed for shop/staging"),
        (
            enemy.order(good, deployment="d-11", deployment_group_name="$(echo evil)"),
            None,
            "is no name of an application, group or revision",
        ),
        (enemy.order(good, deployment="d-12", events=HOOKS), None, "was never found to be signed"),
        (enemy.order(good, deployment="../../../evil"), None, "cannot"),
        (enemy.order(good, deployment="d-14", deployment_group_id="../../.."), None, "cannot"),
    ]
    for instruction, served, why in attempts:
        enemy.served = served or instruction_bundle(instruction, good)
        said = await victim.does(instruction)
        assert why in said, (instruction.deployment_id, said)
        assert victim.ran == [], instruction.deployment_id
    assert not (victim.folder / "evil").exists()


def instruction_bundle(instruction: agent_pb2.Instruction, good: Release) -> bytes:
    """What an honest coordinator would serve for it; any bundle will do where that is refused before."""
    return good.bundle if instruction.location.sha256.hex() == good.sha256 else EVIL


async def test_a_host_goes_on_with_signed_releases_and_back_only_to_its_own(victim: Victim, enemy: Enemy) -> None:
    assert await victim.does(enemy.order(named(42), deployment="d-1")) == ""
    assert victim.ran == ["42", "42"]
    assert await victim.does(enemy.order(named(44), deployment="d-2")) == ""
    assert victim.ran == ["42", "42", "42", "44", "44"]
    assert "its counter is 43, and 44 is the lowest here" in await victim.does(enemy.order(named(43), deployment="d-3"))
    assert "has unpacked another release here" in await victim.does(
        enemy.order(named(45), deployment="d-2", events=HOOKS, instruction_id="x")
    )
    assert await victim.does(enemy.order(named(42), deployment="d-4")) == ""
    assert victim.ran[5:] == ["44", "42", "42"]


async def test_instructions_with_random_bytes_in_them_run_nothing_else(victim: Victim, enemy: Enemy) -> None:
    chance = random.Random(1)
    for number in range(60):
        content = bytearray(enemy.order(named(42), deployment=f"d-{number}").SerializeToString())
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        try:
            mutated = agent_pb2.Instruction.FromString(bytes(content))
        except DecodeError:
            continue
        enemy.served = chance.choice([named(42).bundle, EVIL])
        await victim.line.say(agent_pb2.CoordinatorMessage(instruction=mutated))
    honest = enemy.order(named(42), deployment="d-last")
    honest.target_epoch = 2**62
    await victim.does(honest)
    assert set(victim.ran) <= {"42"}
