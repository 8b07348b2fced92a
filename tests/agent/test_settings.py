"""Settings come from flags, the environment and one file, in this order, and what nobody knows is refused."""

import re
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import observed
from agent.errors import AgentError
from agent.local.settings import SETTINGS, Kind, Settings, add_arguments, settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "agent" / "agent.toml"


def told(*typed: str, **environment: str) -> Settings:
    parser = ArgumentParser()
    add_arguments(parser)
    return settings(parser.parse_args(typed), {f"HOOKLINE_AGENT_{name}": value for name, value in environment.items()})


def file(tmp_path: Path, content: str) -> str:
    path = tmp_path / "agent.toml"
    path.write_text(content)
    return str(path)


def test_what_nobody_says_has_a_default(tmp_path: Path) -> None:
    found = told("--config", file(tmp_path, ""))
    assert (found.coordinator, found.data_dir, found.root_prefix) == (None, Path("/var/lib/hookline-agent"), Path("/"))
    assert (found.tags, found.insecure, found.log_level) == ((), False, "info")
    assert found.host


def test_a_flag_is_heard_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    config = file(tmp_path, 'coordinator = "file:1"\nhost = "file"\nroot_prefix = "/file"\ninsecure = true\n')
    found = told("--config", config, "--coordinator", "flag:1", COORDINATOR="environment:1", HOST="environment")
    assert (found.coordinator, found.host, found.root_prefix, found.insecure) == ("flag:1", "environment", Path("/file"), True)
    assert told("--config", config, "--no-insecure").insecure is False
    assert told(CONFIG=config, INSECURE="no").insecure is False


def test_the_zone_is_a_fact_of_the_host(tmp_path: Path) -> None:
    found = told("--config", file(tmp_path, 'zone = "eu-1a"'))
    assert (found.zone, dict(observed("", found.zone))["zone"]) == ("eu-1a", "eu-1a")
    assert "zone" not in dict(observed(""))
    assert told("--config", file(tmp_path, 'zone = "eu-1a"'), ZONE="eu-1b").zone == "eu-1b"
    with pytest.raises(AgentError, match="as the host's zone"):
        told("--zone", "x" * 257)


def test_tags_are_a_table_a_list_or_flags_and_the_first_that_has_any_has_them_all(tmp_path: Path) -> None:
    config = file(tmp_path, '[tags]\nrole = "web"\nempty = ""\n')
    assert told("--config", config).tags == (("role", "web"), ("empty", ""))
    assert told("--config", config, TAGS="role=db, zone=a").tags == (("role", "db"), ("zone", "a"))
    assert told("--config", config, "--tag", "a=b", "--tag", "c=d=e", TAGS="role=db").tags == (("a", "b"), ("c", "d=e"))


def test_numbers_are_numbers_in_the_file_and_texts_elsewhere(tmp_path: Path) -> None:
    config = file(tmp_path, "max_revisions = 3\nmax_revision_bytes = 1000\n")
    found = told("--config", config, "--max-revisions", "2")
    assert (found.max_revisions, found.max_revision_bytes) == (2, 1000)
    assert told(MAX_REVISIONS="7").max_revisions == 7


def test_a_variable_without_a_value_says_nothing() -> None:
    assert told(LOG_LEVEL="").log_level == "info"


@pytest.mark.parametrize(
    "content, why",
    [
        ('cordinator = "a:1"', "cannot use cordinator in .*agent.toml: there is no such setting; did you mean coordinator?"),
        ('zzz = "a"', "there are coordinator, host, data_dir"),
        ("host = 7", "cannot use host in .*: it has to be a text in quotes"),
        ('max_revisions = "5"', "cannot use max_revisions in .*: it has to be a whole number, without quotes"),
        ("max_revisions = 0", "'0' is no whole number of 1 or more"),
        ("max_revision_bytes = true", "it has to be a whole number|is no whole number"),
        ('insecure = "yes"', "cannot use insecure in .*: it has to be true or false"),
        ('tags = ["role=web"]', "it has to be a table of texts"),
        ("[tags]\nrole = 1", "the tag role has to be a text in quotes"),
        ('[tags]\n"a=b" = "c"', "its key without an equals sign"),
        ('log_level = "loud"', "'loud' is none of debug, info, warning, error"),
        ('host = ""', "it is empty; leave it out"),
        ("host = \n", "cannot read .*agent.toml: .*line 1"),
        ("host = 'a'\nhost = 'b'\n", "cannot read .*agent.toml: .*line 2"),
    ],
)
def test_what_a_file_says_wrongly_is_refused_with_its_place(tmp_path: Path, content: str, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        told("--config", file(tmp_path, content))


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(AgentError, match="HOOKLINE_AGENT_DATADIR in the environment: .*did you mean HOOKLINE_AGENT_DATA_DIR?"):
        told(DATADIR="/x")
    with pytest.raises(AgentError, match="HOOKLINE_AGENT_INSECURE in the environment: 'maybe' is none of true"):
        told(INSECURE="maybe")


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot read .*nowhere.toml: no such file"):
        told("--config", str(tmp_path / "nowhere.toml"))


def test_a_coordinator_that_nobody_named_is_asked_for_with_all_its_places() -> None:
    with pytest.raises(AgentError, match="--coordinator HOST:PORT, HOOKLINE_AGENT_COORDINATOR, or coordinator in /etc/hookline/agent.toml"):
        _ = told().the_coordinator


def test_the_shipped_example_shows_every_setting_and_changes_nothing_until_it_is_edited(tmp_path: Path) -> None:
    shipped = EXAMPLE.read_text()
    assert replace(told("--config", str(EXAMPLE)), file=None) == told()
    uncommented = re.sub(r"^# ?(?=\[tags\]|\w+ = )", "", shipped, flags=re.MULTILINE)
    told("--config", file(tmp_path, uncommented))
    shown = set(re.findall(r"^(\w+) = ", uncommented.partition("[tags]")[0], flags=re.MULTILINE)) | {"tags"}
    assert shown == set(SETTINGS)


def test_the_documentation_lists_every_setting_with_its_flag_its_variable_and_its_default() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    for setting in SETTINGS.values():
        flag = f"{setting.flag} {setting.metavar}" if setting.metavar else setting.flag
        name = f"[{setting.name}]" if setting.kind is Kind.TAGS else setting.name
        default = f"`{setting.default}`" if re.fullmatch(r"\S+", setting.default) else setting.default or "none"
        assert f"| `{name}` | `{flag}` | `{setting.variable}` | {default} |" in page
