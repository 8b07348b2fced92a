"""What has to be done so that the coordinator has what is declared, and how that reads."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from coordinator.cli.declared.files import Found
from coordinator.cli.declared.kinds import KINDS, Changeable, Declared, DeclaredAlarm, DeclaredApplication, DeclaredConfig, DeclaredGroup
from coordinator.cli.declared.writing import lines, tree
from coordinator.cli.refusals import Refusal

PREDEFINED: Final = "CodeDeployDefault."
ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing to make, to change or to remove."""

    verb: Literal["create", "update", "delete"]
    declared: Declared
    fields: tuple[str, ...] = ()
    """Those that differ (update)."""
    difference: tuple[str, ...] = ()
    """Lines of the declaration: those that go with a minus, those that come with a plus, those between with a blank."""

    def __str__(self) -> str:
        return f"{self.verb} {self.declared.kind} {self.declared.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, in that order."""

    changes: tuple[Change, ...]
    same: int
    """So many are as they are declared."""
    undeclared: tuple[Declared, ...]
    """What the coordinator has, no file declares, and stays."""


def plan(wanted: Sequence[Found], existing: Iterable[Declared], prune: Collection[str]) -> Plan:
    """What has to be done. Raises Refusal when something of it can be seen to be impossible."""
    there = {(one.kind, one.name): one for one in existing}
    declared = {(found.declared.kind, found.declared.name): found for found in wanted}
    strangers = [one for key, one in there.items() if key not in declared and not _is_predefined(one)]
    going = _pruned(strangers, wanted, prune)
    gone = {(one.kind, one.name) for one in going}
    stays = tuple(one for one in strangers if (one.kind, one.name) not in gone)
    _check_names(wanted, {*declared, *there} - gone)
    _check_gone(stays, gone)
    changes, same = [], 0
    for kind in KINDS:
        for found in wanted:
            if found.declared.kind != kind.kind:
                continue
            change = _change(found, there.get((kind.kind, found.declared.name)))
            changes += [change] if change else []
            same += change is None
    changes += [Change(verb="delete", declared=one, difference=_difference(one, None)) for one in going]
    return Plan(changes=tuple(changes), same=same, undeclared=stays)


def _is_predefined(one: Declared) -> bool:
    return isinstance(one, DeclaredConfig) and one.name.startswith(PREDEFINED)


def _pruned(strangers: Sequence[Declared], wanted: Sequence[Found], prune: Collection[str]) -> list[Declared]:
    """What nobody declares and goes, in the order in which it can."""
    chosen = {kind.kind for kind in KINDS} if ALL in prune else set(prune)
    apps = {one.name for one in strangers if isinstance(one, DeclaredApplication) and one.kind in chosen}
    if DeclaredGroup.kind in chosen:  # of applications that no file speaks of, nobody has said anything
        apps |= {
            found.declared.name.partition("/")[0] for found in wanted if isinstance(found.declared, DeclaredApplication | DeclaredGroup)
        }
    going = [one for one in strangers if (one.message.application_name in apps if isinstance(one, DeclaredGroup) else one.kind in chosen)]
    order = [kind.kind for kind in reversed(KINDS)]
    return sorted(going, key=lambda one: (order.index(one.kind), one.name))


def _check_names(wanted: Sequence[Found], there: Collection[tuple[str, str]]) -> None:
    """Refuse groups that name what neither is declared nor stays."""
    for found in wanted:
        group = found.declared
        if not isinstance(group, DeclaredGroup):
            continue
        for kind, name in _named(group):
            if (kind, name) not in there:
                why = f"names {kind} {name}, which is not declared and will not be there"
                raise Refusal(f"cannot apply {found.where}: {group.kind} {group.name} {why}")


def _check_gone(stays: Iterable[Declared], gone: Collection[tuple[str, str]]) -> None:
    """Refuse to delete what a group names that stays."""
    for group in stays:
        for kind, name in _named(group) if isinstance(group, DeclaredGroup) else ():
            if (kind, name) in gone:
                why = f"{group.kind} {group.name} names it, which no file declares and which stays"
                raise Refusal(f"cannot delete {kind} {name}: {why}; say --prune {group.kind} too, or declare that group with another")


def _named(group: DeclaredGroup) -> list[tuple[str, str]]:
    """What a group names: kinds and names."""
    return [
        (DeclaredApplication.kind, group.message.application_name),
        (DeclaredConfig.kind, group.message.deployment_config_name),
        *((DeclaredConfig.kind, name) for name in [group.message.rollback_deployment_config_name] if name),
        *((DeclaredAlarm.kind, name) for name in group.message.alarm_configuration.alarms),
    ]


def _change(found: Found, now: Declared | None) -> Change | None:
    one = found.declared
    if now is None and _is_predefined(one):
        raise Refusal(f"cannot apply {found.where}: {one.name} begins like the predefined configs, and is none: give it another name")
    if now is None:
        return Change(verb="create", declared=one, difference=_difference(None, one))
    was, is_to_be = tree(now.message), tree(one.message)
    fields = tuple(sorted(name for name in was.keys() | is_to_be.keys() if was.get(name) != is_to_be.get(name)))
    if not fields:
        return None
    if not isinstance(one, Changeable):
        raise Refusal(
            f"cannot apply {found.where}: {one.kind} {one.name} is there with another {', '.join(fields)}, and deployment configs never "
            "change: declare one of another name, and let the groups name that"
        )
    return Change(verb="update", declared=one, fields=fields, difference=_difference(now, one))


def _difference(was: Declared | None, is_to_be: Declared | None) -> tuple[str, ...]:
    """Field by field, line by line; only fields that differ."""
    old, new = (tree(one.message) if one else {} for one in (was, is_to_be))
    shown = list[str]()
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = (lines({name: of[name]}) if name in of else [] for of in (old, new))
        compared = difflib.unified_diff(before, after, lineterm="", n=max(len(before), len(after)))
        shown += [f"{line[0]} {line[1:]}" for line in list(compared)[3:]]
    return tuple(shown)
