"""What the coordinator foresees, as people read it: waves as a table, entries of the history folded, and a few sentences."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from coordinator.cli.console import Console
from coordinator.cli.wording.text import Columns, clean, columns, duration, span

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from hookline.v1.deployments_pb2 import HistoryEntry
    from hookline.v1.foresight_pb2 import Foresight, Wave

NAMED = 5
"""So many hosts are named, the rest is counted."""
WAVES = 20
"""So many waves are shown unless all are asked for."""


class Shown(NamedTuple):
    """A wave, its number, and the fewest healthy hosts from it to the next one."""

    number: int
    wave: "Wave"
    fewest: int


def names(of: Sequence[str]) -> str:
    """Hosts by name, the first ones only where there are many."""
    named = ", ".join(clean(one) for one in of[:NAMED])
    return f"{named} and {len(of) - NAMED} more" if len(of) > NAMED else named


def after(of: "Duration") -> str:
    """A time after the creation of the deployment."""
    seconds = of.ToMilliseconds() / 1000
    return span(seconds) if seconds.is_integer() else duration(seconds)


def waves(console: Console, foresight: "Foresight", *, everything: bool) -> None:
    """The table of who begins when."""
    found = list(_with_fewest(foresight))
    shown = found if everything else found[:WAVES]
    hosts = foresight.hosts
    table: Columns[Shown] = columns(
        ("WAVE", lambda row: f"{row.number}{' (rollback)' if row.wave.rollback else ''}"),
        *([("STAGE", lambda row: clean(row.wave.stage))] if any(one.stage for one in foresight.waves) else []),
        ("AT", lambda row: after(row.wave.at)),
        ("BEGIN", lambda row: str(len(row.wave.hosts))),
        ("HEALTHY", lambda row: f"{row.fewest} of {hosts}"),
        ("HOSTS", lambda row: names(row.wave.hosts)),
        whole="WAVE AT BEGIN HEALTHY",
    )
    console.rows(shown, table, "No host begins.")
    if len(found) > len(shown):
        console.line(f"... and {len(found) - len(shown)} waves more; --all shows them")


def promises(foresight: "Foresight") -> Iterator[str]:
    """Sentences about the floor."""
    when = next((after(one.at) for one in foresight.healthy_hosts if one.hosts == foresight.fewest_healthy), "0s")
    least = f"fewest healthy hosts: {foresight.fewest_healthy} of {foresight.hosts}, at {when}"
    floor = f"{foresight.floor} must stay healthy"
    if foresight.floor < foresight.minimum:
        floor += f" (the config asks for {foresight.minimum}, and fewer are healthy to begin with)"
    yield f"{least}; {floor}"
    if foresight.floor_broken:
        yield f"THE FLOOR WAS BROKEN: {names(foresight.floor_broken)} began although too few stayed healthy; this is a bug of Hookline"
    elif foresight.fewest_healthy < foresight.floor:
        yield "the floor held: no healthy host began below it; what is missing has failed or was lost"
    for gate in foresight.gates:
        yield f"gate: {clean(gate)}; it is taken for passed at once"


def known(foresight: "Foresight") -> str:
    """What the times rest on."""
    if foresight.known_targets:
        return f"times are those that events took on {foresight.known_targets} hosts of the group's last deployments"
    return "nobody knows how long events take here: no deployment of the group has got so far, so each is taken for 5s"


def entries(console: Console, told: Iterable["HistoryEntry"]) -> None:
    """The history, those folded that say the same of several hosts at the same time."""
    start: int | None = None
    for _, same in itertools.groupby(told, key=_alike):
        first, *rest = same
        at = first.time.ToMilliseconds()
        start = at if start is None else start
        hosts = names([one.host_name for one in (first, *rest) if one.host_name])
        because = "" if first.because.startswith("report ") else clean(first.because)
        said = "  ".join(filter(None, (hosts, clean(first.message), f"({because})" if because else "")))
        console.line(f"{span((at - start) / 1000):>8}  {clean(first.deployment_id):<18}  {clean(first.entry):<14}  {said}".rstrip())


def _alike(entry: "HistoryEntry") -> tuple[int, str, str, str]:
    message = entry.message.replace(entry.host_name, "") if entry.host_name else entry.message
    return entry.time.ToMilliseconds(), entry.deployment_id, entry.entry + ("*" if entry.host_name else ""), message


def _with_fewest(foresight: "Foresight") -> Iterator[Shown]:
    found = foresight.waves
    healthy = [(one.at.ToMilliseconds(), one.hosts) for one in foresight.healthy_hosts]
    place = 0
    for number, wave in enumerate(found):
        until = found[number + 1].at.ToMilliseconds() if number + 1 < len(found) else None
        fewest = wave.healthy_hosts
        while place < len(healthy) and (until is None or healthy[place][0] < until):
            if healthy[place][0] >= wave.at.ToMilliseconds():
                fewest = min(fewest, healthy[place][1])
            place += 1
        yield Shown(number + 1, wave, fewest)
