"""Whole deployments, told as text: a verb at the margin, what followed from it indented.

    given HOSTS on REVISION                    these hosts are Healthy and carry a revision that succeeded before
    deploy REVISION to HOSTS keep MINIMUM      MINIMUM as HOST_COUNT:2, FLEET_PERCENT:50 or MOST_CONCURRENCY:1; then, if wanted:
        rollback [EVENTS]                        roll back by itself on EVENTS (DEPLOYMENT_FAILURE)
        lost HOSTS                               these are known to be lost
        exists BEHAVIOR                          what Install does with files that exist: OVERWRITE or RETAIN, where it is not DISALLOW
        ignore-stop-failures                     a host goes on when the old revision's scripts fail
        offline POLICY                           what becomes of lost hosts: wait:SECONDS, wait:SECONDS:N, skip, skip:N, fail (wait:300)
        only HOSTS                               of those, only to these
        outdated                                 only to hosts that do not have the revision
        anew                                     only restart it, on the hosts that have it installed
        alarms ALARMS                            watch these; what begins with Canary is about the canary
        blind                                    go on when one of them stays unknown
        bake SECONDS                             watch them for so long once every host has ended
        approval                                 nobody begins before a second person has approved it
        watch SECONDS                            watch them for so long once it has succeeded
        canaries HOSTS[+PAUSE]                   these before all others
        steps STEPS                              1,25%+PAUSE,100%: it grows so
        zones FIRST:MONITOR:MINIMUM HOSTS@ZONE,… zone by zone, with so many seconds of bake, and such a floor in each (HOST_COUNT:1)
                                               PAUSE is bake=SECONDS, gate=APPROVERS (ann/bob, any) or analysis=METRICS, or
                                               several with + between; METRICS as METRIC:COUNT:FAILURES:INCONCLUSIVES[:ROW]/…
        back MINIMUM                             what its rollback keeps, instead of MINIMUM
        queueing QUEUE | SUPERSEDE               what its group says about deployments that are under way (REFUSE)
        at SECONDS                               not before so many seconds from now
    group HOSTS                                these are the group's hosts from now on, as who has waited finds them when its turn comes
    narrow WHY                                 from now on whoever's turn comes is refused, because of what has changed in the catalogue
    newcomers HOSTS keep MINIMUM [lost HOSTS]  the group's hosts are looked through for those that lack the last successful revision
    HOST begins EVENT                          it reports everything up to that event being in progress
    HOST succeeds                              it reports all events Succeeded
    HOST fails EVENT                           it reports that event Failed
    HOST waits | refuses | stops WHY           it reports about the whole instruction
    lost HOST | returned HOST                  it falls silent; it is back
    journal-lost HOST                          it is back with another journal
    measured NAME GOOD | BAD | UNKNOWN WHAT    ten seconds later, a metric of the present stage's analysis was measured
    alarm NAME OK | ALARM | UNKNOWN WHAT       somebody has looked at an alarm, and saw what
    epoch HOST NUMBER                          it knows a fence
    stop [and-roll-back | for-good] [WHY]      somebody stops the live deployment, and may say whether it is to be rolled back
    stop watching[-and-roll-back]              somebody stops what is watched after its success
    take-off DEPLOYMENT                        somebody stops a deployment that waits for its turn
    approve by WHO [WHY]                       somebody approves the live deployment, or d-1 when there is none, or its stage
    approve DEPLOYMENT by WHO                  somebody approves that one
    pause | resume [WHY]                       somebody pauses or resumes it
    promote by WHO [past-gate]                 somebody cuts the bake short
    retry HOSTS | retry                        somebody has hosts tried again; all that have failed
    skip HOSTS [WHY]                           somebody leaves hosts out
    wait SECONDS                               time passes
    restart                                    the coordinator is killed, and started an hour later

HOSTS are separated by commas. Invariants are checked after every line. `--rewrite` records anew what follows; read the diff.
"""

from pathlib import Path

import pytest

from coordinator.core.lifecycle import DeploymentErrorCode, EventStatus, InstructionStatus, LifecycleEvent
from coordinator.core.model import (
    ANY_APPROVER,
    AlarmStatus,
    Analysis,
    AutoRollbackEvent,
    Canaries,
    Deployment,
    DeploymentId,
    ErrorInformation,
    FileExistsBehavior,
    Gate,
    HostId,
    Measurement,
    Metric,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Pause,
    Queueing,
    Shape,
    Snapshot,
    Step,
    ZonalConfig,
)
from coordinator.core.orders import Answer, CallUp, HistoryEntry, Instruct, Order, SendCancel, Settled, WakeAt, WatchAlarms
from tests.core.rollout import Rollout

STORIES = sorted(Path(__file__).parent.glob("*.txt"))
WHOLE = {"waits": InstructionStatus.Waiting, "refuses": InstructionStatus.Refused, "stops": InstructionStatus.Cancelled}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_ends_as_it_was_told(story: Path, rewrite: bool) -> None:
    recorded = story.read_text()
    told = Teller().tell(recorded)
    if rewrite:
        story.write_text(told)
    assert told == story.read_text()


class Teller:
    """Carries out the lines of one story and says what follows from each."""

    def __init__(self) -> None:
        """Before the first line."""
        self.rollout = Rollout()
        self.names: dict[HostId, str] = {}
        self.narrowed: ErrorInformation | None = None

    def tell(self, recorded: str) -> str:
        """The story as it goes now."""
        lines: list[str] = []
        for line in recorded.splitlines():
            if line.startswith(" "):
                continue
            lines.append(line)
            if line and not line.startswith("#"):
                lines += [f"  {one}" for one in self._follow(line)]
        return "\n".join(lines) + "\n"

    def _follow(self, line: str) -> list[str]:
        rollout, told = self.rollout, len(self.rollout.history)
        rollout.orders = []
        self._carry_out(line.split())
        orders = rollout.orders
        while rollout.called is not None:
            rollout.take_turn(refused=self.narrowed)
            orders += [one for one in rollout.orders if not isinstance(one, Answer)]
        rollout.orders = orders
        followed = [self._history(entry) for entry in rollout.history[told:]]
        followed += [said for said in map(self._order, rollout.orders) if said]
        if not line.startswith("given"):
            followed.append(self._standing())
        return followed

    def _carry_out(self, words: list[str]) -> None:
        rollout = self.rollout
        match words:
            case ["given", names, "on", revision]:
                rollout.given(names.split(","), on=revision)
            case ["deploy", revision, "to", names, "keep", minimum, *rest]:
                self.names |= {HostId(f"id-of-{name}"): name for name in names.split(",")}
                lost = rest[rest.index("lost") + 1].split(",") if "lost" in rest else []
                exists = FileExistsBehavior[rest[rest.index("exists") + 1] if "exists" in rest else "DISALLOW"]
                rollout.deploy(
                    revision,
                    names.split(","),
                    _minimum(minimum),
                    events=_events(rest),
                    lost=lost,
                    exists=exists,
                    ignore="ignore-stop-failures" in rest,
                    offline=_offline(rest[rest.index("offline") + 1] if "offline" in rest else "wait:300"),
                    only=rest[rest.index("only") + 1].split(",") if "only" in rest else None,
                    outdated="outdated" in rest,
                    anew="anew" in rest,
                    alarms=rest[rest.index("alarms") + 1].split(",") if "alarms" in rest else (),
                    blind="blind" in rest,
                    bake=int(rest[rest.index("bake") + 1]) * 1000 if "bake" in rest else 0,
                    watch=int(rest[rest.index("watch") + 1]) * 1000 if "watch" in rest else 0,
                    approval="approval" in rest,
                    shape=_shape(rest),
                    zones=dict(one.split("@") for one in rest[rest.index("zones") + 2].split(",")) if "zones" in rest else {},
                    queueing=Queueing[rest[rest.index("queueing") + 1] if "queueing" in rest else "REFUSE"],
                    back=_minimum(rest[rest.index("back") + 1]) if "back" in rest else None,
                    start_in=int(rest[rest.index("at") + 1]) * 1000 if "at" in rest else None,
                )
            case ["newcomers", names, "keep", minimum, *rest]:
                self.names |= {HostId(f"id-of-{name}"): name for name in names.split(",")}
                last = rollout.group.last_successful
                revision = "nothing" if last is None else last.revision.revision_id
                rollout.bring_newcomers(revision, names.split(","), _minimum(minimum), lost=rest[1].split(",") if rest else [])
            case [name, "succeeds"]:
                rollout.succeed(name)
            case [name, "begins", event]:
                rollout.report(name, *rollout.walk(name, until=LifecycleEvent[event], last=EventStatus.InProgress))
            case [name, "fails", event]:
                rollout.fail(name, at=LifecycleEvent[event])
            case [name, "waits" | "refuses" | "stops" as verb, *why]:
                rollout.report(name, rollout.whole(name, WHOLE[verb], " ".join(why)))
            case _:
                self._let_happen(words)

    def _let_happen(self, words: list[str]) -> None:
        rollout = self.rollout
        match words:
            case ["lost", name]:
                rollout.lose(name)
            case ["returned", name]:
                rollout.welcome_back(name)
            case ["journal-lost", name]:
                rollout.lose_journal(name)
            case ["measured" | "alarm" as what, *rest]:
                self._see(what, *rest)
            case ["epoch", name, number]:
                rollout.see_epoch(name, int(number))
            case ["stop", "watching" | "watching-and-roll-back" as what]:
                rollout.stop(rollout.group.watched.deployment_id if rollout.group.watched else None, roll_back=what != "watching")
            case ["stop", "and-roll-back" | "for-good" as wish, *why]:
                rollout.stop(reason=" ".join(why), roll_back=wish == "and-roll-back")
            case ["approve", "by", who, *why]:
                rollout.approve(who, of="" if rollout.group.live else "d-1", reason=" ".join(why))
            case ["stop", *why]:
                rollout.stop(reason=" ".join(why))
            case ["wait", seconds]:
                rollout.wait(int(seconds) * 1000)
            case ["restart"]:
                rollout.restart()
            case _:
                self._wish(words)

    def _see(self, what: str, name: str, outcome: str, *sample: str) -> None:
        if what == "measured":
            self.rollout.wait(10_000)
            name = f"{self.rollout.deployment.progress.stage}/{name}"
            outcome = {"GOOD": "OK", "BAD": "ALARM"}.get(outcome, outcome)
        self.rollout.see(name, AlarmStatus[outcome], " ".join(sample))

    def _wish(self, words: list[str]) -> None:
        rollout = self.rollout
        match words:
            case ["pause", *why]:
                rollout.pause(reason=" ".join(why))
            case ["resume", *why]:
                rollout.resume(reason=" ".join(why))
            case ["promote", "by", who, *rest]:
                rollout.promote(who, past_gate=rest == ["past-gate"])
            case ["retry", *names]:
                rollout.retry(*(names[0].split(",") if names else ()))
            case ["skip", names, *why]:
                rollout.skip(*names.split(","), reason=" ".join(why))
            case _:
                self._let_wait(words)

    def _let_wait(self, words: list[str]) -> None:
        rollout = self.rollout
        match words:
            case ["group", names]:
                self.names |= {HostId(f"id-of-{name}"): name for name in names.split(",")}
                rollout.hosts = tuple(Snapshot(host_id=HostId(f"id-of-{name}"), name=name) for name in names.split(","))
            case ["narrow", *why]:
                self.narrowed = ErrorInformation(code=DeploymentErrorCode.IAM_ROLE_PERMISSIONS, message=" ".join(why))
            case ["take-off", deployment]:
                rollout.stop(DeploymentId(deployment))
            case ["approve", deployment, "by", who]:
                rollout.approve(who, of=deployment)
            case _:
                raise ValueError(f"cannot follow the story: nobody knows the line {' '.join(words)!r}")

    def _history(self, entry: HistoryEntry) -> str:
        subject = f"{entry.deployment_id} {self.names[entry.host_id]}" if entry.host_id else f"{entry.deployment_id}"
        message = f": {entry.message}" if entry.message else ""
        return f"{subject} {entry.entry}, {entry.because}{message}"

    def _order(self, order: Order) -> str | None:
        match order:
            case Instruct(instruction):
                exists = instruction.plan.file_exists_behavior
                more = "" if exists is FileExistsBehavior.DISALLOW else f" exists {exists.name}"
                return f"-> run {self.names[instruction.host_id]} {instruction.plan.deployment_id} epoch {instruction.target_epoch}{more}"
            case SendCancel(cancel):
                return f"-> cancel {self.names[cancel.host_id]} {cancel.instruction_id.partition('/')[0]}: {cancel.reason}"
            case Answer(_, None):
                return "-> answer: done"
            case Answer(_, error):
                return f"-> answer: {type(error).__name__}: {error}"
            case WatchAlarms(_, ()):
                return "-> look away"
            case WatchAlarms(_, alarms, _):
                return f"-> watch {','.join(one.name for one in alarms)}"
            case CallUp(plan):
                return f"-> call {plan.deployment_id}"
            case Settled() | WakeAt():
                return None

    def _standing(self) -> str:
        if not self.rollout.group.live and not self.rollout.ended:
            return "= nothing was ever deployed" + self._queue()
        deployment = self.rollout.deployment
        healthy = sum(1 for host in deployment.members if self.rollout.group.members[host].health.name == "Healthy")
        last = self.rollout.group.last_successful
        return (
            f"= {deployment.deployment_id} {deployment.status.name}: {_counted(deployment)}; "
            f"{healthy} of {len(deployment.members)} healthy; last successful {last.revision.revision_id if last else 'none'}"
            f"{self._newcomers()}{self._queue()}"
        )

    def _newcomers(self) -> str:
        live = self.rollout.group.newcomers
        if live is None or live is self.rollout.deployment:
            return ""
        return f"; newcomers {live.deployment_id} {_counted(live)}"

    def _queue(self) -> str:
        waiting = self.rollout.group.waiting
        return f"; waiting {' '.join(one.deployment_id for one in waiting)}" if waiting else ""


def _counted(deployment: Deployment) -> str:
    hosts: dict[str, list[str]] = {}
    for one in deployment.targets.values():
        hosts.setdefault(one.status.name, []).append(one.host_name)
    return ", ".join(f"{status} {' '.join(names)}" for status, names in sorted(hosts.items()))


def _events(rest: list[str]) -> list[AutoRollbackEvent]:
    if "rollback" not in rest:
        return []
    said = rest[rest.index("rollback") + 1 :]
    named = said[0].split(",") if said and said[0].startswith("DEPLOYMENT") else ["DEPLOYMENT_FAILURE"]
    return [AutoRollbackEvent(one) for one in named]


def _shape(rest: list[str]) -> Shape:
    canaries, steps, zonal = None, tuple[Step, ...](), None
    if "canaries" in rest:
        names, *pause = rest[rest.index("canaries") + 1].split("+")
        canaries = Canaries(hosts=tuple(names.split(",")), pause=_pause(pause))
    if "steps" in rest:
        said = [one.split("+") for one in rest[rest.index("steps") + 1].split(",")]
        steps = tuple(Step(value=int(size.rstrip("%")), percent=size.endswith("%"), pause=_pause(pause)) for size, *pause in said)
    if "zones" in rest:
        first, monitor, minimum = rest[rest.index("zones") + 1].split(":", 2)
        zonal = ZonalConfig(first_monitor=int(first) * 1000, monitor=int(monitor) * 1000, minimum=_minimum(minimum))
    return Shape(canaries=canaries, steps=steps, zonal=zonal)


def _pause(told: list[str]) -> Pause:
    said = dict(one.split("=") for one in told)
    approvers = tuple(ANY_APPROVER if one == "any" else one for one in said.get("gate", "").split("/"))
    analysis = _analysis(said["analysis"]) if "analysis" in said else None
    return Pause(bake=int(said.get("bake", 0)) * 1000, analysis=analysis, gate=Gate(approvers=approvers) if "gate" in said else None)


def _analysis(told: str) -> Analysis:
    """METRIC:COUNT:FAILURES:INCONCLUSIVES[:ROW], several of them parted by /; what begins with Shadow is one."""
    metrics = []
    for one in told.split("/"):
        name, *limits = one.split(":")
        count, failures, inconclusives, *row = map(int, limits)
        metrics.append(
            Metric(
                measurement=Measurement(name=name, expression=f"{name}{{{{cohort}}}}", interval=10_000),
                count=count,
                failure_limit=failures,
                inconclusive_limit=inconclusives,
                consecutive_success_limit=row[0] if row else 0,
                shadow=name.startswith("Shadow"),
            )
        )
    return Analysis(metrics=tuple(metrics), initial_delay=5_000)


def _offline(told: str) -> OfflinePolicy:
    match told.split(":"):
        case ["wait", seconds, *spared]:
            return OfflinePolicy(wait=int(seconds) * 1000, budget=int(*spared))
        case ["skip", *most]:
            return OfflinePolicy(action=OfflineAction.SKIP, budget=int(*most) if most else None)
        case _:
            return OfflinePolicy(action=OfflineAction.FAIL)


def _minimum(told: str) -> MinimumHealthyHosts:
    kind, _, value = told.partition(":")
    return MinimumHealthyHosts(type=MinimumHealthyHostsType(kind), value=int(value))
