"""What may be wrong with an AppSpec file: the rules by name, how bad breaking each is, and one place where one is broken.

Pure. The table in README.md of this room says the same; a test keeps the two equal.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

_LONGEST = 600  # Characters of a message, which may quote a value of any length.


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad it is to break a rule, and what is wrong then."""

    severity: Severity
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where a rule is broken; line and column count from 1, `fix` is what to do, empty where the message says it."""

    line: int
    column: int
    rule: str
    message: str
    fix: str = ""

    def __post_init__(self) -> None:
        """Make what it quotes of the file harmless for terminals and logs."""
        for name in ("message", "fix"):
            object.__setattr__(self, name, _harmless(getattr(self, name)))

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity

    def __str__(self) -> str:
        """What is wrong and what to do, in one line."""
        return f"{self.message}; {self.fix}" if self.fix else self.message


def _harmless(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Flaw(Exception):
    """A finding with which the file cannot be used."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"line {finding.line}, column {finding.column}: {finding}")
        self.finding = finding


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

# fmt: off
RULES = MappingProxyType({
    # The text
    "syntax": Rule(_E, "The file is not YAML, or is empty."),
    "encoding": Rule(_E, "The file is not UTF-8, or holds a control character."),
    "limits": Rule(_E, "The file is larger, deeper or longer than an AppSpec file may be, or a number is."),
    "alias": Rule(_E, "A YAML alias (`*name`) is used, or a pattern that begins with `*` is not quoted."),
    "tag": Rule(_E, "A YAML tag (`!name`) is used that an AppSpec file has no use for."),
    "duplicate-key": Rule(_E, "A key stands twice in one mapping; CodeDeploy silently keeps the last."),
    "second-document": Rule(_W, "There is a second YAML document, which nobody reads."),
    "byte-order-mark": Rule(_N, "The file begins with a byte order mark; CodeDeploy's first agent then loses every key but the first."),
    "unquoted-date": Rule(_N, "A date is not quoted, which CodeDeploy's first agent refuses anywhere in the file."),
    # Its shape
    "wrong-type": Rule(_E, "A list stands where a mapping belongs, a number where a word does, and so on."),
    "missing-key": Rule(_E, "A key that has to be there is missing, null or empty."),
    "misspelt-key": Rule(_E, "A key is ignored that is almost one that counts."),
    "unknown-key": Rule(_W, "A key is ignored."),
    "version": Rule(_E, "`version` is not the unquoted number 0.0."),
    "os": Rule(_E, "`os` is not `linux`, spelt so."),
    "other-platform": Rule(_E, "The file is for Lambda or ECS."),
    "file-exists-behavior": Rule(_E, "`file_exists_behavior` is none of DISALLOW, OVERWRITE and RETAIN, in upper case."),
    "retained-files": Rule(_N, "RETAIN leaves existing files as they are: no `permissions` reach them, no later deployment removes them."),
    "file-exists-behavior-elsewhere": Rule(_E, "`file_exists_behavior` stands below another key, where it is ignored."),
    # files
    "outside-bundle": Rule(_E, "A path leads out of the bundle."),
    "tilde": Rule(_E, "A destination begins with `~`, which is not expanded."),
    "relative-path": Rule(_W, "A destination or an object is relative; it is taken from the root directory."),
    "glob-in-source": Rule(_W, "A source holds `*`, which stands for itself there."),
    "backslash": Rule(_W, "A path holds a backslash, which separates nothing on Linux."),
    "empty-source": Rule(_N, "A source is empty; CodeDeploy's second agent refuses it."),
    "destination-repeats-name": Rule(_W, "A destination ends with the name of the file: it becomes a directory of that name."),
    "overwrite-in-files": Rule(_W, "`overwrite` stands in an entry of `files`, where it does nothing."),
    # permissions
    "mode": Rule(_E, "`mode` is not one to four octal digits."),
    "mode-leading-zero": Rule(_W, "`mode` has a leading zero without quotes; CodeDeploy's first agent then sets another mode, or fails."),
    "acl": Rule(_E, "An entry of `acls` cannot be understood."),
    "default-acl-for-files": Rule(_E, "A default ACL is given to files too, which cannot have one, and Install refuses."),
    "pattern-never-matches": Rule(_E, "A pattern holds `/`; it is compared with names directly below the object and never matches."),
    "pattern-not-a-glob": Rule(_W, "A pattern holds `?` or `[`, which stand for themselves: only `*` is special."),
    "permission-without-effect": Rule(_E, "An entry of `permissions` reaches nothing that `files` installs, or says nothing of it."),
    "type-is-not-depth": Rule(_N, "`type` names one kind; how deep an entry reaches follows from `pattern` alone."),
    "selinux": Rule(_E, "`context` is given; this agent does not speak to SELinux and refuses to install without it."),
    "selinux-user": Rule(_W, "The SELinux user is read from the key `name`, not `user` as documented."),
    # hooks
    "hook-outside-hooks": Rule(_E, "The name of a hook stands beside `hooks`, not below it; its scripts never run."),
    "hook-without-scripts": Rule(_E, "Scripts are given for something that never runs any, such as `Install`."),
    "timeout": Rule(_E, "`timeout` is no number of seconds above 0."),
    "timeout-misread": Rule(_W, "`timeout` is read as another number than it looks like."),
    "timeouts-too-long": Rule(_W, "The timeouts of one hook add up to more than the hour that an event may take."),
    "runas-empty": Rule(_W, "`runas` is empty; the script runs as the agent's user."),
    "sudo-not-boolean": Rule(_W, "`sudo` is neither true nor false; everything else counts as true."),
    "location-with-spaces": Rule(_W, "A location holds a space; it is one path without arguments, which CodeDeploy's agent cannot run."),
    "location-from-root": Rule(_N, "A location begins with `/`; it is taken from the root of the bundle."),
    # x-hookline
    "extension": Rule(_E, "Something below `x-hookline` cannot be understood, or makes no sense there."),
    # The bundle
    "missing-appspec": Rule(_E, "The bundle has no AppSpec file where one is looked for."),
    "appspec-name": Rule(_N, "The file is called `appspec.yaml`, which CodeDeploy's first agent does not find when it runs hooks."),
    "source-missing": Rule(_E, "A source of `files` is not in the bundle."),
    "script-missing": Rule(_E, "A script is not in the bundle, or is a directory."),
    "script-line-ends": Rule(_E, "The first line of a script ends with CR LF, so that its interpreter is not found."),
    "script-without-interpreter": Rule(_N, "A script does not begin with `#!`; /bin/sh runs it."),
    "destination-twice": Rule(_E, "Two entries of `files` copy to the same file, and Install refuses."),
    "permission-pattern-of-file": Rule(_E, "The object is a file, which takes neither `pattern` nor `except`, and Install refuses."),
})
# fmt: on
