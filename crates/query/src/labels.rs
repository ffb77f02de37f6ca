//! Sorted sets of labels: one allocation for all names and values, shared by clones, hashed once.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use crate::quote::quoted;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds a metric's type, where a store adds it.
pub const METRIC_TYPE: &str = "__type__";
/// The label that holds a metric's unit, where a store adds it.
pub const METRIC_UNIT: &str = "__unit__";
/// The label that holds the upper bound of a classic histogram's bucket.
pub const BUCKET_BOUND: &str = "le";

/// Whether the label says what a metric is, not where it comes from: its name, type or unit.
pub fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | METRIC_TYPE | METRIC_UNIT)
}

/// Labels by name, each once and none with an empty value. Clones share the text.
#[derive(Clone)]
pub struct Labels(Arc<Packed>);

struct Packed {
    hash: u64,
    /// Names and values, one behind the other.
    text: Box<str>,
    /// Where each name and each value ends, in turn.
    ends: Box<[u32]>,
}

static NONE: LazyLock<Labels> = LazyLock::new(|| pack(&[]));

impl Labels {
    /// Labels from pairs in any order; of a name that comes twice the last value holds, and a
    /// label without a value is none.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let mut sorted: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        // As a store has them.
        let is_packable = sorted.is_sorted_by(|one, other| one.0 < other.0)
            && sorted.iter().all(|(_, value)| !value.is_empty());
        if is_packable {
            return pack(&sorted);
        }
        sorted.reverse();
        sorted.sort_by(|one, other| one.0.cmp(other.0));
        sorted.dedup_by(|later, kept| later.0 == kept.0);
        sorted.retain(|(_, value)| !value.is_empty());
        pack(&sorted)
    }

    /// No labels at all.
    pub fn none() -> Labels {
        NONE.clone()
    }

    /// The value of a label; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.iter()
            .find(|(found, _)| *found == name)
            .map_or("", |(_, value)| value)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = &*self.0.text;
        let mut begin = 0;
        let mut piece = move |end: u32| {
            let piece = text.get(begin..end as usize).unwrap_or_default();
            begin = end as usize;
            piece
        };
        self.0.ends.chunks_exact(2).map(move |ends| match ends {
            [name, value] => (piece(*name), piece(*value)),
            _ => ("", ""),
        })
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// A number that depends on the labels only, the same in every process and version.
    pub fn stable_hash(&self) -> u64 {
        self.0.hash
    }

    /// These labels, with one set to a value; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Labels {
        let mut pairs: Vec<(&str, &str)> = self.iter().filter(|(old, _)| *old != name).collect();
        if !value.is_empty() {
            let at = pairs.partition_point(|(old, _)| *old < name);
            pairs.insert(at, (name, value));
        }
        pack(&pairs)
    }

    /// Those labels that the function wants.
    #[must_use]
    pub fn filtered(&self, mut wants: impl FnMut(&str) -> bool) -> Labels {
        let pairs: Vec<(&str, &str)> = self.iter().filter(|(name, _)| wants(name)).collect();
        if pairs.len() == self.len() {
            return self.clone();
        }
        pack(&pairs)
    }

    /// These labels without name, type and unit of the metric.
    #[must_use]
    pub fn without_metadata(&self) -> Labels {
        self.filtered(|name| !is_metadata(name))
    }
}

/// Packs pairs that are sorted and without doubles.
fn pack(pairs: &[(&str, &str)]) -> Labels {
    let mut text = String::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len()).sum());
    let mut ends = Vec::with_capacity(pairs.len() * 2);
    let mut hash = StableHash::default();
    for (name, value) in pairs {
        hash.add(name);
        hash.add(value);
        for piece in [name, value] {
            text.push_str(piece);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
    }
    Labels(Arc::new(Packed {
        hash: hash.finish(),
        text: text.into_boxed_str(),
        ends: ends.into_boxed_slice(),
    }))
}

/// FNV-1a with a last mixing: short texts, no key, the same for ever.
#[derive(Debug, Clone, Copy)]
struct StableHash(u64);

impl Default for StableHash {
    fn default() -> StableHash {
        StableHash(0xcbf2_9ce4_8422_2325)
    }
}

impl StableHash {
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        let (one, two) = (&*self.0, &*other.0);
        Arc::ptr_eq(&self.0, &other.0)
            || one.hash == two.hash && one.ends == two.ends && one.text == two.text
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let is_plain = is_identifier(name);
            let value = quoted(value.as_bytes());
            if is_plain {
                write!(f, "{comma}{name}={value}")?;
            } else {
                write!(f, "{comma}{}={value}", quoted(name.as_bytes()))?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a label's name can be written without quotes.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The part of labels by which series are grouped or matched.
#[derive(Debug, Clone)]
pub struct Projection {
    names: Vec<String>,
    keeps: bool,
}

impl Projection {
    /// Only the named labels.
    pub fn on(names: &[String]) -> Projection {
        Projection {
            names: names.to_vec(),
            keeps: true,
        }
    }

    /// All but the named labels and the metric's name.
    pub fn without(names: &[String]) -> Projection {
        let mut names = names.to_vec();
        names.push(METRIC_NAME.to_owned());
        Projection {
            names,
            keeps: false,
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name) == self.keeps
    }

    /// The projected labels.
    pub fn apply(&self, labels: &Labels) -> Labels {
        labels.filtered(|name| self.wants(name))
    }

    fn pairs<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = (&'a str, &'a str)> {
        labels.iter().filter(|(name, _)| self.wants(name))
    }

    fn hash(&self, labels: &Labels) -> u64 {
        let mut hash = StableHash::default();
        for (name, value) in self.pairs(labels) {
            hash.add(name);
            hash.add(value);
        }
        hash.finish()
    }
}

/// Numbers groups of labels that are equal under a projection, in the order in which they come.
#[derive(Debug)]
pub struct Groups<'a> {
    projection: &'a Projection,
    numbers: std::collections::HashMap<u64, usize>,
    members: Vec<Labels>,
}

impl<'a> Groups<'a> {
    /// No groups yet.
    pub fn new(projection: &'a Projection) -> Groups<'a> {
        Groups {
            projection,
            numbers: std::collections::HashMap::new(),
            members: Vec::new(),
        }
    }

    /// The number of the group that the labels belong to, and whether it is new.
    pub fn number(&mut self, labels: &Labels) -> (usize, bool) {
        let mut hash = self.projection.hash(labels);
        // Two groups of one hash stand at the next free numbers.
        while let Some(number) = self.numbers.get(&hash) {
            let projection = self.projection;
            let is_same = self
                .members
                .get(*number)
                .is_some_and(|member| projection.pairs(member).eq(projection.pairs(labels)));
            if is_same {
                return (*number, false);
            }
            hash = hash.wrapping_add(1);
        }
        let number = self.members.len();
        self.numbers.insert(hash, number);
        self.members.push(labels.clone());
        (number, true)
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no group yet.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests;
