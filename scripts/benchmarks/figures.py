"""One measured figure, and how it is printed."""

import json
import resource
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value, and the floor that it is held against in the same run (None where there is none)."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    bar: float | None = None
    """The greatest ratio (or, without a floor, the greatest value) that is promised."""

    @property
    def ratio(self) -> float | None:
        """Value over floor."""
        return self.value / self.floor if self.floor else None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where nothing is promised."""
        if self.bar is None:
            return None
        return (self.ratio if self.ratio is not None else self.value) <= self.bar

    def as_json(self) -> str:
        """One object on one line."""
        return json.dumps({**asdict(self), "ratio": self.ratio, "kept": self.kept})

    def as_text(self) -> str:
        """One aligned line."""
        against = f"  floor {self.floor:>10.3f}  ratio {self.ratio:6.2f}" if self.floor and self.ratio is not None else " " * 33
        promised = "" if self.bar is None else f"  bar {self.bar:g}  {'kept' if self.kept else 'MISSED'}"
        return f"{self.name:<58} {self.value:>11.3f} {self.unit:<10}{against}{promised}"


def cpu_seconds() -> float:
    """User and system time of this process until now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_kib(pid: int | str = "self", *, peak: bool = False) -> int:
    """Resident memory of a process, or the most it ever was, in KiB."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1])
    raise RuntimeError(f"cannot read {wanted} of process {pid}")


def proportional_kib(pid: int) -> int:
    """Memory of a process in KiB, where a page that it shares with others counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"cannot read the proportional memory of process {pid}")


def percentile(values: list[float], percent: float) -> float:
    """The value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
