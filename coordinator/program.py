"""`hookline-coordinator`: reads its command line, runs a coordinator until it is told to stop, and says why it cannot."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Iterator

import uvloop

from coordinator.adapters.authority import Unusable
from coordinator.adapters.clock import SystemClock
from coordinator.app.coordinator import Coordinator
from coordinator.config.command_line import parse
from coordinator.config.settings import Settings
from coordinator.core.errors import DeployError, StorageUnusable
from coordinator.engine.ports import StoreBroken
from coordinator.gateway.listeners.watching import ListenerEnded
from coordinator.store.backup import program as backup
from coordinator.store.sqlite import FILE_NAME, SqliteStore
from coordinator.wire.scrub import scrubbed

log = logging.getLogger("hookline.coordinator")


async def serve(settings: Settings) -> None:
    """Run a coordinator until SIGTERM or SIGINT."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageUnusable(f"cannot make the data directory {settings.data_dir}: {error.strerror}; name another --data-dir") from error
    store = await SqliteStore.open(settings.data_dir / FILE_NAME, SystemClock())
    try:
        with_tls = () if settings.tls is None else (settings.tls.operator_listen, settings.tls.enrol_listen)
        for address in (settings.listen, settings.http_listen, *with_tls):
            address.check_free()
        coordinator = Coordinator(settings, store)
        tune()
        async with asyncio.TaskGroup() as parts:
            tasks = [parts.create_task(coordinator.run(), name="coordinator"), parts.create_task(_say_ready(coordinator), name="ready")]

            def stop() -> None:
                if coordinator.ready.is_set():
                    coordinator.stop()
                else:  # nobody is served yet: there is nothing to end in an orderly way
                    for task in tasks:
                        task.cancel()

            for sign in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(sign, stop)
    finally:
        store.close()


async def _say_ready(coordinator: Coordinator) -> None:
    """Tell whoever started the program where everything is served."""
    await coordinator.ready.wait()
    sys.stdout.write(f"ready {coordinator.addresses}\n")
    sys.stdout.flush()


class LogLines(logging.Formatter):
    """The coordinator's own log, without what looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """A line, or several with a traceback."""
        return scrubbed(super().format(record))


def tune() -> None:
    """What measurably helps a process that holds thousands of streams (see coordinator/README.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    sys.setswitchinterval(0.0005)


def main() -> None:
    """`hookline-coordinator`."""
    if sys.argv[1:2] and sys.argv[1] in backup.COMMANDS:
        sys.exit(backup.main(sys.argv[1:]))
    settings = parse(sys.argv[1:])
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[lines])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every look at an alarm
    logging.getLogger("httpcore").setLevel(logging.WARNING)  # it writes headers down, with whatever secrets they hold
    try:
        uvloop.run(serve(settings))
    except* StoreBroken as errors:
        for error in _leaves(errors):
            log.critical("cannot go on: this is a bug; nothing unstored was told to anybody, so it can be started again", exc_info=error)
        sys.exit(1)
    except* ListenerEnded as errors:
        for error in _leaves(errors):
            log.critical("%s; start it again", error)
        sys.exit(1)
    except* (DeployError, Unusable, OSError) as errors:
        for error in _leaves(errors):
            sys.stderr.write(f"hookline-coordinator: cannot start: {error}\n")
        sys.exit(1)


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """What went wrong, without the groups of tasks in which it did."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    main()
