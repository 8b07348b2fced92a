"""A group's triggers as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from coordinator.core.model import TargetKind, Trigger, TriggerEvent, TriggerTarget
from coordinator.store.rows.columns import text_of


def triggers_text(triggers: Iterable[Trigger]) -> str:
    """Triggers as JSON."""
    return text_of([asdict(one) for one in triggers])


def triggers(text: str) -> tuple[Trigger, ...]:
    """The opposite of `triggers_text`."""
    return tuple(_trigger(one) for one in json.loads(text))


def _trigger(stored: dict[str, Any]) -> Trigger:  # it was written by `triggers_text`
    target = {**stored["target"], "kind": TargetKind(stored["target"]["kind"])}
    return Trigger(name=stored["name"], events=tuple(map(TriggerEvent, stored["events"])), target=TriggerTarget(**target))
