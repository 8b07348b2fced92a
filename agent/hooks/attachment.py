"""One supervisor process as the agent sees it: started, spoken to over its control pipe, let go.

The process is nobody's to kill: it ends when its pipe has ended and the event that it runs is finished and recorded.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, Self

from agent.processes import supervisor_command
from agent.supervisor.frames import Frame, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

_AT_ONCE = 64 * 1024
_LAST_WORDS = ("ended", "refused")  # A supervisor of older files, which a downgrade has put beneath this agent, says more than that.


class Attachment:
    """A supervisor process and the control pipe to it."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self._pid = pid
        self._control = control
        self._received = b""
        self._speaking = asyncio.Lock()  # an event and a cancel may be said by two tasks at once

    @classmethod
    def start(cls, *, records: Path, log: Path) -> Self:
        """A new supervisor, which waits for its first event; what it has to complain of itself goes to the log."""
        command = supervisor_command(records)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), *((os.POSIX_SPAWN_DUP2, errors, fd) for fd in (1, 2))]
            zone = {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}
            pid = os.posix_spawn(command[0], command, zone, file_actions=actions, setsid=True)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(errors)
        return cls(pid, ours)

    async def run(self, frame: Frame) -> Frame | None:
        """Has an event run and returns the supervisor's last word on it; None when it has ended without one."""
        if not await self.say(frame):
            return None
        while (answer := await self._answer()) is not None:
            if answer.kind in _LAST_WORDS and answer.text("lifecycle_event") == frame.text("lifecycle_event"):
                return answer
        return None

    async def say(self, frame: Frame) -> bool:
        """Says something; False when nobody listens any more."""
        async with self._speaking:
            try:
                await asyncio.get_running_loop().sock_sendall(self._control, encode(frame))
            except (BrokenPipeError, ConnectionResetError):
                return False
        return True

    def let_go(self) -> None:
        """Ends the control pipe; the process is waited for aside, because it may have an event to finish."""
        self._control.close()
        threading.Thread(target=self._reap, name=f"supervisor {self._pid}", daemon=True).start()

    def _reap(self) -> None:
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            return

    async def _answer(self) -> Frame | None:
        while (found := decode(self._received)) is None:
            try:
                octets = await asyncio.get_running_loop().sock_recv(self._control, _AT_ONCE)
            except ConnectionResetError:
                return None
            if not octets:
                return None
            self._received += octets
        frame, end = found
        self._received = self._received[end:]
        return frame
