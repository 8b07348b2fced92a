"""How a machine becomes a host: it makes a key, asks for a certificate with a join token, and waits until it is let in.

What was begun lies on the disk: a machine that asks again with the same key hears what has become of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.errors import AgentError
from agent.identity import keys
from agent.identity.files import Credentials, Enrolment
from agent.identity.handshake import Busy, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.clock import Clock
    from agent.identity.files import IdentityFiles

_LONGEST_WAIT = 60.0
_GROUPED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What a machine asks for. `root` is the root certificate that it trusts, PEM, `authority` its fingerprint."""

    name: str
    token: str
    enrol_address: str
    authority: str
    root: bytes
    agent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of it; chain is empty as long as nobody has let it in. agent_address may leave its host out."""

    name: str
    chain: bytes
    trust: bytes
    retry_seconds: float
    agent_address: str
    name_taken: bool = False
    """Another host has the name, whose place an operator may let it take."""


class Door(Protocol):
    """Where a machine asks."""

    async def ask(self, application: Application, request: bytes) -> Answer:
        """Asks. Raises Unreachable, or AgentError for what is refused."""
        ...


class Joining:
    """One machine that becomes a host."""

    def __init__(self, *, files: IdentityFiles, door: Door, clock: Clock, say: Callable[[str], None]) -> None:
        self._files = files
        self._door = door
        self._clock = clock
        self._say = say

    async def join(self, application: Application) -> Credentials:
        """Asks until it is let in. Raises AgentError when that will never be."""
        key = self._files.key(0)
        if key is None:
            if not application.token:
                raise AgentError("cannot join without a token: `hookline token create` prints the whole command")
            key = keys.new_key()
            self._files.keep_key(0, key)
        request = keys.request(key)
        answer = await self._asked_first(application, request)
        if not answer.chain:
            self._say(
                f"This machine's key is {readable(keys.fingerprint(key))}\n"
                f"An operator has to let it in: {_decision(answer)}\n"
                "Waiting. Ctrl-C stops that; the same command goes on with it."
            )
        while not answer.chain:
            await self._clock.sleep(min(_LONGEST_WAIT, max(0.1, answer.retry_seconds)) * (0.9 + 0.2 * self._clock.chance()))
            answer = await self._asked_again(application, request, answer)
        credentials = self._credentials(application, answer, key)
        self._files.keep(credentials)
        return credentials

    async def _asked_first(self, application: Application, request: bytes) -> Answer:
        """Where many machines join at once, some of them are asked to wait."""
        while True:
            try:
                return await self._door.ask(application, request)
            except Busy as error:
                self._say(f"{error}; asking again")
                await self._clock.sleep(error.retry_seconds * (0.5 + self._clock.chance()))

    async def _asked_again(self, application: Application, request: bytes, before: Answer) -> Answer:
        """A coordinator that restarts is waited for as an operator is."""
        try:
            return await self._door.ask(application, request)
        except Unreachable as error:
            self._say(f"{error}; going on with waiting")
            return before

    def _credentials(self, application: Application, answer: Answer, key: bytes) -> Credentials:
        certificate = keys.read(answer.chain, key)
        host, _, port = answer.agent_address.rpartition(":")
        return Credentials(
            enrolment=Enrolment(
                cluster=certificate.cluster,
                host_id=certificate.host_id,
                name=answer.name,
                generation=0,
                serial=certificate.serial,
                begins_at=certificate.begins_at,
                ends_at=certificate.ends_at,
                received_at=self._clock.now_ms(),
                coordinator=f"{host or application.enrol_address.rpartition(':')[0]}:{port}",
                enrol_address=application.enrol_address,
                authority=application.authority,
            ),
            key=key,
            chain=answer.chain,
            trust=answer.trust,
        )


def _decision(answer: Answer) -> str:
    if answer.name_taken:
        return f"there is a host {answer.name} already, whose place it takes with `hookline hosts adopt {answer.name}`"
    return f"hookline hosts approve {answer.name}"


def readable(fingerprint: str) -> str:
    """In groups, so that it can be compared by eye."""
    return " ".join(fingerprint[at : at + _GROUPED] for at in range(0, len(fingerprint), _GROUPED))
