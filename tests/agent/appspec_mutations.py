"""AppSpec files as people write them, and what becomes of them under a careless or hostile hand; a seed is always the same file."""

import random
from pathlib import Path

WRITTEN = [path.read_bytes().decode() for path in sorted((Path(__file__).parent / "appspecs").glob("[a-z]*"))]
FRAGMENTS = (
    *(
        "&a ",
        "*a",
        "**",
        "!!",
        "!!int ",
        "!!binary ",
        "!x ",
        "<<: *a\n",
        ": ",
        ":",
        "- ",
        "? ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "\\",
        "#",
        " #",
    ),
    *(
        "|\n",
        ">\n",
        "|2-\n",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "\t",
        "\n",
        "\r",
        "\n  ",
        "\n    ",
        " ",
        "\0",
        "\x07",
        "\x85",
        "\u2028",
        "\ufeff",
        "\U0001f600",
    ),
    *(
        "0x",
        "0b1",
        "0777",
        "1:1:1",
        "1_000",
        "-",
        "+",
        ".",
        ".inf",
        ".nan",
        "1e9",
        "9" * 50,
        "1" + ":1" * 60,
        "~",
        "null",
        "yes",
        "off",
        "2026-01-31",
    ),
    *(
        "../",
        "/",
        "~/",
        "\\x00",
        "\\e",
        "x" * 300,
        "[" * 25,
        "{a: " * 25,
        "- " * 30,
        "'" * 7,
        "\ud7ff",
        "version",
        "hooks:",
        "files:",
        "AfterInstall:",
    ),
)

VALUES = (
    *("yes", "No", "ON", "null", "Null", "~", "0.0", "0", "00", "12", "0644", "1:30", "1_0", "-1", "1e3", "2026-01-31", "y", "<<", "="),
    *(
        "a b",
        "a:b",
        "a: b",
        "a:",
        "a :b",
        "a #c",
        "a#c",
        "#",
        "# c",
        "'q'",
        '"q"',
        "'it''s'",
        '"a\\n"',
        "'q' # c",
        "'q' r",
        "''",
        "'",
        "[a]",
        "{a: b}",
    ),
    *(
        "/x",
        "./x",
        "../x",
        ".x",
        "*",
        "&a b",
        "!x",
        "|",
        ">",
        "%",
        "@",
        "`",
        "- a",
        "-",
        "?",
        "? a",
        ", a",
        "]",
        "a, b]",
        "http://h:1/p?q=1#f",
        "a  b  ",
    ),
)


def rearranged(seed: int) -> bytes:
    """One of the files after its lines were edited, one entry a line: what people do to a file that they understand."""
    chance = random.Random(seed)
    lines = chance.choice(WRITTEN).splitlines()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines)) if lines else 0
        match chance.randrange(8):
            case 0 | 1 | 2 if lines:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon}{chance.choice((' ', '  ', ''))}{chance.choice(VALUES)}"
            case 3:
                lines[at : at + 1] = [" " * chance.randint(0, 6) + line.lstrip() for line in lines[at : at + 1]]
            case 4:
                number = chance.randint(1, 6)
                lines[at : at + number] = [chance.choice((" ", "  ", "    ")) + line for line in lines[at : at + number]]
            case 5:
                lines.insert(
                    at,
                    " " * chance.randint(0, 8)
                    + chance.choice(("# c", "", "---", "...", "- a", "-", "k: v", "- k: v", "k:", "- - a", "-   k:")),
                )
            case 6:
                del lines[at : at + chance.randint(1, 3)]
            case _:
                lines[at:at] = chance.choices(lines, k=chance.randint(1, 3)) if lines else []
    return chance.choice(("\n", "\n", "\r\n")).join([*lines, ""]).encode()


def mutated(seed: int) -> bytes:
    """One of the files after a few accidents."""
    chance = random.Random(seed)
    text = chance.choice(WRITTEN)
    for _ in range(chance.randint(1, 2)):
        text = _accident(chance, text)
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if chance.random() < 0.1 and content:
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def _accident(chance: random.Random, text: str) -> str:
    at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    lines = text.splitlines(keepends=True)
    match chance.randrange(8):
        case 0 | 1 | 2:
            return text[:at] + chance.choice(FRAGMENTS) + text[at:]
        case 3:
            return text[:at] + chance.choice(FRAGMENTS) + text[min(at + chance.randint(1, 12), len(text)) :]
        case 4:
            return text[:at] + text[min(at + chance.randint(1, 12), len(text)) :]
        case 5:
            return text[:to] + text[at:to] * chance.randint(1, 8) + text[to:]
        case 6:
            chance.shuffle(lines)
            return "".join(lines)
        case _:
            number = chance.randint(0, len(lines))
            return "".join(lines[:number] + [" " * chance.randint(0, 8) + line for line in lines[number:]])
