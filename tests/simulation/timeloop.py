"""An event loop on which time is a number: nothing is waited for, so hours pass in milliseconds, the same way every time.

One seed is one history: timers fire in the order of their times, callbacks in the order in which they were made, and tasks are
numbered, so that not even a set of them depends on where they lie in memory.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

BUSY_AT_MOST = 100_000
"""Turns of the loop in one instant."""


class NothingHappens(Exception):
    """Every task waits for something that no task and no timer will ever bring."""


class NumberedTask(asyncio.Task[T]):
    """A task whose place in a set is its number."""

    _numbers = itertools.count()

    def __init__(self, coro: Coroutine[Any, Any, T], *, loop: asyncio.AbstractEventLoop, name: str | None, context: Context | None) -> None:
        """Take the next number."""
        self._number = next(NumberedTask._numbers)
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


class _NoSelector:
    """What the loop asks how long it has to wait: no time at all, because the clock is moved instead."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop
        self._busy = 0

    def select(self, timeout: float | None) -> tuple[()]:
        """Let the time pass that nobody wants to do anything in."""
        if timeout is None:
            raise NothingHappens("nobody waits for a time, and nothing else can happen")
        self._busy += 1
        if timeout > 0:
            self._busy = 0
            self._loop.pass_time()
        assert self._busy < BUSY_AT_MOST, "something goes round and round while no time passes"
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. It has no files, no sockets, no threads: whoever asks for one is told so."""

    def __init__(self) -> None:
        """Time begins at a second that is not nought, so that nobody mistakes nought for a time."""
        super().__init__()
        self._time = 1_000.0
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9
        self._scheduled: list[asyncio.TimerHandle]
        NumberedTask._numbers = itertools.count()
        self.set_task_factory(_numbered)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._time

    def pass_time(self) -> None:
        """Go to the next timer."""
        self._time = max(self._time, self._scheduled[0].when())

    def run_in_executor(self, *_args: object) -> NoReturn:
        """Refuse."""
        raise AssertionError("a thread was asked for: the simulation has none")

    def call_soon_threadsafe(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse."""
        raise AssertionError("a thread speaks: the simulation has none")

    def _process_events(self, event_list: object) -> None:
        """There are no files, so nothing has happened to one."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken."""


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
    context: Context | None = None,
    name: str | None = None,
) -> NumberedTask[T]:
    assert asyncio.iscoroutine(coro)
    return NumberedTask(coro, loop=loop, name=name, context=context)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """What `main` returns, on a loop of its own; tasks that it leaves behind are cancelled."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main(loop))
        try:
            return loop.run_until_complete(task)
        finally:
            for left in sorted(asyncio.all_tasks(loop), key=hash):
                left.cancel()
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.run_until_complete(asyncio.gather(*sorted(asyncio.all_tasks(loop), key=hash), return_exceptions=True))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class CoordinatorClock:
    """Implements the engine's port `Clock`. The monotonic reading begins anywhere, and the calendar jumps as it likes."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        """A machine that has just been started."""
        self._loop = loop
        self._began = chance.randrange(10**9)
        self.year = 1_800_000_000_000

    def now(self) -> int:
        """UTC milliseconds since 1970, as far as this machine knows."""
        return self.year + round(self._loop.time() * 1000)

    def elapsed(self) -> int:
        """Monotonic milliseconds."""
        return self._began + round(self._loop.time() * 1000)

    async def sleep(self, milliseconds: int) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(milliseconds / 1000)


class HostClock:
    """Implements the agent's port `Clock`."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        """The clock of one host."""
        self._loop = loop
        self._chance = chance
        self.year = 1_800_000_000_000

    def now_ms(self) -> int:
        """Milliseconds since 1970, as far as this host knows."""
        return self.year + round(self._loop.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)

    def chance(self) -> float:
        """A number in [0, 1)."""
        return self._chance.random()
