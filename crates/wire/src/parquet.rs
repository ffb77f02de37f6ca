//! Parquet, as far as a plain table needs it: columns of texts, times, numbers and flags, of which none is
//! ever missing. Texts are in a dictionary for each group of rows, and pages are packed with Snappy. What
//! reads it is tried in the tests of `landline store export`.

mod compact;

use compact::Compact;

use crate::snappy;

const MAGIC: &[u8] = b"PAR1";
/// Numbers of the format: encodings, kinds of pages, and Snappy.
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const RLE_DICTIONARY: i64 = 8;
const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const SNAPPY: i64 = 1;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts, of which many are alike.
    Text,
    /// Milliseconds since 1970, UTC.
    Time,
    /// Doubles.
    Number,
    /// Yes or no.
    Flag,
}

/// The values of a column in a group of rows.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Different texts, and how often each follows the one before, by its place among them.
    Texts(&'a [String], &'a [(usize, usize)]),
    /// Times.
    Times(&'a [i64]),
    /// Numbers.
    Numbers(&'a [f64]),
    /// Flags.
    Flags(&'a [bool]),
}

/// A table that is being written: bytes go where the caller says.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Kind)>,
    groups: Vec<Group>,
    written: usize,
}

#[derive(Debug)]
struct Group {
    rows: usize,
    columns: Vec<Chunk>,
}

/// A column in a group of rows.
#[derive(Debug, Default)]
struct Chunk {
    dictionary: Option<usize>,
    data: usize,
    packed: usize,
    plain: usize,
}

impl Kind {
    /// The physical type.
    const fn number(self) -> i64 {
        match self {
            Self::Flag => 0,
            Self::Time => 2,
            Self::Number => 5,
            Self::Text => 6,
        }
    }

    /// What its data pages are encoded with.
    const fn encoding(self) -> i64 {
        match self {
            Self::Text => RLE_DICTIONARY,
            _ => PLAIN,
        }
    }
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Kind)], out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(MAGIC);
        Self {
            columns: columns.to_vec(),
            groups: Vec::new(),
            written: MAGIC.len(),
        }
    }

    /// Writes some rows, with the values of each column in order. All are held packed and unpacked.
    /// None if a page is larger than the format can say, 2 GiB.
    pub fn group(&mut self, rows: usize, values: &[Values<'_>], out: &mut Vec<u8>) -> Option<()> {
        let base = self.written;
        let begin = out.len();
        let mut columns = Vec::new();
        for values in values {
            let mut chunk = Chunk::default();
            let mut page = |count, kind, encoding, plain: &[u8]| {
                let at = base + out.len() - begin;
                let (packed, whole) = put_page(out, (count, kind, encoding), plain)?;
                chunk.packed += packed;
                chunk.plain += whole;
                Some(at)
            };
            if let Values::Texts(words, runs) = values {
                let at = page(words.len(), DICTIONARY_PAGE, PLAIN, &dictionary(words)?)?;
                let data = page(rows, DATA_PAGE, RLE_DICTIONARY, &indices(words.len(), runs))?;
                (chunk.dictionary, chunk.data) = (Some(at), data);
            } else {
                chunk.data = page(rows, DATA_PAGE, PLAIN, &plain(values))?;
            }
            columns.push(chunk);
        }
        self.written += out.len() - begin;
        self.groups.push(Group { rows, columns });
        Some(())
    }

    /// Ends the file. None if there are too many groups for it.
    pub fn finish(self, name: &str, written_by: &str, out: &mut Vec<u8>) -> Option<()> {
        let mut about = Compact::default();
        about.number(1, 1);
        about.list(2, self.columns.len() + 1);
        about.begin();
        about.text(4, name);
        about.count(5, self.columns.len());
        about.end();
        for (name, kind) in &self.columns {
            schema(&mut about, name, *kind);
        }
        let rows = self.groups.iter().map(|group| group.rows);
        about.long(3, rows.sum());
        about.list(4, self.groups.len());
        for group in &self.groups {
            about.begin();
            about.list(1, group.columns.len());
            for (chunk, column) in group.columns.iter().zip(&self.columns) {
                chunk.put(&mut about, *column, group.rows);
            }
            let plain = group.columns.iter().map(|chunk| chunk.plain);
            about.long(2, plain.sum());
            about.long(3, group.rows);
            about.end();
        }
        about.text(6, written_by);
        let about = about.finish();
        out.extend_from_slice(&about);
        out.extend_from_slice(&u32::try_from(about.len()).ok()?.to_le_bytes());
        out.extend_from_slice(MAGIC);
        Some(())
    }
}

impl Chunk {
    fn put(&self, about: &mut Compact, (name, kind): (&str, Kind), rows: usize) {
        about.begin();
        about.long(2, 0);
        about.inner(3);
        about.number(1, kind.number());
        about.numbers(2, &[PLAIN, RLE, kind.encoding()]);
        about.texts(3, &[name]);
        about.number(4, SNAPPY);
        about.long(5, rows);
        about.long(6, self.plain);
        about.long(7, self.packed);
        about.long(9, self.data);
        if let Some(dictionary) = self.dictionary {
            about.long(11, dictionary);
        }
        about.end();
        about.end();
    }
}

/// A column: required, with its type as the old and the new readers know it.
fn schema(about: &mut Compact, name: &str, kind: Kind) {
    about.begin();
    about.number(1, kind.number());
    about.number(3, 0);
    about.text(4, name);
    match kind {
        Kind::Text => {
            about.number(6, 0);
            about.inner(10);
            about.inner(1);
            about.end();
            about.end();
        }
        Kind::Time => {
            about.number(6, 9);
            about.inner(10);
            about.inner(8);
            about.yes(1);
            about.inner(2);
            about.inner(1);
            about.end();
            about.end();
            about.end();
            about.end();
        }
        Kind::Number | Kind::Flag => {}
    }
    about.end();
}

/// Writes a page; gives its bytes with the header, packed and unpacked.
fn put_page(
    out: &mut Vec<u8>,
    (count, kind, encoding): (usize, i64, i64),
    plain: &[u8],
) -> Option<(usize, usize)> {
    let packed = snappy::pack(plain)?;
    let size = |bytes: &[u8]| i32::try_from(bytes.len()).ok().map(|_| bytes.len());
    let mut header = Compact::default();
    header.number(1, kind);
    header.count(2, size(plain)?);
    header.count(3, size(&packed)?);
    header.inner(if kind == DATA_PAGE { 5 } else { 7 });
    header.count(1, count);
    header.number(2, encoding);
    if kind == DATA_PAGE {
        // How levels are encoded, of which a required column has none.
        header.number(3, RLE);
        header.number(4, RLE);
    }
    header.end();
    let header = header.finish();
    out.extend_from_slice(&header);
    out.extend_from_slice(&packed);
    Some((header.len() + packed.len(), header.len() + plain.len()))
}

fn plain(values: &Values<'_>) -> Vec<u8> {
    match values {
        Values::Texts(..) => Vec::new(),
        Values::Times(times) => times.iter().flat_map(|time| time.to_le_bytes()).collect(),
        Values::Numbers(numbers) => {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
            bytes.collect()
        }
        Values::Flags(flags) => {
            let byte = |eight: &[bool]| {
                let bits = eight.iter().zip(0..);
                bits.fold(0, |byte, (flag, place)| byte | u8::from(*flag) << place)
            };
            flags.chunks(8).map(byte).collect()
        }
    }
}

/// Each text behind its length.
fn dictionary(words: &[String]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(&u32::try_from(word.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    Some(bytes)
}

/// Runs of the same place, behind the width of places in bits.
fn indices(count: usize, runs: &[(usize, usize)]) -> Vec<u8> {
    let last = count.saturating_sub(1).max(1);
    let width = usize::BITS - last.leading_zeros();
    let mut bytes = width.to_le_bytes()[..1].to_vec();
    for (place, length) in runs {
        compact::put_number(&mut bytes, (*length as u64) << 1);
        bytes.extend(place.to_le_bytes().iter().take(width.div_ceil(8) as usize));
    }
    bytes
}

#[cfg(test)]
mod tests;
