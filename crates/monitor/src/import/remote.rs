//! Bringing in what another server gives by remote read: the series of a stretch of time, which become a
//! segment.

use std::collections::BTreeMap;

use bytes::Bytes;
use query::matcher::{Comparison, Matcher};
use signals::{Labels, METRIC_NAME, SeriesSamples, Store};
use wire::protobuf::Malformed;
use wire::remote_read::{self, Query, Request, results};
use wire::remote_write::{Item, Series};
use wire::snappy::{self, SnappyError};
use wire::tsdb::chunk::Sample;

use super::{ImportError, Taken, put, sort};
use crate::export;

/// Bytes of an answer without its compression, which is held as a whole, and its samples beside it.
const UNPACKED_BYTES_MAX: usize = 512 << 20;

/// Why an answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Less time has less.
    #[error("the answer is too large: {0}")]
    TooLarge(SnappyError),
    /// It is no answer.
    #[error("the answer is no answer of remote read: {0}")]
    Malformed(String),
    /// Labels of a series are no text.
    #[error("the answer has labels that are not UTF-8")]
    NotText,
    /// Ours.
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl From<Malformed> for AnswerError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<SnappyError> for AnswerError {
    fn from(error: SnappyError) -> Self {
        match error {
            SnappyError::TooLarge { .. } => Self::TooLarge(error),
            SnappyError::Malformed => Self::Malformed(error.to_string()),
        }
    }
}

/// Which series are asked for.
#[derive(Debug)]
pub struct Wanted(Vec<Matcher>);

impl Wanted {
    /// Those that a selector such as `up{job="node"}` matches, or all.
    ///
    /// # Errors
    /// Why it is no selector.
    pub fn of(selector: Option<&str>) -> Result<Self, String> {
        let matchers = match selector {
            Some(selector) => export::selector(selector)?,
            None => vec![Matcher::new(METRIC_NAME, Comparison::Matches, ".+")?],
        };
        Ok(Self(matchers))
    }

    /// The packed body of a request for all samples from `start` to `end`, inclusive, in milliseconds
    /// since 1970.
    pub fn request(&self, start: i64, end: i64) -> Bytes {
        let query = Query {
            start,
            end,
            matchers: self.0.iter().map(matcher).collect(),
        };
        let request = Request {
            queries: vec![query],
            takes_samples: true,
        };
        // It is far from the 4 GiB that can't be packed.
        snappy::pack(&request.write()).unwrap_or_default().into()
    }
}

fn matcher(matcher: &Matcher) -> remote_read::Matcher<'_> {
    remote_read::Matcher {
        comparison: match matcher.comparison {
            Comparison::Equal => remote_read::Comparison::Equal,
            Comparison::NotEqual => remote_read::Comparison::NotEqual,
            Comparison::Matches => remote_read::Comparison::Matches,
            Comparison::NotMatches => remote_read::Comparison::NotMatches,
        },
        name: &matcher.name,
        value: &matcher.value,
    }
}

/// Brings the series of an answer in. Blocks.
pub fn answer(store: &Store, packed: &[u8]) -> Result<Taken, AnswerError> {
    let plain = snappy::unpack(packed, UNPACKED_BYTES_MAX)?;
    let mut taken = Taken::default();
    let mut all: BTreeMap<Labels, SeriesSamples> = BTreeMap::new();
    for result in results(&plain)? {
        for series in result.series() {
            gather(&series?, &mut all, &mut taken)?;
        }
    }
    let mut import = store.import().map_err(ImportError::from)?;
    for (labels, samples) in &mut all {
        sort(samples);
        import.add(labels, samples).map_err(ImportError::from)?;
    }
    taken.segment = import.finish().map_err(ImportError::from)?;
    Ok(taken)
}

fn gather(
    series: &Series<'_>,
    all: &mut BTreeMap<Labels, SeriesSamples>,
    taken: &mut Taken,
) -> Result<(), AnswerError> {
    let mut pairs = Vec::new();
    series.labels(&mut pairs)?;
    let mut texts = Vec::new();
    for (name, value) in pairs {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| AnswerError::NotText);
        texts.push((text(name)?, text(value)?));
    }
    let labels = match Labels::new(texts) {
        Ok(labels) => labels,
        Err(reason) => {
            let refused = taken.refused.get_or_insert_with(|| (0, reason.to_string()));
            refused.0 += 1;
            return Ok(());
        }
    };
    let samples = all.entry(labels).or_default();
    for item in series.items() {
        match item? {
            Item::Sample(sample) => put(samples, sample.timestamp, Sample::Float(sample.value)),
            Item::Histogram(one) => put(samples, one.timestamp, Sample::Histogram(one.histogram)),
            Item::Exemplar(_) => {}
        }
    }
    Ok(())
}
