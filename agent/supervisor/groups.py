"""Processes of hook scripts: who is still there of an event, and how they are ended.

A group is named by the process that leads it and by when that process began, so that a number which the system has given
to somebody else meanwhile is never killed. Whoever has left its group still has the mark of its event in its environment.
"""

from __future__ import annotations

import os
import select
import signal

from agent.supervisor import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "HOOKLINE_EVENT"
"""The variable that every script of an event has, with a value that no other event ever has, and that what it starts inherits."""

_LOOK_AGAIN_MS = 50
_MOST_ENVIRONMENT = 4 * 1024 * 1024


def began(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 when it is gone."""
    status = _status(str(pid))
    return int(status[19]) if status else 0


def alive(pgid: int, ticks: int) -> bool:
    """Whether a process of the group that such a leader led is still running; zombies are not."""
    leader = _status(str(pgid))
    if leader is not None and int(leader[19]) != ticks:
        return False
    return any(int(found[2]) == int(found[3]) == pgid and found[0] not in ("Z", "X") and int(found[19]) >= ticks for found in _statuses())


def end(groups: Sequence[tuple[int, int]], mark: str, grace_ms: int) -> None:
    """Ends groups and marked processes: TERM, and KILL for what is left after the grace. Blocks until they are gone or killed."""
    left = _signal_alive(groups, signal.SIGTERM)
    are_left = send_marked(mark, signal.SIGTERM)
    give_up = clock.elapsed_ms() + grace_ms
    waiting = select.poll()
    while (left or are_left) and clock.elapsed_ms() < give_up:
        waiting.poll(min(_LOOK_AGAIN_MS, grace_ms))
        left = [group for group in left if alive(*group)]
        are_left = bool(marked(mark))
    _signal_alive(left, signal.SIGKILL)
    while send_marked(mark, signal.SIGKILL) and clock.elapsed_ms() < give_up + grace_ms:  # One may have been starting another.
        waiting.poll(min(_LOOK_AGAIN_MS, grace_ms))


def marked(mark: str) -> list[int]:
    """The processes, not counting zombies, that were started with this mark, or whose ancestors were."""
    wanted = f"{MARK}={mark}".encode()
    return [int(pid) for pid in _pids() if mark and wanted in _environment(pid)]


def send_marked(mark: str, number: int) -> bool:
    """Sends a signal to every marked process; whether there was one."""
    found = marked(mark)
    for pid in found:
        for each in (number, signal.SIGCONT):
            try:
                os.kill(pid, each)
            except (ProcessLookupError, PermissionError):
                break
    return bool(found)


def ask_to_cancel(pid: int, ticks: int) -> None:
    """Asks a supervisor without a control pipe to end its running script, if it is still the process that it was."""
    if began(pid) == ticks != 0:
        try:
            os.kill(pid, signal.SIGUSR1)
        except ProcessLookupError:
            return


def send(pgid: int, number: int) -> None:
    """Sends a signal to a group; a group that is gone, or that belongs to another user, is left alone."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return


def holders(pipes: Sequence[str]) -> list[tuple[int, int]]:
    """The groups whose output still goes into one of these pipes (`pipe:[4711]`), for a script whose number nobody wrote down."""
    found = set()
    for pid in _pids():
        if any(_link(f"/proc/{pid}/fd/{number}") in pipes for number in (1, 2)):
            status = _status(pid)
            if status is not None and status[2] == status[3]:
                found.add(int(status[2]))
    return [(pgid, began(pgid)) for pgid in found]


def _signal_alive(groups: Sequence[tuple[int, int]], number: int) -> list[tuple[int, int]]:
    left = [group for group in groups if alive(*group)]
    for pgid, _ in left:
        send(pgid, number)
        send(pgid, signal.SIGCONT)
    return left


def _pids() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdigit())


def _statuses() -> Iterator[list[str]]:
    return (status for status in map(_status, _pids()) if status is not None)


def _status(pid: str) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on: the second is a name and may hold anything, blanks and brackets too."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 4096).rpartition(b")")[2].decode().split()
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)


def _environment(pid: str) -> list[bytes]:
    try:
        fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
    except OSError:
        return []
    try:
        return os.read(fd, _MOST_ENVIRONMENT).split(b"\0")
    except OSError:
        return []
    finally:
        os.close(fd)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
