//! Names of objects: which are taken, and how they stand in addresses. S3 takes more; what is left out
//! is what would be a path elsewhere.

use std::fmt;

/// The longest key, as S3 has it.
pub const KEY_BYTES_MAX: usize = 1024;
/// The group of what was sent without one.
pub const DEFAULT_GROUP: &str = "default";

/// A key that may be kept: 1 to 1024 bytes of UTF-8 without control characters and backslashes, whose
/// segments are neither empty nor `.` nor `..`. It may end with a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing.
    #[error("the name is empty")]
    Empty,
    /// Too long.
    #[error("the name is longer than 1024 bytes")]
    TooLong,
    /// NUL and its like, or a backslash.
    #[error("the name has a control character or a backslash")]
    Character,
    /// A path that leads elsewhere.
    #[error("the name has an empty segment, or one that is `.` or `..`")]
    Segment,
    /// Not text.
    #[error("the name is not UTF-8, or its percent-encoding is broken")]
    Encoding,
}

/// A key taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The first of at least two segments.
    pub group: &'a str,
    /// The second of at least three.
    pub run: &'a str,
    /// The rest.
    pub name: &'a str,
}

impl Key {
    /// Checks a key as it is.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(KeyError::Character);
        }
        let segments = text.strip_suffix('/').unwrap_or(&text).split('/');
        if segments.into_iter().any(|s| matches!(s, "" | "." | "..")) {
            return Err(KeyError::Segment);
        }
        Ok(Self(text))
    }

    /// Reads a key from an address, where it is percent-encoded.
    pub fn decode(encoded: &str) -> Result<Self, KeyError> {
        Self::new(percent_decode(encoded).ok_or(KeyError::Encoding)?)
    }

    /// The file `name` of the run `run`, which is `group/run`; without a group it is of
    /// [`DEFAULT_GROUP`].
    pub fn of_run(run: &str, name: &str) -> Result<Self, KeyError> {
        let run = Self::new(run)?;
        let name = Self::new(name)?;
        if run.0.ends_with('/') || name.0.ends_with('/') {
            return Err(KeyError::Segment);
        }
        if run.0.contains('/') {
            Self::new(format!("{run}/{name}"))
        } else {
            Self::new(format!("{DEFAULT_GROUP}/{run}/{name}"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as it stands in an address: everything but unreserved characters and slashes encoded.
    pub fn encode(&self) -> String {
        percent_encode(&self.0, true)
    }

    /// Group, run and name.
    pub fn parts(&self) -> Parts<'_> {
        let Some((group, rest)) = self.0.split_once('/').filter(|(_, rest)| !rest.is_empty())
        else {
            return Parts {
                group: "",
                run: "",
                name: &self.0,
            };
        };
        match rest.split_once('/').filter(|(_, name)| !name.is_empty()) {
            Some((run, name)) => Parts { group, run, name },
            None => Parts {
                group,
                run: "",
                name: rest,
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Encodes everything but unreserved characters (RFC 3986 section 2.3), and slashes if they are kept.
pub fn percent_encode(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_kept = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (keeps_slashes && byte == b'/');
        if is_kept {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&crate::auth::hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// The text behind a percent-encoding; nothing when it is broken or not UTF-8. A plus is a plus.
pub fn percent_decode(text: &str) -> Option<String> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// The parameters of a query in their order, decoded; one without `=` has an empty value. Nothing
/// when the encoding is broken.
pub fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Forms write blanks as plus; keys with a plus come encoded.
        let decode = |text: &str| percent_decode(&text.replace('+', "%20"));
        Some((decode(name)?, decode(value)?))
    });
    pairs.collect()
}
