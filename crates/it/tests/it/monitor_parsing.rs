//! The corpus of expressions against a real Prometheus: it takes what the corpus says that it takes.

#[path = "../../../query/tests/query/expressions/corpus.rs"]
mod corpus;

use it::client::{self, Reply};
use it::need::need;
use it::program::Program;
use it::prometheus::Prometheus;
use it::samples;
use serde_json::{Value, json};

use corpus::{Verdict, corpus};

async fn ask(authority: &str, expression: &str) -> Reply {
    let parameters = [("query", expression), ("time", "0")];
    let path = samples::with_parameters("/api/v1/query", &parameters);
    let url = format!("http://{authority}{path}");
    client::get(&url, &[]).await.unwrap()
}

/// Whether the parser took it: what fails later, such as a label of another name, is another matter.
fn is_taken(reply: &Reply) -> bool {
    let answer: Value = reply.json();
    let error = answer["error"].as_str().unwrap_or_default();
    let is_refused = answer["errorType"] == "bad_data" && error.contains("parse error");
    assert_eq!(is_refused, reply.status == 400, "{answer}");
    !is_refused
}

#[tokio::test]
async fn a_prometheus_takes_and_refuses_the_same_expressions() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let prometheus = Prometheus::start(&program, "{}").await;
    let there = prometheus.authority();
    let version = client::get(&prometheus.url("/api/v1/status/buildinfo"), &[]).await;
    let version = version.unwrap().json()["data"]["version"].to_string();
    let is_known = version.contains("2.42.");
    let mut wrong = Vec::new();
    for case in corpus() {
        let expected = match case.verdict {
            Verdict::Accepted => true,
            Verdict::Refused(_) => false,
            // What has come or gone since is told of this version alone.
            Verdict::Younger | Verdict::Older(_) if !is_known => continue,
            Verdict::Younger => false,
            Verdict::Older(_) => true,
        };
        if is_taken(&ask(&there, &case.expression).await) != expected {
            wrong.push(case.expression);
        }
    }
    assert!(wrong.is_empty(), "Prometheus {version}: {wrong:#?}");
}

/// What a client is told: the same status and kind of error, and the place in the text.
#[tokio::test]
async fn a_refused_expression_is_bad_data_with_its_place() {
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let here = landline.main.to_string();
    for case in corpus().iter().step_by(7) {
        let reply = ask(&here, &case.expression).await;
        let place = match case.verdict {
            Verdict::Accepted | Verdict::Younger => None,
            Verdict::Refused(place) | Verdict::Older(place) => Some(place),
        };
        assert_eq!(is_taken(&reply), place.is_none(), "{}", case.expression);
        if let Some((line, column)) = place {
            let error = reply.json()["error"].to_string();
            let wanted = format!("{line}:{column}: parse error: ");
            assert!(error.contains(&wanted), "{}: {error}", case.expression);
        }
    }
}
