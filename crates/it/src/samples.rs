//! Time series as senders and readers of a monitor, or of a real Prometheus, have them: remote write in
//! both versions, and the answers of the API v1 read back.

use bytes::Bytes;
use serde_json::{Value, json};
use wire::remote_write::{Encoder, HistogramSample, Points, Sample, Version};
use wire::snappy;

use crate::client::{self, Connection, Failure, Reply};

/// The path of remote write.
pub const WRITE: &str = "/api/v1/write";

/// A series to send.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// Numbers.
    pub samples: Vec<Sample>,
    /// Native histograms.
    pub histograms: Vec<HistogramSample>,
}

impl Series {
    /// A series without samples.
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            labels: labels.iter().map(owned).collect(),
            ..Self::default()
        }
    }

    /// With one more number; the time in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, timestamp: i64, value: f64) -> Self {
        self.samples.push(Sample {
            value,
            timestamp,
            start: 0,
        });
        self
    }
}

/// A configuration with the role `monitor` alone, which fetches nothing of its own.
pub fn monitor(more: Value) -> String {
    let mut section = json!({"hosts": false, "gateway": false});
    if let (Value::Object(section), Value::Object(more)) = (&mut section, more) {
        section.extend(more);
    }
    let whole = json!({
        "roles": ["monitor"],
        "listen": "127.0.0.1:0",
        "data_dir": "data",
        "monitor": section,
    });
    whole.to_string()
}

/// The body of a request.
pub fn packed(version: Version, series: &[Series]) -> Bytes {
    let mut encoder = Encoder::new(version);
    for one in series {
        let mut labels: Vec<&(String, String)> = one.labels.iter().collect();
        labels.sort_unstable();
        let labels = labels
            .into_iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let points = Points {
            samples: &one.samples,
            histograms: &one.histograms,
            ..Points::default()
        };
        encoder.series(labels, &points);
    }
    snappy::pack(&encoder.finish()).unwrap().into()
}

/// Sends series over a kept connection.
pub async fn send(
    connection: &mut Connection,
    version: Version,
    series: &[Series],
) -> Result<Reply, Failure> {
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", version.content_type()),
        ("x-prometheus-remote-write-version", version.number()),
    ];
    let body = packed(version, series);
    connection.send_bytes(("POST", WRITE), &headers, body).await
}

/// Sends series to `host:port` and insists on 204.
pub async fn write(authority: &str, version: Version, series: &[Series]) {
    let mut connection = Connection::open(authority).await.unwrap();
    let reply = send(&mut connection, version, series).await.unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// `path?name=value&…` with the values encoded.
pub fn with_parameters(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(parameters);
    format!("{path}?{}", encoded.finish())
}

/// The result of an instant query of `host:port`; the time in seconds since 1970.
pub async fn query(authority: &str, expression: &str, time: f64) -> Value {
    let time = time.to_string();
    let parameters = [("query", expression), ("time", time.as_str())];
    let path = with_parameters("/api/v1/query", &parameters);
    let reply = client::get(&format!("http://{authority}{path}"), &[]).await;
    let mut reply = reply.unwrap().json();
    assert_eq!(reply["status"], "success", "{expression}: {reply}");
    reply["data"]["result"].take()
}

/// A point of an answer: milliseconds since 1970, and the number.
pub fn point(point: &Value) -> (i64, f64) {
    let time = point[0].as_f64().unwrap();
    let value = point[1].as_str().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
    let time = (time * 1000.0).round() as i64;
    (time, number(value))
}

/// A number as the API writes it.
pub fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        text => text.parse().unwrap(),
    }
}
