"""`kill -9` of agents at random moments while their hooks run, through as many rollouts as it takes."""

import random
from collections.abc import Sequence

from tests.e2e.bundles import bundle, close
from tests.e2e.cluster import Cluster, until
from tests.e2e.witness import check_closed, check_history, check_hooks, check_once

ROLLOUT_WITHIN = 120.0
BROKEN = "ApplicationStart"
"""The event that fails in every third rollout: a true result may be a bad one."""

_ROLLOUTS_UNTIL_BROKEN = 3


class AgentKills:
    """Rollouts to all hosts at once, during which every agent is killed again and again."""

    def __init__(self, cluster: Cluster, chance: random.Random, hosts: Sequence[str]) -> None:
        """Start the hosts; make an application, a group and two revisions, of which one fails."""
        self._cluster = cluster
        self._chance = chance
        self._hosts = hosts
        self.kills = 0
        self.rollouts = 0
        self.hooks = 0
        cluster.start_agents(*hosts)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web", "--config", "CodeDeployDefault.AllAtOnce")
        bundles = (bundle(cluster.directory / "good", "good"), bundle(cluster.directory / "bad", "bad", fail=[BROKEN]))
        for made in bundles:
            close(made)
        self._good, self._bad = (cluster.hookline("push", "shop", str(path)).json["revision_id"] for path in bundles)

    def rollout(self, most: int) -> str:
        """One deployment, with so many kills at most; how it ended. Fails when a hook ran twice, or when what is said is not true."""
        cluster = self._cluster
        cluster.wait_for_agents()
        self.rollouts += 1
        is_broken = self.rollouts % _ROLLOUTS_UNTIL_BROKEN == 0
        first = not cluster.hooks()
        words = ("deploy", "shop", "production", "--revision", self._bad if is_broken else self._good)
        deployment_id = str(cluster.hookline(*words).json["deployment_id"])
        self._strike(deployment_id, most)
        over = cluster.ended(deployment_id, ROLLOUT_WITHIN)
        self.hooks += len(cluster.hooks(deployment_id))
        check_once(cluster, deployment_id)
        check_closed(cluster, deployment_id)
        if is_broken:
            query = "SELECT DISTINCT status, error_code FROM v_lifecycle_events WHERE deployment_id = ? AND lifecycle_event = ?"
            assert cluster.rows(query, deployment_id, BROKEN) == [("Failed", "ScriptFailed")]
        else:
            assert over == "Succeeded"
            check_hooks(cluster, deployment_id, self._hosts, first=first)
            check_history(cluster, deployment_id, self._hosts)
        return f"{deployment_id} {over}, {self.kills} agents killed so far"

    def _strike(self, deployment_id: str, most: int) -> None:
        """Kills whichever agent runs a hook, or a closing one, that it was not killed in yet, and starts it again."""
        seen = dict.fromkeys(self._hosts, 0)
        enough = self.kills + most

        def begun() -> list[str]:
            """Whose hooks and closing hooks have begun."""
            closings = [host for host, _, _ in self._cluster.closings(deployment_id)]
            return [hook.host for hook in self._cluster.hooks(deployment_id)] + closings

        def prey() -> list[str]:
            hosts = begun()
            return [host for host in self._hosts if hosts.count(host) > seen[host]] or ["nobody"] * self._is_over(deployment_id)

        while self.kills < enough:
            host = self._chance.choice(until(prey, "a hook begins", ROLLOUT_WITHIN))
            if host == "nobody":
                return
            until(lambda: self._chance.random() < 1 / 4, "a random moment")
            seen[host] = begun().count(host)
            self._cluster.kill(host)
            self._cluster.start_agent(host)
            self.kills += 1

    def _is_over(self, deployment_id: str) -> bool:
        return self._cluster.status(deployment_id) not in ("Created", "Queued", "InProgress")
