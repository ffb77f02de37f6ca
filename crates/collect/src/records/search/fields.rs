//! The fields of records that the index knows, as bits beside those of words.

use super::index::WORD_BITS;
use super::words::hash;

/// Bits of one value in the index.
pub(crate) type Bits = [u32; 3];

/// Numbers of bits for fields. Blocks have few values of fields and many words: were they mixed, long
/// payloads would hide them.
pub(super) const FIELD_BITS: u32 = 1 << 14;

/// A field whose values the index finds. They never change once a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Project,
    Classification,
    Severity,
    Build,
    System,
    Machine,
    Event,
    External,
}

impl Field {
    /// Its column.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Classification => "classification",
            Self::Severity => "severity",
            Self::Build => "build",
            Self::System => "system_name",
            Self::Machine => "machine_id",
            Self::Event => "event_id",
            Self::External => "external",
        }
    }

    /// What tells its values from those of other fields. Kept on disk: never changed.
    fn tag(self) -> u8 {
        match self {
            Self::Project => b'p',
            Self::Classification => b'c',
            Self::Severity => b's',
            Self::Build => b'b',
            Self::System => b'y',
            Self::Machine => b'm',
            Self::Event => b'e',
            Self::External => b'x',
        }
    }

    /// The bits of a text.
    pub(crate) fn text(self, value: &str) -> Bits {
        self.bits(value.as_bytes())
    }

    /// The bits of a number.
    pub(crate) fn number(self, value: i64) -> Bits {
        self.bits(&value.to_le_bytes())
    }

    fn bits(self, value: &[u8]) -> Bits {
        let hash = hash(std::iter::once(self.tag()).chain(value.iter().copied()));
        [0, 16, 32].map(|shift| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "some bits of it are wanted"
            )]
            let part = (hash >> shift) as u32;
            WORD_BITS + part % FIELD_BITS
        })
    }
}
