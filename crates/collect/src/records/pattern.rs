//! Patterns of the configuration: a text in which `*` stands for any characters.

use serde::{Serialize, Serializer};

/// A text in which `*` stands for any characters, also none and also slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Any text is one.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole of `text` fits. Takes at most as many steps as both are long, multiplied.
    pub fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stands, and how much of the text it has taken.
        let mut star: Option<(usize, usize)> = None;
        while seen < text.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, seen));
                at += 1;
            } else if pattern.get(at) == text.get(seen) {
                at += 1;
                seen += 1;
            } else if let Some((position, taken)) = star {
                star = Some((position, taken + 1));
                at = position + 1;
                seen = taken + 1;
            } else {
                return false;
            }
        }
        let rest = pattern.get(at..).unwrap_or_default();
        rest.iter().all(|byte| *byte == b'*')
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("org.clearlinux/mce/*", "org.clearlinux/mce/corrected", true),
            ("org.clearlinux/mce/*", "org.clearlinux/mcf/x", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*/crash/*", "org.clearlinux/crash/clr", true),
            ("*b*b", "abab", true),
            ("*b*b", "aba", false),
            ("a*", "ba", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }
}
