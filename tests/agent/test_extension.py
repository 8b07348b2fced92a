"""`x-hookline`: what it gives scripts, which events may run again, and that nothing below it is passed over."""

import pytest

from agent.appspec import SCRIPTED_EVENTS, AppSpec, AppSpecError, Script, parse

HEAD = "version: 0.0\nos: linux\n"
HOOK = "hooks:\n  AfterInstall:\n    - location: a.sh\n      x-hookline:\n"

CLOSED = """hooks:
  AfterInstall: [{location: a.sh}]
x-hookline:
  on_failure:
    AfterInstall:
      - location: undo.sh
"""


def read(text: str) -> AppSpec:
    return parse((HEAD + text).encode(), "appspec.yml")


def test_arguments_and_variables_are_taken_as_they_are_spelt() -> None:
    script = read(HOOK + "        args: [--port, 8080, 0644, yes, '', ~/x, 1:30]\n        env: {A: 0o7, B: no, C: '', D: }\n").hooks[
        "AfterInstall"
    ][0]
    assert script.args == ("--port", "8080", "0644", "yes", "", "~/x", "1:30")
    assert script.env == (("A", "0o7"), ("B", "no"), ("C", ""), ("D", ""))


def test_the_file_has_variables_for_all_its_scripts() -> None:
    found = read("x-hookline:\n  env:\n    A: one\n    B: |\n      two\n      lines\n")
    assert found.env == (("A", "one"), ("B", "two\nlines\n"))
    assert AppSpec.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "written, kept",
    [
        ("{file: /run/secrets/db}", "{file:/run/secrets/db}"),
        ("{file:/run/secrets/db}", "{file:/run/secrets/db}"),
        ("'{file:/run/secrets/db}'", "{file:/run/secrets/db}"),
        ("{env: DB_PASSWORD}", "{env:DB_PASSWORD}"),
        ("{command: 'vault read -field=value secret/db'}", "{command:vault read -field=value secret/db}"),
        ("'{command: echo \"{a}\"}'", '{command:echo "{a}"}'),
        ("'{\"level\": 1}'", '{"level": 1}'),
        ("'{other:x}'", "{other:x}"),
    ],
)
def test_a_variable_may_refer_to_what_only_the_host_knows(written: str, kept: str) -> None:
    found = read(f"x-hookline:\n  env:\n    A: {written}\n")
    assert found.env == (("A", kept),)
    assert AppSpec.from_json(found.to_json()) == found


@pytest.mark.parametrize("word, preserves", [("copy", False), ("preserve", True)])
def test_symlinks_to_directories_may_be_preserved(word: str, preserves: bool) -> None:
    found = read(f"x-hookline:\n  directory_symlinks: {word}\n")
    assert (found.preserve_directory_symlinks, AppSpec.from_json(found.to_json())) == (preserves, found)


@pytest.mark.parametrize(
    "text, events",
    [
        ("", ()),
        ("x-hookline:\n", ()),
        ("x-hookline: {interrupted: }\n", ()),
        ("x-hookline: {interrupted: fail}\n", ()),
        ("x-hookline: {interrupted: rerun}\n", SCRIPTED_EVENTS),
        ("x-hookline: {interrupted: {AfterInstall: rerun, ApplicationStart: fail}}\n", ("AfterInstall",)),
    ],
)
def test_events_may_run_again_all_or_one_by_one(text: str, events: tuple[str, ...]) -> None:
    assert read(text).repeatable == events


@pytest.mark.parametrize(
    "text, says",
    [
        ("x-hookline: [a]\n", "line 3, column 13: x-hookline must be a mapping"),
        ("x-hookline: {env: {A: {file: secret}}}\n", "line 3, column 23: the reference to a file does not name an absolute path: 'secret'"),
        ("x-hookline: {env: {A: '{env:A B}'}}\n", "'A B' is no name of an environment variable; write {env: NAME}"),
        ("x-hookline: {env: {A: {command: ''}}}\n", "the reference to a command does not name one"),
        (
            "x-hookline: {env: {A: {vault: x}}}\n",
            "neither a value nor a reference; a reference is one of file, env, command: {file: /path}",
        ),
        ("x-hookline: {env: {A: {file: /a, env: B}}}\n", "neither a value nor a reference"),
        (HOOK + "        args: ['{file:/a}']\n", "an argument cannot be a reference: everybody on the host can see it; put it into env"),
        (
            "x-hookline: {environment: {}}\n",
            "x-hookline has no key environment here; it takes env, interrupted, probe, always, on_failure and directory_symlinks",
        ),
        ("x-hookline: {args: []}\n", "x-hookline has no key args here"),
        (
            "x-hookline: {always: [{location: a.sh}]}\n",
            "line 3, column 22: always must be a mapping of lifecycle events to lists of scripts",
        ),
        ("x-hookline: {on_failure: {Install: []}}\n", "line 3, column 27: Install runs no scripts; hooks are BeforeBlockTraffic"),
        ("x-hookline: {on_failure: {AfterInstall: a.sh}}\n", "on_failure of AfterInstall must be a list"),
        (
            "x-hookline: {always: {AfterInstall: [{location: a.sh}]}}\n",
            "line 3, column 23: AfterInstall has no scripts below hooks, so there is nothing to close",
        ),
        (
            CLOSED + "        timout: 3\n",
            "a script below x-hookline has no key timout here; it takes location, timeout, runas, sudo and x-hookline",
        ),
        (CLOSED + "        timeout: 121\n", "timeout must be a number of seconds from 1 to 120 here, not 121"),
        (CLOSED + "        timeout: 0\n", "from 1 to 120 here, not 0"),
        (CLOSED + "        timeout: yes\n", "from 1 to 120 here, not yes"),
        (CLOSED + "        timeout: [1]\n", "timeout must be a number of seconds from 1 to 120 here"),
        (CLOSED + "        x-hookline: {interrupted: rerun}\n", "x-hookline has no key interrupted here; it takes args and env"),
        ("x-hookline: {interrupted: probe}\n", "line 3, column 27: no probe is named; add probe: {location: scripts/is-it-done.sh}"),
        ("x-hookline: {interrupted: {AfterInstall: probe}}\n", "no probe is named"),
        ("x-hookline: {probe: {location: a.sh}}\n", "line 3, column 14: no event asks the probe; add interrupted: probe below x-hookline"),
        ("x-hookline: {interrupted: rerun, probe: {location: a.sh}}\n", "no event asks the probe"),
        ("x-hookline: {interrupted: probe, probe: a.sh}\n", "a script is a mapping with location"),
        ("x-hookline: {interrupted: probe, probe: {location: a.sh, timeout: 61}}\n", "from 1 to 60 here, not 61"),
        ("x-hookline: {interrupted: probe, probe: {location: ../a.sh}}\n", "../a.sh leads out of the bundle"),
        ("x-hookline: {interrupted: yes}\n", "interrupted must be fail, rerun or probe"),
        ("x-hookline: {interrupted: {Install: rerun}}\n", "Install runs no scripts"),
        ("x-hookline: {directory_symlinks: follow}\n", "directory_symlinks must be copy or preserve"),
        ("x-hookline: {env: [A]}\n", "env must be a mapping of names to values"),
        ("x-hookline: {env: {1A: b}}\n", "'1A' is no name of an environment variable"),
        ("x-hookline: {env: {A: [b]}}\n", "a single value is expected here"),
        ('x-hookline: {env: {A: "\\0"}}\n', "a NUL can be neither argued nor exported"),
        ("x-hookline: {env: {DEPLOYMENT_ID: b}}\n", "DEPLOYMENT_ID is set by the agent; take another name"),
        ("x-hookline: {env: {HOOKLINE_X: b}}\n", "HOOKLINE_X is set by the agent"),
        (HOOK + "        arguments: []\n", "line 7, column 9: x-hookline has no key arguments here; it takes args and env"),
        (HOOK + "        interrupted: rerun\n", "x-hookline has no key interrupted here"),
        (HOOK + "        args: --port\n", "args must be a list"),
        (HOOK + "        args: [~]\n", "a value is missing here"),
        (HOOK + "        args: [[a]]\n", "a single value is expected here"),
    ],
)
def test_what_is_not_understood_below_it_is_refused(text: str, says: str) -> None:
    with pytest.raises(AppSpecError) as caught:
        read(text)
    assert says in str(caught.value)


def test_an_event_has_hooks_that_close_it_those_of_a_failure_first() -> None:
    found = read(
        CLOSED + "        timeout: 120\n        runas: bob\n  always:\n    AfterInstall: [{location: /b.sh, x-hookline: {args: [-v]}}]\n"
    )
    undo = Script(location="undo.sh", timeout=120, runas="bob", sudo=False)
    tidy = Script(location="b.sh", timeout=60, runas=None, sudo=False, args=("-v",))
    assert found.closing("AfterInstall", failed=True) == (undo, tidy)
    assert found.closing("AfterInstall", failed=False) == (tidy,)
    assert found.closing("ApplicationStart", failed=True) == ()
    assert AppSpec.from_json(found.to_json()) == found


def test_a_probe_says_what_became_of_the_events_that_ask_it() -> None:
    policies = "{AfterInstall: probe, ApplicationStart: rerun, ApplicationStop: fail}"
    found = read(f"x-hookline:\n  interrupted: {policies}\n  probe:\n    location: done.sh\n")
    assert (found.probed, found.repeatable) == (("AfterInstall",), ("ApplicationStart",))
    assert found.probe == Script(location="done.sh", timeout=60, runas=None, sudo=False)
    assert AppSpec.from_json(found.to_json()) == found
    assert read("x-hookline: {interrupted: probe, probe: {location: a.sh}}\n").probed == SCRIPTED_EVENTS


def test_all_scripts_that_may_ever_run_are_told() -> None:
    ours = "  always: {AfterInstall: [{location: always.sh}]}\n  interrupted: probe\n  probe: {location: probe.sh}\n"
    assert [script.location for script in read(CLOSED + ours).scripts] == ["a.sh", "undo.sh", "always.sh", "probe.sh"]


def test_a_normal_form_of_before_has_none_of_it() -> None:
    old = '{"files": [], "permissions": [], "hooks": {"AfterInstall": [{"location": "a", "timeout": 1, "runas": null, "sudo": false}]}'
    found = AppSpec.from_json(old + ', "file_exists_behavior": null, "warnings": []}')
    assert (found.hooks["AfterInstall"][0].args, found.env, found.repeatable, found.probed) == ((), (), (), ())
    assert (found.probe, found.closing("AfterInstall", failed=True)) == (None, ())
