//! Words: runs of letters, digits and `_`, of two characters at least, without regard to case. What is
//! not ASCII counts as letters and keeps its case.

use super::fields::Bits;

/// Words of one question.
const WORDS_MAX: usize = 16;
/// The longest word that is told from others, in bytes; longer ones by their beginning.
const WORD_BYTES_MAX: usize = 64;

/// The words that somebody looks for.
#[derive(Debug, Clone)]
pub(crate) struct Words(Vec<Vec<u8>>);

impl Words {
    /// The words of a question; nothing when it has none, or too many.
    pub(crate) fn of(question: &str) -> Option<Self> {
        let mut words: Vec<Vec<u8>> = split(question.as_bytes()).map(folded).collect();
        words.sort_unstable();
        words.dedup();
        (1..=WORDS_MAX)
            .contains(&words.len())
            .then_some(Self(words))
    }

    /// Whether a payload has all of them.
    pub(crate) fn are_in(&self, payload: &[u8]) -> bool {
        let mut missing: Vec<&[u8]> = self.0.iter().map(Vec::as_slice).collect();
        for word in split(payload) {
            let is_it = |wanted: &&[u8]| !cut(word).eq_ignore_ascii_case(wanted);
            missing.retain(is_it);
            if missing.is_empty() {
                return true;
            }
        }
        false
    }

    /// The bits of each word.
    pub(crate) fn bits(&self) -> impl Iterator<Item = Bits> {
        self.0.iter().map(|word| bits(word))
    }
}

/// Gives the bits of all words of a payload, some of them many times.
pub(super) fn for_each_bit(payload: &[u8], mut give: impl FnMut(u32)) {
    for word in split(payload) {
        bits(cut(word)).into_iter().for_each(&mut give);
    }
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    text.split(move |byte| !is_part(byte))
        .filter(|word| word.len() >= 2)
}

fn cut(word: &[u8]) -> &[u8] {
    word.get(..WORD_BYTES_MAX).unwrap_or(word)
}

fn folded(word: &[u8]) -> Vec<u8> {
    cut(word).to_ascii_lowercase()
}

/// Three numbers below 65,536, the same whatever the case.
fn bits(word: &[u8]) -> Bits {
    let hash = hash(word.iter().map(u8::to_ascii_lowercase));
    [0, 16, 32].map(|shift| {
        #[expect(clippy::cast_possible_truncation, reason = "16 bits are wanted")]
        let part = (hash >> shift) as u16;
        u32::from(part)
    })
}

/// A hash that never changes (FNV-1a, and a last mix of its bits): the index is kept on disk.
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_whole_and_without_case() {
        let payload = "#0 Inner_loop() - [app]\nexit-code 139 é=größe".as_bytes();
        for (question, is_there) in [
            ("inner_loop", true),
            ("inner", false),
            ("EXIT code", true),
            ("139", true),
            ("13", false),
            ("größe", true),
            ("app 139 nothing", false),
        ] {
            let words = Words::of(question).unwrap();
            assert_eq!(words.are_in(payload), is_there, "{question}");
            if is_there {
                let mut all = HashSet::new();
                for_each_bit(payload, |bit| {
                    all.insert(bit);
                });
                assert!(words.bits().flatten().all(|bit| all.contains(&bit)));
            }
        }
        assert!(Words::of("- a ! b").is_none());
    }
}
