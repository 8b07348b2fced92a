"""`{{cohort}}` and `{{control}}` in a PromQL expression: the labels of a group's hosts that try a revision out, and of as many others.

They stand among a series' own matchers: `sum(rate(errors_total{job="shop", {{cohort}}}[1m]))`. The labels are those that
`deploy/prometheus/hosts.yml` makes.

Pure.
"""

import json
import re
from typing import Final

from coordinator.core.evidence.cohorts import Cohort

COHORTS: Final = {"cohort": Cohort.CANARY, "control": Cohort.CONTROL}
_ANY: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
"""The innermost two braces: a placeholder may be all that a series' own braces hold."""


def strange(expression: str) -> str | None:
    """The first thing in double braces that is no placeholder; None when there is none."""
    return next((found[1] for found in _ANY.finditer(expression) if found[1] not in COHORTS), None)


def has_any(expression: str) -> bool:
    """Whether an expression speaks of cohorts."""
    return _ANY.search(expression) is not None


def filled(expression: str, *, application_name: str = "", group_name: str = "") -> str:
    """The expression about the cohorts of a group; of all groups, without names."""
    names = {"application": application_name, "deployment_group": group_name}
    own = [f"{label}={json.dumps(name)}" for label, name in names.items() if name]

    def matchers(found: re.Match[str]) -> str:
        return ", ".join([*own, f"cohort={json.dumps(COHORTS[found[1]].value)}"])

    return _ANY.sub(matchers, expression)
