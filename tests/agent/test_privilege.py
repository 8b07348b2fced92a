"""What a hook may see and become: the agent's environment, privileges, umask; and names that a shell would take apart."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.appspec import AppSpec, Script
from agent.hooks import Hooks
from agent.local.parts import unseen
from agent.policy import Guard, Memory, NoPolicy, PolicyFile, seen
from agent.policy.rules import check_appspec, check_script
from agent.policy.terms import Policy, summary
from agent.supervisor import script as supervised
from agent.workspace import Workspace
from tests.agent.admission import event_run, refusal
from tests.agent.releases import Host, Noon, begin, ordered, release
from tests.agent.stage import ENVIRONMENT, Stage

AGENTS = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "https_proxy": "http://proxy:3128",
    "AWS_SECRET_ACCESS_KEY": "of the agent",
    "CREDENTIALS_DIRECTORY": "/run/credentials",
    "HOOKLINE_TOKEN": "of an operator",
    "INVOCATION_ID": "1",
    "JAVA_HOME": "/opt/java",
    "LISTEN_FDS": "1",
    "PATHS": "/etc",
}
USUAL = {name: AGENTS[name] for name in ("PATH", "LC_ALL", "https_proxy")}

LOOK = "#!/bin/sh\ngrep NoNewPrivs /proc/self/status\n"

ODD = st.text(st.sampled_from(";|&$`<>(){}[]*?!#~'\"\\ \t\n%=-.,:ab1é"), min_size=1, max_size=40)
"""What a shell would make something else of."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Stage(Path(folder))


@pytest.fixture
async def hooks(stage: Stage) -> AsyncIterator[Hooks]:
    hooks = stage.hooks()
    yield hooks
    await hooks.close()


def test_hooks_see_what_every_script_needs_and_nothing_else_of_the_agents_environment() -> None:
    assert seen(AGENTS, ()) == USUAL


@pytest.mark.parametrize(
    "more, added",
    [
        (("JAVA_HOME", "NOT_SET"), {"JAVA_HOME"}),
        (("AWS_*",), {"AWS_SECRET_ACCESS_KEY"}),
        (("PATH*",), {"PATHS"}),
        (("*",), AGENTS.keys() - USUAL.keys()),
    ],
)
def test_a_policy_names_what_else_hooks_see(more: tuple[str, ...], added: set[str]) -> None:
    assert seen(AGENTS, more).keys() == USUAL.keys() | added


def test_the_agent_says_what_hooks_do_not_see_and_keeps_quiet_about_its_own_settings() -> None:
    environment = {"PATH": "/bin", "PORT": "80", "JAVA_HOME": "/opt/java", "HOOKLINE_AGENT_COORDINATOR": "h:1"}
    assert unseen(None, environment) == ["JAVA_HOME", "PORT"]
    assert unseen(Policy(file="p", hook_environment=("P*",)), environment) == ["JAVA_HOME"]


def test_the_rule_of_this_moment_decides_what_a_script_is_given(tmp_path: Path) -> None:
    host, order = Host.at(tmp_path), begin(ordered(release()))
    host.rule("freeze = false\n")
    guard, run = host.guard(), replace(event_run(), inherited=AGENTS)
    assert guard.scripts(order, run).inherited == USUAL
    assert not guard.scripts(order, run).no_new_privs
    host.rule('hook_environment = ["JAVA_*"]\nno_new_privs = true\n')
    assert guard.scripts(order, run).inherited == {**USUAL, "JAVA_HOME": "/opt/java"}
    assert guard.scripts(order, run).no_new_privs
    host.rule("[hook_limits]\ncore_bytes = 0\n")
    assert guard.scripts(order, run).limits == {"core_bytes": 0}


def test_without_a_policy_hooks_see_the_usual_and_whoever_deploys_on_the_spot_shows_their_own(tmp_path: Path) -> None:
    order, run = begin(ordered(release())), replace(event_run(), inherited=AGENTS)
    for policy, expected in ((PolicyFile(tmp_path / "none.toml", is_needed=False), USUAL), (NoPolicy(), AGENTS)):
        memory, workspace = Memory(tmp_path / "releases.json"), Workspace(root_prefix=tmp_path)
        guard = Guard(policy=policy, memory=memory, workspace=workspace, clock=Noon())
        assert guard.scripts(order, run).inherited == expected


async def test_a_script_gets_what_is_said_of_its_deployment_over_what_it_inherits(stage: Stage, hooks: Hooks) -> None:
    event = stage.event(stage.script("a.sh", '#!/bin/sh\necho "$SHOP $DEPLOYMENT_ID"\n'))
    await stage.run(hooks, replace(event, inherited={"SHOP": "open", "DEPLOYMENT_ID": "the agent's"}))
    assert stage.printed()[-1] == f"[stdout]open {ENVIRONMENT['DEPLOYMENT_ID']}"


def test_sudo_is_refused_by_name_where_nothing_gains_privileges() -> None:
    policy = Policy(file="p", no_new_privs=True)
    check_script(policy, "a.sh", runas="nobody", sudo=False)
    asked = AppSpec(hooks={"AfterInstall": (Script(location="a.sh", timeout=1, runas=None, sudo=True),)})
    assert refusal(lambda: check_appspec(policy, asked)) == (
        "cannot run the script a.sh: sudo gives nothing to a process that may gain no privileges; leave sudo out (no_new_privs in p)"
    )


def test_the_summary_of_a_policy_tells_both() -> None:
    told = summary(Policy(file="p", no_new_privs=True, hook_environment=("JAVA_HOME", "AWS_*")))
    assert told == "p: no new privileges for hooks; hooks see JAVA_HOME, AWS_*"


@pytest.mark.parametrize("no_new_privs, flag", [(False, "0"), (True, "1")])
async def test_scripts_and_what_they_start_gain_no_privileges_where_the_policy_says_so(
    stage: Stage, hooks: Hooks, no_new_privs: bool, flag: str
) -> None:
    plain = stage.script("a.sh", LOOK)
    command = f"sh {plain.path} | grep -q {flag} && echo as expected"
    referring = replace(stage.script("b.sh", "#!/bin/sh\n"), env=(("FLAG", f"{{command:{command}}}"),))
    background = stage.script("c.sh", f"sh {plain.path} & wait\n")
    event = stage.event(plain, referring, background)
    assert (await stage.run(hooks, replace(event, no_new_privs=no_new_privs))).error_code == "Success"
    told = [line for line in stage.printed() if line.startswith("[stdout]")]
    assert told == [f"[stdout]NoNewPrivs:\t{flag}"] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_a_script_that_becomes_another_user_gains_no_privileges_either(stage: Stage, hooks: Hooks) -> None:
    event = replace(stage.event(stage.script("a.sh", LOOK + "id -un\n", runas="nobody")), no_new_privs=True)
    assert (await stage.run(hooks, event)).error_code == "Success"
    assert stage.printed()[-2:] == ["[stdout]NoNewPrivs:\t1", "[stdout]nobody"]


LIMITS = {"open_files": 64, "processes": 500, "memory_bytes": 1 << 30, "file_bytes": 1 << 20, "core_bytes": 0, "cpu_seconds": 600}
"""By the names of the policy; in what follows, by the shell's letters."""
LIMITED = "#!/bin/sh\nulimit -n; ulimit -u 2>/dev/null || ulimit -p; ulimit -v; ulimit -f; ulimit -c; ulimit -t\n"
AS_THE_SHELL_COUNTS = ["64", "500", str((1 << 30) >> 10), str((1 << 20) >> 9), "0", "600"]


@pytest.mark.parametrize("runas", [None, pytest.param("nobody", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can"))])
async def test_scripts_and_what_they_start_take_no_more_than_the_policy_gives(stage: Stage, hooks: Hooks, runas: str | None) -> None:
    plain = stage.script("a.sh", LIMITED, runas=runas)
    looked = stage.script("look.sh", LIMITED)
    command = f"sh {looked.path} | tr '\\n' ' '"
    referring = replace(
        stage.script("b.sh", '#!/bin/sh\necho "$TOLD"\nsh ' + looked.path, runas=runas), env=(("TOLD", f"{{command:{command}}}"),)
    )
    event = replace(stage.event(plain, referring), limits=LIMITS)
    assert (await stage.run(hooks, event)).error_code == "Success", stage.printed()
    told = [line.removeprefix("[stdout]").strip() for line in stage.printed() if line.startswith("[stdout]")]
    masked = "*" * len(" ".join(AS_THE_SHELL_COUNTS) + " ")
    assert told == [*AS_THE_SHELL_COUNTS, masked.strip(), *AS_THE_SHELL_COUNTS]


async def test_a_file_and_memory_that_grow_too_large_end_the_script_and_the_next_event_is_not_bound(stage: Stage, hooks: Hooks) -> None:
    grows = stage.script("a.sh", "#!/bin/sh\nhead -c 3000000 /dev/zero > big\n")
    event = replace(stage.event(grows), limits={"file_bytes": 1 << 20})
    assert (await stage.run(hooks, event)).error_code == "ScriptFailed"
    assert (stage.folder / "big").stat().st_size == 1 << 20
    assert (await stage.run(hooks, stage.event(grows, name="ValidateService"))).error_code == "Success"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


async def test_nobody_else_may_write_what_hooks_make_however_the_agent_was_started(open_umask: None, stage: Stage, hooks: Hooks) -> None:
    await stage.run(hooks, stage.event(stage.script("a.sh", "#!/bin/sh\numask\n")))
    assert stage.printed()[-1] == "[stdout]0022"


@settings(max_examples=200, deadline=None)
@given(ODD)
def test_a_runas_that_is_no_users_name_starts_nothing(user: str) -> None:
    asked = supervised.Script(location="a.sh", path="/bin/true", timeout=1, runas=user, sudo=True)
    with pytest.raises(supervised.Refused, match="this host has no user") as refused:
        supervised.start(asked, {"PATH": os.defpath}, supervised.Streams(stdin=0, stdout=1, stderr=2))
    assert refused.value.error_code == "ScriptFailed"


@settings(max_examples=40, deadline=None)
@given(location=ODD.filter(lambda name: name not in (".", "..")), argument=ODD, as_somebody=st.booleans())
def test_locations_and_arguments_reach_the_script_as_they_are(location: str, argument: str, as_somebody: bool) -> None:
    """By `sudo su -c`, the only way on which a shell reads them, as well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        sudo, path = folder / "bin" / "sudo", folder / "bundle" / location
        for file, text in ((sudo, '#!/bin/sh\nexec /bin/sh -c "$5"\n'), (path, '#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')):
            file.parent.mkdir()
            file.write_text(text)
            file.chmod(0o755)
        asked = supervised.Script(location=location, path=str(path), timeout=1, runas="daemon" if as_somebody else "", sudo=as_somebody)
        asked.arguments.append(argument)
        assert printed(asked, str(sudo.parent)) == f"{path}\n{argument}\n"
        assert {file.name for folder, _, files in os.walk(name) for file in map(Path, files)} == {"sudo", path.name}


def printed(asked: supervised.Script, path: str) -> str:
    """What a script prints that somebody who is not root starts."""
    output, end = os.pipe()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        pid = supervised.start(asked, {"PATH": path}, supervised.Streams(stdin=nowhere, stdout=end, stderr=end))
    finally:
        if root:
            os.seteuid(0)
        os.close(end)
        os.close(nowhere)
    with os.fdopen(output) as file:
        text = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text
