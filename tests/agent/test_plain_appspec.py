"""The quick reader of plainly written files gives what the whole YAML reader gives, to the last line and column, or nothing."""

import pytest

from agent.appspec import items
from agent.appspec.findings import Finding, Flaw
from agent.appspec.plain import load_plain
from tests.agent.appspec_mutations import WRITTEN, rearranged

FEW, ALL = range(3_000), range(3_000, 40_000)


def whole(content: bytes) -> tuple[items.Item | Flaw | None, list[Finding]]:
    """What the whole reader makes of it, and what it notices."""
    noticed: list[Finding] = []
    try:
        return items.load(content, noticed.append), noticed
    except Flaw as flaw:
        return flaw, noticed


def compare(content: bytes) -> bool:
    """See that both agree; whether the quick one gave anything."""
    found = load_plain(content)
    if found is not None:
        assert whole(content) == (found, []), content
    return found is not None


def test_files_as_people_write_them_are_plain() -> None:
    plain = [compare(text.encode()) for text in WRITTEN]
    assert plain.count(True) >= 2


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n",
        "---\na: b # c\n\n# d\n  # e\nb:\n- c\n-   d: e\n    f: 'g # h'\nc:\n",
        'a:\n  b:\n    - c: 1\n      d: yes\n    - /x/y z\n  e: ""\r\nf: 0.0\n',
        "a: http://b:1/c#d\nb: c:d :e\n",
        "x-hookline:\n  interrupted: probe\n  probe:\n    location: a.sh\n  always:\n    A:\n      - location: b.sh\n        timeout: 9\n",
    ],
)
def test_the_plain_style_is_read(text: str) -> None:
    assert compare(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "# a\n",
            "a\n",
            "- a\n",
            " a: b\n",
            "a: b\n c: d\n",
            "a: b\n  c\n",
            "a: 'b\n  c'\n",
            "a:\n  - b\n   - c\n",
            "a:\n  - b\n  c: d\n",
        ),
        *(
            "a: b\na: c\n",
            "yes: a\n",
            "a: b: c\n",
            "a: b:\n",
            "a: 'b' c\n",
            "a: 'it''s'\n",
            'a: "\\n"\n',
            "a: [b]\n",
            "a: {}\n",
            "a: |\n  b\n",
        ),
        *(
            "a: *b\n",
            "a: &b c\n",
            "a: !b c\n",
            "a: ~\n",
            "a: 007\n",
            "a: 1:30\n",
            "a: 1.5\n",
            "a: -1\n",
            "a: 2026-01-31\n",
            "a: .inf\n",
            "<<: a\n",
        ),
        *(
            "a: b\n---\nc: d\n",
            "a: b\n...\n",
            "%YAML 1.1\n---\na: b\n",
            "a:\tb\n",
            "a: b\rc: d\n",
            "a: \x07\n",
            "a: é\n",
            "\ufeffa: b\n",
            "- - a\n",
        ),
        *("a:\n  -\n", "a:\n  - # b\n", "? a\n", "a : b\n", "'a': b\n", "a: b\n-c: d\n", "a" * 500 + ": b\n", "a:\n" * 3_000),
        "".join("  " * depth + "a:\n" for depth in range(15)),
    ],
)
def test_anything_else_is_left_to_the_whole_reader(text: str) -> None:
    assert not compare(text.encode())


def test_edited_files_are_read_the_same() -> None:
    assert sum(compare(rearranged(seed)) for seed in FEW) > len(FEW) // 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tens_of_thousands_of_edited_files_are_read_the_same() -> None:
    for seed in ALL:
        compare(rearranged(seed))
