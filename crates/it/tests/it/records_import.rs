//! Databases of the original collector are imported: ids, times and values stay, what is no record is in
//! quarantine, what people noted comes along, and whoever is killed in the middle, each is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use it::client::{self, Reply};
use it::need::need;
use it::original::{Form, Many, Original};
use it::program::{Program, program_path, send_signal};
use it::telemetrics::{Collector, Form as Way, Record, Store, TID};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::Row;

/// The longest until an import is somewhere.
const THERE: Duration = Duration::from_mins(1);
/// A crash of two frames; the first is the guilty one.
const CRASH: &str = "Process: x\\nPID: 1\\nSignal: 11\\n\\nBacktrace (TID 1):\\n\
     #0 broken() - [lib.so] - a.c:1\\n#1 main() - [prog] - b.c:2\\n";

/// Unix seconds of some time ago.
fn ago(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() - seconds
}

fn import(program: &Program, words: &[&str]) -> Output {
    program.command(&[&["records", "import"], words].concat())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An import that succeeds; its answer.
fn imported(program: &Program, words: &[&str]) -> Value {
    let output = import(program, &[words, &["--json"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All records by their ids.
async fn all(collector: &Collector) -> BTreeMap<i64, Value> {
    let mut found = BTreeMap::new();
    let mut before = String::new();
    loop {
        let path = format!("/v1/records?limit=1000{before}");
        let page = collector.json(&path).await;
        for record in page["records"].as_array().unwrap() {
            let id = record["id"].as_i64().unwrap();
            assert!(found.insert(id, record.clone()).is_none(), "{id} twice");
        }
        match page["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => return found,
        }
    }
}

/// The administrator of the collector's machine sends something.
async fn post(program: &Program, path: &str, body: &Value) -> Reply {
    let token = std::fs::read_to_string(program.path("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let url = format!("http://{}{path}", program.main);
    let headers = [("authorization", bearer.as_str())];
    client::send("POST", &url, &headers, &body.to_string())
        .await
        .unwrap()
}

/// Rows as only the original has them. Those from 30,000 on are no records.
async fn fill_odd(original: &mut Original, begun: i64) {
    let big = "9".repeat(20);
    let sql = format!(
        "INSERT INTO guilty VALUES (1, 'broken()', 'lib.so', 'seen in 31000, café', false),
             (2, 'other()', 'lib.so', 'never imported', true);
         INSERT INTO guilty_blacklisted VALUES (1, 'abort_here()', 'lib.so'), (2, NULL, 'x'),
             (3, 'abort_here()', 'lib.so');
         INSERT INTO records (id, build, classification, payload, severity, timestamp_server)
             VALUES (20001, '', 'a/b/c', '', 1, {begun}.987654);
         INSERT INTO records (id, build, classification, payload, severity, timestamp_server,
             timestamp_client, architecture, kernel_version, board_name, event_id, record_version,
             payload_version, external, machine_id, system_name) VALUES
             (20002, 'a b', 'a//c', E'nul \\\\u0000 and é\\n', 4, {begun}, 253402300800.5, 'riscv64',
              'unknown', 'Größe™', 'N/A', 0, -5, NULL, '{machine}', 'debian'),
             (20003, '1', 'a/b/c', 'the same', 2, {begun}, 5, 'x86_64', '5.4.0', '', '', 1, 0, true,
              '', ''),
             (20004, '1', 'a/b/c', 'the same', 2, {begun}, 5, 'x86_64', '5.4.0', '', '', 1, 0, true,
              '', '');
         INSERT INTO records (id, build, classification, payload, severity, timestamp_server,
             machine_id, guilty_id, external)
             SELECT n, '31000', 'org.clearlinux/crash/clr', E'{CRASH}', 3, {begun} + n - 20010, 'm' || n,
             1, true FROM generate_series(20010, 20012) AS n;
         INSERT INTO records (id, build, classification, payload, severity, timestamp_server)
             VALUES (20020, '1', 'org.clearlinux/crash/clr', E'#0 abort_here() - [lib.so]\\n\
             #1 deeper() - [lib.so]\\n', 3, {begun});
         INSERT INTO records (id, build, classification, payload, severity, timestamp_server,
             timestamp_client) VALUES
             (30001, '1', 'a/b/c', 'twenty', 1, {begun}, {big}),
             (30002, '1', 'a/b/c', 'no severity', NULL, {begun}, 1),
             (30003, '1', 'a/b', 'two parts', 1, {begun}, 1),
             (30004, '{long}', 'a/b/c', 'long', 1, {begun}, 1),
             (30005, '1', 'a/b/c', 'no time', 1, 'NaN', 1),
             (30006, '1', 'a/b/c', repeat('y', 9000000), 1, {begun}, 1),
             (30007, '1', 'a/b/c', repeat('z', 3000000), 1, {begun}, 1),
             (-3, '1', 'a/b/c', 'below', 1, {begun}, 1)",
        machine = "m".repeat(40),
        long = "1".repeat(600),
    );
    original.run(&sql).await;
}

/// What an answer says of a record is what its row says.
async fn assert_as_there(collector: &Collector, original: &mut Original, ids: &str) {
    let rows = original
        .rows(&format!(
            "SELECT id::bigint, build, classification, payload, severity::bigint,
             floor(timestamp_server * 1000)::bigint,
             coalesce(floor(timestamp_client), floor(timestamp_server))::bigint,
             coalesce(external, false), coalesce(machine_id, ''), coalesce(system_name, ''),
             coalesce(event_id, ''), coalesce(architecture, ''), coalesce(kernel_version, ''),
             coalesce(host_type, ''), coalesce(board_name, ''), coalesce(cpu_model, ''),
             coalesce(bios_version, ''), coalesce(record_version, 0)::bigint,
             coalesce(payload_version, 0)::bigint FROM records WHERE id IN ({ids})"
        ))
        .await;
    assert!(!rows.is_empty());
    for row in rows {
        let id: i64 = row.get(0);
        let found = collector.json(&format!("/v1/records/{id}")).await;
        let texts = [
            (1, "build"),
            (2, "classification"),
            (3, "payload"),
            (8, "machine_id"),
            (9, "system_name"),
            (10, "event_id"),
            (11, "arch"),
            (12, "kernel_version"),
            (13, "host_type"),
            (14, "board_name"),
            (15, "cpu_model"),
            (16, "bios_version"),
        ];
        for (column, name) in texts {
            assert_eq!(found[name], row.get::<&str, _>(column), "{id} {name}");
        }
        let numbers = [
            (4, "severity"),
            (17, "record_format_version"),
            (18, "payload_format_version"),
        ];
        for (column, name) in numbers {
            assert_eq!(found[name], row.get::<i64, _>(column), "{id} {name}");
        }
        assert_eq!(found["external"], row.get::<bool, _>(7), "{id}");
        let seconds = |name: &str| {
            let text = found[name].as_str()?;
            let format = &time::format_description::well_known::Rfc3339;
            Some(time::OffsetDateTime::parse(text, format).unwrap())
        };
        let received = seconds("received_at").unwrap().unix_timestamp_nanos() / 1_000_000;
        assert_eq!(received, i128::from(row.get::<i64, _>(5)), "{id}");
        // Beyond the year 9999 there is no such text.
        if let Some(created) = seconds("created_at") {
            assert_eq!(created.unix_timestamp(), row.get::<i64, _>(6), "{id}");
        } else {
            assert!(row.get::<i64, _>(6) > 253_402_300_799, "{id}");
        }
    }
}

async fn newer(store: Store) {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut original = Original::create(&admin, Form::Newer).await;
    let begun = ago(3 * 24 * 60 * 60);
    let many = Many {
        count: 600,
        step: 3,
        length: 10,
        begun,
    };
    original.fill(Form::Newer, many).await;
    fill_odd(&mut original, begun).await;
    if store == Store::Postgres {
        // One that was made in the older form has columns and tables left of it.
        let left = "ALTER TABLE records ADD backtrace varchar DEFAULT 'left', ADD build_id integer, \
             ADD classification_id integer; ALTER TABLE guilty DROP CONSTRAINT pairs; \
             CREATE TABLE build (id serial PRIMARY KEY, build varchar)";
        original.run(left).await;
    }
    let url = original.url().to_owned();
    // A look changes nothing.
    let look = imported(&collector.program, &[&url, "--dry-run"]);
    assert_eq!(
        (&look["would_keep"], &look["conflict"]),
        (&json!(609), &Value::Null)
    );
    assert_eq!(look["would_quarantine"]["severity"], 1);
    assert!(all(&collector).await.is_empty());
    assert_eq!(
        collector.json("/v1/records/imports").await["imports"],
        json!([])
    );

    let answer = imported(&collector.program, &[&url]);
    let odd: BTreeSet<i64> = [
        20001, 20002, 20003, 20004, 20010, 20011, 20012, 20020, 30007,
    ]
    .into();
    let expected: BTreeSet<i64> = (1..=600).map(|n| n * 3).chain(odd).collect();
    let found = all(&collector).await;
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected);
    let ids = "3, 300, 1800, 20001, 20002, 20003, 20004, 20010, 20020, 30007";
    assert_as_there(&collector, &mut original, ids).await;
    assert_refused(&collector, &answer).await;
    assert_crashes(&collector, &answer, begun).await;
    assert_counts(&collector, begun, 609).await;
    let words = collector.json("/v1/records?text=word517").await;
    assert_eq!(words["records"][0]["id"], 517 * 3);
    // The original's own path has them, and what comes now is above.
    assert_eq!(collector.original(1800).await["build"], "31000");
    let new = collector.keep(Way::Headers, &Record::new()).await;
    assert!(new > 30007, "{new}");
    // Once more finds everything there.
    let again = imported(&collector.program, &[&url]);
    assert_eq!(again["import"]["kept"], 609);
    assert_eq!(all(&collector).await.len(), 610);
    original.remove().await;
    collector.remove().await;
}

/// What is no record is in quarantine, under its id and with the reason.
async fn assert_refused(collector: &Collector, answer: &Value) {
    let import = &answer["import"];
    assert_eq!(
        (&import["state"], &import["kept"], &import["quarantined"]),
        (&json!("done"), &json!(609), &json!(6))
    );
    assert_eq!(answer["ids_below_1"], 1);
    let reasons = json!({"creation_timestamp": 1, "severity": 1, "classification": 1,
        "too_long": 1, "server_timestamp": 1, "payload_too_large": 1});
    assert_eq!(import["reasons"], reasons);
    for (id, reason) in [
        (30001, "creation_timestamp"),
        (30002, "severity"),
        (30003, "classification"),
        (30004, "too_long"),
        (30005, "server_timestamp"),
        (30006, "payload_too_large"),
    ] {
        let one = collector.quarantined(id).await;
        assert_eq!(one["reason"], reason, "{id}: {one}");
        assert_eq!(one["fields"]["imported_id"], id.to_string());
    }
}

/// Comments, what is hidden, and frames that are never guilty came along.
async fn assert_crashes(collector: &Collector, answer: &Value, begun: i64) {
    let group = collector.json("/v1/records/20010").await["group"].clone();
    let group = collector.json(&format!("/v1/records/groups/{group}")).await;
    assert_eq!(group["comment"], "seen in 31000, café");
    assert_eq!(
        (&group["total"], &group["machines"]),
        (&json!(3), &json!(3))
    );
    let at = |seconds: i64| {
        let time = time::OffsetDateTime::from_unix_timestamp(begun + seconds).unwrap();
        let format = &time::format_description::well_known::Rfc3339;
        Value::String(time.format(format).unwrap())
    };
    assert_eq!(
        (&group["first_seen"], &group["last_seen"]),
        (&at(0), &at(2))
    );
    let notes = &answer["import"]["notes"];
    assert_eq!((&notes["given"], &notes["placed"]), (&json!(2), &json!(1)));
    assert_eq!(notes["left"][0]["comment"], "never imported");
    assert_eq!(notes["left"][0]["is_hidden"], true);
    let frames = &answer["skipped_frames"];
    assert_eq!((&frames["added"], &frames["known"]), (&json!(1), &json!(1)));
    assert_eq!(frames["left_out"][0]["id"], 2);
    let skipped = collector.json("/v1/records/skipped-frames").await;
    let expected = json!([{"function": "abort_here()", "module": "lib.so"}]);
    assert_eq!(skipped["frames"], expected);
    let group = collector.json("/v1/records/20020").await["group"].clone();
    let group = collector.json(&format!("/v1/records/groups/{group}")).await;
    assert_eq!(group["function"], "deeper()");
}

/// Each is counted on its day.
async fn assert_counts(collector: &Collector, begun: i64, count: i64) {
    let counts = collector.json("/v1/records/counts?by=severity").await;
    let day = time::OffsetDateTime::from_unix_timestamp(begun)
        .unwrap()
        .date();
    let mut sum = 0;
    for one in counts["days"].as_array().unwrap() {
        let days = [day, day.next_day().unwrap()].map(|day| day.to_string());
        assert!(
            days.contains(&one["day"].as_str().unwrap().to_owned()),
            "{one}"
        );
        let numbers = one["counts"].as_object().unwrap().values();
        sum += numbers.map(|number| number.as_i64().unwrap()).sum::<i64>();
    }
    assert_eq!(sum, count);
    let population = collector.json("/v1/records/population").await;
    let text = population.to_string();
    assert!(text.contains("31000"), "{text}");
}

#[tokio::test]
async fn a_newer_database_is_imported_into_sqlite() {
    newer(Store::Sqlite).await;
}

#[tokio::test]
async fn a_newer_database_is_imported_into_postgresql() {
    newer(Store::Postgres).await;
}

/// Builds and classifications in tables of their own, payloads as text or as bytes only.
#[tokio::test]
async fn an_older_database_is_imported() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let mut original = Original::create(&admin, Form::Older).await;
    let begun = ago(24 * 60 * 60);
    let many = Many {
        count: 300,
        step: 1,
        length: 0,
        begun,
    };
    original.fill(Form::Older, many).await;
    let sql = format!(
        "INSERT INTO guilty VALUES (5, 'a()', 'b', '', NULL), (6, 'a()', 'b', 'twice', true);
         INSERT INTO records (id, severity, classification_id, build_id, tsp_server, payload) VALUES
             (401, 1, 1, 1, {begun}, '\\x68e900ff'), (402, 1, 1, NULL, {begun}, 'utf8 \\303\\251'),
             (403, 1, NULL, 1, {begun}, 'no class'), (404, 1, 1, 1, NULL, 'no time'),
             (405, 1, 1, 1, {begun}, NULL)"
    );
    original.run(&sql).await;
    // It came only in March 2018.
    original.run("ALTER TABLE records DROP event_id").await;
    let answer = imported(&collector.program, &[original.url()]);
    let import = &answer["import"];
    assert_eq!(
        (&import["kept"], &import["quarantined"]),
        (&json!(303), &json!(2))
    );
    assert_eq!(import["notes"]["left"][0]["comment"], "twice");
    let found = all(&collector).await;
    let expected: BTreeSet<i64> = (1..=300).chain([401, 402, 405]).collect();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected);
    let one = collector.json("/v1/records/7").await;
    let about = [
        "classification",
        "build",
        "payload",
        "system_name",
        "host_type",
    ];
    assert_eq!(
        about.map(|name| one[name].as_str().unwrap()),
        [
            "org.clearlinux/hello/world",
            "31002",
            "imported payload word7\n",
            "clear-linux-os",
            "vendor|product|3"
        ]
    );
    assert_eq!(
        (&one["record_format_version"], &one["severity"]),
        (&json!(3), &json!(4))
    );
    for (id, payload) in [(401, "hé\0ÿ"), (402, "utf8 é"), (405, "")] {
        let one = collector.json(&format!("/v1/records/{id}")).await;
        assert_eq!(one["payload"], payload);
    }
    assert_eq!(collector.quarantined(403).await["reason"], "classification");
    assert_eq!(
        collector.quarantined(404).await["reason"],
        "server_timestamp"
    );
    original.remove().await;
    collector.remove().await;
}

/// A database that knows no encoding may have any bytes.
#[tokio::test]
async fn texts_in_no_encoding_are_imported() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let mut original = Original::create_with(&admin, Form::Newer, options).await;
    let sql = format!(
        "INSERT INTO records (id, build, classification, payload, severity, timestamp_server,
             board_name) SELECT n, '1', 'a/b/c', convert_from(body, 'SQL_ASCII'), 1, {begun},
             convert_from(body, 'SQL_ASCII')
         FROM (VALUES (1, '\\xe9ff'::bytea), (2, '\\xc3a9'::bytea)) AS texts (n, body)",
        begun = ago(60)
    );
    original.run(&sql).await;
    imported(&collector.program, &[original.url()]);
    for (id, text) in [(1, "éÿ"), (2, "é")] {
        let one = collector.json(&format!("/v1/records/{id}")).await;
        assert_eq!(
            (&one["payload"], &one["board_name"]),
            (&json!(text), &json!(text))
        );
    }
    original.remove().await;
    collector.remove().await;
}

/// Starts an import that is to be killed.
fn start_import(collector: &Collector, url: &str) -> Child {
    let mut command = Command::new(program_path());
    command.args(["records", "import", url, "--json"]);
    command.current_dir(collector.program.directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until an import is beyond an id.
async fn reached(collector: &Collector, id: i64) {
    wait::until("the import goes on", THERE, async || {
        let answer = collector.json("/v1/records/imports").await;
        let reached = answer["imports"][0]["reached"].as_i64()?;
        (reached >= id).then_some(())
    })
    .await;
}

/// Whoever is killed in the middle: the command, and the collector.
async fn killed(store: Store) {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let Some(mut collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut original = Original::create(&admin, Form::Newer).await;
    let many = Many {
        count: 4_000,
        step: 2,
        length: 8_000,
        begun: ago(24 * 60 * 60),
    };
    original.fill(Form::Newer, many).await;
    let mut live = Vec::new();
    for (round, id) in [400, 1_500, 3_000, 4_500, 6_000].into_iter().enumerate() {
        let mut command = start_import(&collector, original.url());
        reached(&collector, id).await;
        if round == 0 {
            send_signal(command.id(), Signal::INT);
            let output = command.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let text = told(&output);
            assert!(text.contains("the same command goes on there"), "{text}");
            continue;
        } else if round % 2 == 0 {
            command.kill().unwrap();
        } else {
            collector.program.signal(Signal::KILL);
            collector.program.wait_exit(wait::SOON).await;
            // It asks for a while, but the port is another one.
            command.kill().unwrap();
            collector.program.restart();
            collector.program.ready().await;
            wait::until("the log tells of the import", THERE, async || {
                let log = collector.program.stderr();
                let tells = log.contains("import 1 is not finished") && log.contains("--abandon 1");
                tells.then_some(())
            })
            .await;
        }
        command.wait().unwrap();
        // Others come meanwhile.
        live.push(collector.keep(Way::Headers, &Record::new()).await);
    }
    let state = collector.json("/v1/records/imports").await;
    assert_eq!(state["imports"][0]["state"], "running", "{state}");
    let answer = imported(&collector.program, &[original.url()]);
    assert_eq!(answer["import"]["kept"], 4_000);
    let found: BTreeSet<i64> = all(&collector).await.into_keys().collect();
    let expected = (1..=4_000).map(|n| n * 2).chain(live.iter().copied());
    assert_eq!(found, expected.collect());
    assert!(live.iter().all(|id| *id > 8_000), "{live:?}");
    let counts = collector.json("/v1/records/counts?by=source").await;
    let days = counts["days"].as_array().unwrap().iter();
    let values = days.flat_map(|day| day["counts"].as_object().unwrap().values());
    let sum: i64 = values.map(|value| value.as_i64().unwrap()).sum();
    assert_eq!(sum, 4_000 + i64::try_from(live.len()).unwrap());
    original.remove().await;
    collector.remove().await;
}

#[tokio::test]
async fn an_import_that_is_killed_goes_on_on_sqlite() {
    killed(Store::Sqlite).await;
}

#[tokio::test]
async fn an_import_that_is_killed_goes_on_on_postgresql() {
    killed(Store::Postgres).await;
}

/// Ids that are taken are said, and new ones are the way out.
#[tokio::test]
async fn ids_that_are_taken_are_a_conflict() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let own = collector.keep(Way::Headers, &Record::new()).await;
    let mut original = Original::create(&admin, Form::Newer).await;
    let many = Many {
        count: 10,
        step: 1,
        length: 0,
        begun: ago(60),
    };
    original.fill(Form::Newer, many).await;
    for more in [&[][..], &["--dry-run"]] {
        let output = import(&collector.program, &[&[original.url()], more].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains("--new-ids"), "{}", told(&output));
    }
    assert_eq!(all(&collector).await.len(), 1);
    let answer = imported(&collector.program, &[original.url(), "--new-ids"]);
    assert_eq!(answer["import"]["kept"], 10);
    let found: Vec<i64> = all(&collector).await.into_keys().collect();
    assert_eq!(found.len(), 11);
    assert_eq!(found[0], own);
    // What comes there later comes along the next time.
    original
        .run(
            "INSERT INTO records (id, build, classification, payload, severity, timestamp_server)
              VALUES (11, '1', 'a/b/c', 'later', 1, 1)",
        )
        .await;
    let output = import(&collector.program, &[original.url(), "--json"]);
    assert!(told(&output).contains("retention"), "{}", told(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["import"]["kept"], &answer["import"]["new_ids"]),
        (&json!(11), &json!(true))
    );
    assert_eq!(all(&collector).await.len(), 12);
    let output = import(&collector.program, &["postgres://u:sekret@127.0.0.1:1/x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!told(&output).contains("sekret"), "{}", told(&output));
    let output = import(&collector.program, &["postgres://u:sekret@127.0.0.1:xx/x"]);
    assert!(!told(&output).contains("sekret"), "{}", told(&output));
    original.remove().await;
    collector.remove().await;
}

/// How many rows of the index of words are made.
async fn index_rows(collector: &Collector) -> i64 {
    let path = collector.program.path("data/state.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .read_only(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let sql = "SELECT rows_done FROM record_index_state WHERE id = 2";
    let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    row.get(0)
}

/// Words of records that come below those that have been indexed are found; only who may change all
/// projects imports.
#[tokio::test]
async fn an_import_can_be_given_up_and_taken_up() {
    let collector = Collector::start_small(json!({})).await;
    let program = &collector.program;
    let begin = json!({"source": "test", "first": 1, "last": 9_000, "records": 3});
    let url = format!("http://{}/v1/records/imports", program.main);
    let anybody = client::send("POST", &url, &[], "{}").await.unwrap();
    assert_eq!(anybody.status, 401);
    let reply = post(program, "/v1/records/imports", &begin).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.json()["id"].clone();
    let one = |id: i64, word: &str| {
        json!({"id": id, "received_at": ago(60).to_string(), "severity": 1,
            "classification": "a/b/c", "payload": word})
    };
    let path = format!("/v1/records/imports/{id}/batches");
    let first = json!({"after": 0, "through": 100, "records": [one(100, "earliest")]});
    for _ in 0..2 {
        let reply = post(program, &path, &first).await;
        assert_eq!((reply.status, &reply.json()["kept"]), (200, &json!(1)));
    }
    // It goes on where it is, and nowhere else.
    let wrong = json!({"after": 50, "through": 200, "records": [one(150, "x")]});
    assert_eq!(post(program, &path, &wrong).await.status, 409);
    let wrong = json!({"after": 100, "through": 200, "records": [one(201, "x")]});
    assert_eq!(post(program, &path, &wrong).await.status, 409);
    let finish = format!("/v1/records/imports/{id}/finish");
    assert_eq!(post(program, &finish, &json!({})).await.status, 409);
    let other = json!({"source": "other", "first": 200, "last": 300, "records": 3});
    assert_eq!(
        post(program, "/v1/records/imports", &other).await.status,
        409
    );
    assert_eq!(collector.keep(Way::Headers, &Record::new()).await, 9_001);
    let listed = import(program, &["--list"]);
    let remedy = format!("`--abandon {id}` gives it up");
    assert!(told(&listed).contains(&remedy), "{}", told(&listed));
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("running"), "{listed}");
    // While it runs nothing above it is indexed; once it is given up, all is.
    assert_eq!(index_rows(&collector).await, 0);
    let output = import(program, &["--abandon", &id.to_string()]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(post(program, &path, &wrong).await.status, 409);
    let late = json!({"after": 100, "through": 9_000, "records": [one(4_000, "latest")]});
    assert_eq!(post(program, &path, &late).await.status, 409);
    wait::until("the index is made", THERE, async || {
        (index_rows(&collector).await == 2).then_some(())
    })
    .await;
    // Taken up again, it has the index made again from there on.
    let reply = post(program, "/v1/records/imports", &begin).await;
    assert_eq!(reply.json()["state"], "running");
    let reply = post(program, &path, &late).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        post(program, &finish, &json!({})).await.json()["state"],
        "done"
    );
    wait::until("the index is made again", THERE, async || {
        (index_rows(&collector).await == 2).then_some(())
    })
    .await;
    for (word, id) in [("earliest", 100), ("latest", 4_000)] {
        let found = collector.json(&format!("/v1/records?text={word}")).await;
        assert_eq!(found["records"][0]["id"], id, "{word}");
    }
    collector.remove().await;
}

/// More notes than are written at once all come to their groups, also when the end is asked for again.
#[tokio::test]
async fn many_notes_come_to_their_groups() {
    const COUNT: i64 = 250;
    let collector = Collector::start_small(json!({})).await;
    let program = &collector.program;
    let begin = json!({"source": "test", "first": 1, "last": COUNT, "records": COUNT});
    let id = post(program, "/v1/records/imports", &begin).await.json()["id"].clone();
    // It is written for SQL.
    let crash = CRASH.replace("\\n", "\n");
    let record = |n: i64| {
        json!({"id": n, "received_at": ago(60).to_string(), "severity": 3, "guilty": n,
            "classification": "org.clearlinux/crash/clr",
            "payload": crash.replace("broken", &format!("broken_{n}"))})
    };
    let note = |n: i64| {
        json!({"id": n, "function": format!("broken_{n}"), "module": "lib.so",
            "comment": format!("note {n}"), "is_hidden": n % 2 == 0})
    };
    let records: Vec<Value> = (1..=COUNT).map(record).collect();
    // Whole numbers may be written with a fraction.
    let batch = json!({"after": 0.0, "through": COUNT, "records": records});
    let notes: Vec<Value> = (1..=COUNT).map(note).collect();
    for (path, body) in [("batches", batch), ("notes", json!({"notes": notes}))] {
        let reply = post(program, &format!("/v1/records/imports/{id}/{path}"), &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let finish = format!("/v1/records/imports/{id}/finish");
    for _ in 0..2 {
        let answer = post(program, &finish, &json!({})).await.json();
        assert_eq!(answer["state"], "done", "{answer}");
        let placed = &answer["notes"]["placed"];
        assert_eq!((placed, &answer["kept"]), (&json!(COUNT), &json!(COUNT)));
    }
    collector.remove().await;
}

/// What a project takes out at intake it takes out here; its rules are not asked. A comment that a group
/// has here stays.
#[tokio::test]
async fn a_project_hides_what_it_hides() {
    let tid = "11111111-2222-3333-4444-555555555555";
    let projects = json!([
        {"name": "first", "tid": TID},
        {"name": "second", "tid": tid, "scrub": ["email"], "hide_machines": true,
            "rules": [{"classification": "*", "action": "drop"}]},
    ]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    let program = &collector.program;
    let mut begin = json!({"source": "test", "first": 1, "last": 3, "records": 3});
    let reply = post(program, "/v1/records/imports", &begin).await;
    assert_eq!(reply.status, 409);
    assert!(reply.text().contains("first, second"), "{}", reply.text());
    begin["project"] = json!("second");
    let begun = post(program, "/v1/records/imports", &begin).await.json();
    let path = format!("/v1/records/imports/{}", begun["id"]);
    let crash = "Process: x\n\n#0 broken() - [x]\n#1 main() - [x]\n";
    let one = |id: i64, class: &str, payload: &str| {
        json!({"id": id, "received_at": ago(60).to_string(), "severity": 1, "guilty": 7,
            "classification": class, "machine_id": "host7", "payload": payload})
    };
    let rows = [
        one(1, "a/b/c", "from me@example.org"),
        one(2, "a/b", "by me@example.org"),
    ];
    let batch = json!({"after": 0, "through": 2, "records": rows});
    let kept = post(program, &format!("{path}/batches"), &batch).await;
    assert_eq!(kept.json()["kept"], 1, "{}", kept.text());
    let record = collector.json("/v1/records/1").await;
    assert_eq!(
        (&record["project"], &record["payload"]),
        (&json!("second"), &json!("from <e-mail>"))
    );
    let refused = collector.quarantined(2).await;
    assert_eq!(refused["payload"], "by <e-mail>");
    for text in [record.to_string(), refused.to_string()] {
        assert!(!text.contains("host7"), "{text}");
    }
    let rows = [one(3, "org.clearlinux/crash/clr", crash)];
    let batch = json!({"after": 2, "through": 3, "records": rows});
    post(program, &format!("{path}/batches"), &batch).await;
    let group = collector.json("/v1/records/3").await["group"].clone();
    let group = format!("/v1/records/groups/{group}");
    post(program, &group, &json!({"comment": "ours"})).await;
    let note = json!({"id": 7, "function": "broken()", "module": "x", "comment": "theirs",
        "is_hidden": true});
    post(program, &format!("{path}/notes"), &json!({"notes": [note]})).await;
    let done = post(program, &format!("{path}/finish"), &json!({}))
        .await
        .json();
    assert_eq!(done["notes"]["left"][0], note);
    let group = collector.json(&group).await;
    assert_eq!(
        (&group["comment"], &group["is_hidden"]),
        (&json!("ours"), &json!(true))
    );
    collector.remove().await;
}
