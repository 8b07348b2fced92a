"""Text for terminals: other people's words made harmless, times and ages, and aligned columns."""

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

Row = TypeVar("Row")

# Escape sequences (CSI, OSC and the other strings, two-character ones), then single characters: controls, and those that turn the
# direction of writing or break lines where a terminal does not expect it.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x1b][\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SOURCE = re.compile(r"((?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?\[(?:stdout|stderr|hookline)\])(.*)", re.DOTALL)
REPLACED = "\N{REPLACEMENT CHARACTER}"

STATUS_STYLES = {
    "Succeeded": "green",
    "Failed": "bold red",
    "Stopped": "bold red",
    "Unknown": "bold red",
    "Lost": "bold red",
    "Unhealthy": "red",
    "InProgress": "yellow",
    "Suspect": "yellow",
    "Pending": "dim",
    "Skipped": "dim",
}


def clean(text: str) -> str:
    """One line without anything that a terminal would obey."""
    text = _SEQUENCES.sub("", text.replace("\r\n", "\n")).replace("\t", " ").replace("\n", " ")
    return _CONTROLS.sub(REPLACED, text).strip()


def clean_output(line: str) -> str:
    """A line that a hook printed, made harmless: its time, source and indentation stay, what a carriage return overwrote goes."""
    found = _SOURCE.match(line)
    stamp, text = found.groups() if found else ("", line)
    shown = _SEQUENCES.sub("", text.rstrip("\r").rpartition("\r")[2].expandtabs())
    return f"{stamp}{_CONTROLS.sub(REPLACED, shown).rstrip()}"


def clean_lines(text: str) -> list[str]:
    """The lines of a text that a hook printed, each made harmless."""
    lines = [clean_output(line) for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def moment(timestamp: "Timestamp") -> datetime.datetime | None:
    """A timestamp as a local time; None when it is not set."""
    if not timestamp.seconds and not timestamp.nanos:
        return None
    try:
        return timestamp.ToDatetime(tzinfo=datetime.UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a year that no calendar here knows
        return None


def clock_time(timestamp: "Timestamp", otherwise: datetime.datetime) -> str:
    """The time of day, local."""
    return (moment(timestamp) or otherwise.astimezone()).strftime("%H:%M:%S")


def date_time(timestamp: "Timestamp") -> str:
    """The date and time, local; "" when it is not set."""
    at = moment(timestamp)
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else ""


def with_age(timestamp: "Timestamp", now: datetime.datetime) -> str:
    """The local date and time, and how long ago that was."""
    at = moment(timestamp)
    return f"{at:%Y-%m-%d %H:%M:%S} ({span((now - at).total_seconds())} ago)" if at else ""


def span(seconds: float) -> str:
    """A length of time in its two largest units at most: "42s", "3m 5s", "2h 10m", "5d"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s" if whole < 600 and whole % 60 else f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m" if whole < 36000 and whole % 3600 >= 60 else f"{whole // 3600}h"
    return f"{whole // 86400}d"


def duration(seconds: float) -> str:
    """How long something took: as a length of time, but with tenths when it was short."""
    return f"{max(0.0, seconds):.1f}s" if seconds < 9.95 else span(seconds)


def tags(of: Iterable[tuple[str, str]]) -> str:
    """Tags as people type them."""
    return " ".join(clean(f"{key}={value}") for key, value in sorted(of))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[Row]):
    """A column of a table. One that is `whole` (ids, names) is never shortened or broken."""

    title: str
    cell: Callable[[Row], str]
    whole: bool = False


Columns: TypeAlias = Sequence[Column[Row]]


def columns(*of: tuple[str, Callable[[Row], str]], whole: str = "") -> Columns[Row]:
    """Columns from titles and cells; `whole` names those, by title, that are never shortened."""
    return [Column(title=title, cell=cell, whole=title in whole.split()) for title, cell in of]


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Plain aligned columns, two blanks between them, "-" where there is nothing."""
    table = [list(titles), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(titles))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
