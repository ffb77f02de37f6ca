//! `landline records ls`, `show`, `stats` and `tail` on a running program: what people read is what the
//! collector has, and scripts get it as the API gives it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use it::program::{code, program_path, send_signal};
use it::telemetrics::{Collector, EXTERNAL_HEADER, Record, Store};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::records_commands::{crash, keep, parsed, refused, run, shown, start};

/// How old the oldest record is made, as lists say it.
const AGE: &str = "2h";
const AGE_MILLISECONDS: i64 = 2 * 60 * 60 * 1000;
/// Columns of the days that are counted when nobody says which.
const DAYS: usize = 31;

/// Three records of which each filter finds one: a crash of two hours ago, one from elsewhere with what no
/// terminal should obey, and a usual one.
struct Three {
    collector: Collector,
    crash: i64,
    odd: i64,
    usual: i64,
    /// The event of the crash.
    event: String,
}

impl Three {
    async fn keep(store: Store) -> Option<Self> {
        let collector = start(store, json!([])).await?;
        let record = crash(&["one", "main"]).set("machine_id", "m1");
        let event = record.event();
        let crash = keep(&collector, &record).await;
        let sql = format!(
            "UPDATE records SET received_at = received_at - {AGE_MILLISECONDS} WHERE id = {crash}"
        );
        assert_eq!(collector.execute(&sql).await, 1);
        let record = Record::new()
            .set("classification", "a/b/c")
            .set("severity", "1")
            .set("system_name", "debian")
            .set("build", "12")
            .set("machine_id", "m2")
            .set("arch", "riscv64")
            .set(EXTERNAL_HEADER, "true")
            .payload("a \u{1b}[31mred\tline\nand another\n");
        let odd = keep(&collector, &record).await;
        let usual = keep(&collector, &Record::new()).await;
        Some(Self {
            collector,
            crash,
            odd,
            usual,
            event,
        })
    }

    /// One of them as the API shows it.
    async fn one(&self, id: i64) -> Value {
        self.collector.json(&format!("/v1/records/{id}")).await
    }
}

/// The cells of a line of a table; no cell has two blanks within.
fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

/// What stands in a list of a record: all but its age.
fn row(record: &Value, [severity, classification, machine]: [&str; 3]) -> Vec<String> {
    let text = |key: &str| record[key].as_str().unwrap();
    let system = format!("{} {}", text("system_name"), text("build"));
    let excerpt = text("excerpt").replace('\u{1b}', "\u{fffd}");
    let id = record["id"].to_string();
    [&id, severity, classification, machine, &system, &excerpt]
        .map(str::to_owned)
        .to_vec()
}

/// The list for people: newest first, with short names, and nothing that a terminal obeys.
async fn listed(store: Store) {
    let Some(three) = Three::keep(store).await else {
        return;
    };
    let text = shown(&three.collector, &["ls"]);
    let mut lines = text.lines();
    let head = "ID AGE SEV CLASSIFICATION MACHINE SYSTEM EXCERPT";
    assert_eq!(cells(lines.next().unwrap()).join(" "), head);
    for (id, short) in [
        (three.usual, ["med", "org.example/test/thing", "c588b962…"]),
        (three.odd, ["low", "a/b/c", "m2"]),
        (three.crash, ["high", "crash/clr", "m1"]),
    ] {
        let mut found = cells(lines.next().unwrap());
        let age = found.remove(1);
        assert_eq!(found, row(&three.one(id).await, short), "{text}");
        assert_eq!(age == AGE, id == three.crash, "{text}");
    }
    assert_eq!(lines.next(), None);
    let first = shown(&three.collector, &["ls", "--limit", "1"]);
    assert_eq!(first.lines().count(), 2, "{first}");
    let number = three.usual.to_string();
    assert_eq!(cells(first.lines().nth(1).unwrap())[0], number);
    let none = run(&three.collector, &["ls", "--project", "nobody"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        none.status.success() && none.stdout.is_empty() && said.contains("no record fits"),
        "{none:?}"
    );
    let said = refused(&three.collector, &["ls", "--since", "yesterday"]);
    assert!(
        said.contains("--since yesterday: a time is 90s, 12h or 7d ago"),
        "{said}"
    );
    let said = refused(&three.collector, &["ls", "--classification", "*/c"]);
    assert!(said.contains("a star stands at the end"), "{said}");
    three.collector.remove().await;
}

#[tokio::test]
async fn records_are_listed_for_people_on_sqlite() {
    listed(Store::Sqlite).await;
}

#[tokio::test]
async fn records_are_listed_for_people_on_postgresql() {
    listed(Store::Postgres).await;
}

/// The list for scripts is that of the API, and each filter of the command is one of the API.
async fn filtered(store: Store) {
    let Some(three) = Three::keep(store).await else {
        return;
    };
    let lines = |words: &[&str]| {
        let text = shown(&three.collector, &[&["ls", "--json"], words].concat());
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let page = three.collector.json("/v1/records").await;
    assert_eq!(json!(lines(&[])), page["records"]);
    let crash = three.one(three.crash).await;
    let group = crash["group"].to_string();
    for (words, expected) in [
        (&["--severity", "high"][..], three.crash),
        (&["--severity", "1"], three.odd),
        (&["--classification", "crash/*"], three.crash),
        (&["--classification", "a/b/c"], three.odd),
        (&["--machine-id", "m1"], three.crash),
        (&["--build", "12", "--system-name", "debian"], three.odd),
        (&["--source", "external"], three.odd),
        (&["--event-id", &three.event], three.crash),
        (&["--group", &group], three.crash),
        (&["--text", "another line"], three.odd),
        (&["--since", "1h", "--source", "internal"], three.usual),
        (&["--limit", "1", "--project", "ours"], three.usual),
    ] {
        let found = lines(words);
        let ids: Vec<&Value> = found.iter().map(|record| &record["id"]).collect();
        assert_eq!(ids, [expected], "{words:?}");
    }
    assert_eq!(lines(&["--all"]).len(), 3);
    assert!(lines(&["--severity", "critical"]).is_empty());
    three.collector.remove().await;
}

#[tokio::test]
async fn lists_are_filtered_on_sqlite() {
    filtered(Store::Sqlite).await;
}

#[tokio::test]
async fn lists_are_filtered_on_postgresql() {
    filtered(Store::Postgres).await;
}

/// All that a crash says of itself.
fn crash_as_shown(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap();
    let (id, group) = (&record["id"], &record["group"]);
    let (received, event) = (text("received_at"), text("event_id"));
    format!(
        "id                      {id}
received_at             {received} ({AGE} ago)
created_at              2023-11-14T22:13:20Z
severity                high (3)
source                  internal
project                 ours
classification          org.clearlinux/crash/clr
event_id                {event}
machine_id              m1
host_type               QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2
board_name              0H28RR|Dell Inc.
cpu_model               Intel(R) Xeon(R) Processor
bios_version            1.16.2-debian-1.16.2-1
arch                    x86_64
kernel_version          6.1.0-13-amd64
system_name             clear-linux-os
build                   34960
record_format_version   4
payload_format_version  1
group                   {group}

PAYLOAD
Process: /usr/bin/app
PID: 7
Signal: 11

#0 one() - [/usr/bin/app]
#1 main() - [/usr/bin/app]

WHY IT IS IN GROUP {group}, see `landline records groups show {group}`
rules                   1
signal                  11
fingerprint             v1|org.clearlinux/crash/clr|sig 11|one@app|main@app

USED  FUNCTION  MODULE  WHY
yes   one()     app     one of the innermost telling functions
yes   main()    app     one of the innermost telling functions
"
    )
}

/// A record is shown with all of its fields, its payload, and why it is in its group.
async fn shown_whole(store: Store) {
    let Some(three) = Three::keep(store).await else {
        return;
    };
    let collector = &three.collector;
    let crash = three.one(three.crash).await;
    assert_eq!(crash["event_id"], three.event);
    let id = three.crash.to_string();
    assert_eq!(shown(collector, &["show", &id]), crash_as_shown(&crash));
    assert_eq!(parsed(collector, &["show", &id]), crash);
    let odd = three.odd.to_string();
    let text = shown(collector, &["show", &odd]);
    for line in [
        "severity                low (1)",
        "source                  external",
        "arch                    riscv64 (unusual: the original refuses it)",
        "system_name             debian",
        "group                   -",
        // A tab is four blanks, and colours are not the payload's to choose.
        "a \u{fffd}[31mred    line",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.ends_with("\nand another\n"), "{text}");
    assert!(
        !text.contains("GROUP") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert_eq!(
        parsed(collector, &["show", &odd]),
        three.one(three.odd).await
    );
    let said = refused(collector, &["show", "999999"]);
    assert!(said.contains("there is no such record"), "{said}");
    three.collector.remove().await;
}

#[tokio::test]
async fn a_record_is_shown_whole_on_sqlite() {
    shown_whole(Store::Sqlite).await;
}

#[tokio::test]
async fn a_record_is_shown_whole_on_postgresql() {
    shown_whole(Store::Postgres).await;
}

/// The rows of counts between the head and the sum: name, number, share and bar; and the sum.
fn counted(collector: &Collector, words: &[&str]) -> (Vec<String>, String) {
    let text = shown(collector, &[&["stats"], words].concat());
    let mut rows: Vec<Vec<&str>> = text.lines().skip(1).map(cells).collect();
    let caption = rows.pop().unwrap().join(" ");
    assert!(
        caption.starts_with("A DAY A COLUMN, ") && caption.ends_with("; each row by its own most"),
        "{text}"
    );
    assert_eq!(rows.pop(), Some(vec![]), "{text}");
    let sum = rows.pop().unwrap().join(" ");
    for row in &mut rows {
        let days = row.pop().unwrap();
        assert_eq!(days.chars().count(), DAYS, "{text}");
        assert!(days.contains('█') && days.contains('·'), "{text}");
    }
    let rows = rows.iter().map(|row| row.join(" "));
    (rows.collect(), sum)
}

/// Records are counted by each field, those with most first, for people and for scripts.
async fn stats(store: Store) {
    let Some(three) = Three::keep(store).await else {
        return;
    };
    let collector = &three.collector;
    keep(collector, &crash(&["two", "main"])).await;
    let bar = |columns: usize| "█".repeat(columns);
    let (whole, half) = (bar(20), bar(10));
    let (rows, sum) = counted(collector, &[]);
    let expected = [
        format!("crash/clr 2 50% {whole}"),
        format!("a/b/c 1 25% {half}"),
        format!("org.example/test/thing 1 25% {half}"),
    ];
    assert_eq!((rows, sum.as_str()), (expected.to_vec(), "all 4"));
    let head = shown(collector, &["stats"]);
    let head = cells(head.lines().next().unwrap()).join(" ");
    assert_eq!(head, "CLASSIFICATION RECORDS");
    let (rows, sum) = counted(collector, &["--limit", "1"]);
    let expected = [
        format!("crash/clr 2 50% {whole}"),
        format!("(2 others) 2 50% {whole}"),
    ];
    assert_eq!((rows, sum.as_str()), (expected.to_vec(), "all 4"));
    let (rows, _) = counted(collector, &["--by", "severity"]);
    let expected = [
        format!("3 high 2 50% {whole}"),
        format!("1 low 1 25% {half}"),
        format!("2 med 1 25% {half}"),
    ];
    assert_eq!(rows, expected);
    let (rows, _) = counted(collector, &["--by", "source", "--project", "ours"]);
    assert_eq!(rows[0], format!("internal 3 75% {whole}"));
    for by in ["classification", "build", "system_name", "host_type"] {
        let path = format!("/v1/records/counts?by={by}");
        let expected = collector.json(&path).await;
        assert!(!expected["days"].as_array().unwrap().is_empty());
        assert_eq!(parsed(collector, &["stats", "--by", by]), expected);
    }
    for words in [
        ["stats", "--project", "nobody"],
        ["stats", "--until", "2020-01-01"],
    ] {
        let none = run(collector, &words);
        let said = String::from_utf8_lossy(&none.stderr).into_owned();
        assert!(
            none.status.success() && none.stdout.is_empty() && said.contains("no record came"),
            "{none:?}"
        );
    }
    three.collector.remove().await;
}

#[tokio::test]
async fn records_are_counted_for_people_on_sqlite() {
    stats(Store::Sqlite).await;
}

#[tokio::test]
async fn records_are_counted_for_people_on_postgresql() {
    stats(Store::Postgres).await;
}

/// Somebody who watches by the command.
struct Watcher {
    child: Child,
    output: PathBuf,
}

impl Watcher {
    fn start(collector: &Collector, name: &str, words: &[&str]) -> Self {
        let output = collector.program.path(name);
        let mut command = Command::new(program_path());
        command.args(["records", "tail"]).args(words);
        command.current_dir(collector.program.directory.path());
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        command.stdout(File::create(&output).unwrap());
        let child = command.spawn().unwrap();
        Self { child, output }
    }

    /// Its lines, once there are so many.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let what = format!("{count} records are printed");
        wait::until(&what, wait::SOON, async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended by itself: {ended:?}");
            let text = std::fs::read_to_string(&self.output).unwrap();
            let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            let is_there = lines.len() >= count && text.ends_with('\n');
            is_there.then_some(lines)
        })
        .await
    }

    /// Ends it as people do; its code.
    async fn end(mut self) -> i32 {
        send_signal(self.child.id(), Signal::INT);
        let ended = wait::until("it ends", wait::SOON, async || {
            self.child.try_wait().unwrap()
        });
        code(ended.await)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Of one that has ended nothing is left to kill.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// What is there already comes first if it is asked for, then each record as it comes, and Ctrl-C is a good
/// end.
async fn watched(store: Store) {
    let Some(three) = Three::keep(store).await else {
        return;
    };
    let collector = &three.collector;
    let mut people = Watcher::start(collector, "people.log", &["--last", "2"]);
    let words = ["--severity", "high", "--last", "5", "--json"];
    let mut script = Watcher::start(collector, "script.log", &words);
    assert_eq!(people.lines(2).await.len(), 2);
    assert_eq!(script.lines(1).await.len(), 1);
    let unseen = keep(collector, &Record::new().set("severity", "4")).await;
    let new = crash(&["two", "main"]).set("machine_id", "m3");
    let new = keep(collector, &new).await;
    let lines = people.lines(4).await;
    let long = "c588b962…";
    for (line, (id, short)) in lines.iter().zip([
        (three.odd, ["low", "a/b/c", "m2"]),
        (three.usual, ["med", "org.example/test/thing", long]),
        (unseen, ["crit", "org.example/test/thing", long]),
        (new, ["high", "crash/clr", "m3"]),
    ]) {
        let record = three.one(id).await;
        let mut found = cells(line);
        let received = record["received_at"].as_str().unwrap();
        let (_, time) = received.split_once('T').unwrap();
        let clock = found.remove(0);
        assert!(clock.len() == 8 && time.starts_with(clock), "{line}");
        assert_eq!(found, row(&record, short), "{line}");
    }
    let lines = script.lines(2).await;
    let page = collector.json("/v1/records?severity=3").await;
    let [newer, older] = [&page["records"][0], &page["records"][1]];
    assert_eq!(
        (&newer["id"], &older["id"]),
        (&json!(new), &json!(three.crash))
    );
    for (line, expected) in lines.iter().zip([older, newer]) {
        let found: Value = serde_json::from_str(line).unwrap();
        assert_eq!(found, *expected);
    }
    for watcher in [people, script] {
        assert_eq!(watcher.end().await, 0);
    }
    let read = |name: &str| std::fs::read_to_string(collector.program.path(name)).unwrap();
    let counts = ["people.log", "script.log"].map(|name| read(name).lines().count());
    assert_eq!(counts, [4, 2]);
    three.collector.remove().await;
}

#[tokio::test]
async fn records_are_printed_as_they_come_on_sqlite() {
    watched(Store::Sqlite).await;
}

#[tokio::test]
async fn records_are_printed_as_they_come_on_postgresql() {
    watched(Store::Postgres).await;
}
