"""Texts with secrets in them, and what has to be left of each; what only looks a little like one stays."""

TOKEN = "c4n4ryC4N4RYc4n4ryC4N4RYc4n4ryC4N4RYc4n4ry"
STARS = "*" * len(TOKEN)
KEY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3)

SECRETS = (
    (f"joined with hlj_{TOKEN}.", f"joined with hlj_{STARS}."),
    (f"HOOKLINE_TOKEN=hlo_{TOKEN}", f"HOOKLINE_TOKEN=hlo_{STARS}"),
    (f"ghp_{TOKEN} github_pat_{TOKEN}", f"ghp_{STARS} github_pat_{STARS}"),
    ("id AKIAIOSFODNN7EXAMPLE, ASIAIOSFODNN7EXAMPLE", "id AKIA" + "*" * 16 + ", ASIA" + "*" * 16),
    (f"aws_secret_access_key = {TOKEN}", f"aws_secret_access_key = {STARS}"),
    (f'"SecretAccessKey": "{TOKEN}", "SessionToken":"{TOKEN}"', f'"SecretAccessKey": "{STARS}", "SessionToken":"{STARS}"'),
    (f"AWS_SESSION_TOKEN={TOKEN}", f"AWS_SESSION_TOKEN={STARS}"),
    (f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {STARS}"),
    (f"authorization: basic {TOKEN}=", f"authorization: basic {STARS}*"),
    (f"GET /x?X-Amz-Signature={TOKEN}&a=b", f"GET /x?X-Amz-Signature={STARS}&a=b"),
    (
        f"https://codeload.github.com/a/b?token={TOKEN}&x=y and ?a=b&token={TOKEN}",
        f"https://codeload.github.com/a/b?token={STARS}&x=y and ?a=b&token={STARS}",
    ),
    (f'{{"access_token": "{TOKEN}"}} client_secret={TOKEN}', f'{{"access_token": "{STARS}"}} client_secret={STARS}'),
    (f"https://deploy:{TOKEN}@example.org/x", f"https://deploy:{STARS}@example.org/x"),
    (f"https://deploy:a@{TOKEN}@example.org/x", f"https://deploy:**{STARS}@example.org/x"),
    (f"postgres://{TOKEN}@db/x and redis://:{TOKEN}@c", f"postgres://{STARS}@db/x and redis://:{STARS}@c"),
    (
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----\nnext",
        "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(["*" * 64] * 3) + "\n-----END RSA PRIVATE KEY-----\nnext",
    ),
    (f"-----BEGIN PRIVATE KEY-----\n{KEY}", "-----BEGIN PRIVATE KEY-----\n" + "\n".join(["*" * 64] * 3)),
)
HARMLESS = (
    "",
    "the bearer of bad news",
    "https://example.org/@scope/package and mail to a@example.org",
    "hlj_ ghp_short AKIA",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "the session token has expired",
    "the access token and the client's secret",
    "?token=short&x",
    "file://path: 3 of 4",
    "naïve ☃ text",
)
