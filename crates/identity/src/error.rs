//! What goes wrong with identity, and what a client is told. A refusal is an answer, not a fault;
//! it is in the audit log.

use base::error::Class;
use state::StateError;

use crate::authority::AuthorityError;
use crate::credential::CredentialError;
use crate::names::NameError;
use crate::passwords::PasswordError;
use crate::random::RandomError;
use crate::roles::RoleError;
use crate::rotation::PhaseError;
use crate::seal::SealError;
use crate::ssh_authority::SshAuthorityError;
use crate::trust::TrustError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database.
    #[error(transparent)]
    State(#[from] StateError),
    /// The sealing key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The X.509 authority or a request to it.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The SSH authorities or a request to them.
    #[error(transparent)]
    SshAuthority(#[from] SshAuthorityError),
    /// What is trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Hashing of passwords.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A name or label.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The order of a rotation.
    #[error(transparent)]
    Phase(#[from] PhaseError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Somebody may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not there.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// What sort of thing.
        what: &'static str,
        /// Its name, as it was asked for.
        name: String,
    },
    /// There already.
    #[error("there is a {what} {name:?} already")]
    Exists {
        /// What sort of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something has to happen before.
    #[error("{0}")]
    NotReady(String),
    /// The database is of another cluster.
    #[error(
        "the state holds cluster {found:?}, the configuration says {expected:?}: set `cluster: {found}` or use another state"
    )]
    Cluster {
        /// The one in the database.
        found: String,
        /// The one in the configuration.
        expected: String,
    },
    /// No key, or no signature, for what apps are told.
    #[error("an assertion could not be signed")]
    Assertion,
    /// A row of the database can't be understood.
    #[error("the stored {0} cannot be read: restore it from a backup")]
    Stored(&'static str),
}

/// Why somebody may not. The texts are for those who were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The form of a credential.
    #[error(transparent)]
    Form(#[from] CredentialError),
    /// Never given out, or removed.
    #[error("the token is not known here: make a new one with `landline tokens add`")]
    TokenUnknown,
    /// Too late.
    #[error("the token has expired: make a new one with `landline tokens add`")]
    TokenExpired,
    /// All its uses were used.
    #[error("the token was used already: make a new one with `landline tokens add`")]
    TokenUsed,
    /// For another role.
    #[error("the token does not let a machine join as {0}")]
    TokenRole(String),
    /// For another name.
    #[error("the token is for a machine with another name")]
    TokenName,
    /// For other labels.
    #[error("the token asks for another value of label {0:?}")]
    TokenLabel(String),
    /// Another machine has it.
    #[error(
        "the name {0:?} belongs to another machine: choose another name, or remove that machine first"
    )]
    NameTaken(String),
    /// Not, or no longer, of the cluster.
    #[error("this machine does not belong to the cluster: join with a new token")]
    NotMember,
    /// A machine may renew what it is and nothing else.
    #[error("a certificate for another name than this machine's was asked for")]
    OtherName,
    /// Another key than the one that joined.
    #[error("the key is not the one with which this machine joined: join with a new token")]
    OtherKey,
    /// Away for too long.
    #[error("the certificate ended more than 30 days ago: join with a new token")]
    AwayTooLong,
    /// By an operator.
    #[error("locked by an operator: {0}")]
    Locked(String),
    /// Wrong name, password or code; which one is not said.
    #[error("the name, password or code is wrong")]
    Credentials,
    /// Too many wrong ones.
    #[error("too many attempts; try again in {0} s")]
    TooManyAttempts(i64),
    /// The password is right, a code is needed.
    #[error("a code of the second factor is needed")]
    SecondFactorNeeded,
    /// Expired, or ended from elsewhere.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// An invitation that does not count.
    #[error("the invitation is not valid any more: ask for a new one")]
    Invitation,
    /// A certificate that names nobody who may come in.
    #[error("{0}")]
    Certificate(String),
}

impl From<sqlx::Error> for IdentityError {
    fn from(error: sqlx::Error) -> Self {
        Self::State(StateError::from(error))
    }
}

impl IdentityError {
    /// Who is to blame, and what a client is told.
    pub fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            Self::Authority(error) => authority_class(error),
            Self::SshAuthority(error) => ssh_authority_class(error),
            Self::Password(error) => match error {
                PasswordError::Length => Class::Invalid,
                PasswordError::Busy => Class::TooMany,
                PasswordError::Stored | PasswordError::Hash | PasswordError::Random(_) => {
                    Class::Internal
                }
            },
            Self::Name(_) | Self::Role(_) | Self::Invalid(_) => Class::Invalid,
            Self::Refused(refusal) => refusal.class(),
            Self::NotFound { .. } => Class::NotFound,
            Self::Exists { .. } | Self::NotReady(_) | Self::Phase(_) => Class::Conflict,
            Self::Seal(_) | Self::Trust(_) | Self::Random(_) => Class::Internal,
            Self::Cluster { .. } | Self::Stored(_) | Self::Assertion => Class::Internal,
        }
    }
}

impl Refusal {
    /// What a client is told.
    pub fn class(&self) -> Class {
        match self {
            Self::Form(_) | Self::TokenUnknown | Self::TokenExpired | Self::TokenUsed => {
                Class::Unauthenticated
            }
            Self::Credentials | Self::SecondFactorNeeded | Self::SessionEnded => {
                Class::Unauthenticated
            }
            Self::Invitation => Class::Unauthenticated,
            Self::TooManyAttempts(_) => Class::TooMany,
            Self::NameTaken(_) => Class::Conflict,
            Self::TokenRole(_) | Self::TokenName | Self::TokenLabel(_) => Class::Forbidden,
            Self::NotMember | Self::OtherName | Self::OtherKey | Self::AwayTooLong => {
                Class::Forbidden
            }
            Self::Locked(_) | Self::Certificate(_) => Class::Forbidden,
        }
    }

    /// The stable word for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "form",
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired => "token_expired",
            Self::TokenUsed => "token_used",
            Self::TokenRole(_) => "token_role",
            Self::TokenName => "token_name",
            Self::TokenLabel(_) => "token_label",
            Self::NameTaken(_) => "name_taken",
            Self::NotMember => "not_member",
            Self::OtherName => "other_name",
            Self::OtherKey => "other_key",
            Self::AwayTooLong => "away_too_long",
            Self::Locked(_) => "locked",
            Self::Credentials => "credentials",
            Self::TooManyAttempts(_) => "too_many_attempts",
            Self::SecondFactorNeeded => "second_factor_needed",
            Self::SessionEnded => "session_ended",
            Self::Invitation => "invitation",
            Self::Certificate(_) => "certificate",
        }
    }
}

fn authority_class(error: &AuthorityError) -> Class {
    match error {
        AuthorityError::Request(_) | AuthorityError::KeyKind | AuthorityError::WebName(_) => {
            Class::Invalid
        }
        AuthorityError::Life => Class::Invalid,
        AuthorityError::Stored(_) | AuthorityError::Sign(_) => Class::Internal,
        AuthorityError::Certificate | AuthorityError::Random(_) => Class::Internal,
    }
}

fn ssh_authority_class(error: &SshAuthorityError) -> Class {
    match error {
        SshAuthorityError::PublicKey | SshAuthorityError::KeyKind => Class::Invalid,
        SshAuthorityError::Principals | SshAuthorityError::Life => Class::Invalid,
        SshAuthorityError::Stored(_) | SshAuthorityError::Sign(_) => Class::Internal,
        SshAuthorityError::Random(_) => Class::Internal,
    }
}
