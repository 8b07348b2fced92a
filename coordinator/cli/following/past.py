"""What ran on a host at a moment in the past, out of its history: per group the revision that was deployed, and what was on its way."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from coordinator.cli import protos
from coordinator.cli.connection import Connection
from coordinator.cli.console import Console
from coordinator.cli.refusals import Refusal, Unreachable
from coordinator.cli.wording.spelling import JsonValue, spelt
from coordinator.cli.wording.text import clean, columns, date_time, moment

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from hookline.v1.deployments_pb2 import HistoryEntry, ListHistoryRequest

BEGUN, SUCCEEDED = "InProgress", "Succeeded"
STATUSES = (BEGUN, SUCCEEDED, "Failed", "Skipped", "Unknown")


@dataclass(slots=True, kw_only=True)
class Part:
    """A host's part in a deployment, as it was then."""

    deployment_id: str
    status: str
    since: "Timestamp"
    begun: bool = False
    revision_id: str = ""
    lifecycle_event: str = ""
    """What ran then."""
    installed: bool = False
    """Whether its files were in place."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """How a host stood in a group."""

    place: tuple[str, str]
    """Application and deployment group."""
    parts: dict[str, Part] = field(default_factory=dict)
    """By deployment, the newest first."""

    @property
    def deployed(self) -> Part | None:
        """The newest one that had succeeded."""
        return next((part for part in self.parts.values() if part.status == SUCCEEDED), None)

    @property
    def attempts(self) -> list[Part]:
        """What had begun after that, the newest first."""
        parts = list(self.parts.values())
        until = next((number for number, part in enumerate(parts) if part.status == SUCCEEDED), len(parts))
        return [part for part in parts[:until] if part.begun]

    @property
    def installed(self) -> Part | None:
        """Whose files lay on the host."""
        return next((part for part in self.attempts if part.installed), self.deployed)


def parsed(typed: str, now: datetime.datetime) -> datetime.datetime:
    """The moment that somebody means. Refuses what is no time, and what has not come yet."""
    try:
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", typed):
            meant = datetime.datetime.combine(now.astimezone().date(), datetime.time.fromisoformat(typed)).astimezone()
        else:
            meant = datetime.datetime.fromisoformat(typed).astimezone()
    except (ValueError, OverflowError):
        how = "write 14:03 (today) or 2026-11-23T14:03, in this machine's time zone, or with one: 2026-11-23T14:03Z, 2026-11-23T14:03+01:00"
        raise click.UsageError(f"cannot read the time {typed!r}: {how}") from None
    if meant > now:
        raise click.UsageError(f"cannot say what runs at {meant.isoformat()}: it is not that late yet")
    return meant


def show(console: Console, asked: "ListHistoryRequest", at: datetime.datetime) -> None:
    """Show what ran on the host that is asked for."""
    name, asked.host = asked.host, _host_id(console.connection, asked.host)
    standings = list(_standings(console.connection, asked, at))
    for standing in standings:
        _look_closer(console.connection, standing, asked.host, at)
    if console.json:
        console.json_value({"host": name, "at": _iso(at), "groups": [_to_json(standing) for standing in standings]})
        return
    if standings:
        console.line(f"{clean(name)} at {at:%Y-%m-%d %H:%M:%S} {at:%Z} ({_iso(at)}); all times in {at:%Z}")
    shown = columns(
        ("GROUP", lambda standing: clean("/".join(standing.place))),
        ("REVISION", lambda standing: clean(standing.deployed.revision_id) if standing.deployed else ""),
        ("DEPLOYMENT", lambda standing: clean(standing.deployed.deployment_id) if standing.deployed else ""),
        ("SINCE", lambda standing: date_time(standing.deployed.since) if standing.deployed else ""),
        ("FILES OF", lambda standing: clean(standing.installed.revision_id) if standing.installed else ""),
        ("THEN", _then),
        whole="GROUP REVISION DEPLOYMENT SINCE",
    )
    console.rows(standings, shown, f"Nothing had been deployed to {clean(name)} then.")


def _host_id(connection: Connection, host: str) -> str:
    """A host's id: it may have been called otherwise then. One that is gone is looked for as it was typed."""
    try:
        return connection.ask(connection.fleet.GetHost, protos.fleet.GetHostRequest(host=host)).host.host_id
    except Unreachable:
        raise
    except Refusal:
        return host


def _standings(connection: Connection, asked: "ListHistoryRequest", at: datetime.datetime) -> Iterator[Standing]:
    """What the history says up to then; groups in which the host had begun nothing are left out."""
    asked.entries.extend(STATUSES)
    found: dict[tuple[str, str], Standing] = {}
    for entry in _entries(connection, asked, at):
        place = (entry.application_name, entry.deployment_group_name)
        standing = found.setdefault(place, Standing(place=place))
        new = Part(deployment_id=entry.deployment_id, status=entry.entry, since=entry.time)
        part = standing.parts.setdefault(entry.deployment_id, new)
        part.begun = part.begun or entry.entry == BEGUN
    return (standing for _, standing in sorted(found.items()) if standing.deployed or standing.attempts)


def _entries(connection: Connection, asked: "ListHistoryRequest", at: datetime.datetime) -> "Iterator[HistoryEntry]":
    for page in connection.pages(connection.deployments.ListHistory, asked):
        yield from (entry for entry in page.entries if entry.deployment_id and not _later(entry.time, at))


def _look_closer(connection: Connection, standing: Standing, host: str, at: datetime.datetime) -> None:
    """What the deployments that matter brought, and how far those had come that had not succeeded."""
    for part in [*standing.attempts, *([standing.deployed] if standing.deployed else [])]:
        request = protos.deployments.GetDeploymentRequest(deployment_id=part.deployment_id)
        part.revision_id = connection.ask(connection.deployments.GetDeployment, request).deployment.revision_id
        if part.status == SUCCEEDED:
            continue
        about = protos.deployments.GetTargetRequest(deployment_id=part.deployment_id, host=host)
        for event in connection.ask(connection.deployments.GetTarget, about).target.lifecycle_events:
            began, ended = not _later(event.start_time, at), not _later(event.end_time, at)
            if began and not ended and part.status == BEGUN:
                part.lifecycle_event = spelt(event, "lifecycle_event")
            if ended and spelt(event, "lifecycle_event") == "Install" and spelt(event, "status") == SUCCEEDED:
                part.installed = True


def _later(time: "Timestamp", at: datetime.datetime) -> bool:
    """Whether something had not happened then, or never has."""
    happened = moment(time)
    return happened is None or happened > at


def _then(standing: Standing) -> str:
    """What was on its way, or had failed."""
    if not standing.attempts:
        return ""
    last = standing.attempts[0]
    event = f" {last.lifecycle_event}" if last.lifecycle_event else ""
    return clean(f"{last.status}{event}: {last.revision_id} by {last.deployment_id} since {date_time(last.since)}")


def _iso(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _to_json(standing: Standing) -> dict[str, JsonValue]:
    deployed, installed, attempts = standing.deployed, standing.installed, standing.attempts
    told: dict[str, JsonValue] = {
        "application_name": standing.place[0],
        "deployment_group_name": standing.place[1],
        "installed_revision_id": installed.revision_id if installed else "",
    }
    if deployed:
        told["deployed"] = _part(deployed)
    if attempts:
        told["attempt"] = {**_part(attempts[0]), "status": attempts[0].status, "lifecycle_event": attempts[0].lifecycle_event}
    return told


def _part(part: Part) -> dict[str, JsonValue]:
    return {"deployment_id": part.deployment_id, "revision_id": part.revision_id, "since": part.since.ToJsonString()}
