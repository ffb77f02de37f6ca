//! The labels of a series: sorted pairs of names and values in one piece of memory.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::bytes::Reader;

/// The label that holds the name of a metric.
pub const METRIC_NAME: &str = "__name__";

/// Labels of one series.
pub const LABELS_MAX: usize = 64;
/// Bytes of all names and values of a series.
pub const LABEL_BYTES_MAX: usize = 64 * 1024;

/// Bytes that hold a length, seven bits each, so that the whole stays text.
const LENGTH_BYTES: usize = 3;

/// Sorted labels, without empty values. Clones share the memory.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// Why labels were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A label without a name.
    #[error("a label has no name")]
    EmptyName,
    /// The same name twice.
    #[error("label {0:?} is given twice")]
    Twice(String),
    /// More labels than a series may have.
    #[error("{0} labels, and a series may have at most {LABELS_MAX}")]
    Many(usize),
    /// Names and values are too long together.
    #[error("labels of {0} bytes, and a series may have at most {LABEL_BYTES_MAX}")]
    Long(usize),
    /// All values are empty.
    #[error("a series needs at least one label with a value")]
    None,
}

impl Labels {
    /// Sorts, drops labels with empty values, which are the same as none, and checks the bounds.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LabelsError> {
        let mut sorted: Vec<(&str, &str)> = pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .take(LABELS_MAX + 1)
            .collect();
        if sorted.len() > LABELS_MAX {
            return Err(LabelsError::Many(sorted.len()));
        }
        sorted.sort_unstable();
        if sorted.is_empty() {
            return Err(LabelsError::None);
        }
        let mut text = String::new();
        let mut before = "";
        for (name, value) in sorted {
            if name.is_empty() {
                return Err(LabelsError::EmptyName);
            }
            if name == before {
                return Err(LabelsError::Twice(name.to_owned()));
            }
            let length = text.len() + name.len() + value.len();
            if length > LABEL_BYTES_MAX {
                return Err(LabelsError::Long(length));
            }
            before = name;
            put(&mut text, name);
            put(&mut text, value);
        }
        Ok(Self(text.into()))
    }

    /// Pairs of name and value, sorted by name.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs(&self.0)
    }

    /// The value of a label; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.iter()
            .find_map(|(have, value)| (have == name).then_some(value))
            .unwrap_or_default()
    }

    /// As the files of the store hold it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// What [`Labels::as_bytes`] gave; `None` if these bytes are no sorted labels.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut rest = Pairs(text);
        let mut before = "";
        while !rest.0.is_empty() {
            let (name, _) = rest.next()?;
            if name <= before {
                return None;
            }
            before = name;
        }
        (!before.is_empty()).then(|| Self(text.into()))
    }

    /// Reads labels with their length before them.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Self::from_bytes(from.bytes()?)
    }
}

fn put(text: &mut String, part: &str) {
    let length = part.len();
    for shift in [14, 7, 0] {
        let bits = u8::try_from((length >> shift) & 0x7f).unwrap_or(0);
        text.push(char::from(bits));
    }
    text.push_str(part);
}

/// The pairs of [`Labels`].
#[derive(Debug, Clone)]
pub struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    fn part(&mut self) -> Option<&'a str> {
        let end = LENGTH_BYTES + length(self.0.as_bytes(), 0);
        let part = self.0.get(LENGTH_BYTES..end)?;
        self.0 = self.0.get(end..)?;
        Some(part)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.part()?, self.part()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    /// By names and values in turn. Sorting thousands of series is much of a query, so that texts are
    /// looked at only where the bytes begin to differ.
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.as_bytes(), other.as_bytes());
        let same = same_bytes(left, right);
        if same == left.len() || same == right.len() {
            return left.len().cmp(&right.len());
        }
        let mut at = 0;
        loop {
            let text = at + LENGTH_BYTES;
            let (left_end, right_end) = (text + length(left, at), text + length(right, at));
            if same < text || same < left_end.min(right_end) {
                return left.get(text..left_end).cmp(&right.get(text..right_end));
            }
            at = left_end;
        }
    }
}

/// How many bytes at the beginning are the same.
fn same_bytes(left: &[u8], right: &[u8]) -> usize {
    let (left_words, _) = left.as_chunks::<8>();
    let (right_words, _) = right.as_chunks::<8>();
    let words = left_words.iter().zip(right_words);
    let same = words.take_while(|(left, right)| left == right).count() * 8;
    let left = left.get(same..).unwrap_or_default();
    let right = right.get(same..).unwrap_or_default();
    let rest = left.iter().zip(right);
    same + rest.take_while(|(left, right)| left == right).count()
}

/// The length that is written at this place.
fn length(bytes: &[u8], at: usize) -> usize {
    let digits = bytes.get(at..at + LENGTH_BYTES).unwrap_or_default();
    let digits = digits.iter().map(|digit| usize::from(*digit));
    digits.fold(0, |length, digit| length << 7 | digit)
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name}={value:?}")?;
        }
        formatter.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few names and values, of which some begin with others, so that many parts are the same.
    fn some() -> impl Strategy<Value = Labels> {
        let name = prop::sample::select(vec!["a", "ab", "abc", "b", "instance", "pod_name"]);
        let value = prop_oneof![
            prop::sample::select(vec!["x", "xy", "é", "10.0.0.1:9100", "10.0.0.1:91"])
                .prop_map(str::to_owned),
            "[a-c]{1,200}",
        ];
        let pairs = prop::collection::btree_map(name, value, 1..5);
        pairs.prop_map(|pairs| {
            Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str()))).unwrap()
        })
    }

    proptest! {
        #[test]
        fn labels_are_in_the_order_of_their_pairs(left in some(), right in some()) {
            prop_assert_eq!(left.cmp(&right), left.iter().cmp(right.iter()));
            prop_assert_eq!(right.cmp(&left), right.iter().cmp(left.iter()));
            prop_assert_eq!(left.cmp(&left.clone()), Ordering::Equal);
        }
    }
}
