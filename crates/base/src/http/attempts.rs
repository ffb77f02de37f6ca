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
        let (begun, count) = refused.get(&network(address))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*begun))?;
        (*count >= REFUSALS_MAX).then_some(left)
    }

    /// Counts a refusal.
    pub fn refused(&self, address: IpAddr, now: Instant) {
        let address = network(address);
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

/// What one guesser has: an address, or with IPv6 a network of 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(prefix.into())
        }
        address @ IpAddr::V4(_) => address,
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
        // Who has one address of IPv6 has as many as they like.
        let of = |text: &str| -> IpAddr { text.parse().unwrap() };
        for last in 0..REFUSALS_MAX {
            attempts.refused(of(&format!("2001:db8:0:1::{last:x}")), now);
        }
        assert_eq!(attempts.wait(of("2001:db8:0:1:ffff::1"), now), Some(WINDOW));
        assert_eq!(attempts.wait(of("2001:db8:0:2::1"), now), None);
    }
}
