"""What an operator may set: by flag, by environment, in one TOML file; the first of these that says something is heard.

Knows names and kinds. What a value means is checked where it is used (agent/config.py).
"""

from __future__ import annotations

import socket
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from agent.bundle.requests import GITHUB_API
from agent.config import tags, zone
from agent.errors import AgentError
from agent.policy import DEFAULT_FILE as POLICY_FILE
from agent.workspace.retention import Retention

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

DEFAULT_FILE = Path("/etc/hookline/agent.toml")
VARIABLES = "HOOKLINE_AGENT_"
_FILE_VARIABLE = f"{VARIABLES}CONFIG"
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Kind(Enum):
    """How a setting is written."""

    TEXT = auto()
    NUMBER = auto()
    SWITCH = auto()
    TAGS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that may be set; `default` is what is told of it."""

    name: str
    help: str
    default: str = ""
    kind: Kind = Kind.TEXT
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """On the command line; tags come one by one."""
        return "--tag" if self.kind is Kind.TAGS else f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return VARIABLES + self.name.upper()


_ALL = (
    Setting(name="coordinator", metavar="HOST:PORT", default="the one that was joined", help="where the coordinator listens"),
    Setting(
        name="host",
        metavar="NAME",
        default="the machine's host name",
        help="the name that operators see; 1 to 100 of A-Z a-z 0-9 . _ + = , @ -",
    ),
    Setting(
        name="data_dir",
        metavar="DIR",
        default="/var/lib/hookline-agent",
        help="what makes the agent itself again after a restart: keep it",
    ),
    Setting(
        name="root_prefix",
        metavar="DIR",
        default="/",
        help="the directory below which every absolute path of a deployment lies, so that many agents fit on one machine",
    ),
    Setting(name="tags", metavar="KEY=VALUE", kind=Kind.TAGS, help="tags of this host, for deployment groups; at most 64"),
    Setting(name="zone", metavar="NAME", help="where this host stands, as eu-1a: rollouts may go zone by zone"),
    Setting(name="insecure", kind=Kind.SWITCH, default="false", help="speak plaintext; for loopback addresses only"),
    Setting(
        name="policy",
        metavar="FILE",
        default=f"{POLICY_FILE}, when it is there",
        help="what this host allows its coordinator; a file that nobody but root (or the agent's user) may write",
    ),
    Setting(
        name="max_revisions",
        metavar="NUMBER",
        kind=Kind.NUMBER,
        default=str(Retention().max_revisions),
        help="how many revisions of each deployment group stay on the host, the newest counted",
    ),
    Setting(
        name="max_revision_bytes",
        metavar="BYTES",
        kind=Kind.NUMBER,
        default=str(Retention().max_bytes),
        help="how much the revisions of all groups may take together; what is installed stays, whatever it takes",
    ),
    Setting(
        name="private_origins",
        metavar="LIST",
        default="none",
        help="servers with private or loopback addresses that bundles may be fetched from over http(s): names, addresses, "
        "networks such as 10.0.0.0/8, or any; separated by commas",
    ),
    Setting(name="s3_endpoint", metavar="URL", default="AWS_ENDPOINT_URL_S3, else Amazon's", help="where bundles in S3 are fetched from"),
    Setting(name="s3_region", metavar="REGION", default="AWS_REGION, else us-east-1", help="the region of bundles in S3"),
    Setting(name="github_api", metavar="URL", default=GITHUB_API, help="the API of GitHub, or of your own GitHub server"),
    Setting(
        name="github_token_file",
        metavar="FILE",
        help="a file that holds the token to fetch commits from GitHub with; it is read at each download",
    ),
    Setting(
        name="log_level",
        metavar="LEVEL",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="the least that is worth a line in the agent's own log",
    ),
)
SETTINGS = {setting.name: setting for setting in _ALL}
"""Everything that may be set, by its name in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was set. coordinator and policy are None when nobody has said them; file is None when there is none."""

    coordinator: str | None
    host: str
    data_dir: Path
    root_prefix: Path
    tags: tuple[tuple[str, str], ...]
    zone: str
    insecure: bool
    policy: Path | None
    max_revisions: int
    max_revision_bytes: int
    private_origins: str
    s3_endpoint: str
    s3_region: str
    github_api: str
    github_token_file: str
    log_level: str
    file: Path | None

    @property
    def the_coordinator(self) -> str:
        """Where the coordinator listens; refuses to do without."""
        if self.coordinator is None:
            where = f"{SETTINGS['coordinator'].flag} HOST:PORT, {SETTINGS['coordinator'].variable}, or coordinator in {DEFAULT_FILE}"
            raise AgentError(f"cannot say where the coordinator is: set it by {where}")
        return self.coordinator


def add_arguments(parser: argparse.ArgumentParser, names: Iterable[str] = tuple(SETTINGS)) -> None:
    """Adds `--config` and the flags of these settings."""
    from argparse import BooleanOptionalAction

    where = f"Each may also stand in the environment (as {VARIABLES}DATA_DIR) or in the file (as data_dir); a flag is heard first."
    told = parser.add_argument_group("settings", where)
    told.add_argument("--config", type=Path, metavar="FILE", help=f"the file of settings (default: {DEFAULT_FILE}, when it is there)")
    for name in names:
        setting = SETTINGS[name]
        words = f"{setting.help} (default: {setting.default})" if setting.default else setting.help
        match setting.kind:
            case Kind.SWITCH:
                told.add_argument(setting.flag, dest=name, action=BooleanOptionalAction, help=words)
            case Kind.TAGS:
                told.add_argument(setting.flag, dest=name, action="append", metavar=setting.metavar, help=words)
            case Kind.TEXT | Kind.NUMBER:
                told.add_argument(setting.flag, dest=name, metavar=setting.metavar, choices=setting.choices or None, help=words)
            case _:
                assert_never(setting.kind)


def settings(args: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """What flags, environment and file say together."""
    file = _file(args.config, environment)
    said = {**({} if file is None else _of_file(file)), **_of_environment(environment), **_of_flags(args)}

    def text(name: str, otherwise: str | None = None) -> str:
        return said[name][0] if name in said else otherwise or SETTINGS[name].default

    return Settings(
        coordinator=said.get("coordinator", [""])[0] or None,
        host=text("host", socket.gethostname()),
        data_dir=Path(text("data_dir")).absolute(),
        root_prefix=Path(text("root_prefix")).absolute(),
        tags=tags(said.get("tags", ())),
        zone=zone(text("zone")),
        insecure=text("insecure") in _YES,
        policy=Path(text("policy")).absolute() if "policy" in said else None,
        max_revisions=int(text("max_revisions")),
        max_revision_bytes=int(text("max_revision_bytes")),
        private_origins=said.get("private_origins", [""])[0],
        s3_endpoint=said.get("s3_endpoint", [""])[0],
        s3_region=said.get("s3_region", [""])[0],
        github_api=text("github_api"),
        github_token_file=text("github_token_file"),
        log_level=text("log_level"),
        file=file,
    )


def _file(flag: Path | None, environment: Mapping[str, str]) -> Path | None:
    named = flag or (Path(environment[_FILE_VARIABLE]) if environment.get(_FILE_VARIABLE) else None)
    if named is None:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    return named


def _of_flags(args: argparse.Namespace) -> dict[str, list[str]]:
    said = {}
    for name, setting in SETTINGS.items():
        value = getattr(args, name, None)
        if isinstance(value, list):
            said[name] = value
        elif value is not None:
            said[name] = [_checked(setting, str(value), setting.flag)]
    return said


def _of_environment(environment: Mapping[str, str]) -> dict[str, list[str]]:
    said = {}
    for variable, value in environment.items():
        if not value or not variable.startswith(VARIABLES) or variable == _FILE_VARIABLE:
            continue
        setting = _setting(variable.removeprefix(VARIABLES).lower(), "the environment", {one.variable: one for one in _ALL}, variable)
        if setting.kind is Kind.TAGS:
            said[setting.name] = [tag.strip() for tag in value.split(",") if tag.strip()]
        else:
            said[setting.name] = [_checked(setting, value, f"{variable} in the environment")]
    return said


def _of_file(file: Path) -> dict[str, list[str]]:
    try:
        table = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"cannot read {file}: {error}") from error
    except OSError as error:
        raise AgentError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    said = {}
    for key, value in table.items():
        setting = _setting(key, str(file), SETTINGS, key)
        said[key] = _texts(setting, value, f"{key} in {file}")
    return said


def _texts(setting: Setting, value: object, where: str) -> list[str]:
    if setting.kind is Kind.TAGS and isinstance(value, dict):
        return [_tag(key, word, where) for key, word in value.items()]
    if setting.kind is Kind.SWITCH and isinstance(value, bool):
        return [str(value).lower()]
    if setting.kind is Kind.TEXT and isinstance(value, str):
        return [_checked(setting, value, where)]
    if setting.kind is Kind.NUMBER and isinstance(value, int):
        return [_checked(setting, str(value), where)]
    wanted = {
        Kind.TAGS: 'a table of texts, as in role = "web"',
        Kind.SWITCH: "true or false",
        Kind.TEXT: "a text in quotes",
        Kind.NUMBER: "a whole number, without quotes",
    }
    raise AgentError(f"cannot use {where}: it has to be {wanted[setting.kind]}")


def _tag(key: object, word: object, where: str) -> str:
    if not isinstance(key, str) or not isinstance(word, str) or "=" in key:
        raise AgentError(f"cannot use {where}: the tag {key} has to be a text in quotes, and its key without an equals sign")
    return f"{key}={word}"


def _checked(setting: Setting, value: str, where: str) -> str:
    choices = (*_YES, *_NO) if setting.kind is Kind.SWITCH else setting.choices
    value = value.lower() if choices else value
    if choices and value not in choices:
        raise AgentError(f"cannot use {where}: {value!r} is none of {', '.join(choices)}")
    if not value:
        raise AgentError(f"cannot use {where}: it is empty; leave it out for the default")
    if setting.kind is Kind.NUMBER and not (value.isdecimal() and 0 < int(value) < 2**62):
        raise AgentError(f"cannot use {where}: {value!r} is no whole number of 1 or more")
    return value


def _setting(name: str, where: str, known: Mapping[str, Setting], typed: str) -> Setting:
    if name in SETTINGS:
        return SETTINGS[name]
    near = get_close_matches(typed, known, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise AgentError(f"cannot use {typed} in {where}: there is no such setting; {advice}")
