"""What an operator types is understood, or refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.app import main
from agent.config import DataDirectory, host_name, loopback, tags
from agent.errors import AgentError


@pytest.mark.parametrize("name", ["web-1", "a" * 100, "A.b_c+d=e,f@g"])
def test_a_good_name_is_taken(name: str) -> None:
    assert host_name(name) == name


@pytest.mark.parametrize("name", ["", "a" * 101, "a b", "a/b", "ä", "a\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(AgentError, match="as the host's name"):
        host_name(name)


def test_tags_are_parsed_and_may_have_an_equals_sign_or_nothing_in_their_value() -> None:
    assert tags(["role=web", "url=a=b", "empty="]) == (("role", "web"), ("url", "a=b"), ("empty", ""))


@pytest.mark.parametrize(
    "typed, why",
    [
        (["role"], "KEY=VALUE"),
        (["=web"], "KEY=VALUE"),
        ([f"k{number}=v" for number in range(65)], "at most 64"),
        (["role=web", "role=db"], "twice"),
        (["k" * 129 + "=v"], "at most 128"),
        (["k=" + "v" * 257], "at most 128 characters, a value 256"),
    ],
)
def test_bad_tags_are_refused(typed: list[str], why: str) -> None:
    with pytest.raises(AgentError, match=why):
        tags(typed)


@pytest.mark.parametrize("address", ["127.0.0.1:8443", "localhost:8443", "[::1]:8443"])
def test_a_loopback_address_may_be_spoken_to_in_plaintext(address: str) -> None:
    assert loopback(address) == address


@pytest.mark.parametrize(
    "address, why",
    [
        ("192.0.2.1:8443", "for loopback addresses only; join the coordinator instead"),
        ("127.0.0.1", "HOST:PORT"),
        (":8443", "HOST:PORT"),
        ("127.0.0.1:0", "HOST:PORT"),
        ("127.0.0.1:65536", "HOST:PORT"),
        ("no-such-host.invalid:1", "has no address"),
    ],
)
def test_other_addresses_are_refused(address: str, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        loopback(address)


def test_a_host_keeps_its_id(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "agent")
    directory.close()
    again = DataDirectory(tmp_path / "agent")
    assert again.host_id == directory.host_id
    assert len(again.host_id) == 32
    again.close()


def test_a_second_agent_is_told_who_has_the_directory(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with pytest.raises(AgentError, match=f"the agent with pid {os.getpid()} has it"):
        DataDirectory(tmp_path)
    directory.close()
    DataDirectory(tmp_path).close()


def test_a_spoilt_host_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host_id").write_text("not an id\n")
    with pytest.raises(AgentError, match="32 digits"):
        DataDirectory(tmp_path)


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentError, match="cannot write in the data directory .*Not a directory"):
        DataDirectory(tmp_path / "file" / "agent")


@pytest.mark.parametrize(
    "typed, why",
    [
        (["--coordinator", "127.0.0.1:1", "--host", "h"], "this machine is no host yet"),
        (["--coordinator", "192.0.2.1:1", "--host", "h", "--insecure"], "for loopback addresses only"),
        (["--coordinator", "127.0.0.1:1", "--host", "a b", "--insecure"], "as the host's name"),
        (["--coordinator", "127.0.0.1:1", "--host", "h", "--insecure", "--tag", "x"], "KEY=VALUE"),
    ],
)
def test_the_program_says_what_is_wrong_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], why: str
) -> None:
    assert main(["run", "--data-dir", str(tmp_path / "agent"), *typed]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize(
    "module, never",
    [
        ("agent.app", {"argparse", "asyncio", "typing", "grpc", "google", "yaml"}),
        ("agent.local.run", {"yaml", "httpx", "click", "rich", "uvloop", "sqlite3", "coordinator"}),
        ("agent.local.status", {"grpc", "google", "yaml", "httpx"}),
    ],
)
def test_the_agent_loads_nothing_that_it_does_not_need(module: str, never: set[str]) -> None:
    path = [path for path in sys.path if path]
    program = f"import sys; sys.path[:0] = {path!r}; import {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert never.isdisjoint(loaded)
