//! Remote read: what Prometheus and its kin ask for samples with. Answers are of the kind `SAMPLES`,
//! everything in one message, or [`chunks`].

pub mod chunks;

use crate::protobuf::{Malformed, Reader, Writer};
use crate::remote_write::{self, Encoder, Version};

/// The media type of requests and answers.
pub const MEDIA_TYPE: &str = "application/x-protobuf";
/// Queries of one request.
pub const QUERIES_MAX: usize = 100;
/// Matchers of one query.
pub const MATCHERS_MAX: usize = 100;

/// The kind of answers that is written here.
const SAMPLES: u64 = 0;
/// The other kind, `STREAMED_XOR_CHUNKS`.
const CHUNKS: u64 = 1;

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

/// What a label has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matcher<'a> {
    /// How it is compared.
    pub comparison: Comparison,
    /// The label.
    pub name: &'a str,
    /// A value or an expression.
    pub value: &'a str,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// From when, in milliseconds since 1970, inclusive.
    pub start: i64,
    /// Until when, in milliseconds since 1970, inclusive.
    pub end: i64,
    /// All of them hold.
    pub matchers: Vec<Matcher<'a>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Each gets a result of its own.
    pub queries: Vec<Query<'a>>,
    /// Who asks understands answers of the kind `SAMPLES`.
    pub takes_samples: bool,
}

impl<'a> Request<'a> {
    /// Reads an unpacked body.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut queries = Vec::new();
        let (mut says_kinds, mut takes_samples) = (false, false);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 if queries.len() >= QUERIES_MAX => {
                    return Err(Malformed::Many(1, QUERIES_MAX));
                }
                1 => queries.push(Query::read(field.bytes()?)?),
                2 => {
                    for kind in field.varints()? {
                        says_kinds = true;
                        takes_samples |= kind? == SAMPLES;
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            queries,
            // The first clients say nothing and know nothing else.
            takes_samples: takes_samples || !says_kinds,
        })
    }

    /// The request, to be packed.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        for query in &self.queries {
            out.message(1, |out| query.write(out));
        }
        let kind = if self.takes_samples { SAMPLES } else { CHUNKS };
        out.varints(2, std::iter::once(kind));
        out.finish()
    }
}

impl<'a> Query<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut query = Self {
            start: 0,
            end: 0,
            matchers: Vec::new(),
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => query.start = field.signed()?,
                2 => query.end = field.signed()?,
                3 if query.matchers.len() >= MATCHERS_MAX => {
                    return Err(Malformed::Many(3, MATCHERS_MAX));
                }
                3 => query.matchers.push(Matcher::read(field.bytes()?)?),
                // Hints say what the query does with it; all samples are right for any of them.
                _ => {}
            }
        }
        Ok(query)
    }

    fn write(&self, out: &mut Writer) {
        out.signed(1, self.start);
        out.signed(2, self.end);
        for matcher in &self.matchers {
            out.message(3, |out| {
                let comparison = match matcher.comparison {
                    Comparison::Equal => 0,
                    Comparison::NotEqual => 1,
                    Comparison::Matches => 2,
                    Comparison::NotMatches => 3,
                };
                out.unsigned(1, comparison);
                out.text(2, matcher.name);
                out.text(3, matcher.value);
            });
        }
    }
}

impl<'a> Matcher<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut matcher = Self {
            comparison: Comparison::Equal,
            name: "",
            value: "",
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => {
                    matcher.comparison = match field.unsigned()? {
                        0 => Comparison::Equal,
                        1 => Comparison::NotEqual,
                        2 => Comparison::Matches,
                        3 => Comparison::NotMatches,
                        _ => return Err(Malformed::Meaning("a matcher is of no known type")),
                    };
                }
                2 => matcher.name = field.text()?,
                3 => matcher.value = field.text()?,
                _ => {}
            }
        }
        Ok(matcher)
    }
}

/// Gathers an answer: the series of each query, in the order of the queries.
#[derive(Debug, Default)]
pub struct Answer(Writer);

impl Answer {
    /// Adds the result of a query, whose series were written by [`Answer::encoder`].
    pub fn result(&mut self, series: Encoder) {
        // A result is a list of series, as the first version of remote write is.
        self.0.bytes(1, &series.finish());
    }

    /// Takes the series of a result.
    pub fn encoder() -> Encoder {
        Encoder::new(Version::One)
    }

    /// The answer, to be packed.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish()
    }
}

/// The results in an unpacked answer, one a query.
pub fn results(message: &[u8]) -> Result<Vec<remote_write::Request<'_>>, Malformed> {
    let mut results = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number == 1 {
            if results.len() >= QUERIES_MAX {
                return Err(Malformed::Many(1, QUERIES_MAX));
            }
            results.push(remote_write::Request::read(Version::One, field.bytes()?)?);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests;
