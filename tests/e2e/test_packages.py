"""The agent that needs no Python: the archive where there is none, and the package on a machine that boots, upgrades and removes it."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.bundles import Gate, bundle
from tests.e2e.cluster import PROGRAMS, Cluster, until
from tests.e2e.machines import Machine, built, changed_root, needed, system
from tests.e2e.witness import check_hooks

pytestmark = pytest.mark.timeout(300)  # the first one makes the system and the agent

VERSION = version("hookline")
NEXT = f"{VERSION}+next"
HOME = "/usr/libexec/hookline-agent"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    needed("debootstrap", "systemd-nspawn")
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        yield cluster


@pytest.fixture
def machine(cluster: Cluster) -> Iterator[Machine]:
    """Booted, with the settings of an agent of that coordinator, and without the agent."""
    settings = f'coordinator = "{cluster.addresses["listen"]}"\nhost = "web-1"\ninsecure = true\n[tags]\nrole = "web"\n'
    files = {
        "/etc/hookline/agent.toml": settings,
        "/etc/hookline/agent-policy.toml": 'hook_environment = ["WITNESS"]\n',
        "/etc/default/hookline-agent": f"WITNESS={cluster.directory}\n",
    }
    with Machine(cluster.directory, files) as machine:
        yield machine


def revision(cluster: Cluster, name: str, *lines: str) -> str:
    """A bundle whose ApplicationStart does more; its revision."""
    directory = bundle(cluster.directory / f"bundle-{name}", name)
    (directory / "scripts" / "start.sh").write_text("\n".join((directory / "scripts" / "hook.sh").read_text().splitlines() + [*lines, ""]))
    appspec = (directory / "appspec.yml").read_text()
    before, start = appspec.split("  ApplicationStart:\n", 1)
    (directory / "appspec.yml").write_text(f"{before}  ApplicationStart:\n{start.replace('hook.sh', 'start.sh', 1)}")
    return str(cluster.hookline("push", "shop", str(directory)).json["revision_id"])


def begin(cluster: Cluster, revision_id: str) -> str:
    """Begin to deploy it; the deployment."""
    return str(cluster.hookline("deploy", "shop", "production", "--revision", revision_id).json["deployment_id"])


def succeeds(cluster: Cluster, deployment_id: str, *, first: bool) -> None:
    """Every hook of the deployment runs once."""
    assert cluster.ended(deployment_id) == "Succeeded"
    check_hooks(cluster, deployment_id, ["web-1"], first=first)


def held(cluster: Cluster, revision_id: str) -> tuple[str, Gate]:
    """Begin to deploy it; the deployment, whose ApplicationStart runs, and what that waits for."""
    gate = cluster.gate("ApplicationStart", "web-1")
    deployment_id = begin(cluster, revision_id)
    cluster.reached(deployment_id, "ApplicationStart", "web-1")
    return deployment_id, gate


def connected(cluster: Cluster) -> bool:
    return cluster.connected == 1


APPLICATION = ("setsid sleep 86400 >/dev/null 2>&1 &", 'echo $! > "$WITNESS/application"')
"""An application that a hook starts, and that has to outlive everything of ours."""


def application_runs(cluster: Cluster, machine: Machine) -> bool:
    written = cluster.directory / "application"
    return written.exists() and machine.said("cat", f"/proc/{written.read_text().strip()}/comm")[1] == "sleep"


def test_the_archive_deploys_where_there_is_no_python_and_hooks_see_nothing_of_it(tmp_path: Path) -> None:
    needed("unshare")
    with ThreadPoolExecutor() as meanwhile:  # the first time, each of the two takes most of a minute
        building = meanwhile.submit(built, "tar")
        assert not list(system().glob("usr/bin/python*"))
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("hookline", "hookline-coordinator"):
        (programs / name).symlink_to(PROGRAMS / name)
    with Cluster(tmp_path / "cluster", programs=programs) as cluster:
        (programs / "hookline-agent").symlink_to(changed_root(cluster, building.result()))
        cluster.start_agents("web-1")
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", "shop", "production", "--tag", "role=web")
        succeeds(cluster, begin(cluster, revision(cluster, "v1", 'env > "$WITNESS/environment"')), first=True)
        assert cluster.hookline("hosts").json[0]["agent_version"] == VERSION
        seen = dict(line.split("=", 1) for line in (cluster.directory / "environment").read_text().splitlines())
        assert seen["WITNESS"] == str(cluster.directory)
        assert [name for name in seen if name.startswith(("LD_", "_PYI", "_MEI", "HOOKLINE_AGENT_"))] == ["LD_LIBRARY_PATH"]
        assert seen["LD_LIBRARY_PATH"] == "/opt/operator", "the operator's, and not the agent's own"


def test_the_service_is_ready_when_it_says_so_and_comes_back_after_a_kill_and_a_hang(cluster: Cluster, machine: Machine) -> None:
    machine.write("/etc/systemd/system/hookline-agent.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n")
    machine.install(built("deb"))
    assert machine.shows("SubState") == "running"
    assert machine.run("systemctl", "is-enabled", "hookline-agent") == "enabled"
    until(lambda: connected(cluster), "the agent is connected")
    deployment_id, gate = held(cluster, revision(cluster, "v1", *APPLICATION))

    first = machine.shows("MainPID")
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "hookline-agent")
    second = machine.becomes("MainPID", lambda pid: pid not in ("0", first))
    machine.becomes("SubState", lambda it: it == "running")
    gate.let()
    succeeds(cluster, deployment_id, first=True)

    machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "hookline-agent")
    machine.becomes("MainPID", lambda pid: pid not in ("0", second))
    machine.becomes("SubState", lambda it: it == "running")
    assert "watchdog" in machine.run("journalctl", "--unit", "hookline-agent", "--no-pager").lower()

    assert application_runs(cluster, machine)
    until(lambda: connected(cluster), "the agent is connected again")
    succeeds(cluster, begin(cluster, revision(cluster, "v2")), first=False)


def test_an_upgrade_in_the_middle_of_a_hook_loses_nothing(cluster: Cluster, machine: Machine) -> None:
    machine.install(built("deb"))
    until(lambda: connected(cluster), "the agent is connected")
    deployment_id, gate = held(cluster, revision(cluster, "v1", *APPLICATION))

    machine.install(built("deb", NEXT))
    until(lambda: cluster.hookline("hosts").json[0]["agent_version"] == NEXT, "the new version is connected")
    assert len(machine.run("ls", f"{HOME}/versions").split()) == 2, "what the hook's supervisor runs from has to stay"
    gate.let()
    succeeds(cluster, deployment_id, first=True)

    machine.install(built("deb"))  # back again, by hand
    until(lambda: cluster.hookline("hosts").json[0]["agent_version"] == VERSION, "the old version is connected")
    assert application_runs(cluster, machine)
    succeeds(cluster, begin(cluster, revision(cluster, "v2")), first=False)


def test_a_deployment_may_upgrade_the_agent_that_carries_it_out(cluster: Cluster, machine: Machine) -> None:
    machine.install(built("deb"))
    until(lambda: connected(cluster), "the agent is connected")
    succeeds(cluster, begin(cluster, revision(cluster, "v1", f"dpkg --force-confold --install {built('deb', NEXT)}")), first=True)
    assert cluster.hookline("hosts").json[0]["agent_version"] == NEXT


def test_a_removal_leaves_what_was_deployed_and_what_the_agent_knows_until_it_is_purged(cluster: Cluster, machine: Machine) -> None:
    machine.install(built("deb"))
    until(lambda: connected(cluster), "the agent is connected")
    deployment_id, gate = held(cluster, revision(cluster, "v1", *APPLICATION))

    machine.run("dpkg", "--remove", "hookline-agent")
    assert not machine.has(HOME)
    assert not machine.has("/usr/bin/hookline-agent")
    until(lambda: cluster.connected == 0, "the agent is gone")
    gate.let()  # the hook ends while there is no agent
    until(lambda: application_runs(cluster, machine), "the hook has started the application")
    machine.install(built("deb"))
    succeeds(cluster, deployment_id, first=True)
    assert len(cluster.hookline("hosts").json) == 1, "it is the host that it was"

    machine.run("dpkg", "--purge", "hookline-agent")
    assert not machine.has("/var/lib/hookline-agent")
    assert not machine.has("/etc/hookline/agent.toml")
    assert machine.has("/etc/hookline/agent-policy.toml"), "who wrote it removes it"
    assert machine.has("/srv/app/VERSION")
    assert application_runs(cluster, machine)


def test_a_package_says_what_to_do_where_nobody_has_told_it_of_a_coordinator(cluster: Cluster, machine: Machine) -> None:
    machine.run("rm", "-r", "/etc/hookline")
    assert "say in /etc/hookline/agent.toml where the coordinator is" in machine.install(built("deb"))
    assert machine.said("systemctl", "is-enabled", "hookline-agent")[1] == "disabled"
    assert machine.run("systemd-analyze", "verify", "/usr/lib/systemd/system/hookline-agent.service") == ""


def test_rpm_installs_upgrades_and_removes_as_dpkg_does(tmp_path: Path) -> None:
    needed("rpm", "unshare")
    first, second = built("rpm"), built("rpm", NEXT)
    over, inside = tmp_path / "over", tmp_path / "root"
    script = f"""set -e
mount -t tmpfs tmpfs {over}
mkdir {over}/upper {over}/work
mount -t overlay -o lowerdir={system()},upperdir={over}/upper,workdir={over}/work overlay {inside}
mount -t proc proc {inside}/proc
mkdir -p {inside}/etc/hookline
rpm() {{ command rpm --root {inside} --dbpath /var/lib/rpm --nodeps "$@"; }}
agent() {{ chroot {inside} /usr/bin/hookline-agent --version; }}
rpm --install {first}; agent
echo 'coordinator = "127.0.0.1:1"' >> {inside}/etc/hookline/agent.toml
rpm --upgrade {second}; agent
ls {inside}{HOME}/versions
rpm --erase hookline-agent
test ! -e {inside}{HOME}
ls {inside}/etc/hookline
"""
    for directory in (over, inside):
        directory.mkdir()
    done = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if not line.startswith("hookline-agent: say in")]
    assert told[:2] == [f"hookline-agent {VERSION}", f"hookline-agent {NEXT}"]
    assert told[2].startswith(f"{NEXT}-")
    assert told[3:] == ["agent.toml.rpmsave"]
