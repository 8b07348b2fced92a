"""The policy file: who may have written it, and what may stand in it."""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.policy import PolicyFile
from agent.policy.terms import Policy
from tests.agent.releases import KEY, OTHER_KEY

EXAMPLE = Path(__file__).parents[2] / "deploy" / "agent" / "agent-policy.toml"


def read(tmp_path: Path, text: str) -> Policy | None:
    """The policy of a file with this text."""
    path = tmp_path / "agent-policy.toml"
    path.write_text(text)
    path.chmod(0o600)
    return PolicyFile(path, is_needed=True).policy()


def refusal(act: Callable[[], object]) -> str:
    """The sentence that something is refused with."""
    with pytest.raises(AgentError) as refused:
        act()
    return str(refused.value)


def test_everything_that_a_policy_can_say_is_understood(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        f"""
        signing_keys = ["{KEY.public}", "{OTHER_KEY.public}"]
        require_signature = true
        groups = ["shop/production"]
        origins = ["coordinator", "s3://bundles/shop/"]
        destinations = ["/srv/shop"]
        runas = ["www-data"]
        root_hooks = false
        no_new_privs = true
        hook_environment = ["JAVA_HOME", "AWS_*"]
        denied_bundles = ["{"ab" * 32}"]
        max_bundle_bytes = 1
        max_unpacked_bytes = 2
        max_event_seconds = 3
        freeze = false
        [lowest_counter]
        shop = 41
        [hook_limits]
        open_files = 64
        core_bytes = 0
        """,
    )
    assert policy is not None
    assert list(policy.signing_keys) == [KEY.name, OTHER_KEY.name]
    assert (policy.require_signature, policy.root_hooks, policy.freeze) == (True, False, False)
    assert (policy.no_new_privs, policy.hook_environment) == (True, ("JAVA_HOME", "AWS_*"))
    assert policy.hook_limits == {"open_files": 64, "core_bytes": 0}
    assert (policy.groups, policy.runas) == (frozenset({"shop/production"}), frozenset({"www-data"}))
    assert (policy.origins, policy.destinations) == (("coordinator", "s3://bundles/shop/"), ("/srv/shop",))
    assert (policy.lowest_counter, policy.denied_bundles) == ({"shop": 41}, frozenset({"ab" * 32}))
    assert (policy.max_bundle_bytes, policy.max_unpacked_bytes, policy.max_event_seconds) == (1, 2, 3)


def test_an_empty_policy_restricts_nothing_and_an_empty_list_allows_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n") == Policy(file=str(tmp_path / "agent-policy.toml"))
    policy = read(tmp_path, "origins = []\nrunas = []\n")
    assert policy is not None
    assert (policy.origins, policy.runas) == ((), frozenset())


@pytest.mark.parametrize(
    "text, why",
    [
        (
            "require_signatures = true",
            "cannot use require_signatures in the policy FILE: there is no such rule; did you mean require_signature?",
        ),
        ("zzz = 1", "cannot use zzz in the policy FILE: there is no such rule; there are signing_keys, require_signature, groups, "),
        ("require_signature = true", "require_signature in the policy FILE: without signing_keys nothing could ever be deployed"),
        ("lowest_counter.shop = 1", "lowest_counter in the policy FILE: without signing_keys nothing could ever be deployed"),
        ("require_signature = 1", "it has to be true or false"),
        ("freeze = 'yes'", "it has to be true or false"),
        ("signing_keys = ['RWx']", "'RWx' is no key: it is not the second line of a minisign public key file"),
        ("signing_keys = 'RWx'", "it has to be a list of texts in quotes"),
        ("runas = [1]", "it has to be a list of texts in quotes"),
        ("runas = ['']", "'' is no user's name"),
        ("groups = ['production']", "'production' is not written as APPLICATION/GROUP"),
        ("destinations = ['srv']", "'srv' is not an absolute path"),
        ("destinations = ['/srv/../etc']", "is not an absolute path without . and .."),
        ("origins = ['ftp://x/']", "'ftp://x/' is neither one of coordinator, s3, github, http, file nor s3://BUCKET/"),
        ("origins = ['https://x/%2e%2e/']", "is not a plain URL"),
        ("denied_bundles = ['ab']", "'ab' is not a SHA-256 in 64 digits of 0-9 a-f"),
        ("hook_environment = ['A=B']", "'A=B' is no name of a variable, nor the beginning of one and a star, as in AWS_*"),
        ("hook_environment = ['*_KEY']", "'*_KEY' is no name of a variable"),
        ("hook_environment = '*'", "it has to be a list of texts in quotes"),
        ("no_new_privs = 1", "it has to be true or false"),
        ("max_bundle_bytes = 0", "it has to be a whole number of 1 or more"),
        ("max_event_seconds = true", "it has to be a whole number of 1 or more"),
        ("lowest_counter = 3", "it has to be a table of counters by application"),
        ("lowest_counter.shop = 0", "cannot use lowest_counter.shop in the policy FILE: it has to be a whole number of 1 or more"),
        ("hook_limits = 3", "it has to be a table of limits"),
        ("hook_limits.files = 3", "hook_limits.files in the policy FILE: there is no such limit; there are open_files, processes, "),
        ("hook_limits.processes = 0", "it has to be a whole number of 1 or more"),
        ("hook_limits.core_bytes = -1", "it has to be a whole number of 0 or more"),
        ("hook_limits.open_files = true", "it has to be a whole number of 1 or more"),
        ("freeze = ", "cannot read the policy FILE: "),
    ],
)
def test_what_a_policy_cannot_mean_is_refused_in_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    said = refusal(lambda: read(tmp_path, text)).replace(str(tmp_path / "agent-policy.toml"), "FILE")
    assert why in said


def test_a_file_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "agent-policy.toml"
    path.write_text("# nothing yet\n")
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        assert f"others may write {path}; chmod go-w {path}" in refusal(PolicyFile(path, is_needed=True).policy)


def test_a_file_in_a_directory_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    path = tmp_path / "open" / "agent-policy.toml"
    path.write_text("# nothing yet\n")
    path.chmod(0o644)
    assert PolicyFile(path, is_needed=True).policy() is not None
    path.parent.chmod(0o777)
    assert f"others may write {path.parent}" in refusal(PolicyFile(path, is_needed=True).policy)
    (tmp_path / "link").symlink_to(path)
    assert f"others may write {path.parent}" in refusal(PolicyFile(tmp_path / "link", is_needed=True).policy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_belongs_to_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "agent-policy.toml"
    path.write_text("# nothing yet\n")
    path.chmod(0o644)
    os.chown(path, 12345, 12345)
    assert f"{path} belongs to user id 12345; chown root {path}" in refusal(PolicyFile(path, is_needed=True).policy)


def test_a_file_that_is_just_being_written_is_not_trusted(tmp_path: Path) -> None:
    assert "it is empty, and may be about to be written; remove it for no policy" in refusal(lambda: read(tmp_path, ""))
    assert "it has more than 1048576 bytes" in refusal(lambda: read(tmp_path, "# \n" * 400_000))


def test_what_is_no_file_is_not_trusted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "it is not a file" in refusal(PolicyFile(tmp_path / "fifo", is_needed=True).policy)
    assert "it is not a file" in refusal(PolicyFile(tmp_path, is_needed=True).policy)


def test_no_file_is_no_policy_until_there_was_one(tmp_path: Path) -> None:
    path = tmp_path / "agent-policy.toml"
    file = PolicyFile(path, is_needed=False)
    assert file.policy() is None
    read(tmp_path, "freeze = true\n")
    policy = file.policy()
    assert policy is not None
    assert policy.freeze
    path.unlink()
    assert "there is no such file" in refusal(file.policy)


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(PolicyFile(tmp_path / "none.toml", is_needed=True).policy)


def test_the_shipped_example_restricts_nothing_until_it_is_edited_and_shows_every_rule(tmp_path: Path) -> None:
    shipped = EXAMPLE.read_text()
    assert read(tmp_path, shipped) == Policy(file=str(tmp_path / "agent-policy.toml"))
    uncommented = re.sub(r"^# (?=\[\w+\]|\w+ = )", "", shipped, flags=re.MULTILINE)
    policy = read(tmp_path, uncommented)
    assert policy is not None
    assert policy.lowest_counter == {"shop": 41}
    assert set(tomllib.loads(uncommented)) == {name for name in Policy.__dataclass_fields__ if name != "file"}
