"""What a deployment's alarms let it do, out of the entries of its history that speak of them."""

import datetime
import re
from typing import TYPE_CHECKING, NamedTuple

from coordinator.cli import protos
from coordinator.cli.connection import Connection
from coordinator.cli.following.wording import has_ended
from coordinator.cli.wording.text import clean, clock_time, moment

if TYPE_CHECKING:
    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry

ALARM_STATUS, BLIND, BAKING, *_ = KINDS = (
    "AlarmStatus",
    "Blind",
    "Baking",
    "Watching",
    "Watched",
    "Regressed",
    "Analysing",
    "Measured",
    "Analysed",
)
ABOUT = "alarm "
AT_ONCE = 100

_CHANGE = re.compile(r"(\w+) -> (\w+): (.*)", re.DOTALL)
UNKNOWN = "UNKNOWN"


def entries(connection: Connection, deployment_id: str, after: int = 0) -> "list[HistoryEntry]":
    """What was told of a deployment's alarms after an entry, the newest first."""
    request = protos.deployments.ListHistoryRequest(deployment_id=deployment_id, entries=KINDS)
    found: list[HistoryEntry] = []
    for page in connection.pages(connection.deployments.ListHistory, request, AT_ONCE):
        for entry in page.entries:
            if entry.history_id <= after:
                return found
            found.append(entry)
    return found


def told(entry: "HistoryEntry") -> str:
    """An entry in a line: "alarm HighErrors  OK -> ALARM: 0.31 > 0.05"."""
    if entry.entry != ALARM_STATUS:
        return f"{clean(entry.entry)}  {clean(entry.message)}"
    change = _CHANGE.fullmatch(entry.message)
    same = change is not None and change[1] == change[2]  # nobody has seen it before, and nobody does now
    return f"{clean(entry.because)}  {clean(f'{change[2]}: {change[3]}' if change and same else entry.message)}"


class Sight(NamedTuple):
    """What is known of one alarm."""

    name: str
    status: str = UNKNOWN
    sample: str = ""
    entry: "HistoryEntry | None" = None
    """What tells it; None where nobody has looked yet."""

    def line(self, now: datetime.datetime) -> str:
        """ "HighErrors OK since 12:00:01: 0.01 is not > 0.05"."""
        if self.entry is None:
            return f"{self.name} {UNKNOWN}: nobody has looked at it yet"
        return f"{self.name} {self.status} since {clock_time(self.entry.time, now)}: {self.sample}"


def sights(deployment: "Deployment", newest_first: "list[HistoryEntry]") -> list[Sight]:
    """What is known of each alarm of a deployment."""
    about: dict[str, HistoryEntry] = {}
    for entry in newest_first:
        if entry.entry == ALARM_STATUS:
            about.setdefault(entry.because.removeprefix(ABOUT), entry)
    return [_sight(name, about.get(name)) for name in deployment.alarm_configuration.alarms]


def _sight(name: str, entry: "HistoryEntry | None") -> Sight:
    change = None if entry is None else _CHANGE.fullmatch(entry.message)
    return Sight(clean(name)) if change is None else Sight(clean(name), clean(change[2]), clean(change[3]), entry)


def waits(deployment: "Deployment", newest_first: "list[HistoryEntry]", now: datetime.datetime) -> str:
    """What a deployment that has not ended waits for because of its alarms; "" when they hold nothing up."""
    if has_ended(deployment) or not deployment.alarm_configuration.enabled or deployment.HasField("error_information"):
        return ""
    if deployment.HasField("queue_place"):
        return ""  # nobody looks at them yet
    given_up = max((entry.history_id for entry in newest_first if entry.entry == BLIND), default=0)
    unknown = [one for one in sights(deployment, newest_first) if one.status == UNKNOWN]
    unseen = [one.name for one in unknown if (0 if one.entry is None else one.entry.history_id) >= given_up]
    if unseen:
        return f"until somebody sees {', '.join(unseen)}: no further host begins, and after a minute {_then(deployment)}"
    baking = next((entry for entry in newest_first if entry.entry == BAKING), None)
    if baking is None or deployment.stages:
        return ""  # of a stage it is said with the stage
    length = datetime.timedelta(seconds=deployment.alarm_configuration.bake_time.seconds)
    end = (moment(baking.time) or now.astimezone()) + length
    return f"every host has ended; its alarms are watched until {end:%H:%M:%S}"


def _then(deployment: "Deployment") -> str:
    return "it goes on blind" if deployment.alarm_configuration.ignore_poll_alarm_failure else "it stops"
