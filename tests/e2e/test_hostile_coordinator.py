"""A coordinator in an enemy's hands, against an agent whose policy names a signing key: whatever it says, it runs nothing of its own."""

import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.releases import NOON, STRANGER, Release
from tests.e2e.enemy import APPSPEC, EVIL, EVIL_SCRIPT, HOOKS, Enemy, Victim, besieged, named

pytestmark = pytest.mark.e2e


@pytest.fixture
async def siege(tmp_path: Path) -> AsyncIterator[tuple[Victim, Enemy]]:
    async with besieged(tmp_path) as siege:
        yield siege


async def test_nothing_that_was_not_signed_runs_and_nothing_below_the_lowest(siege: tuple[Victim, Enemy]) -> None:
    victim, enemy = siege
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


async def test_a_host_goes_on_with_signed_releases_and_back_only_to_its_own(siege: tuple[Victim, Enemy]) -> None:
    victim, enemy = siege
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


async def test_instructions_with_random_bytes_in_them_run_nothing_else(siege: tuple[Victim, Enemy]) -> None:
    victim, enemy = siege
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
