"""What is to be seen of alarms in a world: mostly nothing is wrong, sometimes an alarm is active, and sometimes nobody can say."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.core.facts import AlarmSeen
from coordinator.core.model import Alarm, AlarmStatus, AutoRollbackEvent, GroupId, Measurement
from coordinator.core.orders import WatchAlarms
from coordinator.engine.ports import Clock
from tests.simulation.store import SimulatedStore
from tests.simulation.timeloop import VirtualLoop
from tests.simulation.witness import Witness

GOES_ON_AT_MOST = 120.0
"""Seconds in which a coordinator that lives stops a deployment whose alarm it was told of: its disk may be full meanwhile."""


@dataclass
class Sky:
    """The truth, which outlives every coordinator."""

    chance: random.Random
    store: SimulatedStore
    clear: bool = False
    """Everything is well from now on."""

    def __post_init__(self) -> None:
        """Some worlds have much weather, many have none, and some only once a deployment has succeeded, or is analysed. Some are dark."""
        self._active, self._hidden = self.chance.choice((0.0, 0.0, 0.02, 0.2)), self.chance.choice((0.0, 0.0, 0.1, 0.1, 0.5, 1.0))
        self._late, self._failing = self.chance.choice((self._active, 0.8)), self.chance.choice((self._active, 0.2))

    def look(self, at: Alarm | Measurement, *, late: bool) -> AlarmStatus:
        """What somebody sees who looks now; late: at what has succeeded already."""
        bad = self._failing if isinstance(at, Measurement) else self._late if late else self._active
        if self.clear:
            return AlarmStatus.OK
        if self.chance.random() < self._hidden:
            return AlarmStatus.UNKNOWN
        return AlarmStatus.ALARM if self.chance.random() < bad else AlarmStatus.OK


@dataclass
class Eyes:
    """The engine's port `Alarms` in one life of the coordinator."""

    sky: Sky
    loop: VirtualLoop
    clock: Clock
    witness: Witness
    put: Callable[[AlarmSeen], None]
    _watches: dict[GroupId, asyncio.Task[None]] = field(default_factory=dict)

    def watch(self, order: WatchAlarms) -> None:
        """See `engine.ports.Alarms`."""
        before = self._watches.pop(order.group_id, None)
        if before is not None:
            before.cancel()
        if order.alarms:
            self._watches[order.group_id] = self.loop.create_task(self._look(order), name=f"alarms of {order.group_id}")

    def close(self) -> None:
        """The life has ended."""
        for watch in self._watches.values():
            watch.cancel()

    async def _look(self, order: WatchAlarms) -> None:
        told: float | None = None
        while True:
            for alarm in order.alarms:
                status = self.sky.look(alarm, late=self.sky.store.late(order.group_id) is not None)
                if status is AlarmStatus.ALARM and isinstance(alarm, Alarm):  # what an analysis measures may fail now and then
                    self.witness.count("alarms")
                    told = told or self.loop.time()
                self.put(
                    AlarmSeen(
                        at=self.clock.now(),
                        elapsed=self.clock.elapsed(),
                        group_id=order.group_id,
                        alarm_name=alarm.name,
                        status=status,
                        sample=status.name,
                    )
                )
            if told is not None and self.loop.time() - told > GOES_ON_AT_MOST:
                self._accuse(order)
            await asyncio.sleep(3.0)

    def _accuse(self, order: WatchAlarms) -> None:
        for one in self.sky.store.deployments.values():
            mine = one.plan.group_id == order.group_id and one.plan.alarms == order.alarms[: len(one.plan.alarms)]
            said = f"an alarm of {one.deployment_id} was active {GOES_ON_AT_MOST:.0f} s ago"
            if mine and one.live_since == order.since and not one.status.terminal and one.stopping is None:
                self.witness.accuse("P8", f"{said}, and it goes on")
            rolls_back = AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM in one.plan.auto_rollback
            if mine and rolls_back and self.sky.store.late(order.group_id) == one.deployment_id and one.stopping is None:
                self.witness.accuse("P8", f"{said}, and it is watched and not rolled back")
