//! Records that are valid: the acceptance vectors V1 to V23, in both protocols, on both databases and in
//! both modes. What is answered is what is read back, at the original's path and at ours.

use std::time::{SystemTime, UNIX_EPOCH};

use it::client::Reply;
use it::telemetrics::{Collector, EXTERNAL_HEADER, Form, Record, Store};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// The keys of an answer: the original's, and three that it leaves out.
const KEYS: [&str; 20] = [
    "arch",
    "bios_version",
    "board_name",
    "build",
    "classification",
    "cpu_model",
    "event_id",
    "external",
    "id",
    "kernel_version",
    "machine_id",
    "machine_type",
    "payload",
    "payload_version",
    "record_format_version",
    "record_version",
    "severity",
    "system_name",
    "ts_capture",
    "ts_reception",
];

/// A record and what of its answer is not what was sent.
struct Vector {
    name: String,
    record: Record,
    other: Vec<(&'static str, Value)>,
}

/// All vectors, each with an event id of its own.
#[derive(Default)]
struct Vectors(Vec<Vector>);

impl Vectors {
    fn add(&mut self, name: &str, record: Record, other: &[(&'static str, Value)]) {
        self.0.push(Vector {
            name: name.to_owned(),
            record,
            other: other.to_vec(),
        });
    }

    /// One for each value of a field, which is kept as it is.
    fn each(&mut self, field: &str, values: &[&str]) {
        for value in values {
            self.add(
                &format!("{field} {value:?}"),
                Record::new().set(field, value),
                &[],
            );
        }
    }
}

/// What a record looks like in the answer when nothing happens to its values.
fn plain(record: &Record) -> Map<String, Value> {
    let text = |name: &str| json!(record.get(name).unwrap_or_else(|| "N/A".to_owned()));
    let number = |name: &str| json!(record.get(name).map_or(0, |text| text.parse().unwrap()));
    let version = number("record_format_version");
    let all = json!({
        "arch": text("arch"),
        "bios_version": text("bios_version"),
        "board_name": text("board_name"),
        "build": text("build"),
        "classification": text("classification"),
        "cpu_model": text("cpu_model"),
        "event_id": text("event_id"),
        "external": false,
        "kernel_version": text("kernel_version"),
        "machine_id": text("machine_id"),
        "machine_type": text("host_type"),
        "payload": String::from_utf8_lossy(&record.payload),
        "payload_version": number("payload_format_version"),
        "record_format_version": version,
        "record_version": version,
        "severity": number("severity"),
        "system_name": text("system_name"),
        "ts_capture": "2023-11-14 22:13:20 UTC",
    });
    all.as_object().cloned().unwrap()
}

/// V4 to V13.
fn formats_and_texts(vectors: &mut Vectors) {
    let format = |number| Record::new().format(number);
    vectors.add("V4 format 3", format(3), &[]);
    vectors.add("V5 format 2", format(2), &[]);
    vectors.add("V6 format 1", format(1), &[]);
    let sent = format(4).set("record_format_version", "2");
    let names = ["event_id", "board_name", "cpu_model", "bios_version"];
    let absent = names.map(|name| (name, json!("N/A")));
    vectors.add("V5 with fields of later formats", sent, &absent);
    vectors.each("severity", &["1", "2", "3", "4"]);
    for (build, stored) in [
        ("\"12\"", "12"),
        ("'12'", "12"),
        ("12", "12"),
        ("22.04", "22.04"),
    ] {
        let record = Record::new()
            .set("build", build)
            .set("system_name", "debian");
        vectors.add(
            &format!("V8 build {build}"),
            record,
            &[("build", json!(stored))],
        );
    }
    let quoted = Record::new().set("system_name", "\"clear-linux-os\"");
    vectors.add(
        "V9 quotes around the system",
        quoted,
        &[("system_name", json!("clear-linux-os"))],
    );
    vectors.each("build", &["34960", "0"]);
    for build in ["rolling", "-_.aZ9"] {
        let record = Record::new().set("build", build).set("system_name", "arch");
        vectors.add(&format!("V10 build {build}"), record, &[]);
    }
    vectors.each("kernel_version", &["6.1.0-13-amd64", "6.1.0", "6.1."]);
    let umlauts = "ü".repeat(32);
    vectors.each(
        "machine_id",
        &["abcd", "a-b-c", "", &umlauts, &"f".repeat(32)],
    );
    vectors.each(
        "host_type",
        &["", "Dëll|PowerEdge R640|blank", &"h".repeat(249)],
    );
}

/// V14 to V21.
fn numbers_and_bytes(vectors: &mut Vectors, is_strict: bool) {
    for name in ["board_name", "cpu_model", "bios_version"] {
        vectors.each(name, &["", "a\tb", &"b".repeat(199)]);
    }
    vectors.each("payload_format_version", &["0", "2147483646"]);
    for (value, is_external) in [("true", true), ("True", false), ("1", false), ("", false)] {
        let record = Record::new().set(EXTERNAL_HEADER, value);
        let other = [("external", json!(is_external))];
        vectors.add(&format!("V16 external {value:?}"), record, &other);
    }
    vectors.add("V17 no body", Record::new().payload(""), &[]);
    let latin = Record::new().payload(b"\xe9\xff");
    vectors.add("V18 Latin-1", latin, &[("payload", json!("éÿ"))]);
    vectors.add("V18 UTF-8", Record::new().payload("é€😀 \u{7f}\r\n\t"), &[]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let ten_days_ago = i64::try_from(now).unwrap() - 10 * 24 * 3600;
    for (created, shown) in [
        ("0", "1970-01-01 00:00:00 UTC".to_owned()),
        (ten_days_ago.to_string().as_str(), written(ten_days_ago)),
        ("253402300799", "9999-12-31 23:59:59 UTC".to_owned()),
        ("253402300800", "9999-12-31 23:59:59 UTC".to_owned()),
        ("9223372036854775807", "9999-12-31 23:59:59 UTC".to_owned()),
    ] {
        let record = Record::new().set("creation_timestamp", created);
        vectors.add(
            &format!("V19 created {created}"),
            record,
            &[("ts_capture", json!(shown))],
        );
    }
    let known = "armv7l armv6l aarch64 amd64 sparc64 ppc64 i686 i386 x86_64 ppc";
    let unusual = "riscv64 s390x loongarch64 ppc64le i586 unknown";
    let all = if is_strict {
        known.to_owned()
    } else {
        format!("{known} {unusual}")
    };
    vectors.each("arch", &all.split(' ').collect::<Vec<_>>());
}

fn written(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
}

/// Sends one and reads it back; what is wrong.
async fn check(collector: &Collector, form: Form, vector: &Vector) -> Result<(), String> {
    let mut expected = plain(&vector.record);
    expected.extend(
        vector
            .other
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone())),
    );
    answered(
        collector,
        &collector.post(form, &vector.record).await,
        expected,
    )
    .await
}

/// Whether this is the answer to a record with these values, which is then there.
async fn answered(
    collector: &Collector,
    reply: &Reply,
    mut expected: Map<String, Value>,
) -> Result<(), String> {
    let told = |what: &str, found: &Value| format!("{what}: {found}, expected {expected:?}");
    let outcome = reply.header("landline-outcome");
    if (reply.status, outcome.as_str()) != (201, "kept") {
        return Err(format!("{} {outcome:?} {}", reply.status, reply.text()));
    }
    let answer = reply.json();
    let keys: Vec<&str> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    if keys != KEYS {
        return Err(format!("keys {keys:?}"));
    }
    for (key, value) in &expected {
        if answer[key] != *value {
            return Err(told(&format!("{key} of the answer"), &answer[key]));
        }
    }
    let id = answer["id"].as_i64().unwrap();
    let original = collector.original(id).await;
    if original != answer {
        return Err(told("at /api/records", &original));
    }
    expected.insert("host_type".to_owned(), answer["machine_type"].clone());
    let version = answer["payload_version"].clone();
    expected.insert("payload_format_version".to_owned(), version);
    for gone in [
        "machine_type",
        "record_version",
        "payload_version",
        "ts_capture",
    ] {
        expected.remove(gone);
    }
    expected.insert("id".to_owned(), json!(id));
    expected.insert("project".to_owned(), json!("clear-linux"));
    let ours = collector.json(&format!("/v1/records/{id}")).await;
    for (key, value) in &expected {
        if ours[key] != *value {
            return Err(format!("{key} at /v1/records/{id}: {}", ours[key]));
        }
    }
    Ok(())
}

/// V22 and V23: what only JSON can say.
async fn only_json(collector: &Collector) -> Vec<String> {
    let record = Record::new();
    let mut numbers: Value = serde_json::from_slice(&record.body(Form::Json)).unwrap();
    for name in [
        "record_format_version",
        "severity",
        "creation_timestamp",
        "payload_format_version",
    ] {
        numbers[name] = json!(record.get(name).unwrap().parse::<i64>().unwrap());
    }
    numbers["unknown"] = json!({"nested": ["is passed over"]});
    let empty = Record::new();
    let mut nulls: Value = serde_json::from_slice(&empty.body(Form::Json)).unwrap();
    for name in ["machine_id", "host_type", "board_name"] {
        nulls[name] = Value::Null;
    }
    let emptied = ["machine_id", "host_type", "board_name"];
    let expected_empty = emptied
        .iter()
        .fold(empty, |record, name| record.set(name, ""));
    let mut failed = Vec::new();
    for (name, body, record) in [
        ("V23 numbers", numbers, record),
        ("V23 null", nulls, expected_empty),
    ] {
        let body = body.to_string();
        let request = format!(
            "POST /v3/collector HTTP/1.1\r\nHost: x\r\nx_telemetry_tid: {}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            it::telemetrics::TID,
            body.len()
        );
        let reply = collector.raw(request.as_bytes()).await;
        let result = answered(collector, &reply, plain(&record)).await;
        failed.extend(result.err().map(|error| format!("{name}: {error}")));
    }
    failed
}

/// V1 to V3: paths, and spellings of the headers.
async fn only_headers(collector: &Collector) -> Vec<String> {
    let mut failed = Vec::new();
    let title = |name: &str| {
        let parts = name.split(['_', '-']).map(|part| {
            let (first, rest) = part.split_at(1);
            format!("{}{}", first.to_uppercase(), rest.to_lowercase())
        });
        parts.collect::<Vec<_>>().join("-")
    };
    for (name, path) in [
        ("V1", "/v2/collector"),
        ("V2", "/"),
        ("V3", "/v2/collector"),
    ] {
        let record = Record::new();
        let mut request = record.request_to(Form::Headers, path);
        if name == "V3" {
            let mut text = String::from_utf8(request).unwrap();
            for (header, _) in record.headers(Form::Headers) {
                text = text.replacen(&format!("{header}: "), &format!("{}: ", title(header)), 1);
            }
            assert!(text.contains("Record-Format-Version: "), "{text}");
            request = text.into_bytes();
        }
        let reply = collector.raw(&request).await;
        let result = answered(collector, &reply, plain(&record)).await;
        failed.extend(result.err().map(|error| format!("{name}: {error}")));
    }
    failed
}

async fn every_vector(store: Store) {
    for is_strict in [false, true] {
        let Some(collector) = Collector::start(store, json!({"strict": is_strict})).await else {
            return;
        };
        let mut failed = only_headers(&collector).await;
        failed.extend(only_json(&collector).await);
        for form in Form::ALL {
            let mut vectors = Vectors::default();
            formats_and_texts(&mut vectors);
            numbers_and_bytes(&mut vectors, is_strict);
            for vector in &vectors.0 {
                let result = check(&collector, form, vector).await;
                let name = &vector.name;
                failed.extend(
                    result
                        .err()
                        .map(|error| format!("{form:?} {name}: {error}")),
                );
            }
        }
        assert!(
            failed.is_empty(),
            "strict {is_strict}:\n{}",
            failed.join("\n")
        );
        collector.remove().await;
    }
}

#[tokio::test]
async fn every_valid_record_is_kept_on_sqlite() {
    every_vector(Store::Sqlite).await;
}

#[tokio::test]
async fn every_valid_record_is_kept_on_postgresql() {
    every_vector(Store::Postgres).await;
}
