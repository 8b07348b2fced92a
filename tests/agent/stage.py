"""A stage for hooks: scripts, events and the places where supervisors leave what they know. Real processes, small waits."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.hooks import EventOutcome, EventRun, Hooks, ScriptRun

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LIFECYCLE_EVENT": "AfterInstall", "DEPLOYMENT_ID": "d-ABCDEFGHI"}
GRACE = 0.3


class Stage:
    """Scripts and events below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle = folder / "bundle"
        self.bundle.mkdir(exist_ok=True)
        self.scripts_log = folder / "deployment" / "logs" / "scripts.log"
        self.deployments_log = folder / "deployment-logs" / "all.log"
        self.data_dir = folder / "hooks"

    def hooks(self, *, boot_id: str | None = None, output_limit: int = 1 << 20) -> Hooks:
        return Hooks(directory=self.data_dir, deployments_log=self.deployments_log, boot_id=boot_id, output_limit=output_limit, grace=GRACE)

    def script(self, name: str, text: str, *, timeout: int = 30, runas: str | None = None, mode: int = 0o755) -> ScriptRun:
        path = self.bundle / name
        path.write_text(text, newline="")
        path.chmod(mode)
        return ScriptRun(location=f"scripts/{name}", path=str(path), timeout=timeout, runas=runas)

    def event(
        self,
        *scripts: ScriptRun,
        name: str = "AfterInstall",
        instruction_id: str = "d-ABCDEFGHI/h1/0",
        environment: Mapping[str, str] = ENVIRONMENT,
        timeout: int = 60,
    ) -> EventRun:
        return EventRun(
            instruction_id=instruction_id,
            attempt=1,
            lifecycle_event=name,
            deployment_id="d-ABCDEFGHI",
            scripts=scripts,
            environment=environment,
            cwd=str(self.folder),
            scripts_log=str(self.scripts_log),
            timeout=timeout,
        )

    async def run(self, hooks: Hooks, event: EventRun) -> EventOutcome:
        async with asyncio.timeout(30):
            return await hooks.run(event)

    async def recover(self, hooks: Hooks, event: EventRun) -> EventOutcome | None:
        async with asyncio.timeout(30):
            return await hooks.recover(event.instruction_id, event.attempt, event.lifecycle_event)

    def record(self) -> Path:
        """The one record that there is."""
        (path,) = (path for path in (self.data_dir / "records").iterdir() if path.suffix != ".new")
        return path

    def fifo(self, name: str) -> Path:
        path = self.folder / name
        os.mkfifo(path)
        return path

    def printed(self, path: Path | None = None) -> list[str]:
        """The lines of a log without the time before each."""
        return [line.split(" ", 2)[2] for line in (path or self.scripts_log).read_text().splitlines()]


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that another process does."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nobody in this process could set an event
            await asyncio.sleep(0.005)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
