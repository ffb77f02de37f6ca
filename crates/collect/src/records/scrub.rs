//! What is taken out of payloads before anything is kept or counted: names of people, addresses of
//! machines, and what the operator names.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base::config::Field;
use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// The largest expression, as it is held in memory.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Expressions of one project.
pub(super) const RULES_MAX: usize = 50;
/// Expressions that need no writing: their word, what they find, and what stands there instead.
const KNOWN: [(&str, &str, &str); 4] = [
    ("home", r"(?:/home|/Users)/[^/\s:,;'\x22]+", "/home/-"),
    (
        "email",
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        "<e-mail>",
    ),
    ("mac", r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b", "<mac>"),
    (
        "ip",
        r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b|\b(?:[0-9A-Fa-f]{1,4}:){3,7}(?:[0-9A-Fa-f]{1,4}|:[0-9A-Fa-f:]*)|\b(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}\b",
        "<ip>",
    ),
];

/// One expression, and what stands in its place.
#[derive(Debug, Clone)]
pub struct Scrub {
    /// Its word, or itself.
    name: String,
    regex: Regex,
    with: String,
}

impl PartialEq for Scrub {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.with) == (&other.name, &other.with)
    }
}

impl Serialize for Scrub {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl Scrub {
    /// Reads a word, or a mapping of `pattern` and `with`.
    pub(super) fn read(field: &Field<'_>) -> Option<Self> {
        if !field.is_text() {
            let mut section = field.section()?;
            let pattern = section.required("pattern").and_then(|field| field.text());
            let with = section.optional("with").and_then(|field| field.text());
            section.finish();
            return Self::build(field, &pattern?, with.unwrap_or_default());
        }
        let word = field.text()?;
        let known = KNOWN.iter().find(|(known, ..)| *known == word);
        let Some((_, pattern, with)) = known else {
            let help = "write home, email, mac or ip, or `{pattern: \"…\", with: \"…\"}`";
            field.error(format!("nothing is known as {word:?}"), Some(help));
            return None;
        };
        let scrub = Self::build(field, pattern, (*with).to_owned())?;
        Some(Self {
            name: word,
            ..scrub
        })
    }

    fn build(field: &Field<'_>, pattern: &str, with: String) -> Option<Self> {
        let built = RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .build();
        match built {
            Ok(regex) => Some(Self {
                name: pattern.to_owned(),
                regex,
                with,
            }),
            Err(error) => {
                field.error(format!("this is no regular expression: {error}"), None);
                None
            }
        }
    }
}

/// The text without what any of the expressions finds.
pub(super) fn scrubbed<'a>(rules: &[Scrub], text: &'a str) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for rule in rules {
        if let Cow::Owned(changed) = rule.regex.replace_all(&text, rule.with.as_str()) {
            text = Cow::Owned(changed);
        }
    }
    text
}

/// Stands for a machine without telling which: the same for the same id in the same project.
pub(super) fn hidden_machine(tid: &str, machine_id: &str) -> String {
    let hash = digest(&SHA256, format!("{tid}\0{machine_id}").as_bytes());
    wire::auth::hex(hash.as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_out() {
        let rules: Vec<Scrub> = KNOWN
            .iter()
            .map(|(name, pattern, with)| Scrub {
                name: (*name).to_owned(),
                regex: Regex::new(pattern).expect(name),
                with: (*with).to_owned(),
            })
            .collect();
        for (text, scrubbed_text) in [
            ("at /home/anna/bin/app:12", "at /home/-/bin/app:12"),
            ("mail anna.b@mail.example.org now", "mail <e-mail> now"),
            ("link 00:1A:2b:3c:4d:5e up", "link <mac> up"),
            ("from 192.168.1.20 port 22", "from <ip> port 22"),
            (
                "from 2001:db8:0:1:2:3:4:5, 2001:db8::1 and fe80:1:2:3::4",
                "from <ip>, <ip> and <ip>",
            ),
            ("build 34960 of 6.1.0-13", "build 34960 of 6.1.0-13"),
        ] {
            assert_eq!(scrubbed(&rules, text), scrubbed_text);
        }
        let one = hidden_machine("a", "m");
        assert_eq!(one, hidden_machine("a", "m"));
        assert_ne!(one, hidden_machine("b", "m"));
        assert_eq!(one.len(), 32);
    }
}
