"""The key-making process: makes a key and a request for it, signs with a key, or reads a certificate, and ends.

An agent that did so itself would be 10 MiB larger from its first renewal on. It is asked on its stdin, by one JSON object, and answers
with one on its stdout. A key is never said: both find it in the identity's files.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from agent.errors import AgentError
from agent.identity import keys
from agent.identity.files import IdentityFiles


def main() -> None:
    """Answers one question."""
    asked = json.load(sys.stdin)
    try:
        files, generation = IdentityFiles(Path(asked["data_dir"])), asked["generation"]
        answer = _signed(files, generation, asked["said"]) if "said" in asked else _answer(files, generation, asked.get("chain"))
    except AgentError as error:
        answer = {"failed": str(error)}
    json.dump(answer, sys.stdout)


def _signed(files: IdentityFiles, generation: int, said: str) -> dict[str, object]:
    key = files.key(generation)
    if key is None:
        raise AgentError(f"cannot sign anything: the key of generation {generation} is gone; join again with `hookline-agent join --again`")
    return {"signature": keys.signature(key, said.encode()).hex()}


def _answer(files: IdentityFiles, generation: int, chain: str | None) -> dict[str, object]:
    key = files.key(generation)
    if key is None:
        key = keys.new_key()
        files.keep_key(generation, key)
    if chain is None:
        return {"request": keys.request(key).decode()}
    return dataclasses.asdict(keys.read(chain.encode(), key))
