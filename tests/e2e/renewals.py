"""`kill -9` of agents, and now and then of the coordinator, while certificates are renewed in the midst of rollouts."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.cluster import Cluster, until
from tests.e2e.kills import ROLLOUT_WITHIN, AgentKills

LIFETIME = "15s"
"""Of a certificate: every host renews about once in a rollout."""

HOOK_SECONDS = "1"


def cluster_of_short_lives(directory: Path) -> Cluster:
    """A cluster in which certificates last for seconds, and hooks long enough for them to be renewed meanwhile."""
    options = ("--certificate-lifetime", LIFETIME)
    return Cluster(directory, hook_seconds=HOOK_SECONDS, quiet=True, secure=True, options=options)


class RenewalKills(AgentKills):
    """Rollouts to all hosts at once. Whoever has a key for its next certificate, and not yet the certificate, may be killed."""

    def __init__(self, cluster: Cluster, chance: random.Random, hosts: Sequence[str]) -> None:
        """As `AgentKills`; the coordinator's certificates have to be short-lived."""
        super().__init__(cluster, chance, hosts)
        self.coordinators = 0
        self._struck = dict.fromkeys(hosts, 0)

    @property
    def renewals(self) -> int:
        """How often hosts have renewed until now."""
        return sum(self._generation(host) for host in self._hosts)

    def check(self) -> None:
        """Everybody has renewed and is still let in, and nobody was taken for a copy."""
        self._cluster.wait_for_agents()
        locked = self._cluster.rows("SELECT because FROM v_history WHERE entry = 'HostLocked'")
        assert not locked, locked
        assert all(self._generation(host) for host in self._hosts), self.renewals

    def _strike(self, deployment_id: str, most: int) -> None:
        enough = self.kills + most

        def prey() -> list[str]:
            return self._renewing() or ["nobody"] * self._is_over(deployment_id)

        while self.kills < enough:
            host = self._chance.choice(until(prey, "a certificate is renewed", ROLLOUT_WITHIN))
            if host == "nobody":
                return
            self._struck[host] = self._generation(host) + 1
            until(lambda: self._chance.random() < 1 / 4, "a random moment")
            if self._chance.random() < 1 / 4:
                self._cluster.kill_coordinator()
                self._cluster.start_coordinator()
                self.coordinators += 1
            else:
                self._cluster.kill(host)
                self._cluster.start_agent(host)
            self.kills += 1

    def _renewing(self) -> list[str]:
        """Hosts in the midst of a renewal in which nobody was killed yet."""
        following = {host: self._generation(host) + 1 for host in self._hosts}
        return [
            host
            for host, generation in following.items()
            if generation > self._struck[host] and (self._identity(host) / str(generation)).exists()
        ]

    def _generation(self, host: str) -> int:
        return int(os.readlink(self._identity(host) / "current"))

    def _identity(self, host: str) -> Path:
        return self._cluster.agent_dir(host) / "identity"
