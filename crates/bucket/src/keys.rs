//! The keys of a bucket: those of the configuration, of the variables that AWS's programs read, or of the
//! file that they share.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use base::files;
use base::secret::{Secret, SecretError, SecretSource};

const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION: &str = "AWS_SESSION_TOKEN";
/// Where the file is, and which of its sections is meant.
const FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
const PROFILE: &str = "AWS_PROFILE";
/// The section without that.
const DEFAULT_PROFILE: &str = "default";
/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// With what requests are signed.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(crate) id: Secret,
    pub(crate) secret: Secret,
    pub(crate) session: Option<Secret>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// One that was named can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file can't be read.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has no such section, or it lacks something.
    #[error("{} has no `{name}` in the section [{profile}]", path.display())]
    Lacks {
        /// Which.
        path: PathBuf,
        /// The section.
        profile: String,
        /// What is missing.
        name: &'static str,
    },
    /// There is nowhere to look.
    #[error("neither the configuration nor {ID} nor {FILE} nor HOME says where they are")]
    Nowhere,
}

/// The keys, from the first place that has any; `given` are key and secret of the configuration.
///
/// # Errors
/// There are none, or they can't be read.
pub fn find_keys(
    given: (Option<&SecretSource>, Option<&SecretSource>),
    environment: &BTreeMap<String, String>,
) -> Result<Keys, KeysError> {
    let (access_key, secret_key) = given;
    let is_configured = access_key.is_some() || secret_key.is_some();
    if !is_configured && !environment.contains_key(ID) {
        return of_file(environment);
    }
    let resolve = |given: Option<&SecretSource>, name: &str| {
        let source = given.cloned();
        let source = source.unwrap_or_else(|| SecretSource::Env(name.to_owned()));
        source.resolve(environment)
    };
    let session = environment.get(SESSION);
    Ok(Keys {
        id: resolve(access_key, ID)?,
        secret: resolve(secret_key, SECRET)?,
        session: session
            .filter(|_| access_key.is_none())
            .map(|token| Secret::new(token.clone())),
    })
}

fn of_file(environment: &BTreeMap<String, String>) -> Result<Keys, KeysError> {
    let usual = || {
        let home = environment.get("HOME")?;
        Some(PathBuf::from(home).join(".aws/credentials"))
    };
    let path = environment.get(FILE).map(PathBuf::from).or_else(usual);
    let path = path.ok_or(KeysError::Nowhere)?;
    let text = match files::read_text_limited(&path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(source) => return Err(KeysError::File { path, source }),
    };
    let profile = environment.get(PROFILE).map(String::as_str);
    let profile = profile.unwrap_or(DEFAULT_PROFILE);
    let section = section(&text, profile);
    let value = |name: &'static str| {
        let value = section.get(name).filter(|value| !value.is_empty());
        value.map(|value| Secret::new(*value)).ok_or(name)
    };
    let lacks = |name| KeysError::Lacks {
        path: path.clone(),
        profile: profile.to_owned(),
        name,
    };
    Ok(Keys {
        id: value("aws_access_key_id").map_err(lacks)?,
        secret: value("aws_secret_access_key").map_err(lacks)?,
        session: value("aws_session_token").ok(),
    })
}

/// Names and values of a section `[profile]`; the last one of a name holds.
fn section<'a>(text: &'a str, profile: &str) -> BTreeMap<&'a str, &'a str> {
    let mut is_meant = false;
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let head = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        if let Some(head) = head {
            is_meant = head.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_meant) {
            values.insert(name.trim(), value.trim());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "; of everybody\n[default]\naws_access_key_id = A\n\
         aws_secret_access_key=s+/=\n\n[ci]\naws_access_key_id=B\n# old\n\
         #aws_secret_access_key=x\naws_secret_access_key = t\naws_session_token = u\n[half]\n\
         aws_access_key_id=C\n";

    fn found(more: &[(&str, &str)], text: &str) -> Result<[String; 3], String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("credentials");
        std::fs::write(&path, text).expect("written");
        let own = [(FILE, path.to_str().expect("UTF-8"))];
        let all = own.iter().chain(more);
        let environment = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let keys = find_keys((None, None), &environment.collect());
        let keys = keys.map_err(|error| error.to_string().replace(path.to_str().unwrap(), "F"))?;
        let session = keys.session.map(|token| token.expose().to_owned());
        let text = |secret: &Secret| secret.expose().to_owned();
        Ok([
            text(&keys.id),
            text(&keys.secret),
            session.unwrap_or_default(),
        ])
    }

    #[test]
    fn the_file_is_read_as_its_programs_read_it() {
        let keys =
            |id: &str, secret: &str, session: &str| Ok([id, secret, session].map(str::to_owned));
        assert_eq!(found(&[], TEXT), keys("A", "s+/=", ""));
        assert_eq!(found(&[(PROFILE, "ci")], TEXT), keys("B", "t", "u"));
        let own = [(ID, "V"), (SECRET, "w")];
        assert_eq!(
            found(&own, TEXT),
            keys("V", "w", ""),
            "variables come first"
        );
        for (profile, expected) in [
            (
                "half",
                "F has no `aws_secret_access_key` in the section [half]",
            ),
            (
                "other",
                "F has no `aws_access_key_id` in the section [other]",
            ),
        ] {
            assert_eq!(found(&[(PROFILE, profile)], TEXT), Err(expected.to_owned()));
        }
        let none = find_keys((None, None), &BTreeMap::new());
        assert!(matches!(none, Err(KeysError::Nowhere)));
        let lost: BTreeMap<_, _> = [("HOME".to_owned(), "/nowhere".to_owned())].into();
        let lost = find_keys((None, None), &lost).unwrap_err();
        assert_eq!(lost.to_string(), "/nowhere/.aws/credentials");
    }
}
