"""Tells the service manager how the agent stands, and that its loop still turns; says nothing where there is no service manager."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from agent.clock import Clock

log = logging.getLogger("hookline.agent")

_A_THIRD = 3  # of the time in which the service manager wants to hear of us


class ServiceManager:
    """The one that started this process, when it listens (systemd's `Type=notify`).

    Takes its words out of the environment: a hook, or an application that a hook starts, must not speak for the agent.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self._watchdog = int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """The agent serves."""
        self._say("READY=1")

    def stopping(self) -> None:
        """The agent was told to stop."""
        self._say("STOPPING=1")

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._say(f"STATUS={sentence}")

    async def watch(self, clock: Clock) -> None:
        """Feeds the watchdog for as long as the loop that this runs in turns."""
        while self._watchdog:
            self._say("WATCHDOG=1")
            await clock.sleep(self._watchdog / _A_THIRD)

    def _say(self, line: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
                speaking.setblocking(False)
                speaking.sendto(line.encode(), self._address)
        except OSError as error:
            log.warning("service manager not told line=%s why=%r", line, error.strerror)
