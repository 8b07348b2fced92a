"""Whether a policy allows an instruction and what its bundle asks for. A sentence that names the rule is raised where not.

Pure but for the names of users; `guard.py` asks, and remembers.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from typing import TYPE_CHECKING

from agent.payload import PayloadError, PayloadErrorCode
from agent.policy.signatures import BadSignature, verify
from agent.policy.statement import Statement, UnreadableStatement, parse, spelt
from agent.policy.terms import allows_destination, allows_origin, origin
from agent.references import COMMAND, reference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.appspec import AppSpec
    from agent.model import Instruction
    from agent.policy.memory import Memory
    from agent.policy.terms import Policy

_NAME = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")
_AS_SOMEBODY_ELSE = stat.S_ISUID | stat.S_ISGID


def refused(policy: Policy, rule: str, what: str, why: str) -> PayloadError:
    """A violation, in a sentence."""
    return PayloadError(PayloadErrorCode.NOT_PERMITTED, f"cannot {what}: {why} ({rule} in {policy.file})")


def check_instruction(policy: Policy, instruction: Instruction) -> None:
    """What needs no signature: freeze, the group, and where the bundle comes from."""
    deploy = f"deploy revision {instruction.revision_id[:100]}"
    if policy.freeze:
        raise refused(policy, "freeze", deploy, "this host is frozen")
    for name in (instruction.application_name, instruction.group_name, instruction.revision_id):
        if not _NAME.fullmatch(name):  # scripts see it, and not every script quotes
            why = f"cannot {deploy}: {name[:100]!r} is no name of an application, group or revision"
            raise PayloadError(PayloadErrorCode.NOT_PERMITTED, why)
    group = f"{instruction.application_name}/{instruction.group_name}"
    if policy.groups is not None and group not in policy.groups:
        raise refused(policy, "groups", deploy, f"this host takes no part in deployment group {group}")
    if policy.origins is not None and not allows_origin(policy.origins, instruction.location):
        raise refused(policy, "origins", deploy, f"bundles may not come from {origin(instruction.location)}")
    if instruction.location.sha256 in policy.denied_bundles:
        raise refused(policy, "denied_bundles", deploy, f"its bundle {instruction.location.sha256} is denied")


def verified(policy: Policy, instruction: Instruction) -> Statement | None:
    """The statement of an instruction, whose signature is good; None: it is not signed, and need not be."""
    deploy = f"deploy revision {instruction.revision_id}"
    if instruction.signature is None or not policy.signing_keys:
        if policy.require_signature:
            raise refused(policy, "require_signature", deploy, "it is not signed; see hookline sign")
        if instruction.application_name in policy.lowest_counter:
            raise refused(policy, "lowest_counter", deploy, "it is not signed, and so has no counter")
        return None
    try:
        verify(policy.signing_keys, instruction.signature.statement, instruction.signature.signature)
        return parse(instruction.signature.statement)
    except (BadSignature, UnreadableStatement) as error:
        raise refused(policy, "signing_keys", deploy, str(error)) from error


def check_statement(policy: Policy, instruction: Instruction, statement: Statement) -> None:
    """A statement is about what an instruction says."""
    deploy = f"deploy revision {instruction.revision_id}"
    if statement.application != instruction.application_name:
        why = f"it is signed for application {statement.application}, and this is {instruction.application_name}"
        raise refused(policy, "signing_keys", deploy, why)
    group = f"{instruction.application_name}/{instruction.group_name}"
    if statement.groups is not None and group not in statement.groups:
        why = f"it is signed for {', '.join(statement.groups)}, and this is {group}"
        raise refused(policy, "signing_keys", deploy, why)
    if instruction.location.sha256 not in ("", statement.bundle_sha256):
        why = f"its statement is about bundle {statement.bundle_sha256}, and this is {instruction.location.sha256}"
        raise refused(policy, "signing_keys", deploy, why)
    if statement.bundle_sha256 in policy.denied_bundles:
        raise refused(policy, "denied_bundles", deploy, f"its bundle {statement.bundle_sha256} is denied")


def check_counter(policy: Policy, instruction: Instruction, statement: Statement, memory: Memory) -> None:
    """A release is new enough, or ran on this host before."""
    floor = max(policy.lowest_counter.get(statement.application, 0), memory.highest(statement.application))
    if statement.counter >= floor or memory.ran(statement.application, statement.bundle_sha256):
        return
    why = f"its counter is {statement.counter}, and {floor} is the lowest here for what has not run on this host before"
    advice = "; sign it again with a higher counter if it is really wanted"
    raise refused(policy, "lowest_counter", f"deploy revision {instruction.revision_id}", why + advice)


def check_expiry(policy: Policy, instruction: Instruction, statement: Statement, *, now: int, latest: int) -> None:
    """A statement has not expired, by the host's clock or by the latest time that this host has believed in."""
    if statement.not_after is None or max(now, latest) <= statement.not_after:
        return
    told = f"this host's clock says {spelt(now)}"
    if now <= statement.not_after:
        told += f", but it was {spelt(latest)} here once: the clock was set back, or was wrong then"
    why = f"its statement was good until {spelt(statement.not_after)}, and {told}; set the clock, or sign it again"
    raise refused(policy, "signing_keys", f"deploy revision {instruction.revision_id}", why)


def check_appspec(policy: Policy, appspec: AppSpec) -> None:
    """Everything that an AppSpec asks for, before any of it is done."""
    for mapping in appspec.files:
        if policy.destinations is not None and not allows_destination(policy.destinations, mapping.destination):
            allowed = f"only {', '.join(policy.destinations) or 'nothing'} is allowed"
            raise refused(policy, "destinations", f"install to {mapping.destination}", allowed)
    for permission in appspec.permissions:
        if not policy.root_hooks and permission.mode is not None and permission.mode & _AS_SOMEBODY_ELSE:
            why = "whoever runs a file with the setuid or setgid bit becomes its owner"
            raise refused(policy, "root_hooks", f"give {permission.object} mode {permission.mode:o}", why)
    for script in appspec.scripts:
        check_script(policy, script.location, runas=script.runas, sudo=script.sudo)
        check_variables(policy, script.location, (*appspec.env, *script.env))


def check_variables(policy: Policy, location: str, variables: Iterable[tuple[str, str]]) -> None:
    """A script's variables are looked up as the policy allows."""
    for name, value in variables:
        if not policy.secret_commands and (reference(value) or ("",))[0] == COMMAND:
            why = f"its variable {name} stands for what a command says; refer to a file instead"
            raise refused(policy, "secret_commands", f"run the script {location}", why)


def check_script(policy: Policy, location: str, *, runas: str | None, sudo: bool) -> None:
    """A script runs as somebody whom the policy allows."""
    run = f"run the script {location}"
    if runas is not None and policy.runas is not None and runas not in policy.runas:
        raise refused(policy, "runas", f"{run} as user {runas}", f"only {', '.join(sorted(policy.runas)) or 'nobody'} is allowed")
    if not policy.root_hooks and _is_root(runas, sudo=sudo):
        raise refused(policy, "root_hooks", run, "it would run as root; name an ordinary user as its runas")
    if policy.no_new_privs and sudo:
        raise refused(policy, "no_new_privs", run, "sudo gives nothing to a process that may gain no privileges; leave sudo out")


def _is_root(runas: str | None, *, sudo: bool) -> bool:
    if runas is None:
        return sudo or os.geteuid() == 0
    try:
        return pwd.getpwnam(runas).pw_uid == 0
    except KeyError:  # the supervisor refuses it
        return False
