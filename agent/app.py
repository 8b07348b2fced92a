"""The agent's program: finds the command that was typed and lets it run. Imports nothing that this command does not need."""

from __future__ import annotations

import sys

from agent.errors import AgentError

TYPE_CHECKING = False  # typing itself would double what a supervisor loads
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class Command(Protocol):
        """A module that is a command."""

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Adds its options, and its description."""
            ...

        def run(self, args: argparse.Namespace) -> int:
            """Does it; the exit code. AgentError is told to the operator and ends the program with its exit code."""
            ...


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script `hookline-agent`: exit code 0 after an orderly end, 2 for what the operator can put right, 1 otherwise."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if typed and typed[0] in _OWN_PROCESSES:
        del sys.argv[1]
        _OWN_PROCESSES[typed[0]]()
        return 0
    options = _parser(typed).parse_args(typed)
    try:
        code = _COMMANDS[options.command][1]().run(options)
    except* AgentError as group:
        error = _first(group)
    else:
        return code
    sys.stderr.write(f"hookline-agent: {error}\n")
    return error.exit_code


def _parser(typed: Sequence[str]) -> argparse.ArgumentParser:
    import argparse

    from agent.config import agent_version

    parser = argparse.ArgumentParser(
        prog="hookline-agent",
        description="Carries out deployments on this host, as the coordinator says, and reports every lifecycle event.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hookline-agent {agent_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, module) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name in typed:
            module().add_arguments(command)
    return parser


_EXAMPLES = """\
on a new host, with what `hookline token create` printed:
  hookline-agent join deploy.example:8446 --token hlj_... --ca 3f2a...   makes it a host
  hookline-agent doctor                                  what is missing here, and what to do about it
  hookline-agent run                                     serves the coordinator that it has joined
  hookline-agent status                                  how it stands with its coordinator, what it does
with a coordinator on this machine that speaks plaintext:
  hookline-agent run --coordinator 127.0.0.1:8443 --insecure --tag role=web
on a developer's machine:
  hookline-agent lint my-app                                        mistakes in its AppSpec file, each with its line
  hookline-agent deploy-local -l my-app --data-dir /tmp/a --root-prefix /tmp/r

Settings may also stand in /etc/hookline/agent.toml and in the environment; `hookline-agent COMMAND --help` tells more.
"""


# A command is a module with `add_arguments` and `run`, imported when it was typed and not before. Each has one function and one line.


def _run() -> Command:
    from agent.local import run

    return run


def _lint() -> Command:
    from agent.appspec import lint

    return lint


def _deploy_local() -> Command:
    from agent.local.deployment import command

    return command


def _gc() -> Command:
    from agent.local import gc

    return gc


def _status() -> Command:
    from agent.local import status

    return status


def _doctor() -> Command:
    from agent.local import doctor

    return doctor


def _join() -> Command:
    from agent.local import join

    return join


_COMMANDS: dict[str, tuple[str, Callable[[], Command]]] = {
    "join": ("make this machine a host of a coordinator", _join),
    "run": ("connect to a coordinator and serve it until told to stop", _run),
    "deploy-local": ("deploy a bundle on this host without a coordinator", _deploy_local),
    "gc": ("remove deployments of the past that nobody needs any more", _gc),
    "status": ("say how the agent of this host stands", _status),
    "doctor": ("check what has to be right on this host for the agent", _doctor),
    "lint": ("say what is wrong with an AppSpec file or a bundle", _lint),
}


# The agent's own processes, when it is a self-contained executable: agent/processes.py starts them so.


def _supervisor() -> None:
    from agent.supervisor.program import main as supervisor

    supervisor()


def _unpacker() -> None:
    from agent.bundle.program import main as unpacker

    unpacker()


def _key_maker() -> None:
    from agent.identity.program import main as key_maker

    key_maker()


_OWN_PROCESSES = {"supervisor": _supervisor, "unpacker": _unpacker, "key-maker": _key_maker}


def _first(group: BaseExceptionGroup[AgentError]) -> AgentError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
