//! An answer of the API v1 read back into what the engine gave.

use std::collections::BTreeSet;
use std::sync::Arc;

use it::samples::{number, point};
use query::histogram::{Bucket, Histogram};
use query::labels::Labels;
use query::promql::annotations::Annotations;
use query::promql::engine::{Outcome, QueryError};
use query::promql::value::{MatrixSeries, Sample, Value as Found, VectorSample};
use serde_json::Value;

use super::compare::TOLD;

/// What stands before the message of a query that is none.
const OF_THE_QUERY: &str = "invalid parameter \"query\": ";

/// Reads an answer.
pub(crate) fn read(answer: &Value) -> Result<Outcome, QueryError> {
    if answer["status"] != "success" {
        let message = answer["error"].as_str().unwrap();
        let message = message.strip_prefix(OF_THE_QUERY).unwrap_or(message);
        return Err(QueryError::Execution(message.to_owned()));
    }
    let annotations = Annotations {
        warnings: notes(&answer["warnings"]),
        infos: notes(&answer["infos"]),
    };
    Ok(Outcome {
        value: value(&answer["data"]),
        annotations,
        samples: 0,
    })
}

fn notes(notes: &Value) -> BTreeSet<String> {
    let notes = notes.as_array().into_iter().flatten();
    notes
        .map(|note| note.as_str().unwrap().to_owned())
        .collect()
}

fn value(data: &Value) -> Found {
    let result = &data["result"];
    let all = || result.as_array().unwrap().iter();
    match data["resultType"].as_str().unwrap() {
        "scalar" => {
            let (time, number) = point(result);
            Found::Scalar(time, number)
        }
        "string" => Found::Text(0, result[1].as_str().unwrap().to_owned()),
        "vector" => Found::Vector(all().map(vector_sample).collect()),
        "matrix" => Found::Matrix(all().map(matrix_series).collect()),
        other => panic!("a result of the type {other}"),
    }
}

fn labels(series: &Value) -> Labels {
    let pairs = series["metric"].as_object().unwrap().iter();
    Labels::new(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
}

fn vector_sample(series: &Value) -> VectorSample {
    let (timestamp_ms, sample) = if series["histogram"].is_null() {
        let (time, number) = point(&series["value"]);
        (time, Sample::Float(number))
    } else {
        let (time, histogram) = histogram_point(&series["histogram"]);
        (time, Sample::Histogram(histogram))
    };
    VectorSample {
        labels: labels(series),
        timestamp_ms,
        sample,
    }
}

fn matrix_series(series: &Value) -> MatrixSeries {
    let all = |name: &str| series[name].as_array().into_iter().flatten();
    MatrixSeries {
        labels: labels(series),
        floats: all("values").map(point).collect(),
        histograms: all("histograms").map(histogram_point).collect(),
    }
}

fn histogram_point(point: &Value) -> (i64, Arc<Histogram>) {
    let time = point[0].as_f64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "times of tests are small")]
    let time = (time * 1000.0).round() as i64;
    let text = |value: &Value| number(value.as_str().unwrap());
    let told = &point[1];
    let (mut positive, mut bounds) = (Vec::new(), Vec::new());
    let buckets = told["buckets"].as_array().into_iter().flatten();
    for (index, bucket) in (0..).zip(buckets) {
        bounds.extend([text(&bucket[1]), text(&bucket[2])]);
        let count = text(&bucket[3]);
        positive.push(Bucket { index, count });
    }
    let histogram = Histogram {
        schema: TOLD,
        count: text(&told["count"]),
        sum: text(&told["sum"]),
        positive,
        custom_values: bounds.into(),
        ..Histogram::default()
    };
    (time, Arc::new(histogram))
}
