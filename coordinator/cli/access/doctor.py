"""`hookline doctor`: what stands between this operator and the coordinator, a sentence for each thing that was looked at."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from coordinator.cli import protos
from coordinator.cli.access import kept
from coordinator.cli.access.grants import written
from coordinator.cli.arguments import command
from coordinator.cli.connection import UNIX
from coordinator.cli.console import Console
from coordinator.cli.refusals import Refusal
from coordinator.cli.wording.text import clean, span

if TYPE_CHECKING:
    from coordinator.cli.wording.spelling import JsonValue
    from hookline.v1.access_pb2 import WhoAmIResponse

CLOCKS_APART = 60.0
SOON = 7 * 86_400.0
GOOD, BAD = "ok", "WRONG"


class Findings:
    """What was looked at, and what was found."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self.found: list[tuple[str, str, str]] = []

    def good(self, what: str, said: str) -> None:
        """It is as it should be."""
        self.found.append((GOOD, what, said))

    def bad(self, what: str, said: str) -> None:
        """It is not."""
        self.found.append((BAD, what, said))

    def look(self, what: str, at: Callable[[], str]) -> bool:
        """Look; whether all is well."""
        try:
            self.good(what, at())
        except Refusal as refusal:
            self.bad(what, refusal.message)
            return False
        return True


@command("doctor", examples=["hookline doctor"], related=["whoami", "login"])
def doctor(console: Console) -> None:
    """Look at what stands between you and the coordinator: the way, certificates, the clocks, the token, what you may do."""
    findings = Findings()
    if findings.look("login", lambda: _login(console)) and (
        console.insecure or console.coordinator.startswith(UNIX) or findings.look("certificate", lambda: _certificate(console))
    ):
        _ask(console, findings)
    wrong = [what for verdict, what, _ in findings.found if verdict == BAD]
    if console.json:
        rows: list[JsonValue] = [{"what": what, "ok": verdict == GOOD, "said": said} for verdict, what, said in findings.found]
        console.json_value(rows)
    else:
        console.details((f"{verdict.ljust(len(BAD))}  {what}", said) for verdict, what, said in findings.found)
    if wrong:
        raise Refusal(f"{len(wrong)} of {len(findings.found)} things need you: {', '.join(wrong)}")


def _login(console: Console) -> str:
    if console.insecure:
        return f"plaintext to {console.coordinator}, without a token"
    if console.coordinator.startswith(UNIX):
        return f"the admin socket {console.coordinator}: everybody who can open it may do everything"
    if not console.trust:
        raise Refusal(f"nobody is logged in to {console.coordinator}: type what an admin's `hookline operator token create` prints")
    return f"{console.coordinator}, from {'the command line' if console.ca else kept.path()}"


def _certificate(console: Console) -> str:
    from coordinator.cli.access import handshake  # ssl takes a while to import

    own = None if console.certificate is None else kept.path().with_name(console.certificate.file)
    seen = handshake.look(console.coordinator, console.trust, own)
    left = seen.until - console.clock.now().timestamp()
    return f"{console.coordinator} is who you trust; its certificate is good for {span(left)}, for {', '.join(seen.names)}"


def _ask(console: Console, findings: Findings) -> None:
    asked = console.clock.now().timestamp()
    try:
        found = console.connection.ask(console.connection.access.WhoAmI, protos.access.WhoAmIRequest())
    except Refusal as refusal:
        findings.bad("call", refusal.message)
        return
    answered = console.clock.now().timestamp()
    findings.good("call", f"you are {clean(found.principal)}, seen from {clean(found.address) or 'here'}")
    apart = (asked + answered) / 2 - found.server_time.ToDatetime(tzinfo=console.clock.now().tzinfo).timestamp()
    if abs(apart) > CLOCKS_APART:
        ahead = "ahead of" if apart > 0 else "behind"
        findings.bad(
            "clock", f"this machine's clock is {span(abs(apart))} {ahead} the coordinator's: certificates and times will look wrong"
        )
    else:
        findings.good("clock", "this machine's clock and the coordinator's agree")
    if found.HasField("token_expire_time"):
        _credential(console, found, findings)
    grants = written(found.grants)
    if grants:
        findings.good("permissions", f"you may {', '.join(grants)}")
    else:
        findings.bad("permissions", "you may do nothing: have an admin run `hookline operator grant`")


def _credential(console: Console, found: "WhoAmIResponse", findings: Findings) -> None:
    """How long the token or the certificate is good. A certificate is renewed by every command, when it is time."""
    left, certificate = found.token_expire_time.seconds - found.server_time.seconds, console.certificate
    what = "token" if certificate is None else "own certificate"
    said = f"the {what.removeprefix('own ')} {clean(found.credential_id)} is good for {span(left)}"
    if certificate is not None and console.clock.now().timestamp() < certificate.renew_at:
        findings.good(what, f"{said}, and is renewed before")
    elif certificate is not None:
        findings.bad(what, f"{said} only, and could not be renewed: see what is said above, or log in anew")
    elif left < SOON:
        findings.bad(what, f"{said} only: have an admin run `hookline operator token create` and log in anew")
    else:
        findings.good(what, said)
