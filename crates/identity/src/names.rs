//! What clusters, machines, users, roles and labels may be called. Names go into URIs, SSH
//! principals and shell commands, so they are plain words.

use std::collections::BTreeMap;

/// The longest name, in bytes; as long as a DNS label.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 255;
/// The most labels of one thing.
pub const LABELS_MAX: usize = 32;

/// Labels of a machine, an app or a target.
pub type Labels = BTreeMap<String, String>;

/// Why a name or a label is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Characters or length.
    #[error(
        "{what} name {name:?}: use 1 to 63 letters, digits, `-`, `_` and `.`, first a letter or digit"
    )]
    Name {
        /// The name of what.
        what: &'static str,
        /// As it was given, shortened.
        name: String,
    },
    /// A name that stands for somebody else.
    #[error("the name {0:?} is not free: it stands for the administrator of the hub's own machine")]
    Reserved(&'static str),
    /// A label's key.
    #[error("label {0:?}: a key has 1 to 63 letters, digits, `-`, `_`, `.` and `/`")]
    LabelKey(String),
    /// A label's value.
    #[error("label {0}: a value has at most 255 bytes and no control characters")]
    LabelValue(String),
    /// Too many labels.
    #[error("{0} labels: at most 32 are allowed")]
    TooManyLabels(usize),
}

/// Accepts a name of `what`.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_word) {
        return Ok(());
    }
    Err(NameError::Name {
        what,
        name: shortened(name),
    })
}

/// What the administrator of a hub's own machine is called, who is no user.
pub const LOCAL_ADMIN: &str = "local-admin";

/// Accepts the name of a user.
pub fn check_user_name(name: &str) -> Result<(), NameError> {
    if name == LOCAL_ADMIN {
        return Err(NameError::Reserved(LOCAL_ADMIN));
    }
    check_name("user", name)
}

/// Accepts a set of labels.
pub fn check_labels(labels: &Labels) -> Result<(), NameError> {
    if labels.len() > LABELS_MAX {
        return Err(NameError::TooManyLabels(labels.len()));
    }
    for (key, value) in labels {
        if !is_label_key(key) {
            return Err(NameError::LabelKey(shortened(key)));
        }
        if value.len() > LABEL_VALUE_BYTES_MAX || value.chars().any(char::is_control) {
            return Err(NameError::LabelValue(key.clone()));
        }
    }
    Ok(())
}

pub(crate) fn is_label_key(key: &str) -> bool {
    let is_word =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    !key.is_empty() && key.len() <= NAME_BYTES_MAX && key.bytes().all(is_word)
}

/// What a stranger sent, short enough for an error and the audit log.
pub(crate) fn shortened(text: &str) -> String {
    let kept = text.chars().take(NAME_BYTES_MAX);
    kept.filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["web-1", "a", "Home.lan", "9", &"x".repeat(63)] {
            assert_eq!(check_name("node", name), Ok(()), "{name}");
        }
        for name in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert!(check_name("node", name).is_err(), "{name}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let one = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(check_labels(&one("app.io/env", "prod eu")), Ok(()));
        for labels in [one("", "x"), one("a b", "x"), one("a", "x\ny")] {
            assert!(check_labels(&labels).is_err(), "{labels:?}");
        }
        assert!(check_labels(&one("a", &"x".repeat(256))).is_err());
        let many: Labels = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(check_labels(&many), Err(NameError::TooManyLabels(33)));
    }
}
