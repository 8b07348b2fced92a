"""The unpacking process: reads requests from its stdin, does them one after the other, and answers on its stdout.

It parses what strangers wrote, so it is bounded by resource limits, dies with the agent, and gives all its memory back when it ends.
Answers are lines of JSON: any number of `progress`, one `unpacking`, and then one of `done`, `busy`, `interrupted` and `failed`.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from agent.appspec import parse
from agent.bundle.download import Prepared, discard, download, prepare
from agent.bundle.requests import CollectRequest, DownloadRequest, InstallRequest, PrepareRequest, decode
from agent.bundle.sources.coordinator import make_ready
from agent.bundle.sources.incoming import FetchInterrupted, SourceBusy
from agent.installer import Installation, install
from agent.payload import PayloadError, PayloadErrorCode, of_system
from agent.workspace import Workspace
from agent.workspace.retention import Retention, collect

_PR_SET_PDEATHSIG = 1
_MEMORY = 2 * 1024**3
_FILE = 16 * 1024**3
_CPU_SECONDS = 1800
_OPEN_FILES = 256
_REHEARSAL = b"version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n    - location: a.sh\n"


def main() -> None:
    """Serve until stdin ends."""
    _die_with_the_agent()
    _set_limits()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # A stray print must not look like an answer.
    parse(_REHEARSAL, "appspec.yml")  # Everything that it needs is loaded, and compiled, while nobody waits.
    make_ready()
    gc.freeze()
    _Serving(answers).serve()
    os._exit(0)  # Nothing is left to tidy, and taking gRPC down in good order takes its time.


class _Serving:
    """One deployment's requests, and what of an earlier one the next goes on with."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._prepared: Prepared | None = None

    def serve(self) -> None:
        """Carry requests out until there are no more, and then what nobody waits for."""
        for asked in sys.stdin.buffer:
            request, root_prefix = decode(asked)
            workspace = Workspace(root_prefix=Path(root_prefix))
            if isinstance(request, PrepareRequest):
                self._prepare(request.download, workspace)
            elif isinstance(request, CollectRequest):
                _collect(request.retention, workspace)
            else:
                _answer(self._answers, self._carry_out(request, workspace))
        if self._prepared is not None:  # For nothing: its instruction has ended before the download.
            with contextlib.suppress(OSError):
                discard(self._prepared.directory)

    def _prepare(self, request: DownloadRequest, workspace: Workspace) -> None:
        # Whatever goes wrong goes wrong again when the download is asked for, and is told then.
        with contextlib.suppress(SourceBusy, FetchInterrupted, PayloadError, OSError, MemoryError):
            self._prepared = prepare(request, workspace, self._progress, self._unpacking)

    def _carry_out(self, request: DownloadRequest | InstallRequest, workspace: Workspace) -> dict[str, object]:
        action = "download the bundle" if isinstance(request, DownloadRequest) else "install"
        try:
            if isinstance(request, DownloadRequest):
                prepared, self._prepared = self._prepared, None
                download(request, workspace, self._progress, self._unpacking, prepared)
            else:
                install(_installation(request), workspace)
        except SourceBusy as busy:
            return {"busy": busy.seconds}
        except FetchInterrupted as interrupted:
            return {"interrupted": str(interrupted)}
        except PayloadError as error:
            return {"failed": [error.code, error.message]}
        except OSError as error:
            failure = of_system(action, error)
            return {"failed": [failure.code, failure.message]}
        except MemoryError:
            return {"failed": [PayloadErrorCode.TOO_LARGE, f"cannot {action}: it takes more than {_MEMORY} bytes of memory"]}
        return {"done": True}

    def _progress(self, done: int, total: int | None) -> None:
        _answer(self._answers, {"progress": [done, total]})

    def _unpacking(self) -> None:
        _answer(self._answers, {"unpacking": True})


def _die_with_the_agent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The agent decides when this process ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if len(sys.argv) > 1 and os.getppid() != int(sys.argv[1]):  # It died before it could be watched.
        os._exit(1)


def _set_limits() -> None:
    os.umask(0o022)
    limits = {
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_FSIZE: _FILE,
        resource.RLIMIT_CPU: _CPU_SECONDS,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for which, wanted in limits.items():
        _, most = resource.getrlimit(which)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(which, (value, value))


def _collect(retention: Retention, workspace: Workspace) -> None:
    try:
        collect(workspace, retention)
    except OSError as error:  # Said in the agent's log; the next time may be better.
        sys.stderr.write(f"{of_system('remove old revisions', error).message}\n")


def _installation(request: InstallRequest) -> Installation:
    return Installation(
        group_id=request.group_id,
        deployment_id=request.deployment_id,
        revision=request.revision,
        file_exists_behavior=request.file_exists_behavior,
        reserve_bytes=request.reserve_bytes,
        destinations=request.destinations,
    )


def _answer(answers: BinaryIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
