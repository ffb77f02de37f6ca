//! The same samples in a real Prometheus 2.42 and in the monitor, and the same generated queries to both:
//! every value is compared.

mod generator;

use std::collections::BTreeMap;

use it::client::Connection;
use it::need::need;
use it::program::Program;
use it::prometheus::Prometheus;
use it::relayed::note;
use it::samples::{self, point};
use serde_json::{Value, json};
use wire::remote_write::Version;

use generator::{BEGIN, Random, SECONDS};

/// By which share of the larger two values may differ, as in the acceptance files: sums are made in another
/// order, and since version 3 with more digits.
const TOLERANCE: f64 = 1e-6;

/// Numbers by labels and time; an error is none.
type Answer = Option<BTreeMap<(String, i64), f64>>;

/// A question, as parameters of the API.
#[derive(Debug)]
struct Question {
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
}

impl Question {
    fn new(random: &mut Random) -> Self {
        let mut parameters = vec![("query", generator::query(random))];
        // Seven seconds past a multiple of ten.
        let start = BEGIN / 1_000 + 607 + random.below(SECONDS / 20) * 10;
        let path = if random.below(4) == 0 {
            parameters.push(("time", start.to_string()));
            "/api/v1/query"
        } else {
            parameters.push(("start", start.to_string()));
            parameters.push(("end", (start + 1_500).to_string()));
            parameters.push(("step", (10 + 10 * random.below(20)).to_string()));
            "/api/v1/query_range"
        };
        Self { path, parameters }
    }

    async fn ask(&self, connection: &mut Connection) -> Answer {
        let pairs = self.parameters.iter();
        let pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (*name, value.as_str())).collect();
        let path = samples::with_parameters(self.path, &pairs);
        let reply = connection.send("GET", &path, &[], "").await.unwrap().json();
        (reply["status"] == "success").then(|| numbers(&reply["data"]))
    }
}

fn numbers(data: &Value) -> BTreeMap<(String, i64), f64> {
    let mut numbers = BTreeMap::new();
    for series in data["result"].as_array().unwrap() {
        let labels = series["metric"].to_string();
        let many = series["values"].as_array().into_iter().flatten();
        let single = Some(&series["value"]).filter(|value| !value.is_null());
        for (time, number) in many.chain(single).map(point) {
            let before = numbers.insert((labels.clone(), time), number);
            assert!(before.is_none(), "{labels} twice at {time}");
        }
    }
    numbers
}

/// How many values are the same, or the first difference.
fn compare(own: &Answer, other: &Answer) -> Result<usize, String> {
    let (own, other) = match (own, other) {
        (Some(own), Some(other)) => (own, other),
        (None, None) => return Ok(0),
        (own, _) => {
            let who = if own.is_none() { "we" } else { "Prometheus" };
            return Err(format!("only {who} refuse"));
        }
    };
    for (key, theirs) in other {
        match own.get(key) {
            None => return Err(format!("{key:?} is missing, {theirs}")),
            Some(ours) if !is_same(*ours, *theirs) => {
                return Err(format!("{key:?}: {ours}, and Prometheus says {theirs}"));
            }
            Some(_) => {}
        }
    }
    match own.keys().find(|key| !other.contains_key(*key)) {
        Some(key) => Err(format!("{key:?} is too many, {}", own[key])),
        None => Ok(own.len()),
    }
}

fn is_same(one: f64, other: f64) -> bool {
    let larger = one.abs().max(other.abs());
    one.to_bits() == other.to_bits()
        || one.is_nan() && other.is_nan()
        || (one - other).abs() <= TOLERANCE * larger
        // What is left when equal numbers are taken from one another.
        || larger < 1e-9
}

#[tokio::test]
async fn generated_queries_say_the_same_as_a_prometheus() {
    differ(6, 200).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn ten_thousand_queries_say_the_same_as_a_prometheus() {
    for seed in 0..10 {
        differ(seed, 1_000).await;
    }
}

/// Loads data and asks so many queries, all from a seed.
async fn differ(seed: u64, queries: usize) {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let more = json!({"retention": "forever", "out_of_order": "10000d"});
    let landline = Program::start(&samples::monitor(more)).await;
    let configuration = "storage: {tsdb: {out_of_order_time_window: 30d}}\n";
    let arguments = [
        "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=100y",
    ];
    let prometheus = Prometheus::start_with(&program, configuration, &arguments).await;
    let (here, there) = (landline.main.to_string(), prometheus.authority());
    let mut random = Random::new(seed);
    for series in generator::data(&mut random).chunks(7) {
        samples::write(&there, Version::One, series).await;
        samples::write(&here, Version::Two, series).await;
    }
    let mut own = Connection::open(&here).await.unwrap();
    let mut other = Connection::open(&there).await.unwrap();
    let (mut values, mut refused, mut empty) = (0, 0, 0);
    let mut differences = Vec::new();
    for _ in 0..queries {
        let question = Question::new(&mut random);
        let answer = question.ask(&mut own).await;
        refused += usize::from(answer.is_none());
        empty += usize::from(answer.as_ref().is_some_and(BTreeMap::is_empty));
        match compare(&answer, &question.ask(&mut other).await) {
            Ok(count) => values += count,
            Err(difference) => differences.push(format!("{question:?}\n    {difference}")),
        }
    }
    note(&format!(
        "{queries} queries from the seed {seed}, {values} values the same, {empty} queries give nothing, {refused} are refused"
    ));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // Most of them ask something.
    assert!(values > 50 * queries && empty < queries / 3 && refused < queries / 10);
}
