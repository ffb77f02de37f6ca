//! Whether bytes are those that the collector has: by their SHA-256, or by the tag of a file in parts.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use wire::auth::hex;
use wire::s3::xml::CompletedPart;

use super::store::Known;

/// Compares while the bytes come.
pub(super) enum Check {
    /// The collector says nothing that could be compared.
    None,
    /// With the SHA-256 of the whole.
    Whole {
        context: Box<digest::Context>,
        expected: String,
    },
    /// With a tag, which is the MD5 of the MD5s of all parts, and their number.
    Parts(Box<Parts>),
}

/// Under way.
pub(super) struct Parts {
    part_bytes: u64,
    /// What is missing of the part.
    left: u64,
    part: Md5,
    tags: Md5,
    count: u64,
    expected: String,
}

impl Check {
    /// By what is known of a file.
    pub(super) fn of(known: &Known) -> Self {
        if let Some(sha256) = &known.sha256 {
            return Self::Whole {
                context: Box::new(digest::Context::new(&digest::SHA256)),
                expected: sha256.clone(),
            };
        }
        match known.part_bytes {
            Some(part_bytes) => Self::Parts(Box::new(Parts {
                part_bytes,
                left: part_bytes,
                part: Md5::new(),
                tags: Md5::new(),
                count: 0,
                expected: known.etag.clone(),
            })),
            None => Self::None,
        }
    }

    /// Whether it can tell anything.
    pub(super) fn is_possible(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// More bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Whole { context, .. } => context.update(bytes),
            Self::Parts(parts) => parts.update(bytes),
        }
    }

    /// At the end: whether they were the right ones.
    pub(super) fn finish(self) -> bool {
        match self {
            Self::None => true,
            Self::Whole { context, expected } => hex(context.finish().as_ref()) == expected,
            Self::Parts(parts) => {
                let expected = parts.expected.clone();
                parts.finish() == expected
            }
        }
    }
}

impl Parts {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let length = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(length.min(bytes.len()));
            self.part.update(now);
            self.left -= u64::try_from(now.len()).unwrap_or(0);
            if self.left == 0 {
                self.close();
            }
            bytes = rest;
        }
    }

    fn close(&mut self) {
        self.tags.update(self.part.finalize_reset());
        self.count += 1;
        self.left = self.part_bytes;
    }

    fn finish(mut self) -> String {
        if self.left < self.part_bytes {
            self.close();
        }
        format!("{}-{}", hex(&self.tags.finalize()), self.count)
    }
}

/// The tag of a file in these parts: of their tags, with their number.
pub(super) fn etag_of(parts: &[CompletedPart]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        let digits = part.etag.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Vec<u8> = digits.filter_map(byte).collect();
        md5.update(&bytes);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

/// The MD5 of bytes, in hexadecimal digits.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(known: &Known, pieces: &[&[u8]]) -> bool {
        let mut check = Check::of(known);
        assert!(check.is_possible());
        for piece in pieces {
            check.update(piece);
        }
        check.finish()
    }

    /// The SHA-256 of "abc" is that of FIPS 180-2, appendix B.1.
    #[test]
    fn hashes_are_compared_however_bytes_come() {
        let whole = Known {
            sha256: Some(
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
            ),
            ..Known::default()
        };
        assert!(is_met(&whole, &[b"a", b"bc"]));
        assert!(!is_met(&whole, &[b"a", b"bd"]));
        let mut tags = Md5::new();
        tags.update(Md5::digest(b"abcd"));
        tags.update(Md5::digest(b"ef"));
        let tag = |number, bytes| CompletedPart {
            number,
            etag: md5_hex(bytes),
        };
        let etag = etag_of(&[tag(1, b"abcd"), tag(2, b"ef")]);
        assert_eq!(etag, format!("{}-2", hex(&tags.finalize())));
        let parts = Known {
            etag,
            part_bytes: Some(4),
            ..Known::default()
        };
        assert!(is_met(&parts, &[b"abcdef"]));
        assert!(is_met(&parts, &[b"abc", b"", b"def"]));
        assert!(!is_met(&parts, &[b"abcde"]));
        assert!(!is_met(&parts, &[b"abcdefgh"]));
        assert!(!Check::of(&Known::default()).is_possible());
    }
}
