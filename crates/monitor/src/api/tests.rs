//! The paths as clients ask them, over a store with a few series.

use axum::body::Body;
use base::http::{Judge, Judging, Policy};
use base::telemetry::Metrics;
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use signals::{Entry, Exemplar, Labels, Metadata, Options, STALE};
use std::sync::Arc;
use std::time::SystemTime;
use tower::ServiceExt as _;

use super::{About, Api};
use crate::config::QueriesConfig;
use crate::remote::Readers;
use crate::samples::{Samples, now_ms};
use crate::viewer::Viewer;

struct Server {
    router: axum::Router,
    /// Of the newest samples, in milliseconds.
    now: i64,
    _folder: tempfile::TempDir,
}

fn letting_in(viewer: Viewer) -> Policy {
    let judge = move |mut head: Parts| {
        head.extensions.insert(viewer.clone());
        Box::pin(async move { Ok(head) }) as Judging
    };
    Policy::Judged(Judge {
        name: "test",
        judge: Arc::new(judge),
    })
}

impl Server {
    async fn start() -> Self {
        Self::for_viewer(Viewer::of_everything(), QueriesConfig::default()).await
    }

    /// Ten minutes of two counters of two instances, a sample each 15 s, and one that ended.
    async fn for_viewer(viewer: Viewer, config: QueriesConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = Samples::default();
        samples.open(folder.path(), Options::default()).unwrap();
        let now = now_ms() / 1000 * 1000;
        fill(&samples, now).await;
        let about = About {
            version: "1.2.3",
            started: SystemTime::UNIX_EPOCH,
            retention: "15d".to_owned(),
        };
        let api = Api::new(
            (samples, Readers::none()),
            config,
            about,
            &Metrics::default(),
        )
        .unwrap();
        let policy = || letting_in(viewer.clone());
        Self {
            router: api.routes(policy, policy).into_router(),
            now,
            _folder: folder,
        }
    }

    async fn ask(&self, request: Request<Body>) -> (u16, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = base::http::read_body(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let uri = format!("{path}?{}", query.finish());
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let (status, body) = self.ask(request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn seconds(&self, before: i64) -> String {
        (self.now / 1000 - before).to_string()
    }
}

async fn fill(samples: &Samples, now: i64) {
    let write = move |store: &signals::Store, clock: i64| {
        for (instance, step) in [("a:1", 3.0), ("b:1", 6.0)] {
            let pairs = [
                ("__name__", "requests_total"),
                ("instance", instance),
                ("job", "shop"),
            ];
            let labels = Labels::new(pairs).unwrap();
            let entries: Vec<Entry<'_>> = (0..=40)
                .map(|at| entry(&labels, now - 600_000 + at * 15_000, step * at as f64))
                .collect();
            store.append(&entries, clock).unwrap();
            let exemplar = Exemplar {
                series: labels.clone(),
                labels: Labels::new([("trace_id", instance)]).unwrap(),
                value: 1.5,
                timestamp: now - 500,
            };
            store.append_exemplars(vec![exemplar]).unwrap();
        }
        let gone = Labels::new([("__name__", "gone"), ("instance", "a:1")]).unwrap();
        let entries = [
            entry(&gone, now - 60_000, 1.0),
            entry(&gone, now - 30_000, f64::from_bits(STALE)),
        ];
        store.append(&entries, clock).unwrap();
        let known = Metadata {
            kind: "counter".to_owned(),
            help: "Requests.".to_owned(),
            unit: String::new(),
        };
        store
            .append_metadata(vec![("requests_total".to_owned(), known)])
            .unwrap();
    };
    samples.run(write).await.unwrap();
}

fn entry(labels: &Labels, timestamp: i64, value: f64) -> Entry<'_> {
    Entry {
        id: None,
        labels,
        timestamp,
        start: 0,
        value: signals::Value::Float(value),
    }
}

#[tokio::test]
async fn an_instant_query_answers_as_prometheus_does() {
    let server = Server::start().await;
    let time = server.seconds(0);
    let query = ("query", "sum by (job) (rate(requests_total[1m]))");
    let (status, answer) = server.get("/api/v1/query", &[query, ("time", &time)]).await;
    assert_eq!(status, 200);
    let seconds = server.now / 1000;
    let expected = json!({
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [{"metric": {"job": "shop"}, "value": [seconds, "0.6"]}],
        },
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_range_query_by_form_gives_a_matrix() {
    let server = Server::start().await;
    let (start, end) = (server.seconds(30), server.seconds(0));
    let form = format!(
        "query=requests_total%7Binstance%3D%22a%3A1%22%7D&start={start}&end={end}&step=15s"
    );
    let request = Request::post("/api/v1/query_range")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let (status, body) = server.ask(request).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let values = &answer["data"]["result"][0]["values"];
    let begin = server.now / 1000 - 30;
    let expected = json!([[begin, "114"], [begin + 15, "117"], [begin + 30, "120"]]);
    assert_eq!(*values, expected);
}

/// A path, its parameters, and the status, kind and a part of the message that they give.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    u16,
    &'static str,
    &'static str,
);

#[tokio::test]
async fn mistakes_are_told_with_their_kind() {
    let server = Server::start().await;
    let cases: [Case; 8] = [
        (
            "/api/v1/query",
            &[("query", "sum(")],
            400,
            "bad_data",
            "parse error",
        ),
        (
            "/api/v1/query",
            &[("query", "1"), ("time", "soon")],
            400,
            "bad_data",
            "time",
        ),
        (
            "/api/v1/query_range",
            &[("query", "1")],
            400,
            "bad_data",
            "start",
        ),
        (
            "/api/v1/query_range",
            &[
                ("query", "1"),
                ("start", "0"),
                ("end", "100000"),
                ("step", "1"),
            ],
            400,
            "bad_data",
            "maximum resolution",
        ),
        ("/api/v1/series", &[], 400, "bad_data", "match[]"),
        (
            "/api/v1/series",
            &[("match[]", "{job=~\".*\"}")],
            400,
            "bad_data",
            "non-empty",
        ),
        (
            "/api/v1/labels",
            &[("limit", "-1")],
            400,
            "bad_data",
            "limit",
        ),
        (
            "/api/v1/query",
            &[("query", "requests_total + on() requests_total")],
            422,
            "execution",
            "many-to-many",
        ),
    ];
    for (path, parameters, status, kind, text) in cases {
        let (got, answer) = server.get(path, parameters).await;
        assert_eq!(got, status, "{path} {parameters:?}: {answer}");
        assert_eq!(answer["status"], "error");
        assert_eq!(answer["errorType"], kind, "{answer}");
        let message = answer["error"].as_str().unwrap();
        assert!(message.contains(text), "{path} {parameters:?}: {message}");
    }
}

#[tokio::test]
async fn limits_of_samples_and_results_hold() {
    let config = QueriesConfig {
        samples_max: 50,
        ..QueriesConfig::default()
    };
    let server = Server::for_viewer(Viewer::of_everything(), config).await;
    let (status, answer) = server
        .get("/api/v1/query", &[("query", "requests_total[10m]")])
        .await;
    assert_eq!(status, 422, "{answer}");
    let parameters = [("query", "requests_total"), ("limit", "1")];
    let (_, answer) = server.get("/api/v1/query", &parameters).await;
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(
        answer["warnings"],
        json!(["results truncated due to limit"])
    );
}

#[tokio::test]
async fn series_and_labels_are_listed() {
    let server = Server::start().await;
    let (_, answer) = server
        .get(
            "/api/v1/series",
            &[("match[]", "requests_total"), ("match[]", "gone")],
        )
        .await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 3);
    let (_, answer) = server.get("/api/v1/labels", &[]).await;
    assert_eq!(answer["data"], json!(["__name__", "instance", "job"]));
    let (_, answer) = server
        .get("/api/v1/label/instance/values", &[("match[]", "gone")])
        .await;
    assert_eq!(answer["data"], json!(["a:1"]));
    let (_, answer) = server.get("/api/v1/label/U____name__/values", &[]).await;
    assert_eq!(answer["status"], "success");
    let (_, answer) = server.get("/api/v1/metadata", &[]).await;
    let expected =
        json!({"requests_total": [{"type": "counter", "help": "Requests.", "unit": ""}]});
    assert_eq!(answer["data"], expected);
    let (_, answer) = server
        .get(
            "/api/v1/query_exemplars",
            &[("query", "rate(requests_total{instance=\"a:1\"}[5m])")],
        )
        .await;
    assert_eq!(
        answer["data"][0]["exemplars"][0]["labels"]["trace_id"],
        "a:1"
    );
}

#[tokio::test]
async fn who_may_see_some_series_sees_no_others() {
    let viewer = Viewer::new(|labels| labels.get("instance") == "a:1");
    let server = Server::for_viewer(viewer, QueriesConfig::default()).await;
    let (_, answer) = server
        .get("/api/v1/query", &[("query", "count(requests_total)")])
        .await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "1");
    let (_, answer) = server.get("/api/v1/label/instance/values", &[]).await;
    assert_eq!(answer["data"], json!(["a:1"]));
    let (_, answer) = server
        .get("/api/v1/series", &[("match[]", "requests_total")])
        .await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let (_, answer) = server
        .get("/api/v1/query_exemplars", &[("query", "requests_total")])
        .await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let (status, _) = server.get("/api/v1/status/tsdb", &[]).await;
    assert_eq!(status, 400);
    let request = Request::get("/federate?match[]=requests_total")
        .body(Body::empty())
        .unwrap();
    let (_, text) = server.ask(request).await;
    assert!(!text.contains("b:1"), "{text}");
}

#[tokio::test]
async fn federation_tells_the_newest_samples_of_what_goes_on() {
    let server = Server::start().await;
    let uri = "/federate?match[]=%7Binstance%3D~%22.%2B%22%7D";
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let (status, text) = server.ask(request).await;
    assert_eq!(status, 200);
    let now = server.now;
    let expected = format!(
        "# TYPE requests_total counter\n\
         requests_total{{instance=\"a:1\",job=\"shop\"}} 120 {now}\n\
         requests_total{{instance=\"b:1\",job=\"shop\"}} 240 {now}\n"
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let server = Server::start().await;
    let uri = "/api/v1/admin/tsdb/delete_series?match[]=requests_total%7Binstance%3D%22a%3A1%22%7D";
    let request = Request::post(uri).body(Body::empty()).unwrap();
    let (status, body) = server.ask(request).await;
    assert_eq!(status, 204, "{body}");
    let (_, answer) = server
        .get("/api/v1/query", &[("query", "count(requests_total)")])
        .await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "1");
}

#[tokio::test]
async fn a_query_explains_what_it_read_and_the_store_what_it_has() {
    let server = Server::start().await;
    let parameters = [
        ("query", "requests_total{job=\"shop\"}"),
        ("explain", "1"),
        ("stats", "all"),
    ];
    let (_, answer) = server.get("/api/v1/query", &parameters).await;
    let (_, status) = server.get("/api/v1/status/tsdb", &[]).await;
    let head = &status["data"]["headStats"];
    assert_eq!(head["numSeries"], 3, "{status}");
    // Names, instances and the job.
    assert_eq!(head["numLabelPairs"], 5, "{status}");
    assert_eq!(head["maxTime"], server.now, "{status}");
    let read = &answer["data"]["explain"]["selections"][0];
    assert_eq!(read["series"], 2);
    assert_eq!(
        read["selector"],
        "{job=\"shop\",__name__=\"requests_total\"}"
    );
    assert!(
        answer["data"]["stats"]["samples"]["totalQueryableSamples"]
            .as_u64()
            .unwrap()
            >= 2
    );
}

#[tokio::test]
async fn queries_are_formatted_and_shown_as_trees() {
    let server = Server::start().await;
    let query = ("query", "sum(rate(a{b=\"c\"}[300s]))by(job)>1h");
    let (status, answer) = server.get("/api/v1/format_query", &[query]).await;
    assert_eq!(status, 200);
    assert_eq!(answer["data"], "sum by (job) (rate(a{b=\"c\"}[5m])) > 1h");
    let request = Request::post("/api/v1/parse_query")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("query=-(up)"))
        .unwrap();
    let (status, body) = server.ask(request).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["data"]["expr"]["expr"]["name"], "up");
    for path in ["/api/v1/format_query", "/api/v1/parse_query"] {
        let (status, answer) = server.get(path, &[("query", "sum(")]).await;
        assert_eq!(status, 400);
        let error = answer["error"].as_str().unwrap();
        let begin = "invalid parameter \"query\": 1:5: parse error";
        assert!(error.starts_with(begin), "{error}");
    }
}

#[tokio::test]
async fn metadata_has_limits() {
    let server = Server::start().await;
    let ask = async |limit| {
        let parameters = [("limit_per_metric", limit)];
        server.get("/api/v1/metadata", &parameters).await
    };
    let (status, answer) = ask("1").await;
    assert_eq!(
        (
            status,
            answer["data"]["requests_total"].as_array().unwrap().len()
        ),
        (200, 1)
    );
    let (status, answer) = ask("some").await;
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("limit_per_metric")
    );
}

#[tokio::test]
async fn series_are_removed_by_either_method() {
    let server = Server::start().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (method, instance) in [("POST", "a:1"), ("PUT", "b:1")] {
        let body = format!("match[]={{instance=\"{instance}\"}}");
        let request = Request::builder()
            .method(method)
            .uri("/api/v1/admin/tsdb/delete_series")
            .header(form.0, form.1)
            .body(Body::from(body));
        let (status, body) = server.ask(request.unwrap()).await;
        assert_eq!(status, 204, "{method}: {body}");
        let matching = format!("{{instance=\"{instance}\"}}");
        let parameters = [("match[]", matching.as_str())];
        let (_, answer) = server.get("/api/v1/series", &parameters).await;
        assert_eq!(answer["data"], json!([]), "{method}");
    }
    let request = Request::put("/api/v1/admin/tsdb/clean_tombstones").body(Body::empty());
    assert_eq!(server.ask(request.unwrap()).await.0, 204);
}

#[tokio::test]
async fn too_many_deletions_are_told_with_what_to_do() {
    let error = super::ApiError::from(signals::StoreError::ManyTombstones(1_000));
    let response = axum::response::IntoResponse::into_response(error);
    assert_eq!(response.status(), 503);
    let body = base::http::read_body(response.into_body(), 1 << 20).await;
    let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
    assert!(body.contains("clean_tombstones"), "{body}");
}
