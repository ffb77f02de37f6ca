//! The phases of changing an authority, without a handshake failing on the way. Pure: which
//! authority is trusted and which one signs follows from the phase alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a rotation stands.
///
/// In every phase but `standby` both authorities are trusted. The outgoing one goes only after
/// everyone has learned of the new one and nobody holds a certificate of the outgoing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// One authority, nothing under way.
    Standby,
    /// The new authority exists and is trusted; nothing is signed with it.
    Init,
    /// Clients get certificates of the new authority, servers still of the outgoing one.
    UpdateClients,
    /// Servers get theirs of the new authority too.
    UpdateServers,
    /// Back: everything is signed by the outgoing authority again.
    Rollback,
}

/// Which of the two authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// The one that was there first.
    Outgoing,
    /// The one that is to replace it.
    Incoming,
}

/// Who uses a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Somebody who connects: nodes, people.
    Client,
    /// Somebody who is connected to: proxies, SSH hosts.
    Server,
}

/// The phases don't follow one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rotation cannot go from {from} to {to}; the next steps are: {}", words(*from))]
pub struct PhaseError {
    /// Where it stands.
    pub from: Phase,
    /// Where it should have gone.
    pub to: Phase,
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Init => "init",
            Self::UpdateClients => "update_clients",
            Self::UpdateServers => "update_servers",
            Self::Rollback => "rollback",
        }
    }

    /// The phase of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Standby,
            Self::Init,
            Self::UpdateClients,
            Self::UpdateServers,
            Self::Rollback,
        ];
        all.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Where one may go from here.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Standby => &[Self::Init],
            Self::Init => &[Self::UpdateClients, Self::Rollback],
            Self::UpdateClients => &[Self::UpdateServers, Self::Rollback],
            Self::UpdateServers => &[Self::Standby, Self::Rollback],
            Self::Rollback => &[Self::Standby],
        }
    }

    /// Whether one may go to `to`.
    pub fn check(self, to: Self) -> Result<(), PhaseError> {
        if self.next().contains(&to) {
            return Ok(());
        }
        Err(PhaseError { from: self, to })
    }

    /// Which authority signs certificates of that usage.
    pub fn signer(self, usage: Usage) -> Generation {
        match (self, usage) {
            (Self::Standby | Self::Init | Self::Rollback, _)
            | (Self::UpdateClients, Usage::Server) => Generation::Outgoing,
            (Self::UpdateClients, Usage::Client) | (Self::UpdateServers, _) => Generation::Incoming,
        }
    }

    /// Which authority goes when the rotation ends here with `standby`.
    pub fn dropped_at_end(self) -> Generation {
        match self {
            Self::Rollback => Generation::Incoming,
            _ => Generation::Outgoing,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn words(from: Phase) -> String {
    let words: Vec<&str> = from.next().iter().map(|phase| phase.as_str()).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another_and_every_one_can_be_rolled_back() {
        let steps = [
            ("standby", "init"),
            ("init", "update_clients"),
            ("update_clients", "update_servers"),
            ("update_servers", "standby"),
            ("rollback", "standby"),
        ];
        for (from, first) in steps {
            let from = Phase::parse(from).unwrap();
            let first = Phase::parse(first).unwrap();
            assert_eq!(from.next()[0], first);
            assert_eq!(from.check(first), Ok(()));
            let may_roll_back = !matches!(from, Phase::Standby | Phase::Rollback);
            assert_eq!(from.check(Phase::Rollback).is_ok(), may_roll_back, "{from}");
            assert!(from.check(from).is_err());
        }
        let error = Phase::Standby.check(Phase::UpdateServers).unwrap_err();
        assert!(
            error.to_string().ends_with("the next steps are: init"),
            "{error}"
        );
    }

    /// What a server trusts must contain what clients may hold in this and the phase before.
    #[test]
    fn the_new_authority_signs_only_after_a_phase_in_which_it_was_trusted() {
        assert_eq!(Phase::Init.signer(Usage::Client), Generation::Outgoing);
        assert_eq!(Phase::Init.signer(Usage::Server), Generation::Outgoing);
        assert_eq!(
            Phase::UpdateClients.signer(Usage::Client),
            Generation::Incoming
        );
        assert_eq!(
            Phase::UpdateClients.signer(Usage::Server),
            Generation::Outgoing
        );
        assert_eq!(
            Phase::UpdateServers.signer(Usage::Server),
            Generation::Incoming
        );
        assert_eq!(Phase::Rollback.signer(Usage::Client), Generation::Outgoing);
        assert_eq!(Phase::UpdateServers.dropped_at_end(), Generation::Outgoing);
        assert_eq!(Phase::Rollback.dropped_at_end(), Generation::Incoming);
    }
}
