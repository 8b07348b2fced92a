"""Signed releases, policies and guards for tests of what an agent accepts."""

import datetime
import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.appspec import AppSpec
from agent.clock import SystemClock
from agent.facts import Begin
from agent.model import (
    DeploymentId,
    EventPlan,
    GroupId,
    Instruction,
    InstructionId,
    LifecycleEvent,
    Location,
    Place,
    RevisionId,
    Signature,
)
from agent.policy import Guard, Memory, PolicyFile
from agent.workspace import Workspace
from coordinator.cli.signing.minisign import SecretKey
from coordinator.cli.signing.statement import Terms
from tests.agent.instructions import SEVEN

KEY = SecretKey(id=b"release1", seed=bytes(range(32)))
OTHER_KEY = SecretKey(id=b"release2", seed=bytes(range(1, 33)))
STRANGER = SecretKey(id=b"stranger", seed=bytes(range(2, 34)))
NOON = 1_795_435_200_000
APPSPEC = b"version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n    - location: hook.sh\n"


class Noon(SystemClock):
    """A clock that a test sets, at noon before."""

    def __init__(self) -> None:
        self.ms = NOON

    def now_ms(self) -> int:
        """What the test has set."""
        return self.ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A bundle and the signature of its statement."""

    bundle: bytes
    signature: Signature | None
    counter: int = 0

    @property
    def sha256(self) -> str:
        """Of the bundle."""
        return hashlib.sha256(self.bundle).hexdigest()


def bundle(script: str = "true", appspec: bytes = APPSPEC) -> bytes:
    """A tar with an AppSpec and one script."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content, mode in (("appspec.yml", appspec, 0o644), ("hook.sh", f"#!/bin/sh\n{script}\n".encode(), 0o755)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def signature_of(statement: str, key: SecretKey = KEY, comment: str = "a release") -> Signature:
    """A statement and its signature, as a coordinator sends them."""
    return Signature(statement.encode(), key.sign(statement.encode(), comment).encode().partition(b"\n")[2])


def release(
    counter: int = 42,
    *,
    content: bytes | None = None,
    key: SecretKey = KEY,
    application: str = "shop",
    groups: Sequence[str] = (),
    not_after: int | None = None,
    appspec: bytes = APPSPEC,
) -> Release:
    """A signed release; each counter has a bundle of its own."""
    packed = bundle(f"echo {counter}", appspec) if content is None else content
    end = None if not_after is None else datetime.datetime.fromtimestamp(not_after / 1000, datetime.UTC)
    terms = Terms(application=application, counter=counter, groups=groups, not_after=end)
    statement = terms.of(sha256=hashlib.sha256(packed).digest(), size=len(packed), appspec=appspec)
    return Release(bundle=packed, signature=signature_of(statement, key), counter=counter)


def ordered(
    wanted: Release, *, deployment: str = "d-1", group: str = "production", events: Sequence[LifecycleEvent] = SEVEN
) -> Instruction:
    """The instruction to deploy a release."""
    return Instruction(
        instruction_id=InstructionId(f"{deployment}/h/1/1"),
        digest="aa",
        target_epoch=1,
        deployment_id=DeploymentId(deployment),
        group_id=GroupId(f"g-{group}"),
        group_name=group,
        application_name="shop",
        revision_id=RevisionId(f"r-{wanted.counter}"),
        location=Location(place=Place.COORDINATOR, words=(("size", str(len(wanted.bundle))),), sha256=wanted.sha256),
        events=tuple(EventPlan(event=event, timeout_seconds=60.0) for event in events),
        signature=wanted.signature,
    )


def begin(instruction: Instruction, event: LifecycleEvent | None = None) -> Begin:
    """The order to begin an event, the first one unless said."""
    return Begin(instruction, event or instruction.events[0].event, 60.0, None)


def unsigned(wanted: Release) -> Release:
    """The same bundle, and nobody answers for it."""
    return replace(wanted, signature=None)


@dataclass(slots=True, kw_only=True)
class Host:
    """A host with a policy file that a test writes, what it remembers, and its clock."""

    folder: Path
    clock: Noon

    @classmethod
    def at(cls, folder: Path, rules: str = "") -> "Host":
        """A host that lists KEY, with more rules."""
        host = cls(folder=folder, clock=Noon())
        host.rule(f'signing_keys = ["{KEY.public}"]\nrequire_signature = true\n{rules}')
        return host

    @property
    def file(self) -> Path:
        """The policy file."""
        return self.folder / "agent-policy.toml"

    @property
    def workspace(self) -> Workspace:
        """Where deployments lie."""
        return Workspace(root_prefix=self.folder / "root")

    @property
    def memory(self) -> Memory:
        """What is remembered, read anew as after a restart."""
        return Memory(self.folder / "releases.json")

    def rule(self, text: str) -> None:
        """Writes the policy."""
        self.file.write_text(text)
        self.file.chmod(0o600)

    def guard(self) -> Guard:
        """The guard of an agent that has just started."""
        policy = PolicyFile(self.file, is_needed=True)
        return Guard(policy=policy, memory=self.memory, workspace=self.workspace, clock=self.clock)

    def deploy(self, wanted: Release, *, deployment: str = "d-1", succeeds: bool = True) -> None:
        """What a guard hears of a whole deployment; PayloadError comes through."""
        guard, instruction = self.guard(), ordered(wanted, deployment=deployment)
        guard.admit(begin(instruction))
        guard.replaces(instruction)
        self.unpack(instruction)
        guard.downloaded(instruction)
        if succeeds:
            guard.succeeded(begin(instruction, instruction.events[-1].event))

    def unpack(self, instruction: Instruction, appspec: str = "") -> None:
        """Leaves what an unpacking process leaves of an empty AppSpec."""
        directory = self.workspace.deployment(instruction.group_id, instruction.deployment_id)
        directory.archive.mkdir(parents=True, exist_ok=True)
        directory.appspec.write_text(appspec or AppSpec().to_json())
