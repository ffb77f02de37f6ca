//! Old segments in the bucket of a real S3 server: moved, read by range, away, back, damaged, retired.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use it::client;
use it::need::need;
use it::program::{Launch, Program};
use it::s3s::S3Server;
use it::samples::{self, Series};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::remote_write::Version;

/// The longest until segments have moved, or gone: it is looked for them every 30 s.
const MOVED: Duration = Duration::from_mins(2);
const DAY: i64 = 86_400_000;
/// Series of the first day, and their samples. Together more than a part of an upload.
const DENSE: (u64, i64) = (230, 5_760);

/// Midnight some days ago, in milliseconds since 1970.
fn days_ago(days: i64) -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    (now.div_euclid(DAY) - days) * DAY
}

/// A number that nothing makes smaller.
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = f64::from_bits(mixed ^ (mixed >> 32));
    if value.is_finite() { value } else { 1.0 }
}

/// One day of much, two of little, and a sample of today.
async fn fill(program: &Program) {
    let authority = program.main.to_string();
    let (series, count) = DENSE;
    let begin = days_ago(8);
    for from in (0..count).step_by(240) {
        let one = |number: u64| {
            let name = number.to_string();
            let mut one = Series::new(&[("__name__", "dense"), ("number", &name)]);
            for at in from..from + 240 {
                let seed = number * 100_000 + at.unsigned_abs();
                one = one.at(begin + at * 15_000, noise(seed));
            }
            one
        };
        let all: Vec<Series> = (0..series).map(one).collect();
        samples::write(&authority, Version::Two, &all).await;
    }
    for day in [6, 4] {
        let mut one = Series::new(&[("__name__", "sparse")]);
        for minute in 0..1_440 {
            one = one.at(days_ago(day) + minute * 60_000, minute as f64);
        }
        samples::write(&authority, Version::Two, &[one]).await;
    }
    let today = Series::new(&[("__name__", "sparse")]).at(days_ago(0), 7.0);
    samples::write(&authority, Version::Two, &[today]).await;
}

fn configuration(objects: Option<&S3Server>, retention: &str) -> String {
    let mut more = json!({"retention": retention});
    if let Some(server) = objects {
        let endpoint = wire::s3::key::percent_encode(&server.endpoint, false);
        let url = format!("s3://samples/kept?endpoint={endpoint}&allow_http=true");
        let (key, secret) = S3Server::KEY;
        more["objects"] = json!({
            "url": url, "after": "1d", "access_key": key, "secret_key": secret,
        });
    }
    samples::monitor(more)
}

async fn restart_with(program: &mut Program, configuration: &str) {
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(wait::SOON).await, 0);
    program.write("landline.yaml", configuration);
    program.restart();
    program.ready().await;
}

/// The answer to a question about each day, or why there is none.
async fn ask(program: &Program, expression: &str, day: i64) -> Result<Value, String> {
    let time = (days_ago(day) + DAY - 60_000) / 1_000;
    let parameters = [("query", expression), ("time", &time.to_string())];
    let path = samples::with_parameters("/api/v1/query", &parameters);
    let reply = client::get(&format!("http://{}{path}", program.main), &[]).await;
    let reply = reply.unwrap();
    let mut body = reply.json();
    match reply.status {
        200 => Ok(body["data"]["result"].take()),
        _ => Err(body["error"].as_str().unwrap_or_default().to_owned()),
    }
}

const QUESTIONS: [(&str, i64); 5] = [
    ("dense{number=\"7\"}[10m]", 8),
    ("sum by (number) (count_over_time(dense[1d]))", 8),
    ("max_over_time(dense{number=~\"1.\"}[1d])", 8),
    ("sum_over_time(sparse[1d])", 6),
    ("rate(sparse[1h])", 4),
];

async fn ask_all(program: &Program) -> Vec<Result<Value, String>> {
    let mut answers = Vec::new();
    for (expression, day) in QUESTIONS {
        answers.push(ask(program, expression, day).await);
    }
    answers
}

/// The files below a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|have| have == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn command(program: &Program, arguments: &[&str], code: i32) -> String {
    let output = program.command(arguments);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

async fn until_moved(program: &Program, count: usize) {
    wait::until("segments have moved", MOVED, async || {
        let segments = "landline_samples_object_segments";
        let moved = program.metric(segments, &[]).await;
        ((moved - count as f64).abs() < 0.5).then_some(())
    })
    .await;
}

/// One of its own metrics when it is not 0 any more: these are set every 30 s.
async fn metric(program: &Program, name: &str) -> f64 {
    wait::until(name, MOVED, async || {
        let value = program.metric(name, &[]).await;
        (value > 0.0).then_some(value)
    })
    .await
}

/// Without the bucket the rest is answered, and what is missing is named.
async fn check_away(program: &Program) {
    let error = ask(program, "sparse", 6).await.unwrap_err();
    assert!(error.contains("/segments/0000000"), "{error}");
    let today = ask(program, "sparse", -1).await;
    assert_eq!(today, Ok(json!([])), "nothing of the bucket is needed");
}

/// What commands say of a store of which three segments are in a bucket.
fn check_commands(program: &Program, server: &S3Server) {
    let inspected = command(program, &["store", "inspect", "--json"], 0);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let segments = inspected["segments"].as_array().unwrap();
    let places: Vec<&Value> = segments.iter().map(|one| &one["place"]).collect();
    let far = places.iter().filter(|place| **place == "bucket").count();
    assert_eq!((far, places.len()), (3, 4), "{inspected}");
    let verify = |code| command(program, &["store", "verify", "--json"], code);
    let verified: Value = serde_json::from_str(&verify(0)).unwrap();
    assert_eq!(
        (&verified["is_whole"], &verified["segments_in_bucket"]),
        (&json!(true), &json!(3))
    );
    let export = ["store", "export", "--match", "sparse"];
    let exported = command(program, &export, 0);
    assert_eq!(
        exported
            .lines()
            .filter(|line| line.starts_with("sparse"))
            .count(),
        2_881
    );
    let object = files(&server.files("samples"), "seg").remove(0);
    let bytes = std::fs::read(&object).unwrap();
    let mut wrong = bytes.clone();
    wrong[bytes.len() / 2] ^= 4;
    std::fs::write(&object, &wrong).unwrap();
    let told = verify(1);
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name) && told.contains("damaged"), "{told}");
    std::fs::write(&object, &bytes).unwrap();
    verify(0);
}

#[tokio::test]
async fn old_segments_lie_in_a_bucket() {
    let Some(s3s) = need("S3S_FS") else {
        return;
    };
    let mut server = S3Server::start(&s3s, "samples").await;
    let mut program = Launch::new(&configuration(None, "forever")).start().await;
    fill(&program).await;
    let before = ask_all(&program).await;
    assert!(
        before
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|one| one[0].is_object()))
    );
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(wait::SOON).await, 0);
    program.write("landline.yaml", &configuration(Some(&server), "forever"));
    command(&program, &["store", "compact"], 0);
    let local = program.path("data/signals/segments");
    let segments = files(&local, "seg");
    assert_eq!(segments.len(), 4);
    let largest = segments
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .max();
    assert!(largest > Some(9 << 20), "an upload in parts: {largest:?}");
    program.restart();
    program.ready().await;
    until_moved(&program, 3).await;
    assert_eq!(
        (files(&local, "seg").len(), files(&local, "foot").len()),
        (1, 3)
    );
    let objects = files(&server.files("samples"), "seg");
    assert_eq!(objects.len(), 3, "{}", server.log());
    assert_eq!(
        ask(&program, QUESTIONS[0].0, QUESTIONS[0].1).await,
        before[0]
    );
    let read = metric(&program, "landline_samples_object_read_bytes_total").await;
    assert!(read < f64::from(4 << 20), "by range: {read}");
    assert_eq!(ask_all(&program).await, before);

    server.stop();
    restart_with(&mut program, &configuration(Some(&server), "forever")).await;
    check_away(&program).await;
    metric(&program, "landline_samples_object_errors_total").await;
    restart_with(&mut program, &configuration(None, "forever")).await;
    check_away(&program).await;
    let error = ask(&program, "sparse", 6).await.unwrap_err();
    assert!(error.contains("monitor.objects"), "{error}");
    server.restart().await;
    restart_with(&mut program, &configuration(Some(&server), "forever")).await;
    assert_eq!(ask_all(&program).await, before);

    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(wait::SOON).await, 0);
    check_commands(&program, &server);
    program.write("landline.yaml", &configuration(Some(&server), "5d"));
    program.restart();
    program.ready().await;
    wait::until("retention has removed objects", MOVED, async || {
        (files(&server.files("samples"), "seg").len() == 1).then_some(())
    })
    .await;
    until_moved(&program, 1).await;
    assert_eq!(
        ask(&program, QUESTIONS[4].0, QUESTIONS[4].1).await,
        before[4]
    );
    assert_eq!(ask(&program, "sparse", 6).await, Ok(json!([])));
}
