"""What can be seen of a signature without a key: whether it has the form of one, what its statement is about, and which key is named.

Pure. Whether it is true only agents can say: no key of a coordinator's would be worth anything to them.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from coordinator.core.model import Signature

MAX_STATEMENT = 16 * 1024
MAX_SIGNATURE = 1024
_NAME = r"[A-Za-z0-9._+=,@-]{1,100}"
_STATEMENT = re.compile(
    rf"hookline-statement: 1\n"
    rf"application: (?P<application>{_NAME})\n"
    rf"counter: (?P<counter>[1-9][0-9]{{0,17}})\n"
    rf"bundle-sha256: (?P<bundle_sha256>[0-9a-f]{{64}})\n"
    rf"bundle-size: (?P<bundle_size>[1-9][0-9]{{0,17}})\n"
    rf"appspec-sha256: [0-9a-f]{{64}}\n"
    rf"groups: (?:\*|{_NAME}/{_NAME}(?: {_NAME}/{_NAME})*)\n"
    rf"not-after: (?:never|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z)\n"
)
_SIGNATURE_SIZE, _GLOBAL_SIZE = 74, 64


class Malformed(Exception):
    """A signature that no agent could read, in half a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a signature says of itself."""

    application: str
    counter: int
    bundle_sha256: bytes
    bundle_size: int
    key_id: str


def read(signature: Signature) -> Said:
    """What a signature says. Raises Malformed."""
    found = _STATEMENT.fullmatch(signature.statement) if len(signature.statement) <= MAX_STATEMENT else None
    if found is None:
        raise Malformed("the statement is not in the form that hookline sign writes")
    lines = signature.signature.split("\n") if len(signature.signature) <= MAX_SIGNATURE else []
    if len(lines) != 4 or lines[3] or not lines[1].startswith("trusted comment: ") or len(_decoded(lines[2])) != _GLOBAL_SIZE:
        raise Malformed("the signature is not in minisign's form")
    content = _decoded(lines[0])
    if len(content) != _SIGNATURE_SIZE or not content.startswith(b"ED"):
        raise Malformed("the signature is not of minisign's kind with a hash")
    return Said(
        application=found["application"],
        counter=int(found["counter"]),
        bundle_sha256=bytes.fromhex(found["bundle_sha256"]),
        bundle_size=int(found["bundle_size"]),
        key_id=f"{int.from_bytes(content[2:10], 'little'):016X}",
    )


def _decoded(line: str) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""
