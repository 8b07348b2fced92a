"""Masks what looks like a secret, in what is logged and in what agents say of their hooks. Pure.

Knows shapes, not secrets. Agents mask what their hooks print before it leaves the host (agent/scrub.py, the same shapes); this is for what
the coordinator says itself, and for agents that do not.
"""

import re

_SECRET = re.compile(
    r"""
    (?<![A-Za-z0-9_-]) (?: (?:hlj_|hlo_|hlc_|gh[pousr]_|github_pat_|glpat-) (?P<token>[A-Za-z0-9_-]{20,})
                         | (?:AKIA|ASIA|xox[bp]-|npm_) (?P<key>[A-Za-z0-9_-]{16,}) )
    | (?: (?i:bearer\ |authorization:\ (?:basic|token)\ |x-amz-(?:signature|security-token)=|[?&]token=)
          [\ \t"'=:]* (?P<value>[A-Za-z0-9_.~+/=%:-]{8,}) )
    | (?: (?i:secret_?access_?key|session_?token|access_?token|client_?secret) [\ \t"'=:]* (?P<secret>[A-Za-z0-9_.~+/=%:-]{16,}) )
    | :// (?: [^\s"'<>/?#`\\|)\]},;:@]* : )? (?P<password>[^\s"'<>/?#`\\|)\]},;]+) @
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY----- (?P<block>.*?) (?: (?=-----END\ ) | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_SHOWN = re.compile(r"[^\r\n]")


def scrubbed(text: str) -> str:
    """The text, with stars in the place of secrets."""
    return _SECRET.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    whole, name = found[0], found.lastgroup
    assert name is not None
    begin, end = found.start(name) - found.start(), found.end(name) - found.start()
    return whole[:begin] + _SHOWN.sub("*", whole[begin:end]) + whole[end:]
