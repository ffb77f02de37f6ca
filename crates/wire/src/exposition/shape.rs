//! The shape of a page: everything in it but the values. An exporter sends the same page at every
//! scrape with other numbers; a page of a known shape was read once and need not be read again. It
//! does not help where a page is joined with others: that needs its families.

use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::scan::is_value;
use super::{Format, Page};

/// Keyed at random once per process, as the text comes from strangers. Whoever still found two pages
/// of one hash would only get a bad page past the check here and refused by the scraper instead.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The longest line that is recognised, bytes; longer ones are left to the reader and its limits.
const LINE_BYTES_MAX: usize = 1 << 16;

/// Numbers of fewer digits are in the range of a float whatever they are.
const PLAIN_DIGITS_MAX: usize = 300;

/// A hash over a page's lines without their values, 16 bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    format: Format,
    hash: u64,
}

impl Shape {
    /// The shape of a page that may be written as it came. None for a page that had to be repaired or
    /// was put together, and for one with time stamps, exemplars or loose blanks: the end of such a
    /// line is not just a value.
    pub fn of(page: &Page) -> Option<Self> {
        let [body] = page.sources.as_slice() else {
            return None;
        };
        let mut runs = page.entries.iter().flat_map(|entry| &entry.runs);
        if !page.pristine || !runs.all(|run| run.plain) {
            return None;
        }
        let hash = hash(body)?;
        Some(Self {
            format: page.format,
            hash,
        })
    }

    /// Whether the body is a page of this shape: the same lines in the same order, with values that
    /// are numbers. [`Page::parse`] would then accept it, and [`Page::render`] would write it as it
    /// came.
    pub fn matches(&self, body: &[u8], format: Format) -> bool {
        format == self.format && hash(body) == Some(self.hash)
    }
}

/// None when a line can't be cut into series and value.
fn hash(body: &[u8]) -> Option<u64> {
    let mut hasher = HASHER.build_hasher();
    let mut start = 0;
    // Everything from the end of one value to the beginning of the next is one piece.
    let mut fixed = 0;
    let ends = memchr::memchr_iter(b'\n', body).chain(std::iter::once(body.len()));
    for end in ends {
        let line = body.get(start..end)?;
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        // No sample line begins with a blank.
        if !matches!(line.first(), None | Some(b'#' | b' ' | b'\t')) {
            hasher.write(body.get(fixed..start + value_start(line)?)?);
            fixed = end;
        }
        start = end + 1;
    }
    hasher.write(body.get(fixed..)?);
    Some(hasher.finish())
}

/// Where the value of a sample line begins, when there is nothing but a value behind the last blank.
fn value_start(line: &[u8]) -> Option<usize> {
    // Most values are digits with a dot at most, which one pass over them shows.
    let (mut digits, mut dots) = (0, 0);
    for byte in line.iter().rev() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => dots += 1,
            b' ' if digits > 0 && digits < PLAIN_DIGITS_MAX && dots < 2 => {
                return Some(line.len() - digits - dots);
            }
            _ => break,
        }
    }
    let blank = line.iter().rposition(|byte| *byte == b' ')?;
    is_value(line.get(blank + 1..)?).then_some(blank + 1)
}
