//! Names with passwords and signatures, as they are shown: who is right, who was wrong too often, and
//! the count of both.

use std::net::IpAddr;
use std::time::Duration;

use base::clock;
use wire::s3::request::SignatureError;

use super::config::LINK_NAME;
use super::error::Trouble;
use super::visitor::Visitor;
use super::{Artefacts, Shared};

/// What was shown, in the metric of attempts.
const PASSWORD: &str = "password";
const SIGNATURE: &str = "signature";

impl Artefacts {
    /// How long a name has to wait at an address before its password is looked at.
    pub fn wait(&self, address: IpAddr, name: &str) -> Option<Duration> {
        let wait = self.shared.guesses.wait(address, name, clock::now())?;
        self.shared.metrics.count_attempt(PASSWORD, "held_off");
        Some(wait)
    }

    /// Which user of the configuration has this name and password.
    pub fn user(&self, name: &str, password: &str) -> Option<Visitor> {
        self.shared.users.visitor(name, password)
    }

    /// Says that a name and its password were right.
    pub fn right(&self, address: IpAddr, name: &str) {
        self.shared.guesses.right(address, name, clock::now());
    }

    /// Says that they were wrong.
    pub fn wrong(&self, address: IpAddr, name: &str, password: &str) {
        let now = clock::now();
        self.shared
            .guesses
            .wrong(address, name, Some(password), now);
        self.shared.metrics.count_attempt(PASSWORD, "wrong");
    }
}

impl Shared {
    /// Refuses a signature of a name that was wrong too often, before it is looked at. Ours can't be
    /// guessed, and many have links.
    pub(super) fn check_wait(&self, address: IpAddr, name: &str) -> Result<(), Trouble> {
        if name == LINK_NAME {
            return Ok(());
        }
        let Some(wait) = self.guesses.wait(address, name, clock::now()) else {
            return Ok(());
        };
        self.metrics.count_attempt(SIGNATURE, "held_off");
        Err(Trouble::HeldOff(wait.as_secs().saturating_add(1)))
    }

    /// Counts what came of a signature: one that is late or malformed is no guess.
    pub(super) fn count_signature<T>(
        &self,
        (address, name): (IpAddr, &str),
        result: &Result<T, Trouble>,
    ) {
        let is_guess = matches!(
            result,
            Err(Trouble::UnknownUser | Trouble::Signature(SignatureError::Mismatch))
        );
        if is_guess {
            self.metrics.count_attempt(SIGNATURE, "wrong");
        }
        if name == LINK_NAME {
            return;
        }
        if is_guess {
            self.guesses.wrong(address, name, None, clock::now());
        } else if result.is_ok() {
            self.guesses.right(address, name, clock::now());
        }
    }
}
