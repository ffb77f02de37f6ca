//! Refresh tokens that a server has rotated, kept in the data directory: the configured one is
//! spent by then, so a restart without them could not log in. One file a target, for the owner only.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::files;
use base::secret::{SECRET_BYTES_MAX, Secret};
use serde_json::json;
use url::Url;

/// The folder of the files in the data directory.
const FOLDER: &str = "refresh-tokens";

/// The files of all targets.
#[derive(Debug, Clone)]
pub(crate) struct RefreshTokens {
    folder: Arc<Path>,
}

/// Which token: a target's, and what it was rotated from. Another configured token or another
/// server is another key, so that what the operator writes wins.
#[derive(Debug, Clone)]
pub(super) struct TokenKey {
    name: Arc<str>,
    fingerprint: String,
}

impl TokenKey {
    /// The key of a target's configured token.
    pub(super) fn new(name: &Arc<str>, token_url: &Url, configured: &Secret) -> Self {
        let text = format!("{token_url}\n{}", configured.expose());
        Self {
            name: Arc::clone(name),
            fingerprint: wire::sigv4::sha256_hex(text.as_bytes()),
        }
    }
}

impl RefreshTokens {
    /// The files below the data directory; nothing is made yet.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER).into(),
        }
    }

    /// The newest token, when one was kept for this key.
    pub(super) fn read(&self, key: &TokenKey) -> Option<Secret> {
        let path = self.path(key);
        let text = match files::read_text_limited(&path, SECRET_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "kept refresh token can't be read");
                return None;
            }
        };
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        let is_of_key = json.get("fingerprint")?.as_str()? == key.fingerprint;
        let token = json.get("refresh_token")?.as_str()?;
        is_of_key.then(|| Secret::new(token))
    }

    /// Keeps a token; it is on the disk afterwards.
    pub(super) fn keep(&self, key: &TokenKey, token: &Secret) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let content = json!({"fingerprint": key.fingerprint, "refresh_token": token.expose()});
        files::write_whole(&self.path(key), content.to_string().as_bytes(), 0o600)
    }

    /// A target's name is a safe file name: it has no slash and is not `.` or `..`.
    fn path(&self, key: &TokenKey) -> PathBuf {
        self.folder.join(format!("{}.json", key.name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_key_and_its_owner_only() {
        let folder = tempfile::tempdir().expect("folder");
        let tokens = RefreshTokens::new(folder.path());
        let key = |name: &str, url: &str, configured: &str| {
            let url = Url::parse(url).expect("URL");
            TokenKey::new(&Arc::from(name), &url, &Secret::new(configured))
        };
        let kept = key("shop", "https://id.example.net/token", "first");
        assert_eq!(tokens.read(&kept), None);
        for token in ["second", "third"] {
            tokens.keep(&kept, &Secret::new(token)).expect("kept");
            assert_eq!(tokens.read(&kept), Some(Secret::new(token)));
        }
        for other in [
            key("shop2", "https://id.example.net/token", "first"),
            key("shop", "https://id.example.net/other", "first"),
            key("shop", "https://id.example.net/token", "other"),
        ] {
            assert_eq!(tokens.read(&other), None, "{other:?}");
        }
        let files: Vec<_> = std::fs::read_dir(folder.path().join(FOLDER))
            .expect("files")
            .map(|file| file.expect("file").path())
            .collect();
        assert_eq!(files, [tokens.path(&kept)], "nothing is left beside");
        let mode = std::fs::metadata(tokens.path(&kept)).expect("file").mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
