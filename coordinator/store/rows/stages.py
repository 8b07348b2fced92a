"""Shapes of rollouts, and what is frozen of them, as JSON; how far the stages have come, as columns."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final, Protocol

from coordinator.core.model import (
    Analysis,
    Canaries,
    Comparison,
    Condition,
    Gate,
    Measurement,
    Metric,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    Passed,
    Pause,
    Paused,
    Progress,
    Shape,
    Stage,
    Step,
    Taken,
    Verdict,
    ZonalConfig,
    Zone,
)
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.store.rows.columns import Row, text_of

PROGRESS_COLUMNS: Final = ("stage", "baked_from", "promoted", "gate_from", "passed", "paused", "taken", "verdict", "waits_until")


class Named(Protocol):
    """A row whose columns are asked for by name."""

    def __getitem__(self, name: str, /) -> Any:  # a column can be anything; this is where it becomes a type
        """A column's value."""
        ...


def progress_columns(progress: Progress) -> Row:
    """PROGRESS_COLUMNS of a deployment."""
    return (
        progress.stage,
        progress.baked_from,
        int(progress.promoted),
        progress.gate_from,
        text_of(progress.passed),
        None if progress.paused is None else text_of(progress.paused),
        text_of(progress.taken),
        None if progress.verdict is None else int(progress.verdict),
        progress.waits_until,
    )


def progress(row: Named) -> Progress:
    """The opposite."""
    return Progress(
        stage=row["stage"],
        baked_from=row["baked_from"],
        promoted=bool(row["promoted"]),
        gate_from=row["gate_from"],
        passed=tuple(Passed(*one) for one in json.loads(row["passed"])),
        paused=None if row["paused"] is None else Paused(*json.loads(row["paused"])),
        taken=tuple(Taken(*one) for one in json.loads(row["taken"])),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        waits_until=row["waits_until"],
    )


def stages_text(stages: Iterable[Stage]) -> str:
    """Stages as JSON."""
    return text_of([asdict(one) for one in stages])


def stages(text: str) -> tuple[Stage, ...]:
    """The opposite."""
    return tuple(Stage(name=one["name"], hosts=one["hosts"], pause=_pause(one["pause"])) for one in json.loads(text))


def zones_text(zones: Iterable[Zone]) -> str:
    """Zones as JSON."""
    return text_of([asdict(one) for one in zones])


def zones(text: str) -> tuple[Zone, ...]:
    """The opposite."""
    return tuple(Zone(**one) for one in json.loads(text))


def shape_text(shape: Shape) -> str:
    """A shape as JSON."""
    return text_of(asdict(shape))


def shape(text: str) -> Shape:
    """The opposite; what was never said is nothing."""
    said = json.loads(text)
    canaries, zonal = said.get("canaries"), said.get("zonal")
    return Shape(
        canaries=None if canaries is None else _canaries(canaries),
        steps=tuple(Step(value=one["value"], percent=one["percent"], pause=_pause(one["pause"])) for one in said.get("steps", ())),
        zonal=None if zonal is None else _zonal(zonal),
    )


def _canaries(said: dict[str, Any]) -> Canaries:
    filters = tuple(TagFilter(key=one["key"], value=one["value"], type=TagFilterType(one["type"])) for one in said["tag_filters"])
    return Canaries(hosts=tuple(said["hosts"]), tag_filters=filters, pause=_pause(said["pause"]))


def _zonal(said: dict[str, Any]) -> ZonalConfig:
    minimum = MinimumHealthyHosts(type=MinimumHealthyHostsType(said["minimum"]["type"]), value=said["minimum"]["value"])
    return ZonalConfig(**{**said, "minimum": minimum})


def _pause(said: dict[str, Any]) -> Pause:
    gate, analysis = said["gate"], said.get("analysis")
    return Pause(
        bake=said["bake"],
        analysis=None if analysis is None else _analysis(analysis),
        gate=None if gate is None else Gate(approvers=tuple(gate["approvers"]), timeout=gate["timeout"]),
    )


def _analysis(said: dict[str, Any]) -> Analysis:
    metrics = (Metric(**{**one, "measurement": _measurement(one["measurement"])}) for one in said["metrics"])
    return Analysis(metrics=tuple(metrics), initial_delay=said["initial_delay"])


def _measurement(said: dict[str, Any]) -> Measurement:
    return Measurement(**{**said, "success": _condition(said["success"]), "failure": _condition(said["failure"])})


def _condition(said: list[Any] | None) -> Condition | None:
    return None if said is None else Condition(Comparison(said[0]), said[1])
