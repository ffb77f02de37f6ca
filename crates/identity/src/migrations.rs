//! The tables of this crate. Migrations go forward only and add only, so that the version before
//! runs on with them. Nothing is ever NULL: an empty text or 0 says that there is no value.

use state::Migration;

/// To be given to `State::open`.
pub const MIGRATIONS: &[Migration] = &[
    FIRST,
    ASSERTION_KEYS,
    ROTATION,
    APP_SESSIONS,
    LOCKS_BY_TARGET,
];

const FIRST: Migration = Migration {
    owner: "identity",
    version: 1,
    name: "first tables",
    sql: "
CREATE TABLE clusters (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    first_user_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE authorities (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    slot TEXT NOT NULL,
    public TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    issued_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (kind, slot)
);
CREATE TABLE rotations (
    kind TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    needed_generation BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE TABLE members (
    uuid TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    labels TEXT NOT NULL,
    pinned_labels TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    token_id TEXT NOT NULL,
    authority_id TEXT NOT NULL,
    serial TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    trust_generation BIGINT NOT NULL,
    joined_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);
CREATE TABLE join_tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    uses_left BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    roles TEXT NOT NULL,
    logins TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    totp_key TEXT NOT NULL,
    totp_is_confirmed BIGINT NOT NULL,
    totp_last_step BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    waits_until BIGINT NOT NULL,
    signed_in_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    is_first BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX invitations_user ON invitations (user_name);
CREATE TABLE web_sessions (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    address TEXT NOT NULL,
    client TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX web_sessions_user ON web_sessions (user_name);
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    scopes TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX api_tokens_user ON api_tokens (user_name);
CREATE TABLE roles (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL
);
CREATE TABLE locks (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE audit_events (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    address TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);
CREATE INDEX audit_events_kind ON audit_events (kind, seq);
CREATE INDEX audit_events_actor ON audit_events (actor, seq);
CREATE INDEX audit_events_target ON audit_events (target, seq);
CREATE TABLE audit_counter (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO audit_counter (id, seq) VALUES (1, 0);
",
};

const ASSERTION_KEYS: Migration = Migration {
    owner: "identity",
    version: 2,
    name: "keys of assertions",
    sql: "
CREATE TABLE assertion_keys (
    id TEXT PRIMARY KEY,
    public TEXT NOT NULL,
    sealed_key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
",
};

const ROTATION: Migration = Migration {
    owner: "identity",
    version: 3,
    name: "rotations that go on by themselves, keys of assertions that were replaced",
    sql: "
ALTER TABLE rotations ADD COLUMN is_automatic BIGINT NOT NULL DEFAULT 0;
ALTER TABLE assertion_keys ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
",
};

const APP_SESSIONS: Migration = Migration {
    owner: "identity",
    version: 4,
    name: "sessions at applications",
    sql: "
CREATE TABLE app_sessions (
    hash TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    host TEXT NOT NULL,
    nonce_hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX app_sessions_session ON app_sessions (session_id);
",
};

const LOCKS_BY_TARGET: Migration = Migration {
    owner: "identity",
    version: 5,
    name: "locks by what they stop",
    sql: "
CREATE INDEX locks_target ON locks (kind, name);
",
};
