"""`hookline-agent doctor` finds what keeps an agent from its work, and says what to do."""

import dataclasses
import json
import os
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from agent.app import main
from agent.clock import SystemClock
from agent.config import DataDirectory
from agent.identity import IdentityFiles
from agent.local.checks import Finding, Verdict, findings
from agent.local.settings import Settings, settings
from tests.agent.identities import Authority, joined


@pytest.fixture
def told(tmp_path: Path) -> Settings:
    config = tmp_path / "agent.toml"
    config.write_text(f'host = "web-1"\ninsecure = true\ndata_dir = "{tmp_path}/agent"\nroot_prefix = "{tmp_path}/root"\n')
    return settings(Namespace(config=config), {})


@asynccontextmanager
async def coordinator(answer: bytes, *, ahead: int | None = 0) -> AsyncIterator[str]:
    """`ahead` is by how many seconds its clock is before this host's; None: it does not tell."""

    async def check(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if ahead is not None:
            await context.send_initial_metadata((("hookline-time-ms", str(SystemClock().now_ms() + ahead * 1000)),))
        return answer

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check, request_deserializer=bytes, response_serializer=bytes)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def found(told: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in await findings(told)}


async def test_a_sound_host_fails_nothing(told: Settings) -> None:
    async with coordinator(b"\x08\x01") as address:
        all_found = await found(dataclasses.replace(told, coordinator=address))
    assert all_found["coordinator"].found == f"{address} serves"
    assert [each for each in all_found.values() if each.verdict is Verdict.FAIL] == []
    for check in ("settings", "coordinator", "data directory", "hooks", "unpacking"):
        assert all_found[check].verdict is Verdict.OK, all_found[check]
    assert not told.data_dir.exists()
    assert not told.root_prefix.exists()


async def test_a_coordinator_that_does_not_serve_or_is_not_there_is_a_failure(told: Settings) -> None:
    async with coordinator(b"\x08\x02") as address:
        finding = (await found(dataclasses.replace(told, coordinator=address)))["coordinator"]
        assert (finding.verdict, "does not serve just now" in finding.found) == (Verdict.FAIL, True)
    finding = (await found(dataclasses.replace(told, coordinator=address)))["coordinator"]
    assert (finding.verdict, "cannot be reached" in finding.found) == (Verdict.FAIL, True)
    assert (await found(told))["coordinator"].verdict is Verdict.FAIL


async def test_a_clock_that_is_far_from_the_coordinators_is_warned_of(told: Settings) -> None:
    for ahead, says in ((90, "behind"), (-90, "ahead of")):
        async with coordinator(b"\x08\x01", ahead=ahead) as address:
            finding = (await found(dataclasses.replace(told, coordinator=address)))["clock"]
        assert finding.verdict is Verdict.WARN
        assert finding.found in [f"it is {seconds} s {says} the coordinator's" for seconds in (89, 90, 91)]
        assert finding.advice.startswith("set the wrong one right: certificates are good or not by both clocks")


async def test_a_coordinator_that_does_not_tell_its_time_is_not_compared_with(told: Settings) -> None:
    for ahead, is_compared in ((None, False), (20, True)):
        async with coordinator(b"\x08\x01", ahead=ahead) as address:
            finding = (await found(dataclasses.replace(told, coordinator=address)))["clock"]
        assert finding.found.startswith("it goes with the coordinator's, and ") is is_compared


async def test_the_policy_is_told_and_one_that_cannot_be_trusted_fails(told: Settings, tmp_path: Path) -> None:
    assert (await found(told))["policy"].found == "none: the coordinator may do anything that the agent's user may"
    file = tmp_path / "agent-policy.toml"
    file.write_text("freeze = true\nrunas = []\nroot_hooks = false\n")
    file.chmod(0o600)
    told = dataclasses.replace(told, policy=file)
    finding = (await found(told))["policy"]
    assert (finding.verdict, finding.found) == (Verdict.WARN, f"{file}: frozen: nothing begins; runas none; no root hooks")
    file.chmod(0o666)
    finding = (await found(told))["policy"]
    assert (finding.verdict, f"others may write {file}" in finding.found) == (Verdict.FAIL, True)


async def test_a_machine_that_is_no_host_is_told_how_to_become_one(told: Settings) -> None:
    all_found = await found(dataclasses.replace(told, insecure=False))
    assert (all_found["identity"].verdict, "no host yet" in all_found["identity"].found) == (Verdict.FAIL, True)
    assert "hookline token create" in all_found["identity"].advice


async def test_certificates_that_are_of_no_use_are_explained(told: Settings) -> None:
    authority, files = Authority(), IdentityFiles(told.data_dir)
    made = joined(files, authority)
    sound = dataclasses.replace(made.enrolment, ends_at=SystemClock().now_ms() + 60_000, begins_at=0, coordinator="127.0.0.1:1")
    files.keep(dataclasses.replace(made, enrolment=dataclasses.replace(sound, ends_at=1)))
    secure = dataclasses.replace(told, insecure=False)
    assert "ended at 1970-01-01" in (await found(secure))["identity"].found
    files.keep(dataclasses.replace(made, enrolment=dataclasses.replace(sound, begins_at=sound.ends_at - 1)))
    assert "set the clock right" in (await found(secure))["identity"].found
    files.keep(dataclasses.replace(made, enrolment=sound, trust=Authority().trust))
    assert (await found(secure))["identity"].verdict is Verdict.WARN
    files.keep(dataclasses.replace(made, enrolment=sound))
    all_found = await found(secure)
    assert "host web-1 (11111111111111111111111111111111) of cluster test" in all_found["identity"].found
    assert "cannot reach 127.0.0.1:1: connection refused" in all_found["coordinator"].found


async def test_what_others_may_read_or_write_is_warned_of(told: Settings) -> None:
    assert told.file is not None
    told.file.chmod(0o666)
    told.data_dir.mkdir()
    told.data_dir.chmod(0o755)
    all_found = await found(told)
    assert all_found["settings"].advice.endswith(f"chmod go-w {told.file}")
    assert all_found["data directory"].advice.endswith(f"chmod 700 {told.data_dir}")
    assert (all_found["settings"].verdict, all_found["data directory"].verdict) == (Verdict.WARN, Verdict.WARN)


async def test_it_says_which_agent_runs(told: Settings) -> None:
    directory = DataDirectory(told.data_dir)
    finding = (await found(told))["data directory"]
    directory.close()
    assert (finding.verdict, finding.found) == (Verdict.OK, f"{told.data_dir}; the agent with pid {os.getpid()} runs")


async def test_a_name_that_cannot_be_used_is_a_failure(told: Settings) -> None:
    assert (await found(dataclasses.replace(told, host="a b")))["settings"].verdict is Verdict.FAIL


def test_programs_read_json_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--data-dir", str(tmp_path / "agent"), "--root-prefix", str(tmp_path), "--insecure"]
    assert main(["doctor", *where, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert set(told[0]) == {"check", "verdict", "found", "advice"}
    assert main(["doctor", *where]) == 1
    assert "fail  coordinator" in capsys.readouterr().out
