"""The tables of this room, in the words of `schema.py`: a name and its columns."""

from typing import Final

TABLES: Final = (
    (
        "operator",
        """operator_no BIGINT PRIMARY KEY,
           name TEXT NOT NULL UNIQUE,
           status SMALLINT NOT NULL,
           grants TEXT NOT NULL,
           created_at BIGINT NOT NULL,
           created_by TEXT NOT NULL""",
    ),
    (
        "operator_token",
        """token_no BIGINT PRIMARY KEY,
           token_id TEXT NOT NULL UNIQUE,
           sha256 BYTEA NOT NULL UNIQUE,
           operator_no BIGINT NOT NULL REFERENCES operator (operator_no),
           expires_at BIGINT NOT NULL,
           grants TEXT NOT NULL,
           description TEXT NOT NULL,
           created_at BIGINT NOT NULL,
           created_by TEXT NOT NULL,
           revoked_at BIGINT""",
    ),
    (
        "audit",
        """audit_no BIGINT PRIMARY KEY,
           at BIGINT NOT NULL,
           principal TEXT NOT NULL,
           address TEXT NOT NULL,
           method TEXT NOT NULL,
           request TEXT NOT NULL,
           reason TEXT NOT NULL,
           code TEXT NOT NULL,
           subject TEXT NOT NULL,
           previous BYTEA NOT NULL,
           hash BYTEA NOT NULL""",
    ),
    ("audit_head", "one SMALLINT PRIMARY KEY CHECK (one = 1), audit_no BIGINT NOT NULL, hash BYTEA NOT NULL"),
)

CERTIFICATES: Final = (
    "operator_certificate",
    """certificate_no BIGINT PRIMARY KEY,
       certificate_id TEXT NOT NULL UNIQUE,
       operator_no BIGINT NOT NULL REFERENCES operator (operator_no),
       sha256 BYTEA NOT NULL,
       expires_at BIGINT NOT NULL,
       previous_sha256 BYTEA,
       previous_expires_at BIGINT,
       key_digest TEXT NOT NULL,
       lifetime BIGINT NOT NULL,
       grants TEXT NOT NULL,
       description TEXT NOT NULL,
       created_at BIGINT NOT NULL,
       created_by TEXT NOT NULL,
       renewed_at BIGINT,
       revoked_at BIGINT""",
)

INDEXES: Final = (
    "CREATE INDEX audit_by_principal ON audit (principal, audit_no)",
    *(
        f"""CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit
            BEGIN SELECT RAISE(ABORT, 'cannot change the audit: it is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ),
)
"""The triggers are in SQLite's words; PostgreSQL says the same with a function."""
