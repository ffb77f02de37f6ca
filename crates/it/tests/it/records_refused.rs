//! What is no valid record, in both protocols and on both databases: the strict collector refuses it
//! word for word as the original does and keeps nothing, the usual one puts it into quarantine and
//! tells its client that all is well. A wrong telemetry id is refused by both.

use it::telemetrics::{Collector, Form, Record, Store, TID, TID_HEADER};
use serde_json::{Value, json};

const MISMATCH: &str = "Telemetry ID mismatch";
const NOT_AN_INTEGER: &str =
    "Error parsing payload_format_version, invalid literal for int() with base 10: ";

/// Something invalid, with the original's message and our word for the reason.
struct Vector {
    name: String,
    record: Record,
    message: String,
    reason: String,
}

fn vector(name: String, record: Record, message: &str, reason: &str) -> Vector {
    Vector {
        name,
        record,
        message: message.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Fields, messages, and values that no format takes.
type Table<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];

const VALUES: Table<'_> = &[
    (
        "record_format_version",
        "Record-Format-Version is invalid",
        &["0", "5", "abc", "", "04", "+4", "4.0"],
    ),
    (
        "severity",
        "severity value is out of range",
        &["0", "5", "-1", "1.0", "x", ""],
    ),
    (
        "classification",
        "Classification value is invalid",
        &["a/b", "a/b/c/d", "", "//"],
    ),
    (
        "creation_timestamp",
        "timestamp is invalid",
        &["-1", "abc", "1.5", "", "17000000000000000000"],
    ),
    ("arch", "architecture is invalid", &["", "x86 64"]),
    (
        "kernel_version",
        "kernel version is invalid",
        &["6.1", "6.x.0", "v6.1.0", "unknown", ""],
    ),
    (
        "event_id",
        "Event id is invalid",
        &[
            "00112233445566778899AABBCCDDEEFF",
            "0011",
            "g0112233445566778899aabbccddeeff",
            "",
        ],
    ),
    (
        "build",
        "Clear Linux OS build version has invalid characters",
        &["34960.1", "abc", "", "\"\""],
    ),
];

/// Values of fields that no format takes.
fn wrong_values() -> Vec<Vector> {
    let letters = |count| "x".repeat(count);
    let (machine, host, hardware) = (letters(33), letters(250), letters(200));
    let lengths: Table<'_> = &[
        ("machine_id", "Machine id value is invalid", &[&machine]),
        ("host_type", "host type is invalid", &[&host]),
        ("board_name", "board name is invalid", &[&hardware, "bö"]),
        ("cpu_model", "cpu model is invalid", &[&hardware, "bö"]),
        (
            "bios_version",
            "BIOS version is invalid",
            &[&hardware, "bö"],
        ),
    ];
    let mut vectors = Vec::new();
    for (field, message, values) in VALUES.iter().chain(lengths) {
        for value in *values {
            let record = Record::new().set(field, value);
            vectors.push(vector(format!("{field} {value:?}"), record, message, field));
        }
    }
    for value in ["a b", "1+2", "", "''"] {
        let record = Record::new()
            .set("build", value)
            .set("system_name", "debian");
        let message = "Build version has invalid characters";
        vectors.push(vector(
            format!("debian {value:?}"),
            record,
            message,
            "build",
        ));
    }
    let range = "Payload format version outside of range supported".to_owned();
    for (value, message) in [
        ("x", format!("{NOT_AN_INTEGER}'x'")),
        ("", format!("{NOT_AN_INTEGER}''")),
        ("2147483647", range),
    ] {
        let field = "payload_format_version";
        let record = Record::new().set(field, value);
        vectors.push(vector(
            format!("{field} {value:?}"),
            record,
            &message,
            field,
        ));
    }
    vectors
}

/// Fields that are missing, one in each, for each format.
fn missing() -> Vec<Vector> {
    let formats: [(u8, &[&str]); 4] = [
        (
            1,
            &[
                "arch",
                "build",
                "creation_timestamp",
                "classification",
                "host_type",
                "kernel_version",
                "machine_id",
                "severity",
            ],
        ),
        (2, &["payload_format_version", "system_name"]),
        (3, &["board_name", "bios_version", "cpu_model"]),
        (4, &["event_id"]),
    ];
    let mut vectors = Vec::new();
    let record = Record::new().without("record_format_version");
    let message = "Record-Format-Version is invalid";
    vectors.push(vector(
        "no format".to_owned(),
        record,
        message,
        "record_format_version",
    ));
    for (format, _) in formats {
        for (since, names) in formats {
            for name in names.iter().filter(|_| since <= format) {
                let record = Record::new().format(format).without(name);
                let title = title(name);
                let message = format!("Record-Format-Version headers are invalid, {title} missing");
                let name = format!("format {format} without {name}");
                vectors.push(vector(name, record, &message, "missing_field"));
            }
        }
    }
    vectors
}

/// `machine_id` as messages write it, `Machine-Id`.
fn title(name: &str) -> String {
    let parts = name.split('_').map(|part| {
        let (first, rest) = part.split_at(1);
        first.to_uppercase() + rest
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Architectures that only the strict one refuses.
fn unusual_architectures() -> Vec<Vector> {
    let all = [
        "riscv64",
        "s390x",
        "loongarch64",
        "ppc64le",
        "i586",
        "unknown",
        "X86_64",
    ];
    let record = |arch| Record::new().set("arch", arch);
    let message = "architecture is invalid";
    all.iter()
        .map(|arch| vector(format!("arch {arch}"), record(arch), message, "arch"))
        .collect()
}

/// Telemetry ids that stand for nobody.
fn strangers() -> Vec<Vector> {
    let record = Record::new;
    let wrong = TID.replace('6', "7");
    [
        ("no id", record().without(TID_HEADER)),
        ("an empty id", record().set(TID_HEADER, "")),
        ("another id", record().set(TID_HEADER, wrong)),
        ("upper case", record().set(TID_HEADER, TID.to_uppercase())),
        (
            "and wrong besides",
            record().without(TID_HEADER).set("severity", "9"),
        ),
    ]
    .map(|(name, record)| vector(name.to_owned(), record, MISMATCH, "tid"))
    .into()
}

/// It is refused with its message, and nothing is there that was not before.
async fn refused(collector: &Collector, form: Form, vector: &Vector) -> Result<(), String> {
    let before = collector.newest().await;
    let reply = collector.post(form, &vector.record).await;
    let answer = json!({"message": vector.message});
    if reply.status != 400 || reply.json() != answer {
        return Err(format!(
            "{} {}, expected {answer}",
            reply.status,
            reply.text()
        ));
    }
    let after = collector.newest().await;
    if before == after {
        Ok(())
    } else {
        Err(format!("something was kept: {before:?} {after:?}"))
    }
}

/// Its client hears that all is well, and it is in quarantine with all that was sent.
async fn quarantined(collector: &Collector, form: Form, vector: &Vector) -> Result<(), String> {
    let (newest, _) = collector.newest().await;
    let reply = collector.post(form, &vector.record).await;
    let outcome = reply.header("landline-outcome");
    if (reply.status, outcome.as_str()) != (201, "quarantined") {
        return Err(format!("{} {outcome:?} {}", reply.status, reply.text()));
    }
    let id = reply.json()["id"].as_i64().unwrap();
    let message = format!("kept in quarantine: {}", vector.message);
    let answer = json!({"id": id, "message": message, "quarantined": true});
    if reply.json() != answer {
        return Err(format!("{}, expected {answer}", reply.text()));
    }
    let found = collector.quarantined(id).await;
    let mut fields = json!({});
    for (name, value) in vector.record.headers(Form::Headers) {
        let name = if name == TID_HEADER {
            "x_telemetry_tid"
        } else {
            name
        };
        fields[name] = json!(String::from_utf8_lossy(value));
    }
    let expected = json!({
        "id": id,
        "project": "clear-linux",
        "reason": vector.reason,
        "message": vector.message,
        "fields": fields,
        "payload": String::from_utf8_lossy(&vector.record.payload),
        "payload_bytes": vector.record.payload.len(),
        "received_at": found["received_at"],
    });
    if found != expected {
        return Err(format!("{found}, expected {expected}"));
    }
    if collector.newest().await.0 != newest {
        return Err("it is a record as well".to_owned());
    }
    Ok(())
}

/// All of them; gives those with which something is wrong.
async fn all(collector: &Collector, is_strict: bool) -> Vec<String> {
    let mut failed = Vec::new();
    for form in Form::ALL {
        let mut told = |vector: &Vector, result: Result<(), String>| {
            let error = result
                .err()
                .map(|error| format!("{form:?} {}: {error}", vector.name));
            failed.extend(error);
        };
        for vector in &strangers() {
            told(vector, refused(collector, form, vector).await);
        }
        let mut invalid = wrong_values();
        invalid.extend(missing());
        if is_strict {
            invalid.extend(unusual_architectures());
        }
        for vector in &invalid {
            let result = if is_strict {
                refused(collector, form, vector).await
            } else {
                quarantined(collector, form, vector).await
            };
            told(vector, result);
        }
    }
    failed
}

async fn every_vector(store: Store) {
    for is_strict in [true, false] {
        let Some(collector) = Collector::start(store, json!({"strict": is_strict})).await else {
            return;
        };
        let failed = all(&collector, is_strict).await;
        assert!(
            failed.is_empty(),
            "strict {is_strict}:\n{}",
            failed.join("\n")
        );
        if is_strict {
            assert_eq!(collector.newest().await, (0, 0), "nothing is kept");
        }
        assert_counted(&collector, is_strict).await;
        collector.remove().await;
    }
}

/// What went wrong is counted by field, and how it ended.
async fn assert_counted(collector: &Collector, is_strict: bool) {
    let value = async |name: &str, labels: &[(&str, &str)]| {
        let project = [("project", "clear-linux")];
        collector
            .program
            .metric(name, &[&project, labels].concat())
            .await
    };
    let severity = value("landline_records_invalid_total", &[("reason", "severity")]).await;
    assert!((severity - 12.0).abs() < f64::EPSILON, "{severity}");
    let word = if is_strict { "refused" } else { "quarantined" };
    let ended = value("landline_records_total", &[("outcome", word)]).await;
    assert!(ended > 100.0, "{ended}");
    let reason = [("reason", "tid")];
    let strangers = collector
        .program
        .metric("landline_records_refused_total", &reason)
        .await;
    assert!((strangers - 10.0).abs() < f64::EPSILON, "{strangers}");
}

#[tokio::test]
async fn every_invalid_record_is_answered_on_sqlite() {
    every_vector(Store::Sqlite).await;
}

#[tokio::test]
async fn every_invalid_record_is_answered_on_postgresql() {
    every_vector(Store::Postgres).await;
}

/// The quarantine is read in pages, newest first, and knows projects.
async fn read_in_pages(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    for number in 0..7 {
        let record = Record::new()
            .set("severity", "9")
            .payload(number.to_string());
        assert_eq!(collector.post(Form::Headers, &record).await.status, 201);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/records/quarantine?limit=3".to_owned();
    loop {
        let page = collector.json(&path).await;
        let submissions = page["submissions"].as_array().unwrap().clone();
        seen.extend(
            submissions
                .iter()
                .map(|one| one["payload"].as_str().unwrap().to_owned()),
        );
        let Value::Number(next) = &page["next"] else {
            break;
        };
        path = format!("/v1/records/quarantine?limit=3&before={next}");
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
    let other = collector.json("/v1/records/quarantine?project=other").await;
    assert_eq!(other["submissions"], json!([]));
    for query in ["limit=0", "limit=1001", "limit=x", "unknown=1", "before=x"] {
        let path = format!("/v1/records/quarantine?{query}");
        assert_eq!(collector.get(&path).await.status, 400, "{query}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn the_quarantine_is_read_in_pages_on_sqlite() {
    read_in_pages(Store::Sqlite).await;
}

#[tokio::test]
async fn the_quarantine_is_read_in_pages_on_postgresql() {
    read_in_pages(Store::Postgres).await;
}
