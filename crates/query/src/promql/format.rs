//! Results as the HTTP API v1 of Prometheus shows them: JSON, written straight into a buffer.

use std::fmt::Write as _;

use super::value::{MatrixSeries, Sample, Value, VectorSample};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::number::{Sampled, push_sampled};

/// Times whose texts are kept.
const TIMES_MAX: usize = super::engine::STEPS_MAX;

/// Writes `{"resultType":…,"result":…}`.
pub fn value(out: &mut String, value: &Value) {
    match value {
        Value::Scalar(time, number) => {
            out.push_str(r#"{"resultType":"scalar","result":"#);
            point(out, *time, *number);
        }
        Value::Text(time, text) => {
            out.push_str(r#"{"resultType":"string","result":["#);
            seconds(out, *time);
            out.push(',');
            string(out, text);
            out.push(']');
        }
        Value::Vector(samples) => {
            out.push_str(r#"{"resultType":"vector","result":["#);
            list(out, samples, vector_sample);
            out.push(']');
        }
        Value::Matrix(series) => {
            out.push_str(r#"{"resultType":"matrix","result":["#);
            let mut times = Times::default();
            list(out, series, |out, series| {
                matrix_series(out, series, &mut times);
            });
            out.push(']');
        }
    }
    out.push('}');
}

fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

fn vector_sample(out: &mut String, sample: &VectorSample) {
    out.push_str(r#"{"metric":"#);
    labels(out, &sample.labels);
    match &sample.sample {
        Sample::Float(number) => {
            out.push_str(r#","value":"#);
            point(out, sample.timestamp_ms, *number);
        }
        Sample::Histogram(found) => {
            out.push_str(r#","histogram":"#);
            histogram_point(out, sample.timestamp_ms, found);
        }
    }
    out.push('}');
}

/// The texts of times: all series of a result mostly have the same, one after the other.
#[derive(Default)]
struct Times {
    text: String,
    /// Each time, and where its text ends.
    ends: Vec<(i64, usize)>,
}

impl Times {
    /// Writes the time of a point, which is the one at this place of its series.
    fn write(&mut self, out: &mut String, place: usize, time_ms: i64) {
        let begin = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(0, |(_, end)| *end),
            None => 0,
        };
        match self.ends.get(place) {
            Some((known, end)) if *known == time_ms => {
                out.push_str(self.text.get(begin..*end).unwrap_or_default());
            }
            Some(_) => seconds(out, time_ms),
            None => {
                let before = out.len();
                seconds(out, time_ms);
                if self.ends.len() == place && place < TIMES_MAX {
                    self.text.push_str(out.get(before..).unwrap_or_default());
                    self.ends.push((time_ms, self.text.len()));
                }
            }
        }
    }
}

fn matrix_series(out: &mut String, series: &MatrixSeries, times: &mut Times) {
    out.push_str(r#"{"metric":"#);
    labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.push_str(r#","values":["#);
        // What stays the same is written once and copied.
        let mut before = (0, 0..0);
        for (place, (time, number)) in series.floats.iter().enumerate() {
            out.push_str(if place > 0 { ",[" } else { "[" });
            times.write(out, place, *time);
            out.push_str(",\"");
            let begin = out.len();
            let (bits, text) = &before;
            if !text.is_empty() && *bits == number.to_bits() {
                out.extend_from_within(text.clone());
            } else {
                push_sampled(out, *number);
            }
            before = (number.to_bits(), begin..out.len());
            out.push_str("\"]");
        }
        out.push(']');
    }
    if !series.histograms.is_empty() {
        out.push_str(r#","histograms":["#);
        list(out, &series.histograms, |out, (time, found)| {
            histogram_point(out, *time, found);
        });
        out.push(']');
    }
    out.push('}');
}

/// Labels as an object.
pub fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (place, (name, value)) in labels.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

fn point(out: &mut String, time_ms: i64, number: f64) {
    out.push('[');
    seconds(out, time_ms);
    out.push_str(",\"");
    push_sampled(out, number);
    out.push_str("\"]");
}

/// Seconds with as many decimals as are needed.
fn seconds(out: &mut String, time_ms: i64) {
    let (whole, mut rest) = (time_ms / 1000, time_ms.unsigned_abs() % 1000);
    if whole == 0 && time_ms < 0 {
        out.push('-');
    }
    out.push_str(itoa::Buffer::new().format(whole));
    if rest != 0 {
        out.push('.');
    }
    let mut unit = 100;
    while rest != 0 {
        let digit = u8::try_from(rest / unit).unwrap_or(0);
        out.push(char::from(b'0' + digit));
        rest %= unit;
        unit /= 10;
    }
}

fn histogram_point(out: &mut String, time_ms: i64, histogram: &Histogram) {
    out.push('[');
    seconds(out, time_ms);
    let (count, sum) = (Sampled(histogram.count), Sampled(histogram.sum));
    write!(out, ",{{\"count\":\"{count}\",\"sum\":\"{sum}\"").unwrap_or_default();
    let spans = histogram.spans();
    if !spans.is_empty() {
        out.push_str(",\"buckets\":[");
        list(out, &spans, |out, span| {
            // Which ends belong to the bucket: 0 the upper, 1 the lower, 3 both.
            let is_zero = span.lower <= 0.0 && span.upper >= 0.0;
            let ends = if histogram.has_custom_buckets() {
                0
            } else if is_zero {
                3
            } else {
                u8::from(span.lower < 0.0)
            };
            let (lower, upper) = (Sampled(span.lower), Sampled(span.upper));
            let count = Sampled(span.count);
            write!(out, "[{ends},\"{lower}\",\"{upper}\",\"{count}\"]").unwrap_or_default();
        });
        out.push(']');
    }
    out.push_str("}]");
}

/// A text in quotes.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(letter)).unwrap_or_default();
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn written(shown: &Value) -> String {
        let mut out = String::new();
        value(&mut out, shown);
        out
    }

    #[test]
    fn numbers_are_texts_and_times_are_seconds() {
        let vector = Value::Vector(vec![VectorSample {
            labels: Labels::new([("a", "\"<\n")]),
            timestamp_ms: 1_500,
            sample: Sample::Float(f64::INFINITY),
        }]);
        let expected = r#"{"resultType":"vector","result":[{"metric":{"a":"\"\u003c\n"},"value":[1.5,"+Inf"]}]}"#;
        assert_eq!(written(&vector), expected);
        let scalar = r#"{"resultType":"scalar","result":[-0.05,"1000000"]}"#;
        assert_eq!(written(&Value::Scalar(-50, 1e6)), scalar);
        assert_eq!(
            written(&Value::Matrix(Vec::new())),
            r#"{"resultType":"matrix","result":[]}"#
        );
    }

    #[test]
    fn series_with_other_times_have_their_own() {
        let series = [vec![1_000, 2_500], vec![2_500, 3_000, 4_000], vec![1_000]];
        let series = series.map(|times| MatrixSeries {
            labels: Labels::none(),
            floats: times.into_iter().map(|time| (time, 0.5)).collect(),
            histograms: Vec::new(),
        });
        let expected = r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0.5"],[2.5,"0.5"]]},{"metric":{},"values":[[2.5,"0.5"],[3,"0.5"],[4,"0.5"]]},{"metric":{},"values":[[1,"0.5"]]}]}"#;
        assert_eq!(written(&Value::Matrix(series.into())), expected);
    }

    #[test]
    fn histograms_have_buckets_with_their_ends() {
        let histogram = Histogram {
            count: 3.0,
            sum: 2.0,
            zero_count: 1.0,
            zero_threshold: 0.5,
            positive: vec![crate::histogram::Bucket {
                index: 1,
                count: 2.0,
            }],
            ..Histogram::default()
        };
        let matrix = Value::Matrix(vec![MatrixSeries {
            labels: Labels::none(),
            floats: Vec::new(),
            histograms: vec![(1000, Arc::new(histogram))],
        }]);
        let expected = r#"{"resultType":"matrix","result":[{"metric":{},"histograms":[[1,{"count":"3","sum":"2","buckets":[[3,"-0.5","0.5","1"],[0,"1","2","2"]]}]]}]}"#;
        assert_eq!(written(&matrix), expected);
    }
}
