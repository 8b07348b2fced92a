"""`hookline apply` and `hookline export`."""

from typing import TYPE_CHECKING, Final

import click

from coordinator.cli import suggestions
from coordinator.cli.arguments import command
from coordinator.cli.console import Console
from coordinator.cli.declared import files
from coordinator.cli.declared.kinds import KINDS, Changeable, DeclaredAlarm, DeclaredApplication, DeclaredConfig, DeclaredGroup, everything
from coordinator.cli.declared.plan import ALL, PREDEFINED, Change, Plan, plan
from coordinator.cli.declared.writing import written
from coordinator.cli.refusals import DIFFERENT, Refusal
from coordinator.cli.wording.spelling import JsonValue, to_json
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    from coordinator.cli.connection import Connection
    from coordinator.cli.declared.kinds import Declared

SHOWN: Final = 10
COLOURS: Final = {"+": "green", "-": "red"}
DONE: Final = {"create": "created", "update": "changed", "delete": "deleted"}


@command(
    "apply",
    examples=[
        "hookline apply -f shop.yaml --dry-run                     # exit code 4 when something differs",
        "hookline apply -f shop.yaml",
        "hookline apply -f hookline.d -f more.yaml                 # the .yaml, .yml and .json files in a directory",
        "hookline apply -f hookline.d --prune DeploymentGroup --dry-run",
        "hookline export --output json | hookline --coordinator other:8445 apply -f -",
    ],
    related=["export", "app create", "config create", "group create", "alarm create"],
)
@click.option(
    "-f",
    "names",
    multiple=True,
    required=True,
    type=click.Path(exists=True, allow_dash=True),
    metavar="FILE|DIR|-",
    help="What is declared: a file, the files of a directory, or stdin; several count together.",
)
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing; exit code 4 when there is one.")
@click.option(
    "--prune",
    multiple=True,
    type=click.Choice([*(kind.kind for kind in KINDS), ALL]),
    metavar="KIND|all",
    help="Delete what no file declares: of this kind (and of others named so), or of all four. Listed before anything is changed.",
)
def apply(console: Console, names: tuple[str, ...], *, dry_run: bool, prune: tuple[str, ...]) -> None:
    """Make applications, deployment configs, groups and alarms what files declare.

    A file has YAML documents (or JSON) with a kind (Application, DeploymentConfig, DeploymentGroup, Alarm) and the fields that --output
    json shows; what it does not say has its default. Applied again it changes nothing. Nothing is deleted without --prune: an
    application goes with its groups and revisions, and groups go only in applications that the files speak of.
    """
    wanted = files.found_in(names)
    existing = _existing(console.connection)
    found = plan(wanted, existing, prune)
    if not console.json:
        _show(console, found)
    if not dry_run:
        _carry_out(console, found.changes)
    if console.json:
        console.json_value([_spelt(change) for change in found.changes])
    else:
        console.line(_summary(found, dry_run=dry_run))
    if dry_run and found.changes:
        click.get_current_context().exit(DIFFERENT)


@command(
    "export",
    examples=["hookline export > hookline.yaml", "hookline export shop mail > shop-and-mail.yaml", "hookline export --output json"],
    related=["apply"],
)
@click.argument("applications", metavar="[APP]...", nargs=-1, shell_complete=suggestions.applications)
def export(console: Console, applications: tuple[str, ...]) -> None:
    """Write what the coordinator has as files that `hookline apply` reads.

    Applications, deployment configs, groups and alarms; with APP those of some applications, and what their groups name. The predefined
    configs are left out.
    """
    found = _chosen(_existing(console.connection), applications)
    if console.json:
        console.json_value([_declaration(one) for one in found])
    else:
        console.line("\n---\n".join("\n".join(written(one.kind, one.message)) for one in found))


def _existing(connection: "Connection") -> "list[Declared]":
    found = list(everything(connection))
    for one in found:
        one.complete()
    return found


def _chosen(existing: "list[Declared]", applications: tuple[str, ...]) -> "list[Declared]":
    """What is exported."""
    own = [one for one in existing if not (isinstance(one, DeclaredConfig) and one.name.startswith(PREDEFINED))]
    if not applications:
        return own
    there = {one.name for one in own if isinstance(one, DeclaredApplication)}
    if missing := [name for name in applications if name not in there]:
        raise Refusal(f"cannot export application {clean(missing[0])}: there is none; list them with: hookline app list")
    groups = [one for one in own if isinstance(one, DeclaredGroup) and one.message.application_name in applications]
    named = {
        *((DeclaredApplication.kind, name) for name in applications),
        *((one.kind, one.name) for one in groups),
        *((DeclaredConfig.kind, one.message.deployment_config_name) for one in groups),
        *((DeclaredConfig.kind, one.message.rollback_deployment_config_name) for one in groups),
        *((DeclaredConfig.kind, name) for one in groups for name in one.message.service_role.deployment_config_names),
        *((DeclaredAlarm.kind, name) for one in groups for name in one.message.alarm_configuration.alarms),
    }
    return [one for one in own if (one.kind, one.name) in named]


def _carry_out(console: Console, changes: tuple[Change, ...]) -> None:
    """Do all of it, or say how far it came."""
    for number, change in enumerate(changes):
        one = change.declared
        try:
            if change.verb == "delete":
                one.delete(console.connection)
            elif isinstance(one, Changeable) and change.verb == "update":
                one.update(console.connection, change.fields)
            else:
                one.create(console.connection)
        except Refusal as error:
            parts = [("done", changes[:number]), ("not done", changes[number:])]
            told = [f"  {what}: {', '.join(clean(str(each)) for each in part) or 'nothing'}" for what, part in parts]
            lines = [f"cannot {clean(str(change))}: {error.message}", *told, "Apply again once that is put right."]
            raise type(error)("\n".join(lines)) from None


def _show(console: Console, found: Plan) -> None:
    """What would go first, then everything in its order."""
    if going := [change for change in found.changes if change.verb == "delete"]:
        console.line(f"goes, because no file declares it: {', '.join(clean(f'{one.declared.kind} {one.declared.name}') for one in going)}")
    for change in found.changes:
        console.line(clean(str(change)))
        for line in change.difference:
            console.line(click.style(f"  {line[:2]}{_indented(line[2:])}".rstrip(), fg=COLOURS.get(line[0])))
    if found.undeclared:
        names = [clean(f"{one.kind} {one.name}") for one in found.undeclared]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        console.remark(f"No file declares, and stays: {', '.join(names[:SHOWN])}{more}. To delete it say --prune KIND.")


def _indented(line: str) -> str:
    return f"{'':{len(line) - len(line.lstrip(' '))}}{clean(line)}"


def _summary(found: Plan, *, dry_run: bool) -> str:
    counts = [(sum(change.verb == verb for change in found.changes), verb) for verb in DONE]
    said = [f"{count} {f'to {verb}' if dry_run else DONE[verb]}" for count, verb in counts if count]
    return ", ".join([*said, f"{found.same} as declared"])


def _spelt(change: Change) -> dict[str, JsonValue]:
    return {
        "change": change.verb,
        "kind": change.declared.kind,
        "name": change.declared.name,
        "fields": list(change.fields),
        "difference": list(change.difference),
    }


def _declaration(one: "Declared") -> JsonValue:
    said = to_json(one.message)
    return {"kind": one.kind, **{name: value for name, value in said.items() if name not in one.never}}
