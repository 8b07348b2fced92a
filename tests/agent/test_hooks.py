"""Scripts of hooks run as CodeDeploy runs them, and end as it says, under a real supervisor."""

import asyncio
import os
import re
import signal
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.hooks import Hooks
from tests.agent.stage import ENVIRONMENT, Stage, is_running, until


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def hooks(stage: Stage) -> AsyncIterator[Hooks]:
    hooks = stage.hooks()
    yield hooks
    await hooks.close()


@pytest.fixture
def ignored_sigchld() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


async def test_a_script_that_exits_0_succeeds_and_sends_no_output(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("fine.sh", "#!/bin/sh\necho hello\necho oh >&2\n")
    outcome = await stage.run(hooks, stage.event(script))
    assert (outcome.error_code, outcome.message, outcome.script_name, outcome.log_tail) == ("Success", "Succeeded", "", "")
    assert outcome.exit_code is None
    assert not outcome.interrupted
    assert 0 < outcome.started_at <= outcome.ended_at


@pytest.mark.parametrize("code", [1, 2, 126, 127, 255])
async def test_a_script_that_exits_otherwise_fails_the_event_with_its_code_and_tail(stage: Stage, hooks: Hooks, code: int) -> None:
    script = stage.script("fail.sh", f"#!/bin/sh\necho last words\nexit {code}\n")
    outcome = await stage.run(hooks, stage.event(script))
    assert (outcome.error_code, outcome.script_name, outcome.exit_code) == ("ScriptFailed", "scripts/fail.sh", code)
    assert outcome.message == f"script at scripts/fail.sh failed with exit code {code}"
    assert outcome.log_tail == "LifecycleEvent - AfterInstall\nScript - scripts/fail.sh\n[stdout]last words\n"


async def test_an_inherited_ignored_sigchld_does_not_turn_a_failure_into_a_success(stage: Stage, ignored_sigchld: None) -> None:
    hooks = stage.hooks()
    outcome = await stage.run(hooks, stage.event(stage.script("fail.sh", "#!/bin/sh\n(exit 1)\nexit 3\n")))
    assert (outcome.error_code, outcome.exit_code) == ("ScriptFailed", 3)
    await hooks.close()


async def test_a_script_killed_by_a_signal_fails_and_says_by_which(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(stage.script("kill.sh", "#!/bin/sh\nkill -9 $$\n")))
    assert (outcome.error_code, outcome.exit_code) == ("ScriptFailed", None)
    assert "killed by signal 9 (Killed)" in outcome.message


async def test_several_scripts_run_in_order_until_the_first_failure(stage: Stage, hooks: Hooks) -> None:
    one = stage.script("one.sh", "#!/bin/sh\necho 1\n")
    two = stage.script("two.sh", "#!/bin/sh\necho 2\nexit 5\n")
    three = stage.script("three.sh", "#!/bin/sh\necho 3\n")
    outcome = await stage.run(hooks, stage.event(one, two, three))
    assert (outcome.error_code, outcome.script_name, outcome.exit_code) == ("ScriptFailed", "scripts/two.sh", 5)
    lines = ["LifecycleEvent - AfterInstall", "Script - scripts/one.sh", "[stdout]1", "Script - scripts/two.sh", "[stdout]2"]
    assert stage.printed() == lines


async def test_of_closing_hooks_each_runs_and_the_first_failure_is_told(stage: Stage, hooks: Hooks) -> None:
    gone = stage.script("gone.sh", "")
    Path(gone.path).unlink()
    two = stage.script("two.sh", "#!/bin/sh\necho 2\nexit 5\n")
    three = stage.script("three.sh", "#!/bin/sh\necho 3\n")
    outcome = await stage.run(hooks, replace(stage.event(gone, two, three), closing=True))
    assert (outcome.error_code, outcome.script_name) == ("ScriptMissing", "scripts/gone.sh")
    assert [line for line in stage.printed() if line.startswith("[stdout]")] == ["[stdout]2", "[stdout]3"]


async def test_another_attempt_has_a_record_of_its_own_under_the_same_supervisor(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("say.sh", "#!/bin/sh\necho said\n")
    for attempt in (1, 2, 2):
        assert (await stage.run(hooks, replace(stage.event(script), attempt=attempt))).error_code == "Success"
    assert stage.printed().count("[stdout]said") == 2
    assert sorted(path.suffix for path in (stage.data_dir / "records").iterdir() if path.suffix != ".new") == [".1", ".2"]


async def test_a_cancel_ends_an_event_and_not_what_closes_it(stage: Stage, hooks: Hooks) -> None:
    wait = stage.script("wait.sh", f"#!/bin/sh\necho > {stage.fifo('ready')}\nexec sleep 60\n")
    event = stage.event(wait)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, event))
        await asyncio.to_thread((stage.folder / "ready").read_text)
        await hooks.cancel(event.instruction_id, event.attempt)
    assert running.result().cause == "cancelled"
    script = stage.script("tidy.sh", "#!/bin/sh\necho tidy\n")
    closing = replace(stage.event(script, script, name="AfterInstall (closing)"), closing=True)
    assert (await stage.run(hooks, closing)).error_code == "Success"
    assert stage.printed().count("[stdout]tidy") == 2
    assert (await stage.run(hooks, closing)).error_code == "Success"
    assert stage.printed().count("[stdout]tidy") == 2  # the record tells


async def test_the_supervisor_runs_one_event_after_the_other_into_one_stream(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("say.sh", "#!/bin/sh\nprintf 'no end'\n")
    for name in ("BeforeInstall", "AfterInstall"):
        assert (await stage.run(hooks, stage.event(script, name=name))).error_code == "Success"
    stream = hooks.output_path("d-ABCDEFGHI/h1/0")
    assert stream.read_bytes() == stage.scripts_log.read_bytes()
    assert stage.printed(stream)[::3] == ["LifecycleEvent - BeforeInstall", "LifecycleEvent - AfterInstall"]
    assert stage.printed(stream)[2] == "[stdout]no end"


def test_an_output_that_vanishes_while_it_is_listed_is_left_out(hooks: Hooks) -> None:
    directory = hooks.output_path("").parent
    (directory / "there.log").touch()
    (directory / "gone.log").symlink_to(directory / "nothing")  # its name is found, and then there is no such file
    assert hooks.outputs() == ["there"]


async def test_a_forgotten_instruction_leaves_neither_output_nor_record(stage: Stage, hooks: Hooks) -> None:
    await stage.run(hooks, stage.event(stage.script("say.sh", "#!/bin/sh\necho said\n")))
    assert hooks.outputs() == ["d-ABCDEFGHI/h1/0"]
    await hooks.finish("d-ABCDEFGHI/h1/0")
    hooks.forget("d-ABCDEFGHI/h1/0")
    directory = hooks.output_path("").parent.parent
    assert hooks.outputs() == []
    assert [path.name for path in (directory / "records").iterdir() if path.suffix != ".new"] == []


def test_forgetting_instructions_keeps_nothing_of_them_in_memory(hooks: Hooks) -> None:
    tracemalloc.start()
    try:
        for number in range(100):
            hooks.forget(f"d-{number}/h1/0")
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100, 1_000):
            hooks.forget(f"d-{number}/h1/0")
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


async def test_a_missing_script_is_said_to_be_missing(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("gone.sh", "")
    Path(script.path).unlink()
    outcome = await stage.run(hooks, stage.event(script))
    assert (outcome.error_code, outcome.script_name) == ("ScriptMissing", "scripts/gone.sh")
    assert script.path in outcome.message


@pytest.mark.parametrize(
    "text,why",
    [
        ("#!/bin/sh\r\necho\r\n", "its first line ends with CR LF; save the file with LF line ends"),
        ("#!/no/such/interpreter -x\n", "its interpreter /no/such/interpreter is not on this host"),
    ],
)
async def test_a_script_that_cannot_be_executed_fails_with_the_reason(stage: Stage, hooks: Hooks, text: str, why: str) -> None:
    outcome = await stage.run(hooks, stage.event(stage.script("bad.sh", text)))
    assert outcome.error_code == "ScriptFailed"
    assert outcome.message == f"cannot run script at scripts/bad.sh: {why}"


async def test_a_location_is_a_path_and_never_a_command_line(stage: Stage, hooks: Hooks) -> None:
    odd = stage.script("a b; echo $(id) 'c'.sh", "#!/bin/sh\necho $# $0\n")
    with_argument = replace(stage.script("a.sh", ""), location="scripts/a.sh foo", path=f"{stage.bundle}/a.sh foo")
    outcome = await stage.run(hooks, stage.event(odd, with_argument))
    assert stage.printed()[2] == f"[stdout]0 {odd.path}"
    assert (outcome.error_code, outcome.script_name) == ("ScriptMissing", "scripts/a.sh foo")


async def test_a_directory_in_the_place_of_a_script_fails(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("folder", "")
    Path(script.path).unlink()
    Path(script.path).mkdir()
    outcome = await stage.run(hooks, stage.event(script))
    assert outcome.error_code == "ScriptFailed"
    assert "it is a directory" in outcome.message


async def test_a_script_without_execute_bit_and_shebang_runs(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(stage.script("bare", "echo by $0\n", mode=0o644)))
    assert outcome.error_code == "Success"
    assert stage.printed()[-1] == f"[stdout]by {stage.bundle}/bare"


async def test_a_script_sees_the_environment_that_it_was_given_and_nothing_else(stage: Stage, hooks: Hooks) -> None:
    script = stage.script("environment", "#!/bin/cat /proc/self/environ\n")
    await stage.run(hooks, stage.event(script, environment={**ENVIRONMENT, "ODD": "=\n\t é \udcff"}))
    raw = stage.scripts_log.read_bytes()
    assert b"PATH=/usr/bin:/bin\0LIFECYCLE_EVENT=AfterInstall\0DEPLOYMENT_ID=d-ABCDEFGHI\0ODD==" in raw
    assert re.search(rb"\t \xc3\xa9 \xff\0HOOKLINE_EVENT=\d+\.\d+\.AfterInstall\0#!/bin/cat", raw)


@pytest.mark.parametrize("head", ["#!/bin/sh\n", ""])
async def test_a_script_gets_its_own_arguments_and_variables_without_a_shell_between(stage: Stage, hooks: Hooks, head: str) -> None:
    text = f'{head}printf "<%s>" "$@" "$COLOUR" "$DEPLOYMENT_ID"; echo\n'
    first = replace(stage.script("a.sh", text), args=("--port", "80 80", "$HOME", ""), env=(("COLOUR", "re\nd="),))
    await stage.run(hooks, stage.event(first, stage.script("b.sh", text)))
    printed = [line for line in stage.printed() if line.startswith("[stdout]")]
    assert printed == ["[stdout]<--port><80 80><$HOME><><re", "[stdout]d=><d-ABCDEFGHI>", "[stdout]<><d-ABCDEFGHI>"]


@pytest.fixture
def unusual_umask() -> Iterator[str]:
    before = os.umask(0o027)
    yield "0027"
    os.umask(before)


async def test_a_script_inherits_the_umask_and_no_signals_no_files_no_input(stage: Stage, unusual_umask: str, hooks: Hooks) -> None:
    script = stage.script(
        "look.sh", '#!/bin/sh\nls /proc/self/fd | tr "\\n" " "; pwd; umask; wc -c\ngrep -E "Sig(Ign|Blk)" /proc/self/status\n'
    )
    await stage.run(hooks, stage.event(script))
    *lines, blocked, ignored = stage.printed()[2:]
    assert lines == [f"[stdout]0 1 2 3 {stage.folder}", f"[stdout]{unusual_umask}", "[stdout]0"]  # 3 is the folder that ls reads
    assert blocked == "[stdout]SigBlk:\t0000000000000000"
    reserved = 3 << 31  # 32 and 33 are the C library's own, which nobody can set
    assert int(ignored.partition("\t")[2], 16) & ~reserved == 0


async def test_a_timeout_ends_the_process_group_even_when_it_ignores_term(stage: Stage, hooks: Hooks) -> None:
    pids = stage.folder / "pids"
    text = f"#!/bin/sh\ntrap '' TERM\nsh -c 'sleep 60' &\necho $! $$ > {pids}\nsleep 60\n"
    outcome = await stage.run(hooks, stage.event(stage.script("stubborn.sh", text, timeout=1)))
    assert outcome.error_code == "ScriptTimedOut"
    assert outcome.message.startswith("script at scripts/stubborn.sh did not end within 1 seconds")
    await until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))


async def test_a_timeout_reaches_what_has_left_the_process_group_but_nothing_of_an_earlier_event(stage: Stage, hooks: Hooks) -> None:
    application, escaped = stage.folder / "application", stage.folder / "escaped"
    daemon = "setsid sh -c 'trap \"\" TERM; echo $$ > {}; exec sleep 60' < /dev/null > /dev/null 2>&1 &\n"
    start = stage.script("start.sh", f"#!/bin/sh\n{daemon.format(application)}")
    check = stage.script("check.sh", f"#!/bin/sh\n{daemon.format(escaped)}sleep 60\n", timeout=1)
    assert (await stage.run(hooks, stage.event(start, name="ApplicationStart"))).error_code == "Success"
    assert (await stage.run(hooks, stage.event(check, name="ValidateService"))).error_code == "ScriptTimedOut"
    assert not is_running(int(escaped.read_text()))
    assert is_running(int(application.read_text()))
    os.kill(int(application.read_text()), signal.SIGKILL)


async def test_the_timeout_of_the_event_holds_for_its_scripts_together(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(stage.script("slow.sh", "#!/bin/sh\nsleep 60\n", timeout=60), timeout=1))
    assert (outcome.error_code, outcome.script_name) == ("ScriptTimedOut", "scripts/slow.sh")


async def test_a_child_that_holds_the_output_open_ends_the_event_after_the_grace_and_goes_on(stage: Stage, hooks: Hooks) -> None:
    ask, answer = stage.fifo("ask"), stage.fifo("answer")
    text = f"#!/bin/sh\n(read line < {ask}; echo printed later; echo alive > {answer}) &\necho ready\n"
    outcome = await stage.run(hooks, stage.event(stage.script("start.sh", text)))
    assert outcome.error_code == "Success"
    assert outcome.message.startswith("Succeeded; script at scripts/start.sh left a process that holds its output open")
    await hooks.finish("d-ABCDEFGHI/h1/0")
    async with asyncio.timeout(30):
        await asyncio.to_thread(ask.write_text, "go\n")
        assert await asyncio.to_thread(answer.read_text) == "alive\n"


async def test_what_a_hook_starts_in_the_background_outlives_it_and_its_supervisor(stage: Stage, hooks: Hooks) -> None:
    pid_file = stage.folder / "pid"
    text = f"#!/bin/sh\nsleep 60 > /dev/null 2>&1 &\necho $! > {pid_file}\nexit 3\n"
    outcome = await stage.run(hooks, stage.event(stage.script("start.sh", text)))
    await hooks.finish("d-ABCDEFGHI/h1/0")
    assert (outcome.error_code, outcome.message) == ("ScriptFailed", "script at scripts/start.sh failed with exit code 3")
    pid = int(pid_file.read_text())
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


async def test_cancel_ends_the_running_script_and_leaves_the_others_out(stage: Stage, hooks: Hooks) -> None:
    ready = stage.fifo("ready")
    waits = stage.script("wait.sh", f"#!/bin/sh\necho > {ready}\nsleep 60\n")
    event = stage.event(waits, stage.script("never.sh", "#!/bin/sh\necho never\n"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, event))
        await asyncio.to_thread(ready.read_text)
        await hooks.cancel(event.instruction_id, event.attempt)
    assert (running.result().error_code, running.result().cause) == ("ScriptFailed", "cancelled")
    assert "[stdout]never" not in stage.printed()


async def test_output_past_the_limit_is_dropped_and_counted(stage: Stage) -> None:
    hooks = stage.hooks(output_limit=4096)
    flood = stage.script("flood.sh", "#!/bin/sh\ni=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done; echo end; exit 1\n")
    outcome = await stage.run(hooks, stage.event(flood))
    lines = stage.printed()
    kept = lines.count("[stdout]0123456789")
    assert lines[-2:] == [
        "[hookline]the limit of this output is reached, what follows is dropped",
        f"[hookline]dropped {(1000 - kept) * 11 + 4} bytes of output",
    ]
    assert 4096 - 100 < len(stage.scripts_log.read_bytes()) < 4096 + 200
    assert outcome.log_tail.splitlines()[-2] == "[stdout]end"
    await hooks.close()


async def test_the_tail_holds_whole_lines_below_2048_characters(stage: Stage, hooks: Hooks) -> None:
    text = "#!/bin/sh\ni=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done\nexit 1\n"
    outcome = await stage.run(hooks, stage.event(stage.script("much.sh", text)))
    lines = outcome.log_tail.splitlines()
    assert 2048 - 20 < len(outcome.log_tail) < 2048
    assert lines == [f"[stdout]line {number}" for number in range(300 - len(lines), 300)]


async def test_a_line_too_long_for_the_tail_shows_its_end(stage: Stage, hooks: Hooks) -> None:
    text = "#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x\necho the end\nexit 1\n"
    outcome = await stage.run(hooks, stage.event(stage.script("long.sh", text)))
    assert len(outcome.log_tail) < 2048
    assert outcome.log_tail.endswith("the end\n")


async def test_a_user_that_the_host_does_not_have_fails_the_event_by_name(stage: Stage, hooks: Hooks) -> None:
    outcome = await stage.run(hooks, stage.event(stage.script("a.sh", "#!/bin/sh\n", runas="no-such-user")))
    assert outcome.error_code == "ScriptFailed"
    assert "this host has no user no-such-user" in outcome.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_runas_becomes_the_user_with_the_environment_that_su_gives() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        stage = Stage(Path(folder))
        hooks = stage.hooks()
        text = "echo $(id -un) $(id -Gn) $HOME $USER $LOGNAME $SHELL\nexit 4\n"
        outcome = await stage.run(hooks, stage.event(stage.script("who.sh", text, runas="nobody")))
        assert (outcome.exit_code, outcome.message.partition(" failed")[0]) == (4, "script at scripts/who.sh run as user nobody")
        assert stage.printed()[2] == "[stdout]nobody nogroup /nonexistent nobody nobody /usr/sbin/nologin"
        await hooks.close()
