"""What the coordinator refuses, in one clear sentence and a line that says what to do next; and the exit codes.

0 done · 1 refused, or the followed deployment did not succeed · 2 usage · 3 the coordinator cannot be reached ·
4 a dry run found a difference · 130 Ctrl-C
"""

import re
from typing import IO, TYPE_CHECKING, Any, Final

import click

from coordinator.cli import protos
from coordinator.cli.wording.text import clean

if TYPE_CHECKING:
    import grpc

REFUSED, USAGE, UNREACHABLE, DIFFERENT, INTERRUPTED = 1, 2, 3, 4, 130

# What to do next, by the reason that the coordinator gives (compared without "Exception" and underscores). Words in braces are
# taken from the error itself, then from what was typed.
NEXT_STEPS = {
    "alarmdoesnotexist": "list the alarms with: hookline alarm list",
    "alarmactive": "see whether it still is with: hookline alarm test ALARM; deploy all the same with --no-alarms or --if-active stop",
    "alarmalreadyexists": "change it with: hookline alarm update {alarm} ...",
    "alarminuse": "let each of them name others, or none: hookline group update APP GROUP --alarm OTHER, or --alarm none",
    "invalidalarmconfig": "list the alarms with: hookline alarm list; make one with: hookline alarm create",
    "applicationdoesnotexist": "list the applications with: hookline app list; make this one with: hookline app create {application}",
    "applicationalreadyexists": "look at it with: hookline app show {application}",
    "deploymentgroupdoesnotexist": "list the groups with: hookline group list {application}",
    "deploymentgroupalreadyexists": "change it with: hookline group update {application} {group} ...",
    "deploymentconfigdoesnotexist": "list the configs with: hookline config list",
    "deploymentconfiginuse": "see which groups use it with: hookline group list {application}",
    "invalidrevision": "list the revisions with: hookline revisions {application}",
    "revisiondoesnotexist": "list the revisions with: hookline revisions {application}; make one with: hookline push {application} DIR",
    "deploymentdoesnotexist": "list the deployments with: hookline deployments",
    "deploymentlimitexceeded": "follow it with: hookline follow {deployment}; or stop it with: hookline stop {deployment}; "
    "to let deployments wait: hookline group update {application} {group} --queueing queue",
    "deploymentalreadycompleted": "see how it ended with: hookline status {deployment}",
    "hostdoesnotexist": "list the hosts with: hookline hosts",
    "instancedoesnotexist": "list the hosts with: hookline hosts",
    "targetdoesnotexist": "list the targets with: hookline targets {deployment}",
    "deploymenttargetdoesnotexist": "list the targets with: hookline targets {deployment}",
    "noinstances": "see the hosts and their tags with: hookline hosts; the group's filters with: hookline group show {application} {group}",
}
_DEPLOYMENT_ID = re.compile(r"\bd-[A-Z0-9]{9}\b")


class Refusal(click.ClickException):
    """Something that was refused or did not come to a good end; ends the program with exit code 1."""

    exit_code = REFUSED


class Unreachable(Refusal):
    """The coordinator cannot be reached or does not answer in time; ends the program with exit code 3."""

    exit_code = UNREACHABLE


class Overtaken(Refusal):
    """Somebody else was faster: what is to be changed has to be read again."""


class Interrupted(Refusal):
    """The operator pressed Ctrl-C; ends the program with exit code 130."""

    exit_code = INTERRUPTED

    def show(self, file: "IO[Any] | None" = None) -> None:
        """Print the sentence without calling it an error."""
        click.echo(self.format_message(), file=file, err=file is None)


KINDS: Final[dict[str, type[Refusal]]] = {"UNAVAILABLE": Unreachable, "ABORTED": Overtaken}


def refusal(error: "grpc.RpcError", coordinator: str, seconds: float) -> Refusal:
    """What a failed call means to the operator."""
    code, said = code_of(error), clean(details_of(error))
    reason, metadata, violations = _details(error)
    if code.name == "UNAVAILABLE" and not reason:
        return Unreachable(
            f"cannot reach the coordinator at {coordinator}: {_short(said)}\n"
            "Is it running? Say where it listens with --coordinator HOST:PORT or HOOKLINE_COORDINATOR. `hookline doctor` looks closer."
        )
    if code.name == "DEADLINE_EXCEEDED":
        return Unreachable(f"the coordinator at {coordinator} did not answer within {seconds:g} s; allow more with --timeout")
    if code.name == "UNIMPLEMENTED":
        return Refusal(f"the coordinator at {coordinator} does not know this call: is it older than this program?")
    lines = [f"{said or code.name}{f' [{reason}]' if reason else ''}"]
    lines += [f"  {field}: {description}" for field, description in violations if description not in said]
    step = _next_step(reason, metadata, said)
    return KINDS.get(code.name, Refusal)("\n".join([*lines, *([f"Next: {step}"] if step else [])]))


def code_of(error: "grpc.RpcError") -> "grpc.StatusCode":
    """The status code of a failed call."""
    call = _call(error)
    return call.code() if call else protos.grpc.StatusCode.UNKNOWN


def details_of(error: "grpc.RpcError") -> str:
    """The sentence of a failed call."""
    call = _call(error)
    return (call.details() or "") if call else str(error)


def _call(error: object) -> "grpc.Call | None":
    """The call behind an error: every error of a call is one as well, which the types of gRPC do not tell."""
    return error if isinstance(error, protos.grpc.Call) else None


def _details(error: "grpc.RpcError") -> tuple[str, dict[str, str], list[tuple[str, str]]]:
    """Reason, metadata and field violations out of the google.rpc details; empty where there are none."""
    reason, metadata, violations = "", dict[str, str](), list[tuple[str, str]]()
    try:
        call = _call(error)
        status = protos.rpc_status.from_call(call) if call else None
    except ValueError:  # the details contradict the status: trust the status
        status = None
    for detail in status.details if status else ():
        if detail.Is(protos.error_details.ErrorInfo.DESCRIPTOR):
            info = protos.error_details.ErrorInfo()
            detail.Unpack(info)
            reason = clean(info.reason)
            metadata = {clean(key): clean(value) for key, value in info.metadata.items()}
        elif detail.Is(protos.error_details.BadRequest.DESCRIPTOR):
            bad = protos.error_details.BadRequest()
            detail.Unpack(bad)
            violations += [(clean(violation.field), clean(violation.description)) for violation in bad.field_violations]
    return reason, metadata, violations


def _next_step(reason: str, metadata: dict[str, str], said: str) -> str:
    step = NEXT_STEPS.get(reason.removesuffix("Exception").replace("_", "").lower().removesuffix("exception"), "")
    context = click.get_current_context(silent=True)
    typed = context.params if context else {}
    named = _DEPLOYMENT_ID.search(said)
    words = {
        "application": metadata.get("application_name") or typed.get("application") or "APP",
        "group": metadata.get("deployment_group_name") or typed.get("group") or "GROUP",
        "alarm": metadata.get("alarm_name") or typed.get("alarm") or "NAME",
        "deployment": metadata.get("deployment_id") or (named and named[0]) or typed.get("deployment") or "DEPLOYMENT",
    }
    return step.format_map(words)


def _short(said: str) -> str:
    """gRPC's words for a failed connection without their inner part."""
    inner = said.rpartition("; last error: ")[2] or said
    return re.sub(r"^UNKNOWN: |ipv[46]:\S+: |^UNAVAILABLE: ", "", inner) or "no answer"
