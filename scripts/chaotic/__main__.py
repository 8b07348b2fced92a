"""`scripts/chaos`."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.chaotic import floods
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.kills import AgentKills
from tests.e2e.renewals import RenewalKills, cluster_of_short_lives
from tests.e2e.witness import check_history, check_host, check_once, integrity

CONFIGS: Final = ("CodeDeployDefault.AllAtOnce", "CodeDeployDefault.HalfAtATime", "CodeDeployDefault.OneAtATime")
HOOKS_PER_HOST: Final = 5
HOOK_SECONDS: Final = "0.05"
"""A hook takes a while, so that kills hit some in the middle."""

LONGER_HOOK_SECONDS: Final = "0.1"
"""Where every kill is to hit one."""

ROLLOUT_WITHIN: Final = 120.0
VICTIMS: Final = {"coordinator": 4, "agent": 4, "agents": 2, "supervisors": 1, "host": 1, "everything": 2}
"""What is killed, and how often it is chosen. Whoever kills a supervisor may lose what its hook came to."""


@dataclass(slots=True)
class Tally:
    """What was done and seen."""

    rollouts: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    hooks: int = 0
    slowest: float = 0.0
    """Seconds from a coordinator that is ready again to the next committed event, at worst."""

    def __str__(self) -> str:
        """A summary of a few lines."""
        lines = [("rollouts", self.rollouts), ("kills", self.kills), ("lifecycle events", self.events)]
        told = [
            f"{name}: {counts.total()} ({', '.join(f'{count} {key}' for key, count in counts.most_common())})" for name, counts in lines
        ]
        return "\n".join([*told, f"hooks run: {self.hooks}, none twice", f"went on after at most {self.slowest:.2f} s"])


class Chaos:
    """Rollout after rollout on one cluster."""

    def __init__(self, cluster: Cluster, chance: random.Random, hosts: Sequence[str], tally: Tally) -> None:
        """`chance` decides what is killed, and when."""
        self.cluster = cluster
        self.chance = chance
        self.hosts = hosts
        self.tally = tally
        self.revisions: list[str] = []
        self._robbed: set[str] = set()
        """Hosts that lost a supervisor during this rollout."""

    def prepare(self) -> None:
        """Start the hosts; make an application, a group and two revisions."""
        self.cluster.start_agents(*self.hosts)
        self.cluster.hookline("app", "create", "shop")
        self.cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--auto-rollback", "failure")
        for version in ("v1", "v2"):
            directory = bundle(self.cluster.directory / "bundles" / version, version)
            self.revisions.append(self.cluster.hookline("push", "shop", str(directory)).json["revision_id"])

    def rollout(self) -> str:
        """One deployment, with kills; returns what it came to, in words. Raises AssertionError when a promise is broken."""
        self._robbed = set()
        config, revision = self.chance.choice(CONFIGS), self.chance.choice(self.revisions)
        words = ("deploy", "shop", "production", "--revision", revision, "--config", config)
        deployment_id = str(self.cluster.hookline(*words).json["deployment_id"])
        kills = [self.strike(deployment_id, moment) for moment in self.moments()]
        over = self.cluster.ended(deployment_id, ROLLOUT_WITHIN)
        for rollback in self.rollbacks(deployment_id):
            self.cluster.ended(rollback, ROLLOUT_WITHIN)
            self.check(rollback)
        self.check(deployment_id)
        integrity(self.cluster)
        self.cluster.wait_for_agents()
        self.tally.rollouts[over] += 1
        return f"{deployment_id} {over} with {config}, killed: {', '.join(filter(None, kills)) or 'nothing'}"

    def moments(self) -> list[int]:
        """After how many hooks something is killed."""
        all_hooks = len(self.hosts) * HOOKS_PER_HOST
        return sorted(self.chance.sample(range(all_hooks), self.chance.randint(1, 5)))

    def strike(self, deployment_id: str, moment: int) -> str:
        """Wait until so many hooks have begun, kill something and start it again; returns what, or nothing when all is over."""

        def reached() -> bool:
            return len(self.cluster.hooks(deployment_id)) >= moment or self.cluster.status(deployment_id) not in ("Created", "InProgress")

        until(reached, f"{moment} hooks have begun", ROLLOUT_WITHIN)
        if self.cluster.status(deployment_id) not in ("Created", "InProgress"):
            return ""
        kind = self.chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        match kind:
            case "coordinator":
                self.kill(["coordinator"], deployment_id)
            case "agent":
                self.kill([self.chance.choice(self.hosts)], deployment_id)
            case "agents":
                self.kill(self.chance.sample(self.hosts, self.chance.randint(2, len(self.hosts))), deployment_id)
            case "supervisors":
                self.rob(self.busy(deployment_id))
            case "host":
                host = self.busy(deployment_id)
                self.cluster.kill(host)
                self.rob(host)
                self.cluster.start_agent(host)
            case _:
                self.kill([*self.hosts, "coordinator"], deployment_id)
        self.tally.kills[kind] += 1
        return f"{kind} after {moment} hooks"

    def kill(self, names: Sequence[str], deployment_id: str) -> None:
        """`kill -9` all of them, then start them again."""
        for name in names:
            self.cluster.kill(name)
        for name in names:
            if name != "coordinator":
                self.cluster.start_agent(name)
        if "coordinator" in names:
            before = self.committed(deployment_id)
            ready_at = self.cluster.start_coordinator()
            until(lambda: self.committed(deployment_id) != before or self.over(deployment_id), "it goes on", ROLLOUT_WITHIN)
            if len(names) == 1:
                self.tally.slowest = max(self.tally.slowest, time.monotonic() - ready_at)

    def busy(self, deployment_id: str) -> str:
        """A host that runs a hook just now, if there is one."""
        running = {hook.host for hook in set(self.cluster.hooks(deployment_id)) - set(self.cluster.finished(deployment_id))}
        return self.chance.choice(sorted(running) or list(self.hosts))

    def rob(self, host: str) -> None:
        """`kill -9` a host's supervisors."""
        self._robbed.add(host)
        for pid in self.cluster.supervisors(host):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def committed(self, deployment_id: str) -> int:
        """Lifecycle events that are over, as committed."""
        query = "SELECT count(*) FROM v_lifecycle_events WHERE deployment_id = ? AND status NOT IN ('Pending', 'InProgress')"
        return int(self.cluster.rows(query, deployment_id)[0][0])

    def over(self, deployment_id: str) -> bool:
        """Whether the deployment has ended."""
        return self.cluster.status(deployment_id) in ("Succeeded", "Failed", "Stopped")

    def rollbacks(self, deployment_id: str) -> list[str]:
        """The deployment that rolled this one back, if there is one."""
        query = "SELECT rollback_deployment_id FROM v_deployments WHERE deployment_id = ? AND rollback_deployment_id IS NOT NULL"
        return [row[0] for row in self.cluster.rows(query, deployment_id)]

    def check(self, deployment_id: str) -> None:
        """Nothing ran twice, what is said is true, and only whoever lost a supervisor may have failed."""
        check_once(self.cluster, deployment_id)
        targets = self.cluster.rows("SELECT host_name, status, message FROM v_targets WHERE deployment_id = ?", deployment_id)
        for host, status, message in targets:
            assert status in ("Succeeded", "Failed", "Skipped"), f"{host} ended as {status}"
            if status == "Succeeded":
                check_host(self.cluster, deployment_id, host)
            elif status == "Failed":
                assert host in self._robbed, f"{host} failed, and nobody had killed its supervisors: {message}"
        if not self._robbed:
            check_history(self.cluster, deployment_id, [host for host, *_ in targets])
        self.tally.hooks += len(self.cluster.hooks(deployment_id))
        query = "SELECT status, count(*) FROM v_lifecycle_events WHERE deployment_id = ? GROUP BY 1"
        self.tally.events.update(dict(self.cluster.rows(query, deployment_id)))


def play(directory: Path, seed: int, hosts: int, minutes: float) -> Tally:
    """Rollouts until the time is over."""
    tally, deadline = Tally(), time.monotonic() + minutes * 60
    names = [f"web-{number}" for number in range(1, hosts + 1)]
    with Cluster(directory, hook_seconds=HOOK_SECONDS, quiet=True) as cluster:
        chaos = Chaos(cluster, random.Random(seed), names, tally)
        chaos.prepare()
        while time.monotonic() < deadline:
            print(f"{tally.rollouts.total() + 1:4} {chaos.rollout()}", flush=True)
    return tally


def kill_agents(directory: Path, seed: int, hosts: int, kills: int) -> str:
    """Rollouts until so many agents were killed while their hooks ran; what was seen."""
    names = [f"web-{number}" for number in range(1, hosts + 1)]
    with Cluster(directory, hook_seconds=LONGER_HOOK_SECONDS, quiet=True) as cluster:
        killed = AgentKills(cluster, random.Random(seed), names)
        while killed.kills < kills:
            print(f"{killed.rollouts + 1:4} {killed.rollout(kills - killed.kills)}", flush=True)
        integrity(cluster)
        cluster.wait_for_agents()
    return f"agents killed: {killed.kills} in {killed.rollouts} rollouts\nhooks run: {killed.hooks}, none twice, and every result is true"


def kill_renewals(directory: Path, seed: int, hosts: int, kills: int) -> str:
    """Rollouts until so many processes were killed while certificates were renewed; what was seen."""
    names = [f"web-{number}" for number in range(1, hosts + 1)]
    with cluster_of_short_lives(directory) as cluster:
        killed = RenewalKills(cluster, random.Random(seed), names)
        while killed.kills < kills:
            print(f"{killed.rollouts + 1:4} {killed.rollout(kills - killed.kills)}", flush=True)
        integrity(cluster)
        killed.check()
        renewed = killed.renewals
    counted = f"{killed.kills} in the midst of renewals, {killed.coordinators} of them of the coordinator, in {killed.rollouts} rollouts"
    return f"kills: {counted}\nrenewals: {renewed}, nobody locked out\nhooks run: {killed.hooks}, none twice, and every result is true"


def main() -> int:
    """0 when every promise was kept; 1, and the cluster's directory is kept, when one was broken."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Rollouts while processes are killed at random.")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), metavar="S", help="what is killed when")
    parser.add_argument("--hosts", type=int, default=8, metavar="N", help="how many hosts (default: %(default)s)")
    parser.add_argument("--agent-kills", type=int, default=0, metavar="N", help="instead: N times an agent, always while its hook runs")
    parser.add_argument(
        "--renewal-kills",
        type=int,
        default=0,
        metavar="N",
        help="instead: N times an agent or the coordinator, while certificates are renewed",
    )
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="instead: N mutated frames at each port of a coordinator")
    parser.add_argument("--handshakes", type=int, default=0, metavar="N", help="instead: N handshakes at each listener with TLS")
    settings = parser.parse_args()
    kills = settings.agent_kills or settings.renewal_kills
    until_when = f"{kills} kills" if kills else f"{settings.minutes:g} minutes"
    flood = settings.frames or settings.handshakes
    print(f"seed {settings.seed}" if flood else f"seed {settings.seed}, {settings.hosts} hosts, {until_when}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="hookline-chaos-"))
    try:
        tally: object
        if settings.frames:
            tally = floods.frames(directory, settings.seed, settings.frames)
        elif settings.handshakes:
            tally = floods.shake(directory / "cluster", settings.handshakes)
        elif settings.agent_kills:
            tally = kill_agents(directory / "cluster", settings.seed, settings.hosts, settings.agent_kills)
        elif settings.renewal_kills:
            tally = kill_renewals(directory / "cluster", settings.seed, settings.hosts, settings.renewal_kills)
        else:
            tally = play(directory / "cluster", settings.seed, settings.hosts, settings.minutes)
    except AssertionError as error:
        print(f"BROKEN: {error}\nlogs, database and witness: {directory}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        shutil.rmtree(directory)
        return 130
    shutil.rmtree(directory)
    print(tally)
    return 0


if __name__ == "__main__":
    sys.exit(main())
