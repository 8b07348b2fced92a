"""A process with nothing of an agent but its hooks, made to be killed: runs the events of a plan and writes down each result once.

Called with the folder of a stage and, for each event, `NAME=SCRIPT[,SCRIPT...]`.
"""

import asyncio
import os
import sys
from pathlib import Path

from agent.hooks import ScriptRun
from tests.agent.stage import Stage


async def drive(folder: Path, events: list[str]) -> None:
    """Does what an agent does after each start: asks for what an earlier one began, and goes on from there."""
    stage = Stage(folder)
    hooks = stage.hooks()
    await hooks.start_ahead()
    results = folder / "results"
    known = results.read_text().split() if results.exists() else []
    with results.open("a") as file:
        for number, asked in enumerate(events[len(known) :]):
            name, _, names = asked.partition("=")
            scripts = [ScriptRun(location=script, path=str(stage.bundle / script), timeout=30) for script in names.split(",")]
            event = stage.event(*scripts, name=name)
            earlier = await stage.recover(hooks, event) if number == 0 else None
            outcome = earlier or await stage.run(hooks, event)
            file.write(f"{name}:{outcome.error_code}:{outcome.exit_code}\n")
            file.flush()
            os.fsync(file.fileno())
    await hooks.close()


if __name__ == "__main__":
    asyncio.run(drive(Path(sys.argv[1]), sys.argv[2:]))
