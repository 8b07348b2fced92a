"""What carries out events on this host, put together: the same for a coordinator's instructions and for an operator's on the spot."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.bundle import Unpacker
from agent.bundle.locations import SourceSettings
from agent.bundle.sources.origins import private_origins
from agent.errors import AgentError
from agent.executor import EventExecutor
from agent.executor.environment import Environment
from agent.executor.scripts import EventScripts
from agent.hooks import Hooks
from agent.local.settings import VARIABLES
from agent.policy import DEFAULT_FILE, MEMORY_NAME, Guard, Memory, PolicyFile, seen
from agent.scrub import scrubbed
from agent.workspace import Workspace
from agent.workspace.retention import Retention

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from agent.clock import Clock
    from agent.executor import CoordinatorBundles
    from agent.executor import Hooks as HooksPort
    from agent.local.settings import Settings
    from agent.policy import NoPolicy
    from agent.policy.terms import Policy


class Parts:
    """The processes of this host's hooks and bundles, and where they work."""

    def __init__(
        self, *, directory: Path, root_prefix: Path, boot_id: str, clock: Clock, kept: Retention, policy: PolicyFile | NoPolicy
    ) -> None:
        self._workspace = Workspace(root_prefix=root_prefix)
        memory = Memory(directory / MEMORY_NAME)
        self._guard = Guard(policy=policy, memory=memory, workspace=self._workspace, clock=clock)
        self.hooks = Hooks(directory=directory / "hooks", deployments_log=self._workspace.deployments_log, boot_id=boot_id or None)
        self._unpacker = Unpacker(root_prefix=root_prefix, clock=clock, retention=kept)
        self._root_prefix = root_prefix
        self._clock = clock

    def executor(self, tasks: asyncio.TaskGroup, *, host: str, hooks: HooksPort, source: CoordinatorBundles) -> EventExecutor:
        """Carries out events in tasks of this group."""
        return EventExecutor(
            tasks=tasks,
            hooks=hooks,
            unpacker=self._unpacker,
            scripts=EventScripts(
                workspace=self._workspace, environment=Environment(own=inherited(os.environ), root_prefix=self._root_prefix, host=host)
            ),
            guard=self._guard,
            source=source,
            clock=self._clock,
        )

    async def close(self) -> None:
        """Leaves: a supervisor that runs a hook finishes its event, the others and the unpacking process end."""
        await self.hooks.close()
        await self._unpacker.close()


@asynccontextmanager
async def parts(
    *, directory: Path, root_prefix: Path, boot_id: str, clock: Clock, kept: Retention, policy: PolicyFile | NoPolicy
) -> AsyncIterator[Parts]:
    """The parts, closed at the end."""
    made = Parts(directory=directory, root_prefix=root_prefix, boot_id=boot_id, clock=clock, kept=kept, policy=policy)
    try:
        yield made
    finally:
        await made.close()


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a hook could see of the agent's environment: all but the agent's settings."""
    return {name: value for name, value in environment.items() if not name.startswith(VARIABLES)}


def unseen(policy: Policy | None, environment: Mapping[str, str]) -> list[str]:
    """The variables of the agent's environment, other than its settings, that hooks do not see."""
    has = inherited(environment)
    return sorted(has.keys() - seen(has, () if policy is None else policy.hook_environment).keys())


def source_settings(told: Settings) -> SourceSettings:
    """What was set of where bundles come from."""
    return SourceSettings(
        s3_endpoint=told.s3_endpoint,
        s3_region=told.s3_region,
        github_api=told.github_api,
        github_token_file=told.github_token_file,
        private_origins=private_origins(told.private_origins),
    )


def host_policy(told: Settings) -> PolicyFile:
    """The policy of this host, which can be used now."""
    file = PolicyFile(told.policy or DEFAULT_FILE, is_needed=told.policy is not None)
    file.policy()
    return file


def retention(told: Settings) -> Retention:
    """What was set of how much stays."""
    return Retention(max_revisions=told.max_revisions, max_bytes=told.max_revision_bytes)


def begin_to_log(level: str) -> None:
    """Sends the agent's own log to the standard error."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LogLines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[lines])


class LogLines(logging.Formatter):
    """The agent's own log, without what looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """A line, or several with a traceback."""
        return scrubbed(super().format(record))


def usable_prefix(settings: Settings) -> Path:
    """The root prefix, which is there now."""
    try:
        settings.root_prefix.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(f"cannot use {settings.root_prefix} as the root prefix: {error.strerror}") from error
    return settings.root_prefix
