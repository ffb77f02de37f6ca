//! How often an address may fail to get in: a guess at a token costs more than its try.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals of one address within the window.
const REFUSALS_MAX: u32 = 30;
/// The window.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Refusals by address.
#[derive(Debug, Default)]
pub struct Attempts {
    refused: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Attempts {
    /// How long an address has to wait before it may try again; nothing when it may try now.
    pub fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, count) = refused.get(&address)?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*begun))?;
        (*count >= REFUSALS_MAX).then_some(left)
    }

    /// Counts a refusal.
    pub fn refused(&self, address: IpAddr, now: Instant) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= ADDRESSES_MAX {
            refused.retain(|_, (begun, _)| now.saturating_duration_since(*begun) < WINDOW);
        }
        if refused.len() >= ADDRESSES_MAX && !refused.contains_key(&address) {
            // So many within a minute: the tokens' own entropy has to do.
            return;
        }
        let entry = refused.entry(address).or_insert((now, 0));
        if now.saturating_duration_since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_waits_and_others_do_not() {
        let attempts = Attempts::default();
        let (guesser, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let now = crate::clock::now();
        for _ in 0..REFUSALS_MAX {
            assert_eq!(attempts.wait(guesser, now), None);
            attempts.refused(guesser, now);
        }
        assert_eq!(attempts.wait(guesser, now), Some(WINDOW));
        assert_eq!(attempts.wait(other, now), None);
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(attempts.wait(guesser, later), None);
        attempts.refused(guesser, later);
        assert_eq!(attempts.wait(guesser, later), None);
    }
}
