//! The tables of the original collector, in both forms that there are: since July 2018 a record has its
//! build and classification as texts; before, they were in tables of their own, and the payload as text
//! was called `backtrace`. Everything is read as bytes: a database without an encoding may have any.

use std::collections::BTreeMap;

use super::super::{CommandError, Outcome};
use collect::records::imported::{PAYLOAD_BYTES_MAX, TEXT_CHARACTERS_MAX};

/// Bytes that are read of a payload that is too long to be a record's.
const CUT_BYTES: usize = 16 << 10;
/// The texts of a record, in the order in which they are read: their columns in the newer form, and in
/// the older.
const TEXTS: [[&str; 2]; 11] = [
    ["r.classification", "c.classification"],
    ["r.machine_id", "r.machine_id"],
    ["r.build", "b.build"],
    ["r.system_name", "r.os_name"],
    ["r.event_id", "r.event_id"],
    ["r.architecture", "r.architecture"],
    ["r.host_type", "r.machine"],
    ["r.kernel_version", "r.kernel_version"],
    ["r.board_name", "r.board_name"],
    ["r.cpu_model", "r.cpu_model"],
    ["r.bios_version", "r.bios_version"],
];
/// The times, and the numbers.
const TIMES: [[&str; 2]; 2] = [
    ["r.timestamp_server", "r.tsp_server"],
    ["r.timestamp_client", "r.tsp"],
];
const NUMBERS: [[&str; 2]; 4] = [
    ["r.severity", "r.severity"],
    ["r.record_version", "r.record_format_version"],
    ["r.payload_version", "r.payload_format_version"],
    ["r.guilty_id", "r.guilty_id"],
];

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Texts in the record.
    Inline,
    /// Tables for build and classification.
    Tables,
}

/// The statements for a database.
#[derive(Debug)]
pub(super) struct Schema {
    form: Form,
    /// The lowest id from 1 on, the highest id, how many there are from 1 on, how many below, and the
    /// time of the oldest.
    pub(super) span: String,
    /// Ids and lengths, above `$1` up to `$2`, at most `$3`.
    pub(super) lengths: String,
    /// Whole rows, above `$1` up to `$2`.
    pub(super) rows: String,
    /// What turns a text into its bytes.
    encoding: &'static str,
}

impl Form {
    /// The form of a table with these columns.
    fn of(columns: &BTreeMap<String, String>) -> Outcome<Self> {
        let has_all = |names: &[&str]| names.iter().all(|name| columns.contains_key(*name));
        if has_all(&[
            "id",
            "timestamp_server",
            "classification",
            "build",
            "payload",
        ]) {
            Ok(Self::Inline)
        } else if has_all(&[
            "id",
            "tsp_server",
            "classification_id",
            "build_id",
            "payload",
        ]) {
            Ok(Self::Tables)
        } else {
            let text = "there is no table `records` of the original collector in this database";
            Err(CommandError::wrong(text))
        }
    }

    fn tables(self) -> &'static str {
        match self {
            Self::Inline => "FROM records AS r",
            Self::Tables => {
                "FROM records AS r LEFT JOIN classification AS c ON c.id = r.classification_id \
                 LEFT JOIN build AS b ON b.id = r.build_id"
            }
        }
    }
}

impl Schema {
    /// For a table with these columns, by name with their types. `is_encoded` says whether the database
    /// knows which encoding its texts have.
    pub(super) fn of(columns: &BTreeMap<String, String>, is_encoded: bool) -> Outcome<Self> {
        let form = Form::of(columns)?;
        let encoding = if is_encoded { "UTF8" } else { "SQL_ASCII" };
        let has = |name: &str| columns.contains_key(name);
        let column = |[inline, tables]: [&'static str; 2]| {
            let column = match form {
                Form::Inline => inline,
                Form::Tables => tables,
            };
            // Some came with later versions.
            column.strip_prefix("r.").is_none_or(has).then_some(column)
        };
        let cast = |pair, kind: &str| {
            let column = column(pair).unwrap_or("NULL");
            format!("{column}::{kind}")
        };
        let payload = Payload::of(form, columns, encoding);
        let texts = TEXTS.map(|pair| column(pair).unwrap_or("NULL"));
        let texts_length = texts.map(length_of).join(" + ");
        let texts = texts.map(|column| bytes_of(column, encoding)).join(", ");
        let [server, client] = TIMES.map(|pair| cast(pair, "text"));
        let numbers = NUMBERS.map(|pair| cast(pair, "bigint")).join(", ");
        let external = cast(["r.external"; 2], "boolean");
        let oldest = cast(TIMES[0], "numeric");
        let (from, length) = (form.tables(), &payload.length);
        let (body, too_long) = (&payload.bytes, &payload.too_long);
        Ok(Self {
            form,
            span: format!(
                "SELECT COALESCE(MIN(r.id) FILTER (WHERE r.id > 0), 0)::bigint, \
                 COALESCE(MAX(r.id), 0)::bigint, COUNT(*) FILTER (WHERE r.id > 0), \
                 COUNT(*) FILTER (WHERE r.id < 1), MIN({oldest})::text FROM records AS r"
            ),
            lengths: format!(
                "SELECT r.id::bigint, (COALESCE({length}, 0)::bigint + {texts_length})::bigint \
                 {from} WHERE r.id > $1 AND r.id <= $2 ORDER BY r.id LIMIT $3"
            ),
            rows: format!(
                "SELECT r.id::bigint, {external}, {body}, {too_long}, {texts}, {server}, {client}, \
                 {numbers} {from} WHERE r.id > $1 AND r.id <= $2 ORDER BY r.id"
            ),
            encoding,
        })
    }

    /// What people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.form {
            Form::Inline => "of July 2018 and later",
            Form::Tables => "of before July 2018",
        }
    }

    /// Notes on guilty frames above `$1`, at most `$2`.
    pub(super) fn notes(&self) -> String {
        let [function, module, comment] =
            ["function", "module", "comment"].map(|column| bytes_of(column, self.encoding));
        format!(
            "SELECT id::bigint, {function}, {module}, {comment}, COALESCE(hide, false) FROM guilty \
             WHERE id > $1 AND (COALESCE(comment, '') <> '' OR hide) ORDER BY id LIMIT $2"
        )
    }

    /// Frames that are never guilty, above `$1`, at most `$2`.
    pub(super) fn frames(&self) -> String {
        let [function, module] =
            ["function", "module"].map(|column| bytes_of(column, self.encoding));
        format!(
            "SELECT id::bigint, {function}, {module} FROM guilty_blacklisted \
             WHERE id > $1 ORDER BY id LIMIT $2"
        )
    }
}

/// How a payload is read.
struct Payload {
    /// Its bytes, or its beginning when it is too long.
    bytes: String,
    length: String,
    /// How long it is, when it is too long.
    too_long: String,
}

impl Payload {
    fn of(form: Form, columns: &BTreeMap<String, String>, encoding: &str) -> Self {
        let is_bytes = columns.get("payload").is_some_and(|kind| kind == "bytea");
        let has_backtrace = columns.contains_key("backtrace");
        let own = if is_bytes {
            "r.payload".to_owned()
        } else {
            format!("convert_to(r.payload, '{encoding}')")
        };
        let (bytes, length) = if form == Form::Tables && has_backtrace {
            let of_text = format!("convert_to(r.backtrace, '{encoding}')");
            let has_text = "octet_length(r.backtrace) > 0";
            (
                format!("CASE WHEN {has_text} THEN {of_text} ELSE {own} END"),
                format!(
                    "CASE WHEN {has_text} THEN octet_length(r.backtrace) \
                     ELSE octet_length(r.payload) END"
                ),
            )
        } else {
            (own, "octet_length(r.payload)".to_owned())
        };
        let is_long = format!("({length}) > {PAYLOAD_BYTES_MAX}");
        Self {
            bytes: format!(
                "CASE WHEN {is_long} THEN substring({bytes} FROM 1 FOR {CUT_BYTES}) \
                 ELSE {bytes} END"
            ),
            too_long: format!("CASE WHEN {is_long} THEN ({length})::bigint END"),
            length,
        }
    }
}

/// The length of a text, as far as it is read. `LEAST` passes over NULL, so that it must not see one.
fn length_of(column: &str) -> String {
    let most = TEXT_CHARACTERS_MAX * 4;
    format!("LEAST(COALESCE(octet_length({column}::text), 0), {most})")
}

/// The bytes of a text, of which one character more is read than a record may have.
fn bytes_of(column: &str, encoding: &str) -> String {
    let most = TEXT_CHARACTERS_MAX + 1;
    format!("convert_to(left({column}::text, {most}), '{encoding}')")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> BTreeMap<String, String> {
        let names = names.iter();
        names
            .map(|name| ((*name).to_owned(), "text".to_owned()))
            .collect()
    }

    #[test]
    fn both_forms_are_known() {
        let newer = [
            "id",
            "timestamp_server",
            "classification",
            "build",
            "payload",
        ];
        let schema = Schema::of(&columns(&newer), true).unwrap();
        assert_eq!(schema.form, Form::Inline);
        assert!(schema.rows.contains("left(NULL::text"), "{}", schema.rows);
        assert!(!schema.rows.contains("r.event_id"), "{}", schema.rows);
        let older = [
            "id",
            "tsp_server",
            "classification_id",
            "build_id",
            "payload",
            "os_name",
        ];
        let schema = Schema::of(&columns(&older), false).unwrap();
        assert_eq!(schema.form, Form::Tables);
        assert!(schema.rows.contains("r.os_name"), "{}", schema.rows);
        assert!(schema.rows.contains("SQL_ASCII"), "{}", schema.rows);
        assert!(Schema::of(&columns(&["id", "payload"]), true).is_err());
    }
}
