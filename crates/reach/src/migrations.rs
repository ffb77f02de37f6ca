//! The tables of this crate: which proxies run, and which nodes they have lines to. Migrations go
//! forward only and add only, so that the version before runs on with them.

use state::Migration;

/// To be given to `State::open`.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        owner: "reach",
        version: 1,
        name: "proxies and their nodes",
        sql: PROXIES_AND_NODES,
    },
    Migration {
        owner: "reach",
        version: 2,
        name: "to how many proxies nodes keep lines",
        sql: "ALTER TABLE proxies ADD COLUMN connections BIGINT NOT NULL DEFAULT 0;",
    },
];

const PROXIES_AND_NODES: &str = "
CREATE TABLE proxies (
    instance TEXT PRIMARY KEY,
    uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    addresses TEXT NOT NULL,
    proxy_group TEXT NOT NULL,
    generation BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    beat_at BIGINT NOT NULL
);
CREATE TABLE announcements (
    id BIGINT PRIMARY KEY,
    issued_at BIGINT NOT NULL
);
INSERT INTO announcements (id, issued_at) VALUES (1, 0);
CREATE TABLE node_lines (
    node TEXT NOT NULL,
    instance TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (node, instance)
);
CREATE TABLE node_offers (
    node TEXT PRIMARY KEY,
    uuid TEXT NOT NULL,
    offers TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE TABLE offer_owners (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
";
