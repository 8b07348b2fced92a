"""What deploy/SECURITY.md says can be checked: every proof that it names is there, and no threat stands without one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|scripts|deploy|agent|coordinator)/[^`\s]+)", PAGE)))
THREATS = PAGE.partition("## Threats and controls")[2].partition("\n## ")[0]
PROMISES = PAGE.partition("## What is promised")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_is_there(named: str) -> None:
    path, _, test = named.partition("::")
    assert (ROOT / path).exists(), named
    assert not test or re.search(rf"^\s*(async )?def {re.escape(test)}\(", (ROOT / path).read_text(), re.MULTILINE), named


@pytest.mark.parametrize("row", rows(THREATS), ids=lambda row: row[0][:40])
def test_a_threat_has_a_control_and_a_proof_or_it_is_said_that_none_exists(row: list[str]) -> None:
    _, control, proof = row
    assert control
    assert re.search(r"`(tests|scripts)/", proof) or "*missing*" in control + proof


def test_every_promise_has_a_proof() -> None:
    assert [row[0] for row in rows(PROMISES)] == ["P1", "P2", "P3", "P4", "P5", "P6"]
    assert all("`" in row[2] for row in rows(PROMISES))
