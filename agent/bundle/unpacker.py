"""The agent's end of the unpacking process: starts one ahead, asks it, waits no longer than is right, and ends it.

One process serves one deployment, its download and its installation, and then gives its memory back. It may be killed at any
instant: what it does is repeatable.
"""

import asyncio
import json
import logging
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.bundle.requests import CollectRequest, CoordinatorSource, DownloadRequest, InstallRequest, PrepareRequest, Request, encode
from agent.clock import Clock, SystemClock
from agent.payload import PayloadError, PayloadErrorCode
from agent.processes import unpacker_command
from agent.workspace.retention import Retention

log = logging.getLogger("hookline.agent")

_STALL_SECONDS = 60.0
_LONGEST_WISH = 600.0  # That a server which is not our coordinator may bid us wait, altogether, before its next byte.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_LONGEST_ANSWER = 64 * 1024 * 1024  # A refusal names every file that is in the way.
_END_SECONDS = 2.0

Progress = Callable[[int, int | None], None]


class Unpacker:
    """Carries out downloads and installations, one at a time, in a process of their own.

    What is more than `retention` goes while a fresh process waits; without one, nothing does.
    """

    def __init__(
        self, *, root_prefix: Path, program: Sequence[str] | None = None, clock: Clock | None = None, retention: Retention | None = None
    ) -> None:
        self._root_prefix = root_prefix
        self._retention = retention
        self._program = program or unpacker_command()
        self._clock = clock or SystemClock()
        self._process: Process | None = None
        self._is_fresh = False  # It has not downloaded anything yet,
        self._prepared: DownloadRequest | None = None  # but been told of this.
        self._turn = asyncio.Lock()

    async def start_ahead(self) -> None:
        """Have a fresh process started, so that the next request need not wait for one; returns before it is ready."""
        async with self._turn:
            if self._process is None or not self._is_fresh or self._prepared is not None or self._process.returncode is not None:
                await self._end()
                process = await self._start()
                if self._retention is not None and process.stdin is not None:
                    process.stdin.write(encode(CollectRequest(retention=self._retention), str(self._root_prefix)))

    async def prepare(self, request: DownloadRequest) -> None:
        """Have the waiting process, if there is one, begin a download that will be asked for; to say it again changes nothing."""
        async with self._turn:
            if self._process is not None and self._is_fresh and self._prepared is None and self._process.stdin is not None:
                self._prepared = request
                self._process.stdin.write(encode(PrepareRequest(download=request), str(self._root_prefix)))

    async def download(self, request: DownloadRequest, progress: Progress) -> None:
        """Do a DownloadBundle; `progress` is told the bytes that are here and their whole number, None when unknown.

        Keeps the request's timeout itself, for time in which the coordinator bids us wait is not counted. A minute without one new byte
        ends it, and ten where another server bids us wait. Raises PayloadError. Cancelling kills the process.
        """
        async with self._turn:
            if not self._is_fresh or self._prepared not in (None, request):
                await self._end()
            fetch = _Fetch(request, progress, self._clock)
            try:
                async with asyncio.timeout(request.timeout) as fetch.deadline, asyncio.timeout(_STALL_SECONDS) as fetch.stall:
                    while (pause := fetch.outcome(await self._ask(request, fetch.take))) is not None:
                        await fetch.wait(pause)
            except TimeoutError as error:
                raise fetch.too_late() from error
            except PayloadError:
                await self._end()
                raise

    async def install(self, request: InstallRequest) -> None:
        """Do an Install; raises PayloadError. Cancelling kills the process, and the next Install undoes or finishes this one."""
        async with self._turn:
            try:
                async with asyncio.timeout(request.timeout):
                    answer = await self._ask(request, lambda _: None)
            except TimeoutError as error:
                message = f"cannot install: it took longer than the {request.timeout:.0f} s that the event has"
                raise PayloadError(PayloadErrorCode.TIMED_OUT, message) from error
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()  # It ends by itself; nobody needs to wait for that now.
            _raise_failure(answer)

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        async with self._turn:
            await self._end()

    async def _start(self) -> Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._program, str(os.getpid()), stdin=PIPE, stdout=PIPE, cwd="/", limit=_LONGEST_ANSWER, start_new_session=True
        )
        self._is_fresh, self._prepared = True, None
        return self._process

    async def _ask(self, request: Request, take: Callable[[dict[str, object]], None]) -> dict[str, object]:
        """Send a request; the final answer, after `take` was told the others. Leaves no process behind when it does not come."""
        process = self._process
        if process is None or process.returncode is not None:
            process = await self._start()
        self._is_fresh = False
        assert process.stdin is not None
        assert process.stdout is not None
        answered = False
        try:
            process.stdin.write(encode(request, str(self._root_prefix)))
            while line := await process.stdout.readline():
                answer: dict[str, object] = json.loads(line)
                if "progress" not in answer and "unpacking" not in answer:
                    answered = True
                    return answer
                take(answer)
            raise await self._died(process)
        finally:
            if not answered:
                await self._kill(process)

    async def _died(self, process: Process) -> PayloadError:
        code = await process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}; its last words are in the agent's log"
        return PayloadError(PayloadErrorCode.DIED, f"cannot unpack or install: the process that does it {how}; deploy again")

    async def _end(self) -> None:
        """Let the process end by itself, which it does when its stdin ends; kill it when it does not."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
        await self._kill(process)

    async def _kill(self, process: Process) -> None:
        """End the process at once; one that a hung disk holds, or whose pipes somebody else holds open, is not waited for any longer."""
        self._process = None
        if process.returncode is None:
            process.kill()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.shield(process.wait())
        except TimeoutError:
            log.warning("unpacking process killed and not gone pid=%d", process.pid)


class _Fetch:
    """How far one download has come, and how much longer it may take."""

    deadline: asyncio.Timeout
    stall: asyncio.Timeout

    def __init__(self, request: DownloadRequest, progress: Progress, clock: Clock) -> None:
        self._request = request
        self._progress = progress
        self._clock = clock
        self._most = 0
        self._total: int | None = None
        self._pause = _FIRST_PAUSE
        self._wished = 0.0
        self._last_trouble = ""

    def take(self, answer: dict[str, object]) -> None:
        """Hear that bytes have arrived, or that all have and the unpacking begins."""
        if "unpacking" in answer:
            self.stall.reschedule(None)
            return
        match answer["progress"]:
            case [int(done), int() | None as total]:
                self._total = total
                if done > self._most:
                    self._most, self._pause, self._wished = done, _FIRST_PAUSE, 0.0
                    self.stall.reschedule(asyncio.get_running_loop().time() + _STALL_SECONDS)
                self._progress(done, total)
            case _:
                raise ValueError(f"cannot understand the answer {answer}")

    def outcome(self, answer: dict[str, object]) -> tuple[float, bool] | None:
        """None when it is done, else how long to wait before asking again and whether that was the source's wish."""
        busy, interrupted = answer.get("busy"), answer.get("interrupted")
        if isinstance(busy, (int, float)):
            return max(float(busy), _FIRST_PAUSE), True
        if interrupted is None:
            _raise_failure(answer)
            return None
        self._last_trouble = str(interrupted)
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause, False

    async def wait(self, pause: tuple[float, bool]) -> None:
        """Wait before asking again; a wait that the source asked for is given back.

        The coordinator has many hosts to serve and an end in sight, so there it is given back to both deadlines. Any other server
        could go on for ever.
        """
        seconds, is_wish = pause
        if is_wish:
            is_ours = isinstance(self._request.source, CoordinatorSource)
            self._wished += seconds
            if self._wished > _LONGEST_WISH and not is_ours:
                why = f"the server bids us wait, for {self._wished:.0f} s by now, and {_LONGEST_WISH:.0f} s are the most"
                raise PayloadError(
                    PayloadErrorCode.STALLED, f"cannot download the bundle from {self._request.source.name}: {why}; deploy later"
                )
            for each in (self.deadline, self.stall) if is_ours else (self.stall,):
                when = each.when()
                each.reschedule(None if when is None else when + seconds)
        await self._clock.sleep(seconds)

    def too_late(self) -> PayloadError:
        """Which of the two deadlines has passed, in a sentence."""
        so_far = f"{self._most} of {'an unknown number of' if self._total is None else self._total} bytes have arrived"
        trouble = f"; the last trouble was: {self._last_trouble}" if self._last_trouble else ""
        if self.deadline.expired():
            why = f"it took longer than the {self._request.timeout:.0f} s that the event has; {so_far}{trouble}"
            return PayloadError(PayloadErrorCode.TIMED_OUT, f"cannot download the bundle: {why}")
        why = f"no byte has arrived for {_STALL_SECONDS:.0f} s; {so_far}{trouble}"
        return PayloadError(PayloadErrorCode.STALLED, f"cannot download the bundle: {why}")


def _raise_failure(answer: dict[str, object]) -> None:
    match answer.get("failed"):
        case [str(code), str(message)]:
            raise PayloadError(PayloadErrorCode(code), message)
        case None:
            return
        case _:
            raise ValueError(f"cannot understand the answer {answer}")
