//! The tables of telemetry records. Migrations go forward only and add only, so that the version
//! before runs on with them. Nothing is ever NULL: an empty text or 0 says that there is no value.

use state::Migration;

/// To be given to `State::open`.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        owner: "collect",
        version: 1,
        name: "telemetry records found by blocks",
        sql: RECORDS,
    },
    Migration {
        owner: "collect",
        version: 2,
        name: "imports of records",
        sql: IMPORTS,
    },
    Migration {
        owner: "collect",
        version: 3,
        name: "records are counted some hundred at a time",
        sql: COUNTED,
    },
    Migration {
        owner: "collect",
        version: 4,
        name: "the index of records grows at its end",
        sql: BITS,
    },
    Migration {
        owner: "collect",
        version: 5,
        name: "machines of groups are counted",
        sql: GROUP_POPULATION,
    },
    Migration {
        owner: "collect",
        version: 6,
        name: "in which build groups are back, and machines that were seen",
        sql: GROUPS_MORE,
    },
];

/// Payloads have a table of their own, so that filters read short rows. Records have few indexes, since
/// each makes every record dearer: `record_index` finds them by their fields and words, for blocks of
/// ids, and is made behind intake. Days are days since 1970 in UTC. The id of a row of `record_machines`
/// is a hash of the project, what the machine did, its build, its source and its id.
const RECORDS: &str = "
CREATE TABLE record_sequence (
    id BIGINT PRIMARY KEY,
    next BIGINT NOT NULL
);
INSERT INTO record_sequence (id, next) VALUES (1, 1);
CREATE TABLE record_projects (
    id {SERIAL},
    tid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
);
CREATE TABLE records (
    id {SERIAL},
    project BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    external BIGINT NOT NULL,
    record_version BIGINT NOT NULL,
    payload_version BIGINT NOT NULL,
    group_id BIGINT NOT NULL,
    digest BIGINT NOT NULL,
    payload_bytes BIGINT NOT NULL,
    classification TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    build TEXT NOT NULL,
    system_name TEXT NOT NULL,
    event_id TEXT NOT NULL,
    arch TEXT NOT NULL,
    host_type TEXT NOT NULL,
    kernel_version TEXT NOT NULL,
    board_name TEXT NOT NULL,
    cpu_model TEXT NOT NULL,
    bios_version TEXT NOT NULL
);
CREATE INDEX records_by_digest ON records (digest);
CREATE INDEX records_by_group ON records (group_id, id) WHERE group_id > 0;
CREATE TABLE record_payloads (
    id {SERIAL},
    body {BYTES} NOT NULL
);
CREATE TABLE record_counts (
    project BIGINT NOT NULL,
    day BIGINT NOT NULL,
    classification TEXT NOT NULL,
    severity BIGINT NOT NULL,
    system_name TEXT NOT NULL,
    build TEXT NOT NULL,
    external BIGINT NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (project, day, classification, severity, system_name, build, external)
);
CREATE TABLE record_host_counts (
    project BIGINT NOT NULL,
    day BIGINT NOT NULL,
    host_type TEXT NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (project, day, host_type)
);
CREATE TABLE record_machines (
    id {SERIAL},
    last_day BIGINT NOT NULL
);
CREATE TABLE record_population (
    project BIGINT NOT NULL,
    kind TEXT NOT NULL,
    last_day BIGINT NOT NULL,
    build TEXT NOT NULL,
    external BIGINT NOT NULL,
    machines BIGINT NOT NULL,
    PRIMARY KEY (project, kind, last_day, build, external)
);
CREATE TABLE record_groups (
    id {SERIAL},
    project BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    classification TEXT NOT NULL,
    function_name TEXT NOT NULL,
    module TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    first_build TEXT NOT NULL,
    last_build TEXT NOT NULL,
    last_record BIGINT NOT NULL,
    records BIGINT NOT NULL,
    state TEXT NOT NULL,
    resolved_in TEXT NOT NULL,
    merged_into BIGINT NOT NULL,
    is_hidden BIGINT NOT NULL,
    comment TEXT NOT NULL,
    UNIQUE (project, fingerprint)
);
CREATE TABLE record_group_days (
    group_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    build TEXT NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (group_id, day, build)
);
CREATE TABLE record_group_machines (
    group_id BIGINT NOT NULL,
    machine_id TEXT NOT NULL,
    last_day BIGINT NOT NULL,
    PRIMARY KEY (group_id, machine_id)
);
CREATE INDEX record_group_machines_by_day ON record_group_machines (group_id, last_day);
CREATE TABLE record_skipped_frames (
    function_name TEXT NOT NULL,
    module TEXT NOT NULL,
    PRIMARY KEY (function_name, module)
);
CREATE TABLE record_quarantine (
    id {SERIAL},
    project BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT NOT NULL,
    digest BIGINT NOT NULL,
    body {BYTES} NOT NULL
);
CREATE INDEX record_quarantine_by_digest ON record_quarantine (digest);
CREATE TABLE record_regroup (
    id BIGINT PRIMARY KEY,
    reached BIGINT NOT NULL,
    end_id BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    begun_at BIGINT NOT NULL
);
INSERT INTO record_regroup (id, reached, end_id, moved, begun_at) VALUES (1, 0, 0, 0, 0);
CREATE TABLE record_index_state (
    id BIGINT PRIMARY KEY,
    rows_done BIGINT NOT NULL
);
INSERT INTO record_index_state (id, rows_done) VALUES (1, 0);
CREATE TABLE record_index (
    chunk BIGINT NOT NULL,
    blocks_row BIGINT NOT NULL,
    bits {BYTES} NOT NULL,
    PRIMARY KEY (chunk, blocks_row)
);
CREATE TABLE record_index_rows (
    blocks_row BIGINT PRIMARY KEY,
    oldest BIGINT NOT NULL,
    newest BIGINT NOT NULL
);
";

/// Imports from other collectors, by source; `reached` is the last id there that was looked at, in the
/// transaction that kept it. `changes` of the index counts the imports that began, and what they added
/// below its end.
const IMPORTS: &str = "
CREATE TABLE record_imports (
    id {SERIAL},
    source TEXT NOT NULL UNIQUE,
    project BIGINT NOT NULL,
    state TEXT NOT NULL,
    new_ids BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    records BIGINT NOT NULL,
    reached BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE TABLE record_import_reasons (
    import_id BIGINT NOT NULL,
    reason TEXT NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (import_id, reason)
);
CREATE TABLE record_import_guilty (
    import_id BIGINT NOT NULL,
    guilty BIGINT NOT NULL,
    function_name TEXT NOT NULL,
    module TEXT NOT NULL,
    comment TEXT NOT NULL,
    is_hidden BIGINT NOT NULL,
    placed BIGINT NOT NULL,
    PRIMARY KEY (import_id, guilty)
);
CREATE TABLE record_import_groups (
    import_id BIGINT NOT NULL,
    group_id BIGINT NOT NULL,
    guilty BIGINT NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (import_id, group_id, guilty)
);
ALTER TABLE record_index_state ADD COLUMN changes BIGINT NOT NULL DEFAULT 0;
";

/// Up to which id `record_counts` and `record_host_counts` count.
const COUNTED: &str = "
ALTER TABLE record_sequence ADD COLUMN counted BIGINT NOT NULL DEFAULT 0;
UPDATE record_sequence SET counted = next - 1;
";

/// What `record_index` holds, row by row: there each row is written to as many places as it has chunks. An
/// older version that runs beside or after makes its own again; what it imports it notes in `changes` of
/// row 1, which is 0 otherwise.
const BITS: &str = "
CREATE TABLE record_bits (
    id {SERIAL},
    bits {BYTES} NOT NULL
);
INSERT INTO record_index_state (id, rows_done, changes)
SELECT 2, 0, changes FROM record_index_state WHERE id = 1;
UPDATE record_index_state SET rows_done = 0, changes = 0 WHERE id = 1;
";

/// How many machines had a crash of a group last on which day, so that every window is a sum over days.
/// Retention counts anew what an older version did that ran beside or after.
const GROUP_POPULATION: &str = "
CREATE TABLE record_group_population (
    group_id BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    machines BIGINT NOT NULL,
    PRIMARY KEY (group_id, last_day)
);
INSERT INTO record_group_population (group_id, last_day, machines)
SELECT group_id, last_day, COUNT(*) FROM record_group_machines GROUP BY group_id, last_day;
";

/// Machines with a heartbeat or a crash have a table of their own: an older version takes every kind in
/// `record_population` that it does not know for crashes. It does not count the records of machines either.
const GROUPS_MORE: &str = "
ALTER TABLE record_groups ADD COLUMN regressed_in TEXT NOT NULL DEFAULT '';
ALTER TABLE record_group_machines ADD COLUMN records BIGINT NOT NULL DEFAULT 0;
INSERT INTO record_group_machines (group_id, machine_id, last_day, records)
SELECT group_id, machine_id, 0, COUNT(*) FROM records WHERE group_id > 0 GROUP BY group_id, machine_id
ON CONFLICT (group_id, machine_id) DO UPDATE SET records = excluded.records;
CREATE TABLE record_seen (
    project BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    build TEXT NOT NULL,
    external BIGINT NOT NULL,
    machines BIGINT NOT NULL,
    PRIMARY KEY (project, last_day, build, external)
);
";
