"""The supervisor's side of its control pipe, and the signals that reach it: one place to wait for all of them.

The end of the pipe means that the agent is gone or wants nothing more; it never ends a script.
"""

from __future__ import annotations

import os
import select
import signal

from agent.supervisor.frames import Frame, decode, encode

_AT_ONCE = 64 * 1024


class Control:
    """What the agent says, that it wants the running event ended, and that a child has ended."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._received = b""
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._wake, waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(waker, False)
        self._poll.register(self._wake, select.POLLIN)
        self.attached = True
        self.cancelled = False
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, self._cancel)

    def next(self) -> Frame | None:
        """The next frame, waited for; None when there will be none."""
        while True:
            if (found := decode(self._received)) is not None:
                self._received = self._received[found[1] :]
                return found[0]
            if not self.attached:
                return None
            self.wait(None)

    def watch(self, fd: int) -> None:
        """Waits for output of a script too."""
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Waits for it no more."""
        self._poll.unregister(fd)

    def wait(self, timeout_ms: int | None) -> list[int]:
        """Blocks until something has happened; the output descriptors that can be read."""
        readable = []
        for fd, _ in self._poll.poll(timeout_ms):
            if fd == self._wake:
                os.read(self._wake, 512)
            elif fd == self._fd:
                self._receive()
            else:
                readable.append(fd)
        return readable

    def look(self) -> None:
        """Takes in what has come meanwhile, without waiting."""
        self.wait(0)

    def tell(self, frame: Frame) -> None:
        """Says something to the agent, if it is still there."""
        if self.attached:
            try:
                os.write(self._fd, encode(frame))
            except (BrokenPipeError, ConnectionResetError):
                self._detach()

    def _receive(self) -> None:
        try:
            octets = os.read(self._fd, _AT_ONCE)
        except ConnectionResetError:
            octets = b""
        if not octets:
            self._detach()
        self._received += octets
        if (found := decode(self._received)) is not None and found[0].kind == "cancel":
            self._received = self._received[found[1] :]
            self.cancelled = True

    def _detach(self) -> None:
        if self.attached:
            self.attached = False
            self._poll.unregister(self._fd)

    def _cancel(self, *_: object) -> None:
        self.cancelled = True
