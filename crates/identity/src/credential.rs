//! Random credentials: how they look, how they are recognised and what is kept of them. Only the
//! SHA-256 is ever stored, so looking one up compares hashes and tells nothing by its duration.

use aws_lc_rs::digest;
use base::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::{self, RandomError};

/// Characters of the random part: 256 bits in base64url.
const BODY_CHARACTERS: usize = 43;
/// Characters of the check sum: 24 bits in base64url. It tells a damaged copy from a wrong
/// credential before any look-up; it protects nothing.
const SUM_CHARACTERS: usize = 4;

/// What a credential is for. Each has a prefix of its own, so that scanners find leaked ones and
/// nobody takes one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// Lets a machine join.
    Join,
    /// Lets a script call the API.
    Api,
    /// Lets a person set a password.
    Invitation,
    /// Lets a browser go on after a login.
    Session,
    /// Lets a browser carry its session over to the host of an application, once.
    Launch,
    /// Lets a browser go on at the host of an application.
    AppSession,
}

/// Why a text is not a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Another prefix.
    #[error("not a credential of this kind: it begins with `{0}`")]
    Kind(&'static str),
    /// The check sum does not fit.
    #[error("the credential is damaged: copy it again, whole")]
    Damaged,
}

/// A new credential: its text, shown once, and what is kept.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) secret: Secret,
    pub(crate) hash: String,
}

impl CredentialKind {
    /// How its texts begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Join => "landline_join_",
            Self::Api => "landline_api_",
            Self::Invitation => "landline_invite_",
            Self::Session => "landline_session_",
            Self::Launch => "landline_launch_",
            Self::AppSession => "landline_visit_",
        }
    }

    /// A new one.
    pub(crate) fn generate(self) -> Result<Fresh, RandomError> {
        let body = URL_SAFE_NO_PAD.encode(random::bytes::<32>()?);
        let text = format!("{}{body}{}", self.prefix(), self.sum(&body));
        Ok(Fresh {
            hash: random::sha256_hex(text.as_bytes()),
            secret: Secret::new(text),
        })
    }

    /// Whether a text begins like one of this kind.
    pub fn is_like(self, text: &str) -> bool {
        text.starts_with(self.prefix())
    }

    /// The hash under which `secret` is kept, if it has the right form.
    pub(crate) fn hash(self, secret: &Secret) -> Result<String, CredentialError> {
        let text = secret.expose();
        let rest = text
            .strip_prefix(self.prefix())
            .ok_or(CredentialError::Kind(self.prefix()))?;
        let (body, sum) = rest
            .split_at_checked(BODY_CHARACTERS)
            .ok_or(CredentialError::Damaged)?;
        if sum != self.sum(body) {
            return Err(CredentialError::Damaged);
        }
        Ok(random::sha256_hex(text.as_bytes()))
    }

    fn sum(self, body: &str) -> String {
        let text = format!("{}{body}", self.prefix());
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let mut sum = URL_SAFE_NO_PAD.encode(hash.as_ref());
        sum.truncate(SUM_CHARACTERS);
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [CredentialKind; 6] = [
        CredentialKind::Join,
        CredentialKind::Api,
        CredentialKind::Invitation,
        CredentialKind::Session,
        CredentialKind::Launch,
        CredentialKind::AppSession,
    ];

    #[test]
    fn each_kind_takes_its_own_only() {
        for kind in KINDS {
            let fresh = kind.generate().unwrap();
            let length = kind.prefix().len() + BODY_CHARACTERS + SUM_CHARACTERS;
            assert_eq!(fresh.secret.expose().len(), length);
            for other in KINDS {
                let hash = other.hash(&fresh.secret);
                assert_eq!(hash.is_ok(), other == kind, "{kind:?} as {other:?}");
            }
            assert_eq!(kind.hash(&fresh.secret).unwrap(), fresh.hash);
            assert!(!format!("{fresh:?}").contains(fresh.secret.expose()));
        }
    }

    #[test]
    fn a_damaged_copy_is_named() {
        let text = CredentialKind::Join.generate().unwrap().secret;
        let text = text.expose();
        let cut = Secret::new(text.get(..text.len() - 1).unwrap());
        let longer = Secret::new(format!("{text}x"));
        let mut swapped = text.to_owned();
        let letter = if text.as_bytes()[20] == b'A' {
            "B"
        } else {
            "A"
        };
        swapped.replace_range(20..21, letter);
        for damaged in [cut, longer, Secret::new(swapped)] {
            let error = CredentialKind::Join.hash(&damaged).unwrap_err();
            assert_eq!(error, CredentialError::Damaged);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(landline_join_)?\\PC{0,80}") {
            for kind in KINDS {
                prop_assert!(kind.hash(&Secret::new(text.clone())).is_err());
            }
        }
    }
}
