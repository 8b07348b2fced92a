"""More that a coordinator in an enemy's hands may say: restarts, remains from before, what it lends, numbers, floods; none of it runs."""

import asyncio
from pathlib import Path

import pytest

from agent.model import LifecycleEvent
from hookline.v1 import agent_pb2, resources_pb2
from tests.agent.releases import Release, bundle, release
from tests.agent.website import Answer, serving
from tests.e2e.enemy import APPSPEC, EVIL, HOOKS, NUMBERS, STRICT, Enemy, besieged, named

pytestmark = pytest.mark.e2e

UNSIGNED = Release(bundle=EVIL, signature=None)
RESTART = (LifecycleEvent.APPLICATION_STOP, LifecycleEvent.AFTER_INSTALL)
MOST = 2**63 - 1


def restart(enemy: Enemy, wanted: Release, deployment: str, revision_id: str = "r-1") -> agent_pb2.Instruction:
    """An instruction that starts again what is installed."""
    made = enemy.order(wanted, deployment=deployment, events=(), revision_id=revision_id)
    for event in RESTART:
        made.restart_events.add(lifecycle_event=resources_pb2.LifecycleEvent.ValueType(NUMBERS[event])).timeout.FromSeconds(30)
    return made


async def test_what_was_installed_before_signatures_were_required_runs_no_more(tmp_path: Path) -> None:
    async with besieged(tmp_path, "freeze = false\n") as (victim, enemy):
        assert await victim.does(enemy.order(UNSIGNED, deployment="d-1")) == ""
        assert victim.ran == ["evil", "evil"]
        (tmp_path / "new").write_text(STRICT)
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").rename(tmp_path / "agent-policy.toml")
        good = named(42)
        for instruction, why in (
            (restart(enemy, UNSIGNED, "d-2"), "it is not signed"),
            (restart(enemy, good, "d-3"), "was never found to be signed"),
            (enemy.order(good, deployment="d-1", instruction_id="again", events=HOOKS), "was never found to be signed"),
            (enemy.order(good, deployment="d-4"), "what deployment d-1 has unpacked here was never found to be signed"),
        ):
            assert why in await victim.does(instruction), instruction.deployment_id
        # What an ApplicationStop says may be ignored, and what comes then is the signed release.
        assert await victim.does(enemy.order(good, deployment="d-5", ignore_application_stop_failures=True)) == ""
        assert victim.ran == ["evil", "evil", "42", "42"]


async def test_a_restart_in_the_name_of_another_release_starts_nothing(tmp_path: Path) -> None:
    async with besieged(tmp_path) as (victim, enemy):
        assert await victim.does(enemy.order(named(42), deployment="d-1")) == ""
        assert "has unpacked another release here" in await victim.does(restart(enemy, named(43), "d-2"))
        assert "revision r-1 is installed" in await victim.does(restart(enemy, named(42), "d-3", revision_id="r-9"))
        both = restart(enemy, UNSIGNED, "d-4")
        both.lifecycle_events.add(lifecycle_event=resources_pb2.LIFECYCLE_EVENT_INSTALL)
        assert "it is not signed" in await victim.does(both)
        assert victim.ran == ["42", "42"]
        assert await victim.does(restart(enemy, named(42), "d-5")) == ""
        assert victim.ran == ["42"] * 4


async def test_what_is_lent_leads_to_nothing_but_the_signed_bundle(tmp_path: Path) -> None:
    good = named(42)
    at_s3 = resources_pb2.RevisionLocation(s3=resources_pb2.S3Location(bucket="bundles", key="shop.tar"), sha256=bytes.fromhex(good.sha256))
    with serving() as store, serving() as elsewhere:
        store.answers["/bundles/shop.tar"] = elsewhere.answers["/bundles/shop.tar"] = Answer(EVIL)
        store.answers["/moved"] = Answer(status=302, headers={"Location": f"{elsewhere.url}/bundles/shop.tar"})
        async with besieged(tmp_path, STRICT, "--s3-endpoint", store.url, "--s3-region", "here") as (victim, enemy):
            for number, (url, why) in enumerate(
                (
                    (f"{elsewhere.url}/bundles/shop.tar?X-Amz-Signature=1", "lent an address that is not this object's"),
                    ("http://169.254.169.254/bundles/shop.tar", "lent an address that is not this object's"),
                    ("file:///etc/passwd", "lent an address that is not this object's"),
                    (f"{store.url}/moved", "lent an address that is not this object's"),
                    (f"{store.url}/bundles/shop.tar", "the SHA-256 of what"),
                )
            ):
                enemy.lent = url
                said = await victim.does(enemy.order(good, deployment=f"d-{number}", location=at_s3))
                assert why in said, (url, said)
            another = f"http://localhost:{elsewhere.port}/bundles/shop.tar"
            store.answers["/bundles/shop.tar"] = Answer(status=302, headers={"Location": another})
            assert "it redirects to another host" in await victim.does(enemy.order(good, deployment="d-moved", location=at_s3))
            assert not elsewhere.asked
            store.answers["/bundles/shop.tar"] = Answer(good.bundle)
            assert await victim.does(enemy.order(good, deployment="d-good", location=at_s3)) == ""
        assert victim.ran == ["42", "42"]


async def test_a_bundle_and_an_appspec_of_two_releases_are_none(tmp_path: Path) -> None:
    other = APPSPEC.replace(b"BeforeInstall", b"ValidateService")
    mixed = release(42, content=bundle("echo mixed >> $HOOKLINE_ROOT_PREFIX/witness", other), appspec=APPSPEC)
    async with besieged(tmp_path) as (victim, enemy):
        assert "and what was signed has" in await victim.does(enemy.order(mixed, deployment="d-1"))
        assert not victim.ran


async def test_numbers_that_no_coordinator_means_end_an_instruction_and_not_the_agent(tmp_path: Path) -> None:
    async with besieged(tmp_path) as (victim, enemy):
        assert await victim.does(enemy.order(named(42), deployment="d-first")) == ""
        for number, (seconds, nanos) in enumerate(((MOST, 0), (-MOST, 0), (0, -(2**31)), (315_576_000_000, 999_999_999), (-1, -1))):
            strange = enemy.order(UNSIGNED, deployment=f"d-{number}")
            for plan in strange.lifecycle_events:
                plan.timeout.seconds, plan.timeout.nanos = seconds, nanos
            assert await victim.does(strange)
            strange = enemy.order(named(42), deployment="d-first", instruction_id=f"d-first/h/{number}/2", events=HOOKS)
            for plan in strange.lifecycle_events:
                plan.timeout.seconds, plan.timeout.nanos = seconds, nanos
            await victim.does(strange)
        unknown = enemy.order(named(42), deployment="d-unknown", events=())
        unknown.lifecycle_events.add(lifecycle_event=resources_pb2.LifecycleEvent.ValueType(99))
        assert "has no meaning here" in await victim.does(unknown)
        last = enemy.order(named(42), deployment="d-last")
        last.target_epoch = 2**64 - 1
        assert await victim.does(last) == ""
        assert set(victim.ran) == {"42"}
        assert victim.agent.returncode is None


async def test_a_flood_of_cancels_leaves_a_host_that_still_deploys(tmp_path: Path) -> None:
    async with besieged(tmp_path) as (victim, enemy):
        flood, reason = 1_000, "x" * 60_000
        for number in range(flood):
            cancel = agent_pb2.Cancel(instruction_id=f"d-{number}/h/1/1", target_epoch=1, deployment_group_id=f"g-{number}", reason=reason)
            await victim.line.say(agent_pb2.CoordinatorMessage(cancel=cancel))
        heard = 0
        async with asyncio.timeout(60):
            while heard < flood:
                heard = (await victim.line.reports(flood))[-1][0]
        await victim.line.acknowledge(heard)
        journal = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert journal < flood * 4_096, journal
        assert await victim.does(enemy.order(named(42), deployment="d-last")) == ""
        assert victim.ran == ["42", "42"]
