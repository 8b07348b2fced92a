"""Renews this host's certificate in time, with a new key each time, and has it used without a gap.

One that has ended opens nothing: a host that was away for so long asks where machines ask to become hosts, and signs with its key.

Each renewal counts at the coordinator, so that a copy of a machine shows. That is why the same key is asked for again when the answer was
lost: it is on the disk before anybody hears of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol  # Any: what comes out of JSON has no type until it has been read

from agent.errors import AgentError
from agent.identity.files import Credentials
from agent.identity.keys import Certificate
from agent.processes import key_maker_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.clock import Clock
    from agent.identity.files import IdentityFiles

log = logging.getLogger("hookline.agent")

EARLIEST, LATEST = 0.50, 0.66
"""Between these parts of its time a certificate is renewed; the jitter keeps a fleet that joined together apart."""

LONGEST_SLEEP_SECONDS = 300.0
"""After so much time the clock is looked at again: a machine that slept, or whose clock was set, renews in time all the same."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The coordinator's answer; PEM."""

    chain: bytes
    trust: bytes
    generation: int


class NotRenewed(Exception):
    """The coordinator has not renewed a certificate, and why."""


class Keys(Protocol):
    """Who makes keys and reads certificates."""

    async def request(self, generation: int) -> bytes:
        """A certificate request for the key of a generation, which is made if need be."""
        ...

    async def read(self, generation: int, chain: bytes) -> Certificate:
        """What a certificate says, which has to be for that key."""
        ...

    async def sign(self, generation: int, said: str) -> bytes:
        """The signature of the key of a generation, which is there."""
        ...


class Line(Protocol):
    """The way to the coordinator."""

    async def renew(self, request: bytes, generation: int) -> Renewed:
        """Asks for a certificate, on the connection of the one of that generation. Raises NotRenewed."""
        ...

    async def readmit(self, request: bytes, signature: bytes) -> Renewed:
        """Asks for a certificate where machines ask to become hosts, since the one that there is opens nothing more. Raises NotRenewed."""
        ...

    async def use(self, credentials: Credentials) -> None:
        """Goes on with these; what was open before ends when its place is taken."""
        ...


class Renewal:
    """Looks after one host's certificate."""

    def __init__(self, *, files: IdentityFiles, credentials: Credentials, keys: Keys, line: Line, clock: Clock) -> None:
        self._files = files
        self._now = credentials
        self._keys = keys
        self._line = line
        self._clock = clock
        self._request: bytes | None = None
        self._said = ""

    async def run(self) -> None:
        """Renews, again and again; never returns."""
        while True:
            await self._until_due()
            await self._renew()

    async def _until_due(self) -> None:
        due = due_at(self._now, self._clock.chance())
        while (left := (due - self._clock.now_ms()) / 1000) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP_SECONDS))

    async def _renew(self) -> None:
        """Asks until there is an answer."""
        pause = _FIRST_PAUSE
        while True:
            try:
                credentials = await self._next()
            except (NotRenewed, AgentError, OSError) as error:
                if str(error) != self._said:
                    self._said = str(error)
                    log.error("certificate not renewed ends_in=%ds why=%r", self._seconds_left(), self._said)
                await self._clock.sleep(pause * (0.5 + self._clock.chance()))
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._now, self._request, self._said = credentials, None, ""
            log.info("certificate renewed generation=%d ends_in=%ds", credentials.enrolment.generation, self._seconds_left())
            await self._line.use(credentials)
            return

    async def _next(self) -> Credentials:
        now = self._now.enrolment
        generation = now.generation + 1
        if self._request is None:
            self._request = await self._keys.request(generation)
        if self._clock.now_ms() < now.ends_at:
            renewed = await self._line.renew(self._request, now.generation)
        else:
            said = returning(now.host_id, now.generation, self._request)
            renewed = await self._line.readmit(self._request, await self._keys.sign(now.generation, said))
        if renewed.generation != generation:
            why = f"the coordinator counts {renewed.generation} renewals and this host {generation}"
            raise NotRenewed(f"cannot use the certificate that has come: {why}")
        certificate = await self._keys.read(generation, renewed.chain)
        if certificate.host_id != now.host_id:
            raise NotRenewed(f"cannot use the certificate that has come: it is host {certificate.host_id}'s")
        key = self._files.key(generation)
        assert key is not None, "the request was for it"
        enrolment = replace(
            now,
            generation=generation,
            serial=certificate.serial,
            begins_at=certificate.begins_at,
            ends_at=certificate.ends_at,
            received_at=self._clock.now_ms(),
        )
        credentials = Credentials(enrolment=enrolment, key=key, chain=renewed.chain, trust=renewed.trust)
        self._files.keep(credentials)
        return credentials

    def _seconds_left(self) -> int:
        return (self._now.enrolment.ends_at - self._clock.now_ms()) // 1000


def due_at(credentials: Credentials, chance: float) -> int:
    """When a certificate is renewed, in milliseconds since 1970. It begins before it was made, which does not count as its time."""
    enrolment = credentials.enrolment
    began = min(max(enrolment.begins_at, enrolment.received_at), enrolment.ends_at)
    return began + round((EARLIEST + (LATEST - EARLIEST) * chance) * (enrolment.ends_at - began))


def returning(host_id: str, generation: int, request: bytes) -> str:
    """What a host signs with the key of a certificate that has ended; fleet.proto tells why."""
    return f"hookline readmission 1\n{host_id}\n{generation}\n{hashlib.sha256(request).hexdigest()}\n"


class KeyMaker:
    """Has keys made by a process of its own."""

    def __init__(self, data_dir: Path, command: Sequence[str] | None = None) -> None:
        self._data_dir = data_dir
        self._command = command or key_maker_command()

    async def request(self, generation: int) -> bytes:
        """See `Keys`."""
        return str((await self._asked({"generation": generation}))["request"]).encode()

    async def read(self, generation: int, chain: bytes) -> Certificate:
        """See `Keys`."""
        return Certificate(**await self._asked({"generation": generation, "chain": chain.decode()}))

    async def sign(self, generation: int, said: str) -> bytes:
        """See `Keys`."""
        return bytes.fromhex((await self._asked({"generation": generation, "said": said}))["signature"])

    async def _asked(self, question: dict[str, object]) -> dict[str, Any]:
        asked = json.dumps({**question, "data_dir": str(self._data_dir)}).encode()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, cwd="/", start_new_session=True)
        try:
            async with asyncio.timeout(_PATIENCE):
                said, _ = await process.communicate(asked)
        except TimeoutError:
            raise AgentError(f"cannot make a key: its process did not answer within {_PATIENCE:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise AgentError(f"cannot make a key: its process ended with {process.returncode}; its last words are in the agent's log")
        answer: dict[str, Any] = json.loads(said)
        if "failed" in answer:
            raise AgentError(str(answer["failed"]))
        return answer
