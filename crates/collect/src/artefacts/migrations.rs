//! The tables of artefacts. Migrations go forward only and add only. Names and keys are bytes: that is
//! the order of S3, and databases order texts by their locale. Names of groups and
//! runs end with a slash. Nothing is ever NULL.

use state::Migration;

/// To be given to `State::open`.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        owner: "artefacts",
        version: 1,
        name: "artefacts",
        sql: TABLES,
    },
    Migration {
        owner: "artefacts",
        version: 2,
        name: "groups, states and scenarios",
        sql: GROUPS,
    },
];

/// `artefact_objects` has a row for each object of the store: of a version, by its position there, or
/// of an upload in parts, by its number. What is directly below the top or a group belongs to a group
/// or run whose name is empty. `title` is the name of a run in
/// lower case, for searching. `number` of a field is in thousandths.
const TABLES: &str = "
CREATE TABLE artefact_store (
    id BIGINT PRIMARY KEY,
    tie TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE artefact_groups (
    id {SERIAL},
    name {BYTES} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
CREATE TABLE artefact_runs (
    id {SERIAL},
    group_id BIGINT NOT NULL,
    name {BYTES} NOT NULL,
    title TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    telemetry_at BIGINT NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    UNIQUE (group_id, name)
);
CREATE INDEX artefact_runs_by_change ON artefact_runs (group_id, changed_at);
CREATE TABLE artefact_files (
    id {SERIAL},
    run_id BIGINT NOT NULL,
    key {BYTES} NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT NOT NULL,
    modified BIGINT NOT NULL
);
CREATE INDEX artefact_files_by_run ON artefact_files (run_id, key);
CREATE TABLE artefact_versions (
    id {SERIAL},
    file_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    checksum TEXT NOT NULL,
    content_type TEXT NOT NULL,
    headers TEXT NOT NULL
);
CREATE INDEX artefact_versions_by_file ON artefact_versions (file_id, id);
CREATE TABLE artefact_objects (
    id TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    upload TEXT NOT NULL,
    position BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX artefact_objects_by_version ON artefact_objects (version, position);
CREATE INDEX artefact_objects_by_upload ON artefact_objects (upload, position);
CREATE TABLE artefact_uploads (
    id TEXT PRIMARY KEY,
    key {BYTES} NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    content_type TEXT NOT NULL,
    headers TEXT NOT NULL
);
CREATE INDEX artefact_uploads_by_key ON artefact_uploads (key);
CREATE TABLE artefact_telemetry (
    version BIGINT PRIMARY KEY,
    body {BYTES} NOT NULL
);
CREATE TABLE artefact_fields (
    run_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number BIGINT NOT NULL
);
CREATE INDEX artefact_fields_by_run ON artefact_fields (run_id);
CREATE INDEX artefact_fields_by_value ON artefact_fields (name, value, run_id);
";

/// `retention` and `quota` of a group are as people write them, empty where the configuration decides.
/// `state` of a run is 0 while it is open, 1 with telemetry, 2 closed. What a group holds is counted over
/// its runs, by indexes that have all that is counted: a program before this version would not keep sums.
/// Times of scenarios are in milliseconds, -1 where there is none; `scenarios_at` of a run is 0 as long as
/// those of its telemetry were not read.
const GROUPS: &str = "
ALTER TABLE artefact_groups ADD COLUMN retention TEXT NOT NULL DEFAULT '';
ALTER TABLE artefact_groups ADD COLUMN quota TEXT NOT NULL DEFAULT '';
ALTER TABLE artefact_groups ADD COLUMN pinned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE artefact_runs ADD COLUMN pinned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE artefact_runs ADD COLUMN state BIGINT NOT NULL DEFAULT 0;
ALTER TABLE artefact_runs ADD COLUMN scenarios_at BIGINT NOT NULL DEFAULT 0;
UPDATE artefact_runs SET state = 1 WHERE telemetry_at > 0;
CREATE INDEX artefact_runs_by_group ON artefact_runs (group_id, id);
CREATE INDEX artefact_runs_by_files ON artefact_runs (group_id, files);
CREATE INDEX artefact_runs_by_state ON artefact_runs (state, id);
CREATE TABLE artefact_scenarios (
    run_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    scenario TEXT NOT NULL,
    status TEXT NOT NULL,
    pods BIGINT NOT NULL,
    unrecovered BIGINT NOT NULL,
    recovery BIGINT NOT NULL,
    readiness BIGINT NOT NULL,
    rescheduling BIGINT NOT NULL,
    PRIMARY KEY (run_id, position)
);
";
