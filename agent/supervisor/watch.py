"""Watches one running script until it has ended: its output, its time, and the wish to end it.

Kills only for a timeout or a cancel. What else a script leaves running goes on, and a reader is left on the output that it holds,
so that the next thing it prints does not kill it either.
"""

from __future__ import annotations

import os
import signal

from agent.supervisor import clock, groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.supervisor.control import Control
    from agent.supervisor.output import Output

_AT_ONCE = 64 * 1024
_LOOK_AGAIN_MS = 50
_LAST_READS = 16


class Watch:
    """One running script; afterwards how it ended."""

    def __init__(self, pid: int, pipes: dict[int, str], *, mark: str, control: Control, output: Output, grace_ms: int) -> None:
        self._pid = pid
        self._mark = mark
        self._ticks = groups.began(pid)
        self._pipes = pipes
        self._control = control
        self._output = output
        self._grace_ms = grace_ms
        self._killed = False
        self.exit_code: int | None = None
        self.ended_for = ""
        self.held_open = False
        for fd in pipes:
            control.watch(fd)

    @property
    def group(self) -> tuple[int, int]:
        """The process group of the script and when its leader began."""
        return self._pid, self._ticks

    def until_ended(self, deadline: int) -> None:
        """Blocks until the script has ended and its output too, or its grace has passed; a script past its deadline is ended."""
        next_step = deadline
        while not self._is_over():
            now = clock.elapsed_ms()
            if self.exit_code is None and not self.ended_for and (self._control.cancelled or now >= deadline):
                self._end("cancel" if self._control.cancelled else "timeout")
                next_step = now + self._grace_ms
            elif now >= next_step and (self.ended_for or self.exit_code is not None):
                if self._killed or not self.ended_for:
                    self.held_open = not self.ended_for
                    break
                self._signal(signal.SIGKILL)
                self._killed = True
                next_step = now + self._grace_ms
            patience = max(next_step - now, 0)
            self._take_in(min(patience, _LOOK_AGAIN_MS) if self.ended_for else patience)
            if self.exit_code is None and self._reap() and not self.ended_for:
                next_step = clock.elapsed_ms() + self._grace_ms
        self._leave()

    def _is_over(self) -> bool:
        if self.exit_code is None:
            return False
        if self.ended_for:
            if self._killed:  # One may have been starting another.
                groups.send_marked(self._mark, signal.SIGKILL)
            return not groups.alive(*self.group) and not groups.marked(self._mark)
        return not self._pipes

    def _end(self, reason: str) -> None:
        self.ended_for = reason
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        groups.send(self._pid, number)
        groups.send(self._pid, signal.SIGCONT)
        groups.send_marked(self._mark, number)

    def _take_in(self, timeout_ms: int) -> None:
        for fd in self._control.wait(timeout_ms):
            octets = os.read(fd, _AT_ONCE)
            if octets:
                self._output.printed(self._pipes[fd], octets)
            else:
                self._control.unwatch(fd)
                del self._pipes[fd]
                os.close(fd)

    def _reap(self) -> bool:
        """Whether the script is among the children that have ended since the last time."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.exit_code is not None
            if pid == self._pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
            if pid == 0:
                return self.exit_code is not None

    def _leave(self) -> None:
        """Reads what is there already, and lets go of pipes that somebody else still holds."""
        for fd, source in self._pipes.items():
            self._control.unwatch(fd)
            os.set_blocking(fd, False)
            for _ in range(_LAST_READS):
                try:
                    octets = os.read(fd, _AT_ONCE)
                except BlockingIOError:
                    break
                self._output.printed(source, octets)
            if self.ended_for or _has_left_a_reader(fd):
                os.close(fd)
        self._pipes.clear()


def _has_left_a_reader(fd: int) -> bool:
    """Leaves a reader behind who throws away what comes, for as long as somebody holds the other end."""
    os.set_blocking(fd, True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, nowhere, 1), (os.POSIX_SPAWN_DUP2, nowhere, 2)]
    try:
        os.posix_spawnp("cat", ["cat"], {"PATH": os.defpath}, file_actions=actions, setsid=True)
    except OSError:
        return False  # the pipe stays open as long as this supervisor lives, unread
    finally:
        os.close(nowhere)
    return True
