"""AppSpec files: every key, default and trap of the server platform, every mistake with its line, and no input that hurts."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.appspec import AppSpec, AppSpecError, AppSpecNotFound, FileMapping, Script, find_appspec, parse
from agent.appspec.rules import examine

HEAD = "version: 0.0\nos: linux\n"


def read(text: str, head: str = HEAD) -> AppSpec:
    return parse((head + text).encode(), "appspec.yml")


def refusal(text: str, head: str = HEAD) -> str:
    with pytest.raises(AppSpecError) as caught:
        read(text, head)
    return str(caught.value)


def rules(text: str, head: str = HEAD) -> list[str]:
    return [finding.rule for finding in examine((head + text).encode()).findings]


def read_or_refusal(content: bytes) -> AppSpec | str:
    try:
        return parse(content, "appspec.yml")
    except AppSpecError as error:
        return str(error)


def script(text: str) -> Script:
    return read(f"hooks:\n  ApplicationStart:\n    - location: a.sh\n      {text}\n").hooks["ApplicationStart"][0]


def permission_mode(text: str) -> int | None:
    return read(f"permissions:\n  - object: /x\n    mode: {text}\n").permissions[0].mode


def test_a_whole_file_is_read() -> None:
    found = read(
        "files:\n  - source: /\n    destination: /var/www\n  - source: ./conf//a.conf\n    destination: /etc/app\n"
        "permissions:\n  - object: /var/www\n    pattern: '*.sh'\n    except: [b.sh]\n    owner: root\n    group: root\n"
        "    mode: 755\n    type: [file]\n    acls: ['u:bob:rw', 'd:g:ops:7']\n    context: {type: httpd_t, name: u, range: s0-s1:c0.c3}\n"
        "hooks:\n  ApplicationStop:\n    - location: /stop.sh\n  ApplicationStart:\n"
        "    - location: scripts/a.sh\n      timeout: 300\n      runas: app\n    - location: scripts/b.sh\n      sudo: true\n"
        "file_exists_behavior: OVERWRITE\n"
    )
    assert found.files == (FileMapping(source="", destination="/var/www"), FileMapping(source="conf/a.conf", destination="/etc/app"))
    assert found.hooks["ApplicationStart"] == (
        Script(location="scripts/a.sh", timeout=300, runas="app", sudo=False),
        Script(location="scripts/b.sh", timeout=3600, runas=None, sudo=True),
    )
    assert found.hooks["ApplicationStop"][0].location == "stop.sh"
    assert found.file_exists_behavior == "OVERWRITE"
    permission = found.permissions[0]
    assert (permission.mode, permission.except_, permission.type, permission.acls) == (
        0o755,
        ("b.sh",),
        ("file",),
        ("u:bob:rw", "d:g:ops:7"),
    )
    assert permission.context is not None
    assert permission.context.user == "u"


def test_the_normal_form_reads_back_the_same() -> None:
    found = read(
        "files: [{source: a, destination: /b}]\npermissions:\n  - object: /b\n    context: {type: t}\n    mode: 0644\n"
        "hooks: {BeforeInstall: [{location: x}]}\n"
    )
    assert AppSpec.from_json(found.to_json()) == found


@pytest.mark.parametrize("text", ["", "files:\n", "hooks: ~\npermissions: null\nfile_exists_behavior:\n", "hooks: {ApplicationStop: }\n"])
def test_what_is_left_out_or_null_is_nothing(text: str) -> None:
    found = read(text)
    assert (found.files, found.permissions, found.file_exists_behavior) == ((), (), None)
    assert not any(found.hooks.values())


@pytest.mark.parametrize(
    "head",
    ["version: 0.0\nos: linux\n", "version: 0\nos: 'linux'\n", "---\nversion: 0.00\nos: linux\n", "\ufeffversion: 0.0\r\nos: linux\r\n"],
)
def test_version_and_os_as_the_original_accepts_them(head: str) -> None:
    assert read("files:\n", head) == AppSpec()


def test_json_is_yaml() -> None:
    assert read('{"version": 0.0, "os": "linux", "files": [{"source": "a", "destination": "/b"}]}', "").files[0].source == "a"


def test_only_the_first_document_counts() -> None:
    found = read("files:\n---\n- other\n")
    assert found == AppSpec(warnings=("line 4: a second document begins here, which nobody reads; remove it",))


@pytest.mark.parametrize(
    "head, says",
    [
        ("version: '0.0'\nos: linux\n", "line 1, column 10: version must be the number 0.0"),
        ("version: 1.0\nos: linux\n", "version must be the number 0.0"),
        ("os: linux\n", "version must be the number 0.0"),
        ("version: 0.0\nos: windows\n", "line 2, column 5: os must be linux"),
        ("version: 0.0\nos: Linux\n", "os must be linux"),
        ("version: 0.0\n", "os must be linux"),
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n", "an AppSpec file is a mapping"),
        ("just words\n", "an AppSpec file is a mapping"),
    ],
)
def test_another_version_or_system_is_refused(head: str, says: str) -> None:
    assert says in refusal("", head)


@pytest.mark.parametrize(
    "spelt, seconds",
    [
        ("timeout: 300", 300),
        ('timeout: "300"', 300),
        ("timeout: 10m", 10),
        ("timeout: 1.9", 1),
        ("timeout: 0300", 192),
        ("timeout: 1:30", 5400),
        ("timeout: 1_000", 1000),
        ("timeout: false", 3600),
        ("timeout: ~", 3600),
        ("runas: root", 3600),
        ("timeout: 6000", 6000),
    ],
)
def test_timeouts_are_read_as_the_original_reads_them(spelt: str, seconds: int) -> None:
    assert script(spelt).timeout == seconds


@pytest.mark.parametrize("spelt", ["timeout: true", "timeout: 0", "timeout: -5", "timeout: soon", "timeout: .inf", "timeout: ''"])
def test_a_timeout_that_is_no_time_is_refused(spelt: str) -> None:
    assert "line 6, column 16: timeout must be" in refusal(f"hooks:\n  ApplicationStart:\n    - location: a.sh\n      {spelt}\n")


@pytest.mark.parametrize(
    "spelt, mode",
    [
        ("644", 0o644),
        ("'0644'", 0o644),
        ('"755"', 0o755),
        ("0644", 0o644),
        ("0755", 0o755),
        ("0600", 0o600),
        ("1777", 0o1777),
        ("01777", 0o1777),
        ("7", 0o7),
        ("~", None),
    ],
)
def test_modes_mean_what_was_meant(spelt: str, mode: int | None) -> None:
    assert permission_mode(spelt) == mode


def test_an_unquoted_leading_zero_is_warned_of() -> None:
    assert rules("files: [{source: /, destination: /x}]\npermissions: [{object: /x, mode: 0644}]\n") == ["mode-leading-zero"]
    assert rules("files: [{source: /, destination: /x}]\npermissions: [{object: /x, mode: '0644'}]\n") == []
    warning = read("permissions:\n  - object: /x\n    mode: 0644\n").warnings[1]
    assert warning == "line 5: mode 0644 has a leading zero without quotes, which CodeDeploy's first agent misreads; write '0644'"


@pytest.mark.parametrize("spelt", ["u+x", "0o755", "888", "12345", "true", "7.5", "[7]", "-1", "0x1ff", "''"])
def test_a_mode_that_is_not_octal_is_refused(spelt: str) -> None:
    assert "line 5, column 11: mode must have one to four octal digits" in refusal(f"permissions:\n  - object: /x\n    mode: {spelt}\n")


@pytest.mark.parametrize("acl", ["bob:rw", "u:bob:rw", "user:bob:7", "d:u:bob:rwx", "default:group:ops:r", "mask::rw", "m::7", "d:u::rwx"])
def test_acls_of_the_original_are_accepted(acl: str) -> None:
    assert read(f"permissions:\n  - object: /x\n    acls: ['{acl}']\n").permissions[0].acls == (acl,)


@pytest.mark.parametrize("acl", ["bob", "u::rw", "g::7", "o::r", "u:bob:9", "u:bob:rwz", "a:b:c:d:e", "x:bob:rw", "u:a:b:r"])
def test_acls_that_mean_nothing_are_refused(acl: str) -> None:
    assert "the ACL" in refusal(f"permissions:\n  - object: /x\n    acls: ['{acl}']\n")


@pytest.mark.parametrize(
    "text, says",
    [
        ("files: {source: a}\n", "line 3, column 8: files must be a list"),
        ("files: [a]\n", "an entry of files is a mapping"),
        ("files:\n  - source: a\n", "line 4, column 5: an entry of files needs a destination"),
        ("files:\n  - destination: /a\n", "needs a source"),
        ("files:\n  - source: ~\n    destination: /a\n", "needs a source"),
        ("files:\n  - source: a\n    destination: ''\n", "destination is empty"),
        ("files:\n  - source: a\n    destination: ~/x\n", "a tilde is not expanded"),
        ("files:\n  - source: ../a\n    destination: /x\n", "line 4, column 13: ../a leads out of the bundle"),
        ("files:\n  - source: 2024\n    destination: /x\n", "source must be a word, and 2024 is a number; write '2024'"),
        ("files:\n  - source: a\n    destination: yes\n", "destination must be a word, and yes is a boolean; write 'yes'"),
        ("hooks: []\n", "hooks must be a mapping"),
        ("hooks: {ApplicationStop: {location: a}}\n", "hook ApplicationStop must be a list"),
        ("hooks: {ApplicationStop: [a.sh]}\n", "a script is a mapping"),
        ("hooks: {ApplicationStop: [{timeout: 5}]}\n", "a script needs a location"),
        ("hooks: {ApplicationStop: [{location: ' '}]}\n", "a script needs a location"),
        ("hooks: {ApplicationStop: [{location: ../../bin/sh}]}\n", "leads out of the bundle"),
        ("hooks: {ApplicationStop: [{location: /}]}\n", "is no file"),
        ("permissions: [{mode: 644}]\n", "needs an object"),
        ("permissions: [{object: /x, except: a}]\n", "except must be a list"),
        ("permissions: [{object: /x, type: file}]\n", "type must be a list"),
        ("permissions: [{object: /x, type: [socket]}]\n", "type must be a list of file and directory"),
        ("permissions: [{object: /x, owner: 1000}]\n", "owner must be a word, and 1000 is a number"),
        ("permissions: [{object: /x, context: {user: u}}]\n", "an SELinux context needs a type"),
        ("permissions: [{object: /x, context: {type: t, range: 'low'}}]\n", "is no SELinux range"),
        ("file_exists_behavior: overwrite\n", "line 3, column 23: file_exists_behavior must be"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text: str, says: str) -> None:
    found = refusal(text)
    assert says in found
    assert found.startswith("cannot read appspec.yml line ")


@pytest.mark.parametrize(
    "text, says",
    [
        ("ApplicationStart:\n  - location: a.sh\n", "line 3: ApplicationStart stands beside hooks"),
        ("permission:\n  - object: /x\n", "did you mean permissions?"),
        ("defaults: {file_exists_behavior: OVERWRITE}\n", "file_exists_behavior stands below defaults, where it is ignored"),
        ("branch_config: {a: 1}\n", "the key branch_config is ignored"),
        ("hooks: {Install: [{location: a.sh}]}\n", "the scripts of Install never run"),
        ("hooks: {BeforeInstall: [{location: a.sh, interpreter: bash}]}\n", "the key interpreter of a script is ignored"),
        ("hooks: {BeforeInstall: [{location: a.sh, timeout: 6000}]}\n", "add up to 6000 s"),
        ("hooks: {BeforeInstall: [{location: a.sh, timeout: 0300}]}\n", "is read as 192 s"),
        ("hooks: {BeforeInstall: [{location: a.sh, runas: ''}]}\n", "runas is empty"),
        ("hooks: {BeforeInstall: [{location: a.sh, sudo: 'false'}]}\n", "counts as true"),
        ("files: [{source: a, destination: var/www}]\n", "is relative"),
        ("files: [{source: a.txt, destination: /x/a.txt}]\n", "the result is /x/a.txt/a.txt"),
        ("files: [{source: a, destination: /x, overwrite: true}]\n", "use file_exists_behavior"),
        ("permissions: [{object: /x, except: [/x/y]}]\n", "never matches"),
        ("permissions: [{object: /x, context: {type: t, user: u}}]\n", "read the SELinux user from the key name"),
    ],
)
def test_what_the_original_swallows_is_accepted_and_warned_of(text: str, says: str) -> None:
    assert any(says in warning for warning in read(text).warnings)


@pytest.mark.parametrize(
    "text, says",
    [
        ("hooks:\n\tApplicationStop:\n", "line 4, column 1: "),
        ("permissions:\n  - object: /x\n    pattern: **\n", 'must be quoted: "**"'),
        ("a: &b 1\nc: *b\n", "line 4, column 4: aliases (*name) are not allowed"),
        ("os: linux\n", "line 3, column 1: the key 'os' stands here a second time; the first is in line 2"),
        ("a: b: c\n", "line 3, column 5: mapping values are not allowed here"),
        ("a: !!python/object/apply:os.system [x]\n", "is not allowed"),
        ("a: !secret x\n", "is not allowed"),
        ("a: \x07\n", "line 3, column 4: a control character"),
        ("[a]: b\n", "a key must be a word"),
        ("a: " + "[" * 30, "nested deeper than 20 levels"),
        ("a: 1" + ":1" * 500 + "\n", "a number of more than 40 characters"),
        ("a: [" + "1," * 11_000 + "]\n", "more than 10000 values"),
        ("# " + "x" * 70_000, "at most 65536 are read"),
    ],
)
def test_yaml_that_is_wrong_or_hostile_is_refused_with_its_place(text: str, says: str) -> None:
    assert says in refusal(text)


def test_a_file_that_is_all_mistakes_is_told_of_in_short() -> None:
    warnings = read("".join(f"permission{number}:\n" for number in range(2_000))).warnings
    assert len(warnings) == 51
    assert sum("did you mean permissions?" in warning for warning in warnings) == 20
    assert warnings[-1] == "and 1950 more; `hookline-agent lint` lists them"


def test_a_byte_that_is_not_utf_8_is_refused_with_its_place() -> None:
    with pytest.raises(AppSpecError, match="line 2, column 5: this byte is not UTF-8"):
        parse(b"version: 0.0\nos: \xff", "appspec.yml")


@given(st.binary(max_size=2000))
@settings(max_examples=150)
def test_no_bytes_do_anything_but_be_read_or_refused(content: bytes) -> None:
    found = read_or_refusal(content)
    assert isinstance(found, AppSpec) or found.startswith("cannot read appspec.yml")


CORPUS = (
    HEAD + "files:\n  - source: /\n    destination: /var/www\nhooks:\n  AfterInstall:\n    - location: s/a.sh\n      timeout: 300\n"
    "      runas: root\npermissions:\n  - object: /x\n    pattern: '**'\n    mode: 0644\n    acls: [\"u:b:rw\"]\n    type:\n      - file\n"
)
FRAGMENTS = [
    "&a ",
    "*a",
    "!!",
    "!!int ",
    ":",
    "- ",
    "[",
    "{",
    "'",
    '"',
    "\t",
    "\n",
    "\r",
    "? ",
    "| ",
    "> ",
    "%",
    "0x",
    "1:1:1",
    "~",
    "\0",
    "<<: ",
]


@given(st.lists(st.tuples(st.integers(0, len(CORPUS)), st.integers(0, 12), st.sampled_from(FRAGMENTS)), max_size=6))
@settings(max_examples=200)
def test_no_mutation_of_a_real_file_does_anything_but_be_read_or_refused(edits: list[tuple[int, int, str]]) -> None:
    text = CORPUS
    for at, length, fragment in edits:
        text = text[:at] + fragment + text[at + length :]
    found = read_or_refusal(text.encode())
    if isinstance(found, AppSpec):
        assert AppSpec.from_json(found.to_json()) == found
    else:
        assert found.startswith("cannot read appspec.yml")


@pytest.mark.parametrize(
    "present, requested, found",
    [
        (["appspec.yml"], None, "appspec.yml"),
        (["appspec.yaml"], None, "appspec.yaml"),
        (["appspec.yml", "appspec.yaml"], None, "appspec.yml"),
        (["appspec.yml", "appspec.yaml"], "other.yml", "appspec.yaml"),
        (["appspec.yml", "deploy/web.yml"], "deploy/web.yml", "deploy/web.yml"),
        (["appspec.yml"], "missing.yml", "appspec.yml"),
    ],
)
def test_the_file_is_found_by_three_steps(tmp_path: Path, present: list[str], requested: str | None, found: str) -> None:
    for name in present:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HEAD)
    assert find_appspec(tmp_path, requested) == tmp_path / found


def test_a_bundle_without_appspec_is_told_which_names_were_looked_for(tmp_path: Path) -> None:
    (tmp_path / "appspec.json").write_text("{}")
    with pytest.raises(AppSpecNotFound, match="no appspec.yml and no appspec.yaml"):
        find_appspec(tmp_path, None)


@pytest.mark.parametrize("requested", ["../outside.yml", "a/../../outside.yml", "link.yml"])
def test_an_appspec_outside_the_bundle_is_refused(tmp_path: Path, requested: str) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (tmp_path / "outside.yml").write_text(HEAD)
    (bundle / "link.yml").symlink_to(tmp_path / "outside.yml")
    with pytest.raises(AppSpecError, match="lies outside the bundle"):
        find_appspec(bundle, requested)
