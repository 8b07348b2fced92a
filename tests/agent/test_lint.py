"""`hookline-agent lint`: an example of every rule with its place; files, directories, archives; exit codes; the documented table."""

import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from agent.app import main
from agent.appspec.bundle import examine_bundle
from agent.appspec.findings import RULES, Severity
from agent.appspec.rules import examine

ROOT = Path(__file__).parents[2]
HEAD = "version: 0.0\nos: linux\n"
FILES = "files: [{source: /, destination: /srv}]\n"
GOOD = HEAD + FILES + "hooks:\n  AfterInstall:\n    - location: a.sh\n      timeout: 300\n"

# One file for every rule that a file alone can break: the rule, the text, and the line and column that is named.
BROKEN = [
    ("syntax", HEAD + "a: b: c\n", 3, 5),
    ("syntax", "", 1, 1),
    ("encoding", HEAD + "a: \x07\n", 3, 4),
    ("limits", HEAD + "a: " + "[" * 30, 3, 24),
    ("alias", HEAD + "permissions:\n  - object: /srv\n    pattern: **\n", 5, 15),
    ("tag", HEAD + "a: !x b\n", 3, 4),
    ("duplicate-key", HEAD + "os: linux\n", 3, 1),
    ("second-document", HEAD + "---\na: b\n", 3, 1),
    ("byte-order-mark", "\ufeff" + HEAD, 1, 1),
    ("unquoted-date", HEAD + "released: 2026-01-31\n", 3, 11),
    ("wrong-type", HEAD + "files: {}\n", 3, 8),
    ("missing-key", HEAD + "files:\n  - source: a\n", 4, 5),
    ("misspelt-key", HEAD + "permission: []\n", 3, 1),
    ("unknown-key", HEAD + "branch_config: {}\n", 3, 1),
    ("version", "version: 1.0\nos: linux\n", 1, 10),
    ("os", "version: 0.0\nos: Linux\n", 2, 5),
    ("other-platform", "version: 0.0\nResources: []\n", 1, 1),
    ("file-exists-behavior", HEAD + "file_exists_behavior: overwrite\n", 3, 23),
    ("file-exists-behavior-elsewhere", HEAD + "defaults:\n  file_exists_behavior: OVERWRITE\n", 4, 3),
    ("outside-bundle", HEAD + "files: [{source: ../a, destination: /srv}]\n", 3, 18),
    ("tilde", HEAD + "files: [{source: a, destination: ~/b}]\n", 3, 34),
    ("relative-path", HEAD + "files: [{source: a, destination: srv}]\n", 3, 34),
    ("glob-in-source", HEAD + "files: [{source: 'a/*', destination: /srv}]\n", 3, 18),
    ("backslash", HEAD + "files: [{source: a\\b, destination: /srv}]\n", 3, 18),
    ("empty-source", HEAD + "files: [{source: '', destination: /srv}]\n", 3, 18),
    ("destination-repeats-name", HEAD + "files: [{source: a.txt, destination: /srv/a.txt}]\n", 3, 38),
    ("overwrite-in-files", HEAD + "files: [{source: a, destination: /srv, overwrite: yes}]\n", 3, 40),
    ("mode", HEAD + FILES + "permissions: [{object: /srv, mode: u+x}]\n", 4, 36),
    ("mode-leading-zero", HEAD + FILES + "permissions: [{object: /srv, mode: 0644}]\n", 4, 36),
    ("acl", HEAD + FILES + "permissions: [{object: /srv, acls: ['u::rw']}]\n", 4, 37),
    ("default-acl-for-files", HEAD + FILES + "permissions: [{object: /srv, acls: ['d:u:bob:rw']}]\n", 4, 36),
    ("pattern-never-matches", HEAD + FILES + "permissions: [{object: /srv, except: [/srv/a]}]\n", 4, 39),
    ("pattern-not-a-glob", HEAD + FILES + "permissions: [{object: /srv, pattern: 'a?'}]\n", 4, 39),
    ("permission-without-effect", HEAD + FILES + "permissions: [{object: /opt, mode: 644}]\n", 4, 24),
    ("permission-without-effect", HEAD + FILES + "permissions: [{object: /srv}]\n", 4, 24),
    ("permission-without-effect", HEAD + FILES + "permissions: [{object: /srv, mode: 644, type: []}]\n", 4, 47),
    ("type-is-not-depth", HEAD + FILES + "permissions: [{object: /srv, mode: 644, type: [file]}]\n", 4, 47),
    ("retained-files", HEAD + "file_exists_behavior: RETAIN\n", 3, 23),
    ("selinux", HEAD + FILES + "permissions: [{object: /srv, context: {type: t}}]\n", 4, 30),
    ("selinux-user", HEAD + FILES + "permissions: [{object: /srv, context: {type: t, user: u}}]\n", 4, 49),
    ("hook-outside-hooks", HEAD + "AfterInstall: [{location: a.sh}]\n", 3, 1),
    ("hook-without-scripts", HEAD + "hooks: {Install: [{location: a.sh}]}\n", 3, 9),
    ("timeout", HEAD + "hooks: {AfterInstall: [{location: a.sh, timeout: soon}]}\n", 3, 50),
    ("timeout-misread", HEAD + "hooks: {AfterInstall: [{location: a.sh, timeout: 10m}]}\n", 3, 50),
    ("timeouts-too-long", HEAD + "hooks: {AfterInstall: [{location: a.sh, timeout: 6000}]}\n", 3, 9),
    ("runas-empty", HEAD + "hooks: {AfterInstall: [{location: a.sh, runas: ''}]}\n", 3, 48),
    ("sudo-not-boolean", HEAD + "hooks: {AfterInstall: [{location: a.sh, sudo: 'false'}]}\n", 3, 47),
    ("location-with-spaces", HEAD + "hooks: {AfterInstall: [{location: a.sh now}]}\n", 3, 35),
    ("location-from-root", HEAD + "hooks: {AfterInstall: [{location: /a.sh}]}\n", 3, 35),
    ("extension", HEAD + "x-hookline: {never: {}}\n", 3, 14),
]
OF_A_BUNDLE = {
    "missing-appspec": {"appspec.json": "{}"},
    "appspec-name": {"appspec.yaml": HEAD},
    "source-missing": {"appspec.yml": HEAD + "files: [{source: web, destination: /srv}]\n"},
    "script-missing": {"appspec.yml": GOOD},
    "script-line-ends": {"appspec.yml": GOOD, "a.sh": "#!/bin/sh\r\n"},
    "script-without-interpreter": {"appspec.yml": GOOD, "a.sh": "echo\n"},
    "destination-twice": {
        "appspec.yml": HEAD + "files: [{source: /, destination: /srv}, {source: d/a, destination: /srv/d}]\n",
        "d/a": "",
    },
    "permission-pattern-of-file": {
        "appspec.yml": HEAD + "files: [{source: a, destination: /srv}]\npermissions: [{object: /srv/a, pattern: '*', mode: 644}]\n",
        "a": "",
    },
}


def rules(text: str) -> list[str]:
    return [finding.rule for finding in examine(text.encode()).findings]


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode())
    return root


def lint(path: Path, *options: str) -> int:
    return main(["lint", str(path), *options])


@pytest.mark.parametrize("rule, text, line, column", BROKEN)
def test_a_broken_rule_is_found_where_it_is_broken(rule: str, text: str, line: int, column: int) -> None:
    found = [(finding.line, finding.column) for finding in examine(text.encode()).findings if finding.rule == rule]
    assert found == [(line, column)]


@pytest.mark.parametrize("rule", OF_A_BUNDLE)
def test_what_only_the_bundle_shows_is_found_too(tmp_path: Path, rule: str) -> None:
    _, found = examine_bundle(write(tmp_path, OF_A_BUNDLE[rule]))
    assert [finding.rule for finding in found.findings] == [rule]


def test_closing_hooks_and_the_probe_have_to_be_in_the_bundle_too(tmp_path: Path) -> None:
    ours = (
        "x-hookline:\n  always: {AfterInstall: [{location: c.sh}, {location: a.sh}]}\n  on_failure: {AfterInstall: [{location: b.sh}]}\n"
        "  interrupted: probe\n  probe: {location: d.sh}\n"
    )
    _, found = examine_bundle(write(tmp_path, {"appspec.yml": GOOD + ours, "a.sh": "#!/bin/sh\n"}))
    assert [(finding.line, finding.message) for finding in found.findings] == [
        (line, f"the script {name} is not in the bundle") for line, name in ((9, "c.sh"), (10, "b.sh"), (12, "d.sh"))
    ]


def test_every_rule_has_an_example_here() -> None:
    assert {rule for rule, *_ in BROKEN} | set(OF_A_BUNDLE) == set(RULES)


def test_the_documented_table_is_the_code() -> None:
    readme = ROOT / "agent/appspec/README.md"
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning|note) \| (.+) \|$", readme.read_text(), re.MULTILINE)
    assert rows == [(name, rule.severity.value, rule.meaning) for name, rule in RULES.items()]


def test_one_mistake_does_not_hide_the_next() -> None:
    text = (
        "version: '0.0'\nos: mac\nfiles:\n  - source: a\n  - source: b\n    destination: ~/x\nhooks:\n  AfterInstall:\n    - timeout: 0\n"
    )
    assert rules(text) == ["version", "os", "missing-key", "tilde", "missing-key"]


def test_the_mistakes_of_real_repositories_are_all_found() -> None:
    found = examine((Path(__file__).parent / "appspecs/mistakes.yml").read_bytes())
    assert [(finding.line, finding.rule) for finding in found.findings] == [
        (3, "hook-outside-hooks"),
        (5, "misspelt-key"),
        (8, "file-exists-behavior-elsewhere"),
        (10, "hook-without-scripts"),
        (10, "timeouts-too-long"),
        (11, "location-from-root"),
        (12, "unknown-key"),
        (16, "relative-path"),
        (17, "overwrite-in-files"),
    ]
    assert not found.flaws


@pytest.mark.parametrize("bundle", sorted((ROOT / "deploy/examples").glob("*/appspec.y*ml")), ids=lambda path: path.parent.name)
def test_our_own_examples_have_nothing_to_complain_of(bundle: Path) -> None:
    assert examine_bundle(bundle.parent)[1].findings == ()


def test_a_script_with_two_mistakes_shows_both() -> None:
    hook = "hooks:\n  AfterInstall:\n    - location: a.sh\n      timeout: x\n      x-hookline: {arg: []}\n"
    assert rules(HEAD + hook) == ["timeout", "extension"]


def test_a_clean_file_has_nothing_to_complain_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {"appspec.yml": GOOD}) / "appspec.yml"
    assert lint(path) == 0
    assert capsys.readouterr().out == f"{path}: nothing to complain of\n"


def test_a_finding_is_told_with_its_place_its_rule_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {"a.yml": HEAD + "hooks:\n  AfterInstal:\n    - location: a.sh\n      timeout: 10m\n"}) / "a.yml"
    assert lint(path) == 1
    assert capsys.readouterr().out == (
        f"{path}:4:3: error: the scripts of AfterInstal never run [hook-without-scripts]\n"
        "    did you mean AfterInstall?\n"
        f"{path}:6:16: warning: timeout 10m is read as 10 s [timeout-misread]\n"
        "    write 10\n"
        f"{path}: 1 error, 1 warning\n"
    )


def test_a_file_that_the_agent_would_refuse_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {"a.yml": "version: 0.0\n"}) / "a.yml"
    assert lint(path) == 1
    assert capsys.readouterr().out.endswith("1 error; the agent refuses this file\n")


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    assert lint(write(tmp_path, {"a.yml": HEAD + "branch_config: {}\n"}) / "a.yml") == 0


def test_json_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {"a.yml": HEAD + "hooks: {Install: [{location: a.sh}]}\n"}) / "a.yml"
    assert lint(path, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    finding = found["findings"][0]
    assert (found["appspec"], found["usable"], len(found["findings"])) == (str(path), True, 1)
    assert (finding["line"], finding["column"], finding["rule"], finding["severity"]) == (3, 9, "hook-without-scripts", "error")
    assert finding["message"] == "the scripts of Install never run"
    assert finding["fix"].startswith("hooks are BeforeBlockTraffic")


def test_a_directory_is_read_as_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(write(tmp_path, {"appspec.yml": GOOD})) == 1
    assert f"{tmp_path}/appspec.yml:6:17: error: the script a.sh is not in the bundle [script-missing]" in capsys.readouterr().out


def test_the_file_of_a_bundle_may_have_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {"appspec.yml": GOOD, "deploy/web.yml": HEAD})
    assert lint(tmp_path, "-A", "deploy/web.yml") == 0
    assert capsys.readouterr().out == f"{tmp_path}/deploy/web.yml: nothing to complain of\n"


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_an_archive_is_read_as_a_bundle_also_below_one_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    folder = write(tmp_path / "src", {"repository-1234/appspec.yml": GOOD})
    archive = tmp_path / f"bundle.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(folder / "repository-1234/appspec.yml", "repository-1234/appspec.yml")
    else:
        with tarfile.open(archive, "w:gz" if kind == "tgz" else "w") as tar:
            tar.add(folder / "repository-1234", "repository-1234")
    assert lint(archive) == 1
    assert f"{archive}: appspec.yml:6:17: error: the script a.sh is not in the bundle" in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    os.mkfifo(tmp_path / "pipe")
    assert lint(tmp_path / "absent.yml") == 2
    assert "absent.yml: there is no such file or directory" in capsys.readouterr().err
    assert lint(tmp_path / "pipe") == 2
    assert lint(tmp_path / "broken.zip") == 2
    assert f"hookline-agent: cannot lint {tmp_path}/broken.zip: " in capsys.readouterr().err


def test_a_script_behind_a_symlink_out_of_the_bundle_is_not_read(tmp_path: Path) -> None:
    outside = write(tmp_path, {"outside.sh": "#!/bin/sh\n"})
    bundle = write(tmp_path / "bundle", {"appspec.yml": GOOD})
    (bundle / "a.sh").symlink_to(outside / "outside.sh")
    assert [finding.rule for finding in examine_bundle(bundle)[1].findings] == ["outside-bundle"]


def test_what_is_quoted_of_a_file_cannot_speak_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {"a.yml": HEAD + 'hooks: {AfterInstall: [{location: a.sh, timeout: "\\e[2J"}]}\n'}) / "a.yml"
    assert lint(path) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_severities_are_explained_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["lint", "--help"])
    told = capsys.readouterr().out
    assert "2 when PATH cannot be read" in " ".join(told.split())
    assert all(severity.value in told for severity in Severity)
