"""`hookline-agent lint`: says what is wrong with an AppSpec file, or with a bundle's, before a host has to find out."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from agent.appspec.findings import RULES, Severity
from agent.errors import AgentError
from agent.payload import PayloadError

if TYPE_CHECKING:
    import argparse

    from agent.appspec.rules import Examination

DESCRIPTION = (
    "Reads an AppSpec file as the agent does and reports every mistake in it, also those that CodeDeploy passes over in silence. "
    "Of a bundle it says, too, which scripts and sources are missing. Changes nothing and needs no coordinator."
)
EPILOG = (
    "exit code: 0 when there is nothing worse than warnings, 1 when there is an error, 2 when PATH cannot be read. "
    "An error is what a deployment fails for, or what silently does nothing; a warning is what probably does something else than meant; "
    "a note is what is fine here, but not with CodeDeploy's own agents."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="an AppSpec file; or a bundle: a directory, or a tar, tgz or zip file with appspec.yml"
    )
    parser.add_argument(
        "-A", "--appspec-filename", metavar="NAME", help="the AppSpec file of the bundle (default: appspec.yml, appspec.yaml)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(options: argparse.Namespace) -> int:
    """Carry it out; the exit code says whether there are errors."""
    path: Path = options.path
    try:
        name, found = _examine(path, options.appspec_filename)
    except OSError as error:
        raise AgentError(f"cannot lint {path}: {(error.strerror or str(error)).lower()}") from error
    except PayloadError as error:
        raise AgentError(f"cannot lint {path}: {error.message}") from error
    sys.stdout.write(_as_json(path, name, found) if options.json else _as_text(name, found))
    return 1 if any(finding.severity is Severity.ERROR for finding in found.findings) else 0


def _examine(path: Path, requested: str | None) -> tuple[str, Examination]:
    from agent.appspec.bundle import examine_bundle, read_at_most  # Here, so that only this command loads YAML.
    from agent.appspec.rules import examine

    if path.is_dir():
        name, found = examine_bundle(path, requested)
        return str(path / name), found
    if not path.is_file():
        raise AgentError(f"cannot lint {path}: there is no such file or directory")
    if not _is_archive(path):
        return str(path), examine(read_at_most(path))
    from agent.bundle.archives.archive import Limits
    from agent.bundle.archives.unpack import unpack

    with tempfile.TemporaryDirectory(prefix="hookline-lint-") as directory:
        unpack(path, Path(directory) / "bundle", Limits())
        name, found = examine_bundle(Path(directory) / "bundle", requested)
        return f"{path}: {name}", found


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(512)
    return start.startswith((b"PK\3\4", b"PK\5\6", b"\x1f\x8b")) or start[257:262] == b"ustar"


def _as_text(name: str, found: Examination) -> str:
    lines = []
    for finding in found.findings:
        lines.append(f"{name}:{finding.line}:{finding.column}: {finding.severity}: {finding.message} [{finding.rule}]")
        if finding.fix:
            lines.append(f"    {finding.fix}")
    counts = Counter(finding.severity for finding in found.findings)
    counted = [f"{counts[severity]} {severity}{'s' * (counts[severity] != 1)}" for severity in Severity if counts[severity]]
    usable = "; the agent refuses this file" if found.flaws else ""
    lines.append(f"{name}: {', '.join(counted) or 'nothing to complain of'}{usable}")
    return "".join(f"{line}\n" for line in lines)


def _as_json(path: Path, name: str, found: Examination) -> str:
    findings = [
        {
            "line": each.line,
            "column": each.column,
            "rule": each.rule,
            "severity": each.severity,
            "message": each.message,
            "fix": each.fix,
            "meaning": RULES[each.rule].meaning,
        }
        for each in found.findings
    ]
    return json.dumps({"path": str(path), "appspec": name, "usable": not found.flaws, "findings": findings}, indent=2) + "\n"
