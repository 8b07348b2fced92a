"""What an agent asks of its policy, and what it is told, for tests of what a host accepts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.bundle import DownloadRequest, InstallRequest, PayloadError, PayloadErrorCode, UrlSource
from agent.hooks import EventRun, ScriptRun
from agent.model import Instruction
from tests.agent.releases import Host, begin


def refusal(act: Callable[[], object]) -> str:
    """The sentence that something is refused with."""
    with pytest.raises(PayloadError) as refused:
        act()
    assert refused.value.code is PayloadErrorCode.NOT_PERMITTED
    return refused.value.message


def admitted(host: Host, instruction: Instruction) -> bool:
    """Whether an agent that starts now would begin this."""
    try:
        host.guard().admit(begin(instruction))
    except PayloadError:
        return False
    return True


def request(instruction: Instruction, path: Path = Path("/bundle")) -> DownloadRequest:
    """The download that an executor would ask for."""
    return DownloadRequest(
        group_id=instruction.group_id,
        deployment_id=instruction.deployment_id,
        revision=instruction.revision_id,
        source=UrlSource(url=path.as_uri()),
        sha256=instruction.location.sha256,
        timeout=60.0,
    )


def install_request(instruction: Instruction) -> InstallRequest:
    """The installation that an executor would ask for."""
    return InstallRequest(
        group_id=instruction.group_id, deployment_id=instruction.deployment_id, revision=instruction.revision_id, timeout=60.0
    )


def event_run(*scripts: ScriptRun) -> EventRun:
    """The event that an executor would run."""
    return EventRun(
        instruction_id="i", attempt=1, lifecycle_event="", deployment_id="d-1", scripts=scripts, environment={}, cwd="/",
        scripts_log="", timeout=1,
    )  # fmt: skip
