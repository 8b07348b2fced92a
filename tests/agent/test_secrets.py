"""References among a script's variables: looked up as its user just before it begins, given to it alone, and masked in what is printed."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.hooks import Hooks, ScriptRun
from agent.references import reference
from agent.supervisor.secrets import LONGEST
from tests.agent.stage import ENVIRONMENT, Stage

SECRET = "c4n4ry-of-the-h0st"
SAYS = '#!/bin/sh\ntest "$PASSWORD" = \'{secret}\' || exit 9\necho "it is $PASSWORD."\n{more}'

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Below a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Stage(Path(folder))


@pytest.fixture
async def hooks(stage: Stage) -> AsyncIterator[Hooks]:
    hooks = stage.hooks()
    yield hooks
    await hooks.close()


def script(stage: Stage, written: str, *, secret: str = SECRET, more: str = "", runas: str | None = None) -> ScriptRun:
    """A script that fails unless its PASSWORD is the secret, and prints it."""
    made = stage.script("say.sh", SAYS.format(secret=secret, more=more), runas=runas)
    return replace(made, env=(("PASSWORD", written), ("PLAIN", "plain")))


def secret_file(stage: Stage, content: str = SECRET + "\n") -> Path:
    path = stage.folder / "secret"
    path.write_text(content)
    path.chmod(0o600)
    return path


def everything(stage: Stage) -> bytes:
    """All that is kept of hooks, and what looks at it."""
    kept = [path for path in stage.folder.rglob("*") if path.is_file() and stage.bundle not in path.parents and path.name != "secret"]
    assert stage.scripts_log in kept
    return b"".join(path.read_bytes() for path in kept)


@pytest.mark.parametrize(
    "text, found", [("{file:/a}", ("file", "/a")), ("{command:a | b }", ("command", "a | b")), ("{env:A}", ("env", "A"))]
)
def test_a_reference_has_a_kind_and_names_something(text: str, found: tuple[str, str]) -> None:
    assert reference(text) == found


@pytest.mark.parametrize("text", ["", "{}", "{file}", "{other:x}", "file:/a", "{file:/a", "a {file:/a}", '{"file": 1}'])
def test_anything_else_stands_for_itself(text: str) -> None:
    assert reference(text) is None


async def test_a_script_gets_what_a_file_holds_and_nobody_else_sees_it(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(script(stage, f"{{file:{secret_file(stage)}}}", more="exit 3\n")))
    assert outcome.exit_code == 3
    assert outcome.log_tail.splitlines()[-1] == f"[stdout]it is {'*' * len(SECRET)}."
    assert SECRET.encode() not in everything(stage)


async def test_a_script_gets_a_variable_of_the_agent_also_under_its_own_name(stage: Stage, hooks: Hooks) -> None:
    event = stage.event(script(stage, "{env:PASSWORD}"), environment={**ENVIRONMENT, "PASSWORD": SECRET})
    assert (await stage.run(hooks, event)).error_code == "Success"
    assert stage.printed()[-1] == f"[stdout]it is {'*' * len(SECRET)}."


async def test_a_script_gets_what_a_command_says_which_sees_the_deployment(stage: Stage, hooks: Hooks) -> None:
    asked = script(stage, '{command:echo "of $DEPLOYMENT_ID $PLAIN"; echo ' + SECRET + " >&2}", secret="of d-ABCDEFGHI plain")
    assert (await stage.run(hooks, stage.event(asked))).error_code == "Success"
    assert SECRET.encode() not in everything(stage)


async def test_the_lines_of_a_secret_are_masked_in_a_later_event_too(stage: Stage, hooks: Hooks) -> None:
    lines = "first line of it\nsecond line of it"
    asked = script(stage, f"{{file:{secret_file(stage, lines)}}}", secret=lines)
    assert (await stage.run(hooks, stage.event(asked))).error_code == "Success"
    later = stage.script("later.sh", "#!/bin/sh\necho 'here: second line of it, and more'\n")
    assert (await stage.run(hooks, stage.event(later, name="ValidateService"))).error_code == "Success"
    assert stage.printed()[-1] == f"[stdout]here: {'*' * 17}, and more"
    assert b"first line" not in everything(stage)


@needs_root
async def test_a_reference_is_looked_up_as_the_user_of_the_script(stage: Stage, hooks: Hooks) -> None:
    asked = script(stage, f"{{file:{secret_file(stage)}}}", runas="daemon")
    outcome = await stage.run(hooks, stage.event(asked))
    assert outcome.message.endswith(f"file {stage.folder / 'secret'}, for its variable PASSWORD, cannot be read: permission denied")
    asked = script(stage, "{command:id -un; echo $HOME}", secret="daemon\n/usr/sbin", runas="daemon")
    assert (await stage.run(hooks, stage.event(asked, name="ApplicationStart"))).error_code == "Success"


@pytest.mark.parametrize(
    "written, why",
    [
        ("{file:/nowhere/secret}", "file /nowhere/secret, for its variable PASSWORD, cannot be read: no such file or directory"),
        ("{file:/}", "file /, for its variable PASSWORD, cannot be read: it is no file"),
        ("{file:/dev/zero}", "cannot be read: it is no file"),
        ("{file:/dev/null}", "cannot be read: it is no file"),
        ("{env:NOWHERE}", "its variable PASSWORD stands for NOWHERE of the agent's environment, which is not set there"),
        (f"{{command:echo {SECRET}; exit 7}}", "the command for its variable PASSWORD failed with exit code 7"),
        (f"{{command:echo {SECRET}; kill -9 $$}}", "the command for its variable PASSWORD was killed by signal 9"),
        ("{command:true}", "what its variable PASSWORD stands for is empty"),
        ("{command:printf 'a\\000b'}", "what its variable PASSWORD stands for holds a NUL"),
        (f"{{command:head -c {LONGEST + 1} /dev/zero}}", f"gave no end within 10 s, or more than {LONGEST} bytes"),
    ],
)
async def test_a_reference_that_stands_for_nothing_fails_the_event_and_shows_no_secret(
    stage: Stage, hooks: Hooks, written: str, why: str
) -> None:
    outcome = await stage.run(hooks, stage.event(script(stage, written)))
    assert (outcome.error_code, outcome.script_name, outcome.exit_code) == ("ScriptFailed", "scripts/say.sh", None)
    assert outcome.message.startswith("cannot run script at scripts/say.sh: ")
    assert why in outcome.message
    assert SECRET.encode() not in outcome.message.encode() + everything(stage)


async def test_a_fifo_holds_nobody_up(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(script(stage, f"{{file:{stage.fifo('pipe')}}}")))
    assert "cannot be read: it is no file" in outcome.message


async def test_a_variable_of_the_agent_that_only_looks_like_a_reference_is_left_alone(stage: Stage, hooks: Hooks) -> None:
    plain = stage.script("plain.sh", '#!/bin/sh\ntest "$ODD" = "{command:exit 1}"\n')
    event = stage.event(plain, environment={**ENVIRONMENT, "ODD": "{command:exit 1}"})
    assert (await stage.run(hooks, event)).error_code == "Success"
