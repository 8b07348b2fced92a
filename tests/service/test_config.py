"""The command line of the coordinator says clearly what is wrong with it."""

from pathlib import Path

import pytest

from coordinator.config.command_line import parse
from coordinator.config.settings import MAX_BUNDLE_BYTES, OPEN, PACES, Address, Pace, Settings


def test_the_defaults_listen_on_loopback() -> None:
    assert parse(["--insecure"]) == Settings(
        data_dir=Path("/var/lib/hookline"),
        listen=Address("127.0.0.1", 8443),
        http_listen=Address("127.0.0.1", 8480),
        bundle_listen=Address("127.0.0.1", 8444),
        max_bundle_bytes=MAX_BUNDLE_BYTES,
        log_level="info",
    )


def test_everything_can_be_said() -> None:
    words = "--data-dir /d --listen [::1]:1 --http-listen localhost:2 --bundle-listen 127.0.0.9:3 --max-bundle-bytes 4 --log-level debug"
    logs = "--history-retention-days 400 --log-retention-days 5 --log-max-bytes 6"
    assert parse(["--insecure", *words.split(), *logs.split()]) == Settings(
        data_dir=Path("/d"),
        listen=Address("::1", 1),
        http_listen=Address("localhost", 2),
        bundle_listen=Address("127.0.0.9", 3),
        max_bundle_bytes=4,
        log_level="debug",
        history_retention_days=400,
        log_retention_days=5,
        log_max_bytes=6,
    )


def test_without_insecure_agents_machines_and_operators_have_listeners_of_their_own() -> None:
    tls = parse(["--data-dir", "/d", "--listen", "0.0.0.0:1", "--enrol-listen", "192.0.2.7:2", "--tls-name", "hookline.example"]).tls
    assert tls is not None
    assert (tls.operator_listen, tls.certificate_listen) == (Address("127.0.0.1", 8445), Address("127.0.0.1", 8447))
    assert (tls.enrol_listen, tls.admin_socket, tls.cluster) == (Address("192.0.2.7", 2), Path("/d/admin.sock"), "hookline")
    assert tls.names[:5] == ("hookline.example", "127.0.0.1", "192.0.2.7", "localhost", "::1")


def test_other_machines_may_scrape_over_tls_with_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("let-me-see\n")
    settings = parse(["--http-listen", "192.0.2.9:8480", "--http-tls", "--metrics-token-file", str(tmp_path / "token")])
    assert (settings.metrics_token, settings.http_tls) == ("let-me-see", True)
    assert settings.tls is not None
    assert "192.0.2.9" in settings.tls.names
    assert "let-me-see" not in str(settings)


def test_how_much_each_tenant_may_ask_for_is_said_kind_by_kind() -> None:
    settings = parse("--insecure --limit changes=0.5/3 --limit reads=off --source-credentials /s.toml".split())
    assert settings.paces == {"changes": Pace(0.5, 3), "streams": PACES["streams"], "deployments": PACES["deployments"]}
    assert settings.source_credentials == Path("/s.toml")


def test_how_much_may_be_open_is_said_kind_by_kind() -> None:
    settings = parse("--insecure --open-at-most operator=3 --open-at-most address=off".split())
    assert settings.open_at_most == {"operator": 3, "application": OPEN["application"]}


def test_bundles_get_a_free_port_when_the_system_chooses_the_first() -> None:
    assert parse(["--insecure", "--listen", "127.0.0.1:0"]).bundle_listen == Address("127.0.0.1", 0)


def test_an_address_is_written_as_it_is_read() -> None:
    assert [str(Address("::1", 8)), str(Address("localhost", 9))] == ["[::1]:8", "localhost:9"]


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("--http-listen 192.0.2.1:80", "(--http-listen): it is plaintext"),
        ("--http-listen 192.0.2.1:80 --http-tls", "for others use --http-tls and --metrics-token-file"),
        ("--insecure --http-tls", "cannot use --http-tls with --insecure"),
        ("--metrics-token-file /nowhere", "cannot read a token from /nowhere"),
        ("--enrol-listen 8446", "'8446' is not HOST:PORT"),
        ("--insecure --listen 0.0.0.0:8443", "cannot listen on 0.0.0.0:8443 (--listen) with --insecure"),
        ("--insecure --listen example.org:8443", "only loopback addresses"),
        ("--insecure --http-listen 192.0.2.1:80", "(--http-listen)"),
        ("--insecure --bundle-listen 192.0.2.1:80", "(--bundle-listen)"),
        ("--limit hosts=1/1", "'hosts=1/1' is not changes, reads, streams, deployments, then"),
        ("--open-at-most host=1", "'host=1' is not operator, application, address, then =NUMBER"),
        ("--open-at-most operator=0", "such as operator=100"),
        ("--limit changes=0/5", "such as changes=10/100"),
        ("--insecure --listen 8443", "'8443' is not HOST:PORT"),
        ("--insecure --listen 127.0.0.1:70000", "is not HOST:PORT"),
        ("--insecure --listen ::1:5", "is not HOST:PORT"),
        ("--insecure --listen 127.0.0.1:65535", "use --bundle-listen"),
        ("--insecure --max-bundle-bytes 0", "not a whole number above 0"),
        ("--insecure --max-bundle-bytes 1e9", "not a whole number above 0"),
        ("--insec", "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_said_and_ends_with_2(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(words.split())
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("hookline-coordinator ")


def test_a_socket_whose_path_is_too_long_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--data-dir", "/" + "d" * 96])
    assert "at most 107 bytes; use --admin-socket" in capsys.readouterr().err
    assert parse(["--data-dir", "/" + "d" * 95]).tls is not None
    assert parse(["--data-dir", "/" + "d" * 96, "--insecure"]).tls is None


@pytest.mark.parametrize("said,seconds", [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_how_long_certificates_last_is_said_in_words(said: str, seconds: int) -> None:
    tls = parse(["--certificate-lifetime", said]).tls
    assert tls is not None
    assert tls.agent_lifetime == seconds


def test_how_late_a_host_may_come_back_by_itself_is_said_in_words() -> None:
    for said, seconds in (((), 604_800), (("--readmit-within", "0d"), 0), (("--readmit-within", "30d"), 2_592_000)):
        tls = parse(said).tls
        assert tls is not None
        assert tls.readmit_within == seconds


@pytest.mark.parametrize("said", ["0s", "24", "91d", "-1h", "soon"])
def test_a_lifetime_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], said: str) -> None:
    with pytest.raises(SystemExit):
        parse([f"--certificate-lifetime={said}"])
    assert "is not a length of time up to 90d" in capsys.readouterr().err


def test_where_alarms_are_seen_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    token = str(tmp_path / "token")
    found = parse(["--prometheus", "https://p:9090/x", "--prometheus-token-file", token, "--alertmanager-token-file", token])
    assert (found.prometheus, found.prometheus_token, found.alertmanager_token) == ("https://p:9090/x", "secret", "secret")
    assert "'secret'" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        *("prometheus:9090", "ftp://p", "http://", "http://user:password@p:9090", "http://p/?query=1", "http://p/#x"),
        *("http://169.254.169.254", "http://[fd00:ec2::254]:9090/", "http://metadata.google.internal", "http://0xa9fea9fe"),
    ],
)
@pytest.mark.parametrize("option", ["--prometheus", "--grafana"])
def test_what_is_no_address_of_a_prometheus_or_grafana_is_refused_and_no_password_quoted(
    option: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([option, url])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {option}: this is not an address such as http://127.0.0.1:9090: " in said
    assert "password@" not in said


@pytest.mark.parametrize("content, why", [(None, "No such file or directory"), ("\n", "holds no token"), ("a\nb", "holds no token")])
def test_a_token_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(SystemExit):
        parse(["--alertmanager-token-file", str(tmp_path / "token")])
    assert why in capsys.readouterr().err


def test_who_may_be_told_and_where_secrets_lie_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    allowed = ["--notify-allow", "hooks.corp", "--notify-allow", "10.0.0.0/8"]
    grafana = ["--grafana", "https://g:3000/x", "--grafana-token-file", str(tmp_path / "token")]
    found = parse([*allowed, "--notify-secrets", str(tmp_path), *grafana]).notifications
    assert (found.allow, found.secrets) == (("hooks.corp", "10.0.0.0/8"), tmp_path)
    assert (found.grafana, found.grafana_token, "hunter2" in repr(found)) == ("https://g:3000/x", "hunter2", False)
    assert parse([]).notifications == type(found)()


@pytest.mark.parametrize(
    "said, why",
    [
        ("--notify-allow=http://hooks.corp/", "is no host's name, address, network such as 10.0.0.0/8, nor any"),
        ("--notify-allow=10.0.0.1/8", "is no host's name, address, network"),
        ("--notify-secrets=/nowhere/at/all", "there is no directory /nowhere/at/all: make it, readable for the coordinator alone"),
        ("--grafana=grafana:3000", "is not an address such as http"),
    ],
)
def test_nobody_is_told_by_what_makes_no_sense(said: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([said])
    assert (ended.value.code, why in capsys.readouterr().err) == (2, True)
