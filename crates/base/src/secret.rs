//! Secrets that don't print, and where they come from. Sealing secrets at rest is not done here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::config::Field;
use crate::files;

/// The largest secret file.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;
/// What stands for a secret wherever it would print.
pub const MASK: &str = "********";

/// A text that never shows in logs, errors or output.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same text; takes the same time wherever they differ.
    pub fn matches(&self, other: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), other.as_bytes());
        let differs = a.iter().zip(b).fold(0u8, |sum, (x, y)| sum | (x ^ y));
        a.len() == b.len() && std::hint::black_box(differs) == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Where a secret comes from: a text, `{file: path}` or `{env: NAME}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// The content of a file, without its last line end; read again when the file changes.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// Written in the configuration.
    #[serde(untagged)]
    Inline(Secret),
}

/// Why a secret is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("secret file {}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Env(String),
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
}

impl SecretSource {
    /// Reads the three forms from the configuration, whether the secret is there or not.
    pub fn parse(field: &Field<'_>) -> Option<Self> {
        match &field.node.value {
            crate::config::Value::Mapping(_) => Self::read_reference(field),
            _ => Some(Self::Inline(Secret::new(field.text()?))),
        }
    }

    /// Reads a secret without which the program doesn't start.
    pub fn read_needed(field: &Field<'_>) -> Option<Self> {
        let source = Self::parse(field)?;
        if let Err(error) = source.resolve(&field.context().environment) {
            let help = "nothing starts without it: put the secret there, or take this key out";
            field.error(error.to_string(), Some(help));
        }
        Some(source)
    }

    /// Reads a secret that one part needs. A file or variable that is not there is a warning: it
    /// may come later, and what needs it says so.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let source = Self::parse(field)?;
        if let Err(error) = source.resolve(&field.context().environment) {
            let help = "this part does nothing until the secret is there; the rest goes on";
            field.warning(error.to_string(), Some(help));
        }
        Some(source)
    }

    fn read_reference(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let file = section.optional("file").and_then(|field| field.path());
        let env = section.optional("env").and_then(|field| field.text());
        section.finish();
        match (file, env) {
            (Some(path), None) => Some(Self::File(path)),
            (None, Some(name)) => Some(Self::Env(name)),
            _ => {
                field.error("a secret is a text, `{file: path}` or `{env: NAME}`", None);
                None
            }
        }
    }

    /// The file it comes from.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Inline(_) | Self::Env(_) => None,
        }
    }

    /// The secret as it is now.
    pub fn resolve(&self, environment: &BTreeMap<String, String>) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::Env(name) => match environment.get(name) {
                Some(text) => text.clone(),
                None => return Err(SecretError::Env(name.clone())),
            },
            Self::File(path) => {
                files::read_text_limited(path, SECRET_BYTES_MAX).map_err(|e| SecretError::File {
                    path: path.clone(),
                    reason: e.to_string(),
                })?
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            Err(SecretError::Empty)
        } else {
            Ok(Secret::new(text))
        }
    }
}
