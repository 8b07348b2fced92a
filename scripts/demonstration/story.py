"""The story of `scripts/demo`: six hosts, three revisions, one of which is broken."""

import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Final

from scripts.demonstration.processes import PROGRAMS, ROOT, Scene

HOSTS: Final = 6
WEB: Final = ROOT / "deploy" / "examples" / "web"
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class DemoFailed(Exception):
    """Something did not go as it should."""


class Demo:
    """The story, from the first command to the last."""

    def __init__(self, scene: Scene) -> None:
        """`scene` is an empty directory."""
        self.scene = scene
        self.ports: dict[str, int] = {}
        self.socket = ""
        self.http = ""

    def play(self) -> None:
        """Everything, in order."""
        self.start_coordinator()
        self.join_hosts()
        self.start_agents()
        self.say("Every host has its tags; an application and a deployment group select them.")
        self.hookline("app", "create", "web")
        self.hookline("group", "create", "web", "production", "--tag", "role=web", "--auto-rollback", "failure")
        self.hookline("hosts")
        self.say("v1, to all hosts at once.")
        self.deploy(self.push("v1"), "--config", "CodeDeployDefault.AllAtOnce")
        self.say("v2, one host at a time.")
        v2 = self.push("v2")
        self.deploy(v2)
        self.say(
            "v3 is broken: its ValidateService fails on the first host, the others are left alone, the group goes back to v2 by itself."
        )
        if self.deploy(self.push("v3", flaw="BROKEN"), expected=1) != 1:
            raise DemoFailed("v3 was deployed, although it is broken")
        self.say("What the history remembers:")
        self.hookline("deployments", "web", "production")
        self.hookline("history", "--app", "web")
        self.check_web("v2")

    def start_coordinator(self, *options: str) -> None:
        """A coordinator on free ports, with its database in the scene, and whatever `options` add."""
        self.say(f"A coordinator, with its SQLite database in {self.scene.directory / 'coordinator'}.")
        process = self.scene.start(
            "coordinator",
            "hookline-coordinator",
            *("--data-dir", str(self.scene.directory / "coordinator"), "--listen", "127.0.0.1:0"),
            *("--http-listen", "127.0.0.1:0", "--bundle-listen", "127.0.0.1:0", "--enrol-listen", "127.0.0.1:0"),
            *("--certificate-listen", "127.0.0.1:0"),
            *("--operator-listen", "127.0.0.1:0", "--admin-socket", str(self.scene.directory / "admin.sock")),
            *options,
        )
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        if not said.startswith("ready "):
            raise DemoFailed(f"the coordinator did not start; see {self.scene.directory / 'logs' / 'coordinator.log'}")
        where = dict(word.split("=", 1) for word in said.split()[1:])
        self.socket, self.http = where["admin"], where["http"]
        print(f"  Agents at {where['listen']}, with certificates of its own authority; operators of this machine at {self.socket};")
        print(f"  machines that want to become hosts at {where['enrol']}; /metrics and /healthz at http://{self.http}")

    def join_hosts(self) -> None:
        """Six machines become hosts, with one join token."""
        self.say(f"{HOSTS} machines become hosts: one command, which is pasted on each.")
        words = ("token", "create", "--uses", str(HOSTS), "--tag", "role=web", "--auto-approve", "--trust-tags")
        self.show(*words)
        said = subprocess.run(self.command(*words), env=self.environment(), stdout=subprocess.PIPE, check=True).stdout.decode()
        print(said.strip())
        _, *pasted = shlex.split(said)
        names = [f"web-{number}" for number in range(1, HOSTS + 1)]
        joining = [
            self.scene.start(name, "hookline-agent", *pasted, "--host", name, "--data-dir", str(self.scene.directory / "agents" / name))
            for name in names
        ]
        for name, process in zip(names, joining, strict=True):
            if process.wait(20):
                raise DemoFailed(f"{name} did not become a host; see {self.scene.directory / 'logs' / name}.log")

    def start_agents(self, **environment: str) -> None:
        """Six agents, each with a root of its own, a free port for the application, and what else hooks see of its environment."""
        self.say("Each host starts its agent, with its own root prefix, tags, and a free PORT, which its policy lets hooks see.")
        policy = self.scene.directory / "agent-policy.toml"
        policy.write_text('hook_environment = ["PORT", "HOOKLINE_DEMO", "WARM_UP"]\n')
        policy.chmod(0o600)
        for number in range(1, HOSTS + 1):
            name = f"web-{number}"
            prefix = self.scene.directory / "hosts" / name
            prefix.mkdir(parents=True)
            self.ports[name] = self.scene.reserve_port()
            self.scene.start(
                name,
                "hookline-agent",
                *("run", "--data-dir", str(self.scene.directory / "agents" / name), "--root-prefix", str(prefix)),
                *("--policy", str(policy)),
                *("--tag", f"zone={'ab'[number % 2]}"),
                environment={"PORT": str(self.ports[name]), "HOOKLINE_DEMO": str(self.scene.directory), **environment},
            )
        self.wait_for_hosts()

    def wait_for_hosts(self) -> None:
        """Until every agent is connected."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=5) as answer:
                if f"\nhookline_agents_connected {HOSTS}.0\n" in answer.read().decode():
                    return
            time.sleep(0.05)
        raise DemoFailed(f"not every agent came; see {self.scene.directory / 'logs'}")

    def push(self, version: str, *, flaw: str = "") -> str:
        """Make a bundle of the application as a version, with a flaw if need be, and push it. Returns the revision."""
        bundle = self.scene.directory / "bundles" / version
        shutil.copytree(WEB, bundle, ignore=shutil.ignore_patterns("__pycache__"))
        (bundle / "app" / "VERSION").write_text(f"{version}\n")
        if flaw:
            (bundle / "app" / flaw).write_text("see server.py\n")
        self.show("push", "web", str(bundle), "--description", version)
        pushed = subprocess.run(
            self.command("push", "web", str(bundle), "--description", version), env=self.environment(), stdout=subprocess.PIPE, check=True
        )
        revision = pushed.stdout.decode().strip()
        print(revision)
        return revision

    def deploy(self, revision: str, *options: str, expected: int = 0) -> int:
        """Deploy to the group and follow."""
        return self.hookline("deploy", "web", "production", "--revision", revision, *options, "--follow", expected=expected)

    def check_web(self, version: str) -> None:
        """Ask every host's application which version it is."""
        self.say("What the application answers on every host:")
        wrong: list[str] = []
        for name, port in self.ports.items():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    said = answer.read().decode().strip()
            except OSError as error:
                said = f"no answer: {error}"
            print(f"  http://127.0.0.1:{port}/  {said}")
            if said != f"{version} on {name}":
                wrong.append(name)
        if wrong:
            raise DemoFailed(f"not every host answers {version}: {', '.join(wrong)}")

    def hookline(self, *words: str, expected: int = 0) -> int:
        """Run a command as an operator would, and show it. Raises DemoFailed when it ends otherwise than expected."""
        self.show(*words)
        code = subprocess.run(self.command(*words), env=self.environment(), check=False).returncode
        if code != expected:
            raise DemoFailed(f"`hookline {shlex.join(words)}` ended with {code}, not {expected}")
        return code

    def show(self, *words: str) -> None:
        """Print a command as it would be typed."""
        print(f"{BOLD}$ hookline {shlex.join(words)}{PLAIN}", flush=True)

    def command(self, *words: str) -> list[str]:
        """The command line of the operator's program."""
        return [str(PROGRAMS / "hookline"), *words]

    def environment(self) -> dict[str, str]:
        """Where the operator's program finds the coordinator."""
        return {**os.environ, "HOOKLINE_COORDINATOR": f"unix:{self.socket}"}

    def say(self, sentence: str) -> None:
        """A heading."""
        print(f"\n{BOLD}== {sentence}{PLAIN}", flush=True)

    def explain(self) -> None:
        """How to look around in what `--keep` leaves running."""
        database = self.scene.directory / "coordinator" / "hookline.db"
        self.say("Everything is still running. Look around:")
        print(f"""  export HOOKLINE_COORDINATOR=unix:{self.socket} PATH="{PROGRAMS}:$PATH"
  hookline status
  hookline target DEPLOYMENT web-1
  buf curl --protocol grpc --http2-prior-knowledge --unix-socket {self.socket} \\
    http://hookline/hookline.v1.DeploymentService/ListDeployments
  grpcurl -plaintext -unix {self.socket} list
  sqlite-utils rows {database} v_deployments
  curl http://{self.http}/metrics
  ls {self.scene.directory / "logs"} {self.scene.directory / "hosts"}
Stop it with:
  scripts/demo --stop {self.scene.directory}""")
