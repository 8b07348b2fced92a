"""What a deployment's alarms let it do, out of the entries of its history that speak of them."""

import datetime
import re
from typing import TYPE_CHECKING

from coordinator.cli import protos
from coordinator.cli.connection import Connection
from coordinator.cli.following.wording import has_ended
from coordinator.cli.text import clean, clock_time, moment, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.v1.deployments_pb2 import Deployment, HistoryEntry

ALARM_STATUS, BLIND, BAKING = KINDS = ("AlarmStatus", "Blind", "Baking")
ABOUT = "alarm "
AT_ONCE = 100

_CHANGE = re.compile(r"\w+ -> (\w+): (.*)", re.DOTALL)


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
    what = clean(entry.because) if entry.entry == ALARM_STATUS else clean(entry.entry)
    return f"{what}  {clean(entry.message)}"


def seen(deployment: "Deployment", newest_first: "list[HistoryEntry]") -> "Iterator[tuple[str, str, HistoryEntry | None]]":
    """Each alarm with its status and the entry that tells it; "" and None where nobody has seen it."""
    about: dict[str, HistoryEntry] = {}
    for entry in newest_first:
        if entry.entry == ALARM_STATUS:
            about.setdefault(entry.because.removeprefix(ABOUT), entry)
    for name in deployment.alarm_configuration.alarms:
        newest = about.get(name)
        change = None if newest is None else _CHANGE.fullmatch(newest.message)
        yield name, change[1] if change else "", newest


def lines(deployment: "Deployment", newest_first: "list[HistoryEntry]", now: datetime.datetime) -> "Iterator[str]":
    """Each alarm as it was seen last: "HighErrors is OK: 0.01 is not > 0.05 (2m ago)"."""
    for name, status, entry in seen(deployment, newest_first):
        change = _CHANGE.fullmatch(entry.message) if entry else None
        at = moment(entry.time) if entry else None
        age = f" ({span((now - at).total_seconds())} ago)" if at else ""
        yield f"{clean(name)} is {clean(status)}: {clean(change[2])}{age}" if change else f"{clean(name)} was not seen yet"


def waits(deployment: "Deployment", newest_first: "list[HistoryEntry]", now: datetime.datetime) -> str:
    """What a deployment that has not ended waits for because of its alarms; "" when they hold nothing up."""
    if has_ended(deployment) or not deployment.alarm_configuration.enabled or deployment.HasField("error_information"):
        return ""
    statuses = list(seen(deployment, newest_first))
    blind = max((entry.history_id for entry in newest_first if entry.entry == BLIND), default=0)
    unseen = [name for name, status, entry in statuses if status in ("", "UNKNOWN") and (entry.history_id if entry else 0) >= blind]
    if unseen:
        return f"until somebody sees {', '.join(map(clean, unseen))}: no further host begins, and after a minute {_then(deployment)}"
    baking = next((entry for entry in newest_first if entry.entry == BAKING), None)
    if baking is None:
        return ""
    length = datetime.timedelta(seconds=deployment.alarm_configuration.bake_time.seconds)
    end = (moment(baking.time) or now.astimezone()) + length
    return f"every host has ended; its alarms are watched until {end:%H:%M:%S}"


def _then(deployment: "Deployment") -> str:
    return "it goes on blind" if deployment.alarm_configuration.ignore_poll_alarm_failure else "it stops"


def at(entry: "HistoryEntry", now: datetime.datetime) -> str:
    """When an entry was made, as following shows it."""
    return clock_time(entry.time, now)
