"""Stands between what a coordinator orders and what this host does: asked before anything begins, told what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from typing import TYPE_CHECKING

from agent.appspec import AppSpec
from agent.errors import AgentError
from agent.model import OLD_REVISION_EVENTS, LifecycleEvent
from agent.payload import PayloadError, PayloadErrorCode
from agent.policy.memory import Verified
from agent.policy.rules import (
    check_appspec,
    check_counter,
    check_expiry,
    check_instruction,
    check_script,
    check_statement,
    check_variables,
    refused,
    verified,
)
from agent.policy.terms import seen

if TYPE_CHECKING:
    from agent.bundle.requests import DownloadRequest, InstallRequest
    from agent.clock import Clock
    from agent.facts import Begin, Close, Recover
    from agent.hooks import EventRun
    from agent.model import DeploymentId, GroupId, Instruction, Signature
    from agent.policy.file import NoPolicy, PolicyFile
    from agent.policy.memory import Memory
    from agent.policy.statement import Statement
    from agent.policy.terms import Policy
    from agent.workspace import Workspace


log = logging.getLogger("hookline.agent")


class Guard:
    """Holds a host's deployments to its policy. Every question raises PayloadError where the answer is no."""

    def __init__(self, *, policy: PolicyFile | NoPolicy, memory: Memory, workspace: Workspace, clock: Clock) -> None:
        self._file = policy
        self._memory = memory
        self._workspace = workspace
        self._clock = clock
        self._last: tuple[Policy, Signature, Statement] | None = None

    def admit(self, order: Begin) -> Begin:
        """An event that may begin, with no more time than the policy gives it."""
        policy = self._policy()
        if policy is None:
            return order
        instruction = order.instruction
        check_instruction(policy, instruction)
        statement = self._signed(policy, instruction)
        if statement is not None:
            check_counter(policy, instruction, statement, self._memory)
            # What was begun in time may be finished: a host is not left in the middle because of the hour. A restart brings nothing.
            if not instruction.restart and order.event in (instruction.events[0].event, LifecycleEvent.DOWNLOAD_BUNDLE):
                check_expiry(policy, instruction, statement, now=self._clock.now_ms(), latest=self._memory.latest)
        if policy.max_event_seconds is None or order.timeout_seconds <= policy.max_event_seconds:
            return order
        return dataclasses.replace(order, timeout_seconds=float(policy.max_event_seconds))

    def download(self, instruction: Instruction, request: DownloadRequest) -> DownloadRequest:
        """What is downloaded: the bundle and the AppSpec of the statement, and no more bytes than it and the policy name."""
        policy = self._policy()
        if policy is None:
            return request
        check_instruction(policy, instruction)
        statement = self._signed(policy, instruction)
        limits = request.limits
        packed = min(limits.packed_bytes, policy.max_bundle_bytes or limits.packed_bytes)
        unpacked = min(limits.unpacked_bytes, policy.max_unpacked_bytes or limits.unpacked_bytes)
        timeout = min(request.timeout, policy.max_event_seconds or request.timeout)
        if statement is not None:
            if statement.bundle_size > packed:
                deploy = f"deploy revision {instruction.revision_id}"
                raise refused(policy, "max_bundle_bytes", deploy, f"its bundle has {statement.bundle_size} bytes, and {packed} are allowed")
            packed = statement.bundle_size
            request = dataclasses.replace(request, sha256=statement.bundle_sha256, appspec_sha256=statement.appspec_sha256)
        limits = dataclasses.replace(limits, packed_bytes=packed, unpacked_bytes=unpacked)
        return dataclasses.replace(request, limits=limits, timeout=timeout, origins=policy.origins)

    def replaces(self, instruction: Instruction) -> None:
        """What is unpacked for a deployment is about to be replaced: from now on it is good for nothing."""
        self._memory.forget(_directory(instruction.group_id, instruction.deployment_id))

    def downloaded(self, instruction: Instruction) -> None:
        """A bundle is unpacked as `download` said: looks at all that its AppSpec asks for, and remembers that it is good."""
        policy = self._policy()
        if policy is None:
            return
        content = self._workspace.deployment(instruction.group_id, instruction.deployment_id).appspec.read_bytes()
        check_appspec(policy, AppSpec.from_json(content))
        if instruction.signature is not None and self._signed(policy, instruction) is not None:
            directory = _directory(instruction.group_id, instruction.deployment_id)
            good = Verified(statement=_digest(instruction.signature.statement), appspec=_digest(content))
            self._memory.verify(directory, good, at=self._clock.now_ms(), is_kept=self._is_kept)

    def install(self, instruction: Instruction, request: InstallRequest) -> InstallRequest:
        """What is installed: a bundle that was found good, below the destinations of the policy."""
        policy = self._policy()
        if policy is None:
            return request
        self._check_unpacked(policy, instruction, "install", instruction.deployment_id)
        timeout = min(request.timeout, policy.max_event_seconds or request.timeout)
        return dataclasses.replace(request, destinations=policy.destinations, timeout=timeout)

    def scripts(self, order: Begin | Recover | Close, run: EventRun) -> EventRun:
        """Scripts that may run: those of a bundle that was found good, as users whom the policy allows, for as long as it allows.

        They see of the agent's environment what it shows, and take no more of the machine than it gives.
        """
        policy = self._policy()
        if policy is None:
            return dataclasses.replace(run, inherited=seen(run.inherited, self._file.hook_environment))
        old = order.serving if order.event in OLD_REVISION_EVENTS or order.instruction.restart else None
        self._check_unpacked(policy, order.instruction, f"run {order.event}", (old or order.instruction).deployment_id)
        for script in run.scripts:
            check_script(policy, script.location, runas=script.runas, sudo=script.sudo)
            check_variables(policy, script.location, script.env)
        return dataclasses.replace(
            run,
            inherited=seen(run.inherited, policy.hook_environment),
            no_new_privs=policy.no_new_privs,
            limits=policy.hook_limits,
            timeout=min(run.timeout, policy.max_event_seconds or run.timeout),
        )

    def succeeded(self, order: Begin | Recover | Close) -> None:
        """An event ended well: after the last one of a whole deployment, its release is one that has run here. Never refuses."""
        instruction = order.instruction
        events = [plan.event for plan in instruction.events]
        if order.event is not events[-1] or LifecycleEvent.INSTALL not in events or instruction.signature is None:
            return
        try:
            policy = self._policy()
            statement = None if policy is None else self._signed(policy, instruction)
        except PayloadError as error:  # the policy has changed since the event was admitted
            log.warning("release not remembered deployment=%s why=%r", instruction.deployment_id, error.message)
            return
        if statement is not None:
            self._memory.succeeded(statement.application, statement.counter, statement.bundle_sha256)

    def _policy(self) -> Policy | None:
        try:
            return self._file.policy()
        except AgentError as error:
            raise PayloadError(PayloadErrorCode.NOT_PERMITTED, str(error)) from error

    def _signed(self, policy: Policy, instruction: Instruction) -> Statement | None:
        """The statement of an instruction, which is about it; None: it need not be signed. The last one is not verified again."""
        last, signature = self._last, instruction.signature
        if last is not None and last[0] is policy and last[1] == signature:
            statement: Statement | None = last[2]
        else:
            statement = verified(policy, instruction)
        if statement is not None and signature is not None:
            check_statement(policy, instruction, statement)
            self._last = (policy, signature, statement)
        return statement

    def _check_unpacked(self, policy: Policy, instruction: Instruction, what: str, deployment_id: DeploymentId) -> None:
        """What is unpacked for a deployment was found good: this very release, where it is the instruction's own or what it restarts."""
        is_own = deployment_id == instruction.deployment_id or instruction.restart
        statement = self._signed(policy, instruction) if is_own else None
        if statement is None and not policy.require_signature:
            return
        known = self._memory.verified(_directory(instruction.group_id, deployment_id))
        if known is None:
            why = f"what deployment {deployment_id} has unpacked here was never found to be signed"
            advice = "" if deployment_id == instruction.deployment_id else "; deploy it signed once before signatures are required"
            raise refused(policy, "require_signature", what, why + advice)
        if is_own and instruction.signature is not None and known.statement != _digest(instruction.signature.statement):
            raise refused(policy, "require_signature", what, f"deployment {deployment_id} has unpacked another release here")
        appspec = self._workspace.deployment(instruction.group_id, deployment_id).appspec
        if known.appspec != _digest(appspec.read_bytes()):
            raise refused(policy, "require_signature", what, f"{appspec} has changed since it was found good")

    def _is_kept(self, directory: str) -> bool:
        group_id, _, deployment_id = directory.partition("/")
        return self._workspace.deployment(group_id, deployment_id).path.exists()


def _directory(group_id: GroupId, deployment_id: DeploymentId) -> str:
    return f"{group_id}/{deployment_id}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
