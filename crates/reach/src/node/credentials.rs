//! The node's key and membership on disk, under `node` in the data directory, for its owner only.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::files;
use base::secret::Secret;
use identity::members::JoinAnswer;
use identity::trust::pins_of;
use serde::{Deserialize, Serialize};

/// The largest of the files.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Pins that are remembered: a rotation adds one.
const PINS_MAX: usize = 32;
const FOLDER: &str = "node";
const KEY_FILE: &str = "key.pem";
const MEMBER_FILE: &str = "member.json";

/// What proves who the node is.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// The private key, PEM.
    pub(crate) key: Secret,
    /// What the hub said: certificate, name, what to trust.
    pub(crate) member: JoinAnswer,
    /// Pins of all authorities that were trusted since it joined: the configuration keeps the one
    /// with which it did.
    pub(crate) pins: Vec<String>,
}

/// The membership as it is on disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    member: JoinAnswer,
    #[serde(default)]
    pins: Vec<String>,
}

impl Credentials {
    /// Remembers the authorities that are trusted now.
    pub(super) fn note_pins(&mut self) {
        for pin in pins_of(&self.member.trust).unwrap_or_default() {
            if !self.pins.contains(&pin) {
                self.pins.push(pin);
            }
        }
        // The first ones stay: `ca_pin` in the configuration is among them, also when the machine
        // joined during a rotation.
        let surplus = self.pins.len().saturating_sub(PINS_MAX);
        let first = self.pins.len().min(2);
        self.pins.drain(first..first + surplus);
    }
}

/// Why they can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("{}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} can't be read; remove its folder to join anew", path.display())]
    Content {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// Those that were saved.
pub(super) fn load(data_dir: &Path) -> Result<Option<Credentials>, CredentialsError> {
    let folder = data_dir.join(FOLDER);
    let path = folder.join(MEMBER_FILE);
    let Some(member) = read(&path)? else {
        return Ok(None);
    };
    let kept = serde_json::from_str(&member);
    let kept: Kept = kept.map_err(|source| CredentialsError::Content { path, source })?;
    let Some(key) = read(&folder.join(KEY_FILE))? else {
        return Ok(None);
    };
    Ok(Some(Credentials {
        key: Secret::new(key),
        member: kept.member,
        pins: kept.pins,
    }))
}

/// Saves them: the key first, so that a membership without its key never lasts.
pub(super) fn save(data_dir: &Path, credentials: &Credentials) -> Result<(), CredentialsError> {
    let folder = data_dir.join(FOLDER);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CredentialsError::File { path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(failed(&folder))?;
    let key = folder.join(KEY_FILE);
    files::write_whole(&key, credentials.key.expose().as_bytes(), 0o600).map_err(failed(&key))?;
    save_member(data_dir, credentials)
}

/// Saves what the hub said last.
pub(super) fn save_member(
    data_dir: &Path,
    credentials: &Credentials,
) -> Result<(), CredentialsError> {
    let kept = Kept {
        member: credentials.member.clone(),
        pins: credentials.pins.clone(),
    };
    let path = data_dir.join(FOLDER).join(MEMBER_FILE);
    let content = |source| CredentialsError::Content {
        path: path.clone(),
        source,
    };
    let text = serde_json::to_vec_pretty(&kept).map_err(content)?;
    files::write_whole(&path, &text, 0o600).map_err(|source| CredentialsError::File {
        path: path.clone(),
        source,
    })
}

fn read(path: &Path) -> Result<Option<String>, CredentialsError> {
    match files::read_text_limited(path, FILE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::File {
            path: path.to_owned(),
            source,
        }),
    }
}
