//! Where `landline login` keeps sessions: one file of the person who runs it, with a session for each
//! hub.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base::files;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// The file, in the folder of the program's own settings.
const FILE: &str = "logins.json";
/// The largest such file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Hubs that are remembered.
const HUBS_MAX: usize = 100;

/// A session at one hub.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    /// The user.
    pub(super) user: String,
    /// The session.
    pub(super) token: String,
    /// Pins of the hub's authority; the system's roots when there are none.
    #[serde(default)]
    pub(super) ca_pins: Vec<String>,
    /// It is this machine, without TLS.
    #[serde(default)]
    pub(super) is_local: bool,
    /// When it ends in any case, in Unix milliseconds.
    pub(super) expires_at: i64,
}

/// All sessions.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Logins {
    /// The hub of the last login.
    #[serde(default)]
    pub(super) current: String,
    #[serde(default)]
    hubs: BTreeMap<String, Login>,
}

impl Logins {
    /// Those of this person; none when there is no file.
    pub(super) fn read(environment: &Environment) -> Result<Self, String> {
        let path = path(environment)?;
        match files::read_limited(&path, FILE_BYTES_MAX) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_| {
                format!(
                    "{} can't be read: remove it and use `landline login` again",
                    path.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Keeps them, for this person's eyes only.
    pub(super) fn write(&self, environment: &Environment) -> Result<PathBuf, String> {
        let path = path(environment)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        let written = files::write_whole(&path, &text, 0o600);
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// The session at a hub, or at that of the last login.
    pub(super) fn find(&self, proxy: Option<&str>) -> Option<(&str, &Login)> {
        let wanted = proxy.unwrap_or(&self.current);
        let found = self.hubs.get_key_value(wanted)?;
        Some((found.0.as_str(), found.1))
    }

    /// Remembers a session.
    pub(super) fn put(&mut self, proxy: &str, login: Login) -> Result<(), String> {
        if self.hubs.len() >= HUBS_MAX && !self.hubs.contains_key(proxy) {
            return Err(format!(
                "there are logins at {HUBS_MAX} hubs already: end one with `landline logout --proxy …`"
            ));
        }
        proxy.clone_into(&mut self.current);
        self.hubs.insert(proxy.to_owned(), login);
        Ok(())
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, proxy: &str) {
        self.hubs.remove(proxy);
        if self.current == proxy {
            self.current = self.hubs.keys().next().cloned().unwrap_or_default();
        }
    }
}

/// `$XDG_CONFIG_HOME/landline`, by default `~/.config/landline` (XDG Base Directory Specification).
fn path(environment: &Environment) -> Result<PathBuf, String> {
    let variable = |name: &str| {
        environment
            .variables
            .get(name)
            .filter(|value| value.starts_with('/'))
    };
    let folder = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(variable("HOME")?).join(".config")))
        .ok_or("neither XDG_CONFIG_HOME nor HOME says where logins are kept")?;
    Ok(folder.join("landline").join(FILE))
}
