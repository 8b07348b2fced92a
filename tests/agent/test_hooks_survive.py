"""Crashes around a running hook: it runs once, its true result is found, and what cannot be known is said."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.hooks import Hooks, ScriptRun
from agent.supervisor import record
from agent.supervisor.frames import Frame
from tests.agent.stage import Stage, is_running, until

DRIVER = Path(__file__).parent / "hooks_driver.py"
ROOT = DRIVER.parents[2]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def driver(stage: Stage, *events: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(sys.executable, str(DRIVER), str(stage.folder), *events, env=environment)


def waiting(stage: Stage) -> tuple[ScriptRun, Path, Path]:
    """A script that says its pid and then waits to be let go."""
    ready, go = stage.fifo("ready"), stage.fifo("go")
    return stage.script("wait.sh", f"#!/bin/sh\necho $$ > {ready}\nread line < {go}\necho went on\n"), ready, go


def supervisor_of(stage: Stage) -> int:
    return next(frame for frame in reversed(record.read(str(stage.record()))) if frame.kind == "begun").number("supervisor")


def has_lines(path: Path, count: int) -> bool:
    return len(path.read_text().splitlines()) >= count


async def test_a_hook_outlives_its_agent_and_the_next_agent_finds_its_true_result(stage: Stage) -> None:
    first, ready, go = waiting(stage)
    second = stage.script("fail.sh", "#!/bin/sh\nexit 7\n")
    agent = await driver(stage, "AfterInstall=wait.sh,fail.sh")
    await asyncio.to_thread(ready.read_text)
    agent.kill()
    await agent.wait()
    hooks = stage.hooks()
    event = stage.event(first, second)
    async with asyncio.TaskGroup() as tasks:
        recovered = tasks.create_task(stage.recover(hooks, event))
        await asyncio.to_thread(go.write_text, "go\n")
    outcome = recovered.result()
    assert outcome is not None
    assert (outcome.error_code, outcome.script_name, outcome.exit_code) == ("ScriptFailed", "fail.sh", 7)
    assert stage.printed() == ["LifecycleEvent - AfterInstall", "Script - wait.sh", "[stdout]went on", "Script - fail.sh"]


async def test_a_second_attempt_runs_the_scripts_again_under_a_record_of_its_own(stage: Stage) -> None:
    script, ready, go = waiting(stage)
    hooks, event = stage.hooks(), stage.event(script)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(stage.run(hooks, event))
        await asyncio.to_thread(ready.read_text)
        os.kill(supervisor_of(stage), signal.SIGKILL)
    assert first.result().interrupted
    again = replace(event, attempt=2)
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(stage.run(hooks, again))
        await asyncio.to_thread(ready.read_text)
        await asyncio.to_thread(go.write_text, "go\n")
    assert second.result().error_code == "Success"
    await hooks.close()
    later = stage.hooks()
    recovered = [await later.recover(event.instruction_id, attempt, event.lifecycle_event) for attempt in (1, 2, 3)]
    assert [outcome and outcome.error_code for outcome in recovered] == ["UnknownError", "Success", None]


async def test_a_new_agent_runs_the_next_event_under_a_new_supervisor_and_the_same_record(stage: Stage) -> None:
    script = stage.script("count.sh", "#!/bin/sh\necho once\n")
    for name in ("BeforeInstall", "AfterInstall"):
        hooks = stage.hooks()
        event = stage.event(script, name=name)
        assert await stage.recover(hooks, event) is None
        assert (await stage.run(hooks, event)).error_code == "Success"
        await hooks.close()
        recovered = await stage.recover(stage.hooks(), event)
        assert recovered is not None
        assert recovered.message == "Succeeded"
    assert stage.printed().count("[stdout]once") == 2
    assert [frame.kind for frame in record.read(str(stage.record()))] == ["begun", "pipes", "leader", "ended"] * 2


async def test_an_event_that_has_begun_is_never_begun_again(stage: Stage) -> None:
    event = stage.event(stage.script("count.sh", "#!/bin/sh\necho once\nexit 9\n"))
    for _ in range(3):
        hooks = stage.hooks()
        assert (await stage.run(hooks, event)).exit_code == 9
        await hooks.close()
    assert stage.printed().count("[stdout]once") == 1


async def test_an_event_that_nobody_waits_for_any_more_is_not_begun_again_either(stage: Stage) -> None:
    script, ready, go = waiting(stage)
    hooks = stage.hooks()
    event = stage.event(script)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await hooks.run(event)
    await asyncio.to_thread(ready.read_text)
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(stage.run(hooks, event))
        await asyncio.to_thread(go.write_text, "go\n")
    assert again.result().error_code == "Success"
    assert stage.printed().count("Script - scripts/wait.sh") == 1
    await hooks.close()


async def test_of_supervisors_that_race_for_an_event_one_runs_it_and_all_learn_the_result(stage: Stage) -> None:
    event = stage.event(stage.script("count.sh", "#!/bin/sh\necho once\nexit 9\n"))
    rivals = [stage.hooks() for _ in range(6)]
    for hooks in rivals:
        await hooks.start_ahead()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(stage.run(hooks, event)) for hooks in rivals]
        first, *_ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for hooks, done in zip(rivals, running, strict=True):
            if done in first:
                await hooks.finish(event.instruction_id)
    for hooks in rivals:
        await hooks.close()
    assert [done.result().exit_code for done in running] == [9] * 6
    assert stage.printed().count("[stdout]once") == 1


async def test_a_killed_supervisor_leaves_the_event_interrupted_and_nothing_of_it_running(stage: Stage) -> None:
    script, ready, _ = waiting(stage)
    hooks = stage.hooks()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, stage.event(script)))
        pid = int(await asyncio.to_thread(ready.read_text))
        os.kill(supervisor_of(stage), signal.SIGKILL)
    outcome = running.result()
    assert (outcome.interrupted, outcome.cause, outcome.error_code) == (True, "supervisor killed", "UnknownError")
    assert 0 < outcome.started_at <= outcome.ended_at
    assert outcome.log_tail == "LifecycleEvent - AfterInstall\nScript - scripts/wait.sh\n"
    await until(lambda: not is_running(pid))
    again = await stage.run(hooks, stage.event(script))
    assert again.interrupted
    await hooks.close()


async def test_an_interruption_reaches_what_has_left_the_process_group(stage: Stage) -> None:
    ready, escaped = stage.fifo("ready"), stage.folder / "escaped"
    script = stage.script("daemon.sh", f"#!/bin/sh\nsetsid sh -c 'echo $$ > {escaped}; echo > {ready}; exec sleep 60' &\nsleep 60\n")
    hooks = stage.hooks()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, stage.event(script)))
        await asyncio.to_thread(ready.read_text)
        os.kill(supervisor_of(stage), signal.SIGKILL)
    assert running.result().interrupted
    assert not is_running(int(escaped.read_text()))
    await hooks.close()


async def test_a_script_whose_number_was_never_written_down_is_found_by_its_pipe(stage: Stage) -> None:
    script, ready, _ = waiting(stage)
    hooks = stage.hooks()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, stage.event(script)))
        pid = int(await asyncio.to_thread(ready.read_text))
        path = stage.record()
        await until(lambda: b"leader\0" in path.read_bytes())
        frames = record.read(str(path))
        cut = path.read_bytes().find(b"leader\0")
        os.kill(supervisor_of(stage), signal.SIGKILL)
        os.truncate(path, cut)  # as if it had been killed between the start of the script and the note of its number
    assert [frame.kind for frame in frames] == ["begun", "pipes", "leader"]
    assert running.result().interrupted
    await until(lambda: not is_running(pid))
    await hooks.close()


async def test_after_a_reboot_an_unfinished_event_is_interrupted_by_it(stage: Stage) -> None:
    script, ready, go = waiting(stage)
    hooks = stage.hooks(boot_id="one")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stage.run(hooks, stage.event(script)))
        pid = int(await asyncio.to_thread(ready.read_text))
        os.kill(supervisor_of(stage), signal.SIGKILL)
        outcome = await stage.recover(stage.hooks(boot_id="two"), stage.event(script))
    assert outcome is not None
    assert (outcome.interrupted, outcome.cause) == (True, "reboot")
    assert running.result().cause == "supervisor killed"
    await until(lambda: not is_running(pid))
    await hooks.close()


async def test_cancel_reaches_a_hook_that_an_earlier_agent_started(stage: Stage) -> None:
    script, ready, _ = waiting(stage)
    stage.script("trap.sh", f"#!/bin/sh\ntrap 'exit 0' TERM\necho $$ > {stage.folder}/ready\nwhile :; do sleep 0.05; done\n")
    agent = await driver(stage, "AfterInstall=trap.sh,wait.sh")
    await asyncio.to_thread(ready.read_text)
    agent.kill()
    await agent.wait()
    hooks = stage.hooks()
    event = stage.event(script)
    await hooks.cancel(event.instruction_id, event.attempt)
    outcome = await stage.recover(hooks, event)
    assert outcome is not None
    assert (outcome.error_code, outcome.cause, outcome.script_name) == ("ScriptFailed", "cancelled", "trap.sh")


async def test_a_supervisor_that_was_killed_while_it_waited_is_replaced(stage: Stage) -> None:
    hooks = stage.hooks()
    script = stage.script("count.sh", "#!/bin/sh\necho once\n")
    assert (await stage.run(hooks, stage.event(script, name="BeforeInstall"))).error_code == "Success"
    os.kill(supervisor_of(stage), signal.SIGKILL)
    assert (await stage.run(hooks, stage.event(script))).error_code == "Success"
    assert stage.printed().count("[stdout]once") == 2
    await hooks.close()


async def test_an_event_that_cannot_be_recorded_does_not_begin(stage: Stage) -> None:
    hooks = stage.hooks()
    await hooks.start_ahead()
    event = stage.event(stage.script("never.sh", "#!/bin/sh\necho never\n"))
    await until(lambda: bool(list((stage.data_dir / "records").iterdir())))
    for blank in (stage.data_dir / "records").iterdir():
        blank.unlink()
    (stage.data_dir / "records").rmdir()
    (stage.data_dir / "records").write_text("")
    outcome = await stage.run(hooks, event)
    assert (outcome.error_code, outcome.started_at) == ("UnknownError", 0)
    assert outcome.message.startswith("cannot begin AfterInstall: Not a directory")
    await hooks.close()


def test_a_record_cut_anywhere_keeps_what_is_whole_and_can_be_continued(tmp_path: Path) -> None:
    path = str(tmp_path / "record")
    begun = [Frame("begun", [("lifecycle_event", name)]) for name in ("One", "Two", "Three")]
    held = record.begin(path, begun[0], spare=0)
    assert held is not None
    held.append(begun[1])
    held.close()
    whole = Path(path).read_bytes()
    first = len(whole) - whole[::-1].find(b"nugeb") - len(b"begun") - 8  # where the second frame begins
    for cut in range(len(whole) + 1):
        for rest in (b"", bytes(64)):
            Path(path).write_bytes(whole[:cut] + rest)
            names = [frame.text("lifecycle_event") for frame in record.read(path)]
            assert names == ["One", "Two"][: (cut >= first) + (cut == len(whole))]
            continued = record.begin(path, begun[2], spare=0)
            assert continued is not None
            assert record.begin(path, begun[2], spare=0) is None
            continued.close()
            assert [frame.text("lifecycle_event") for frame in record.read(path)] == [*names, "Three"]


@pytest.mark.e2e
@pytest.mark.slow
async def test_fifty_kills_of_the_agent_leave_each_hook_with_one_execution_and_its_true_result(stage: Stage) -> None:
    chance = random.Random(7)
    witness = stage.folder / "witness"
    codes = [chance.choice((0, 0, 3)) for _ in range(200)]
    events = [f"Event{number}=hook{number}.sh" for number in range(len(codes))]
    for number, code in enumerate(codes):
        pause = chance.choice(("", "", "sleep 0.01\n", "sleep 0.1\n"))
        stage.script(f"hook{number}.sh", f"#!/bin/sh\necho {number} >> {witness}\n{pause}exit {code}\n")
    results = stage.folder / "results"
    results.touch()
    for _ in range(50):
        agent = await driver(stage, *events)
        reach = len(results.read_text().split()) + chance.randrange(4)
        await until(partial(has_lines, results, reach))
        await asyncio.sleep(chance.random() / 20)  # a moment somewhere in or between the next hooks
        agent.kill()
        await agent.wait()
    agent = await driver(stage, *events)
    assert await agent.wait() == 0
    assert results.read_text().split() == [
        f"Event{number}:{'ScriptFailed' if code else 'Success'}:{code or None}" for number, code in enumerate(codes)
    ]
    executions = Counter(witness.read_text().split())
    assert executions == Counter(str(number) for number in range(len(codes)))


@pytest.mark.e2e
@pytest.mark.slow
async def test_kills_of_supervisors_leave_a_true_result_or_an_interruption_and_nothing_running(stage: Stage) -> None:
    chance = random.Random(11)
    hooks = stage.hooks()
    witness = stage.folder / "witness"
    witness.touch()
    interrupted = 0
    for number in range(40):
        script = stage.script(
            f"{number}.sh", f"#!/bin/sh\necho begun {number} $$ >> {witness}\nsleep 0.02\necho ended {number} 0 >> {witness}\n"
        )
        event = stage.event(script, name=f"Event{number}")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(stage.run(hooks, event))
            await asyncio.sleep(chance.random() / 25)
            with suppress(ProcessLookupError, ValueError):
                os.kill(supervisor_of(stage), signal.SIGKILL)
        outcome = running.result()
        said = [line.split() for line in witness.read_text().splitlines()]
        starts = [int(pid) for word, which, pid in said if (word, which) == ("begun", str(number))]
        assert len(starts) <= 1
        assert ["ended", str(number), "0"] in said or outcome.interrupted
        if outcome.interrupted:
            interrupted += 1
            assert not any(is_running(pid) for pid in starts)
    assert 0 < interrupted < 40
    await hooks.close()


async def test_closing_lets_an_idle_supervisor_end(stage: Stage) -> None:
    hooks: Hooks = stage.hooks()
    await stage.run(hooks, stage.event(stage.script("fine.sh", "#!/bin/sh\n")))
    pid = supervisor_of(stage)
    await hooks.close()
    await until(lambda: not is_running(pid))
