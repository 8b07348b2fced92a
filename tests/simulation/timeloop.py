"""An event loop on which time is a number: nothing is waited for, so hours pass in milliseconds, the same way every time.

One seed is one history: timers fire in the order of their times, callbacks in the order in which they were made, and tasks are
numbered, so that not even a set of them depends on where they lie in memory.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections import deque

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. It has no files, no sockets, no threads: whoever asks for one is told so. Its turns are its own, since they are most of
    what a world costs: there is nothing to select from, and timers stand in their heap as tuples, which compare without Python."""

    def __init__(self) -> None:
        """Time begins at a second that is not nought, so that nobody mistakes nought for a time."""
        super().__init__()
        self._time = 1_000.0
        self._busy = 0
        self._ready: deque[asyncio.Handle]
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        NumberedTask._numbers = itertools.count()
        self.set_task_factory(_numbered)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._time

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        """Nobody else's thread, and no debugger, is looked out for."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """So many seconds from now."""
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        """Of two for the same time, the one that was asked for first comes first."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_once(self) -> None:
        """Run what is ready; where nothing is, let the time pass that nobody wants to do anything in."""
        ready = self._ready
        if not ready:
            self._pass_time()
        self._busy += 1
        assert self._busy < BUSY_AT_MOST, "something goes round and round while no time passes"
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _pass_time(self) -> None:
        """Go to the next timer."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise NothingHappens("nobody waits for a time, and nothing else can happen")
        if timers[0][0] > self._time:
            self._time, self._busy = timers[0][0], 0
        while timers and timers[0][0] <= self._time:
            self._ready.append(heapq.heappop(timers)[2])

    def run_in_executor(self, *_args: object) -> NoReturn:
        """Refuse."""
        raise AssertionError("a thread was asked for: the simulation has none")

    def call_soon_threadsafe(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse."""
        raise AssertionError("a thread speaks: the simulation has none")


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
