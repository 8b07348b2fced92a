"""What PromQL expressions ask for, and what there is to be asked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import promql_parser as promql

DEPLOY = Path(__file__).parents[2] / "deploy"
EVERYWHERE = frozenset({"job", "instance"})
FOREIGN = {
    "up": EVERYWHERE | {"application", "deployment_group", "revision", "cohort"},
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "job", "instance"}),
    "process_cpu_seconds_total": EVERYWHERE,
    "process_resident_memory_bytes": EVERYWHERE,
}
"""What Prometheus makes by itself, the hosts' labels from /sd/prometheus included, and what any program says of its process."""

IN_A_TABLE = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """A metric that an expression names, and the labels that it is asked by."""

    metric: str
    labels: frozenset[str]


def exposed() -> dict[str, frozenset[str]]:
    """The labels of every series that a coordinator exposes, by its name: those of the table that is drawn from its metrics."""
    series: dict[str, frozenset[str]] = dict(FOREIGN)
    for name, kind, labels in IN_A_TABLE.findall((DEPLOY / "README.md").read_text()):
        found = EVERYWHERE | set(re.findall(r"\w+", labels))
        if kind == "histogram":
            series |= {f"{name}_bucket": found | {"le"}, f"{name}_sum": found, f"{name}_count": found}
        else:
            series[name] = found
    return series


def asked(expression: promql.Expr) -> Iterator[Asked]:
    """Every selector of an expression."""
    for one in parts(expression):
        if isinstance(one, promql.VectorSelector):
            names = frozenset(matcher.name for matcher in one.matchers.matchers)
            metric = one.name or next((each.value for each in one.matchers.matchers if each.name == "__name__"), "")
            yield Asked(metric, names - {"__name__"})


def parts(expression: promql.Expr) -> Iterator[promql.Expr]:
    """An expression, and all that it is made of."""
    yield expression
    match expression:
        case promql.AggregateExpr() | promql.SubqueryExpr() | promql.UnaryExpr() | promql.ParenExpr():
            yield from parts(expression.expr)
        case promql.BinaryExpr():
            yield from parts(expression.lhs)
            yield from parts(expression.rhs)
        case promql.Call():
            for argument in expression.args:
                yield from parts(argument)
        case promql.MatrixSelector():
            yield from parts(expression.vector_selector)
        case _:
            pass


def kept(expression: promql.Expr, series: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The labels that the result of an expression may have."""
    match expression:
        case promql.AggregateExpr():
            within = kept(expression.expr, series)
            if str(expression.op) == "topk":
                return within
            return within & frozenset(expression.modifier.labels) if expression.modifier is not None else frozenset()
        case promql.SubqueryExpr() | promql.UnaryExpr() | promql.ParenExpr():
            return kept(expression.expr, series)
        case promql.BinaryExpr():
            return kept(expression.lhs, series) | kept(expression.rhs, series)
        case promql.Call():
            labels = frozenset[str]().union(*(kept(one, series) for one in expression.args))
            return labels - {"le"} if expression.func.name == "histogram_quantile" else labels
        case promql.MatrixSelector():
            return kept(expression.vector_selector, series)
        case promql.VectorSelector():
            return series.get(expression.name or "", frozenset())
        case _:
            return frozenset()


def grouped(expression: promql.Expr) -> Iterator[tuple[promql.AggregateExpr, frozenset[str]]]:
    """Every aggregation of an expression that names labels, and those labels."""
    for one in parts(expression):
        if isinstance(one, promql.AggregateExpr) and one.modifier is not None:
            yield one, frozenset(one.modifier.labels)
