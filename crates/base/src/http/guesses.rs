//! How often somebody may show a wrong password or signature. Behind one address there may be many
//! clients, so what counts is a name at an address: each further failure of that has to wait longer.
//! An address as a whole may fail far more often, and who was right there before is not bound by that.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::attempts::network;

/// Failures of a name at an address before it has to wait.
const FREE: u32 = 10;
/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// A name that has not failed for so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// Failures of all names of an address within a minute.
const ADDRESS_MAX: u32 = 1_000;
/// That minute.
const WINDOW: Duration = Duration::from_mins(1);
/// How long somebody who was right is not bound by what others of the address do.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// What is remembered of each kind.
const REMEMBERED_MAX: usize = 10_000;
/// Wrong passwords of a name that are recognised: one that is sent again and again is no further guess.
const SAME_MAX: usize = 4;

/// A name at an address. Names may be long, and are strangers': a number stands for them.
type Who = (IpAddr, u64);

/// Failures by name and address.
#[derive(Debug, Default)]
pub struct Guesses {
    numbers: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failed: HashMap<Who, Failed>,
    known: HashMap<Who, Instant>,
    addresses: HashMap<IpAddr, (Instant, u32)>,
}

#[derive(Debug)]
struct Failed {
    count: u32,
    last: Instant,
    waits_until: Instant,
    guesses: Vec<u64>,
}

impl Guesses {
    /// How long `name` has to wait at an address before its next try is even looked at; nothing when it
    /// may try now.
    pub fn wait(&self, address: IpAddr, name: &str, now: Instant) -> Option<Duration> {
        let who = self.who(address, name);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = inner.failed.get(&who);
        let own = failed.map(|failed| failed.waits_until.saturating_duration_since(now));
        if let Some(wait) = own.filter(|wait| !wait.is_zero()) {
            return Some(wait);
        }
        let known = inner.known.get(&who);
        if known.is_some_and(|at| now.saturating_duration_since(*at) < KNOWN_FOR) {
            return None;
        }
        let (begun, count) = inner.addresses.get(&who.0)?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*begun))?;
        (*count >= ADDRESS_MAX).then_some(left)
    }

    /// Counts a failure. `guess` is the password, where there is one: the same one again, of a client that
    /// has an old one, counts once.
    pub fn wrong(&self, address: IpAddr, name: &str, guess: Option<&str>, now: Instant) {
        let who = self.who(address, name);
        let guess = guess.map(|guess| self.numbers.hash_one(guess));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if inner.failed.len() >= REMEMBERED_MAX && !inner.failed.contains_key(&who) {
            make_room(&mut inner.failed, now);
        }
        let failed = inner.failed.entry(who).or_insert(Failed {
            count: 0,
            last: now,
            waits_until: now,
            guesses: Vec::new(),
        });
        if now.saturating_duration_since(failed.last) >= FORGOTTEN_AFTER {
            failed.count = 0;
            failed.guesses.clear();
        }
        failed.last = now;
        if let Some(guess) = guess {
            if failed.guesses.contains(&guess) {
                return;
            }
            if failed.guesses.len() >= SAME_MAX {
                failed.guesses.remove(0);
            }
            failed.guesses.push(guess);
        }
        failed.count = failed.count.saturating_add(1);
        if let Some(further) = failed.count.checked_sub(FREE) {
            let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(further).unwrap_or(u32::MAX));
            failed.waits_until = now + wait.min(WAIT_MAX);
        }
        count_address(&mut inner.addresses, who.0, now);
    }

    /// Says that somebody was right.
    pub fn right(&self, address: IpAddr, name: &str, now: Instant) {
        let who = self.who(address, name);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut inner.known;
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&who) {
            known.retain(|_, at| now.saturating_duration_since(*at) < KNOWN_FOR);
            if known.len() >= REMEMBERED_MAX {
                // They are bound as strangers are.
                return;
            }
        }
        known.insert(who, now);
    }

    fn who(&self, address: IpAddr, name: &str) -> Who {
        (network(address), self.numbers.hash_one(name))
    }
}

/// Forgets what is over, or else who has been quiet for longest.
fn make_room(failed: &mut HashMap<Who, Failed>, now: Instant) {
    failed.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGOTTEN_AFTER);
    if failed.len() < REMEMBERED_MAX {
        return;
    }
    let oldest = failed.iter().min_by_key(|(_, failed)| failed.last);
    if let Some(oldest) = oldest.map(|(who, _)| *who) {
        failed.remove(&oldest);
    }
}

fn count_address(addresses: &mut HashMap<IpAddr, (Instant, u32)>, address: IpAddr, now: Instant) {
    if addresses.len() >= REMEMBERED_MAX {
        addresses.retain(|_, (begun, _)| now.saturating_duration_since(*begun) < WINDOW);
    }
    if addresses.len() >= REMEMBERED_MAX && !addresses.contains_key(&address) {
        // So many within a minute: each name has its own bound.
        return;
    }
    let entry = addresses.entry(address).or_insert((now, 0));
    if now.saturating_duration_since(entry.0) >= WINDOW {
        *entry = (now, 0);
    }
    entry.1 = entry.1.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_name_that_fails_waits_longer_each_time_and_others_do_not() {
        let guesses = Guesses::default();
        let now = crate::clock::now();
        for _ in 0..FREE {
            assert_eq!(guesses.wait(address(1), "anna", now), None);
            guesses.wrong(address(1), "anna", None, now);
        }
        assert_eq!(guesses.wait(address(1), "anna", now), Some(SECOND));
        assert_eq!(guesses.wait(address(1), "berta", now), None);
        assert_eq!(guesses.wait(address(2), "anna", now), None);
        let later = now + SECOND;
        assert_eq!(guesses.wait(address(1), "anna", later), None);
        for _ in 0..40 {
            guesses.wrong(address(1), "anna", None, later);
        }
        assert_eq!(guesses.wait(address(1), "anna", later), Some(WAIT_MAX));
        let much_later = later + FORGOTTEN_AFTER;
        guesses.wrong(address(1), "anna", None, much_later);
        assert_eq!(guesses.wait(address(1), "anna", much_later), None);
    }

    #[test]
    fn the_same_password_again_is_no_further_guess() {
        let guesses = Guesses::default();
        let now = crate::clock::now();
        for _ in 0..1_000 {
            guesses.wrong(address(1), "krkn", Some("old"), now);
        }
        assert_eq!(guesses.wait(address(1), "krkn", now), None);
        for guess in 0..FREE {
            guesses.wrong(address(1), "krkn", Some(&guess.to_string()), now);
        }
        assert!(guesses.wait(address(1), "krkn", now).is_some());
    }

    #[test]
    fn an_address_is_bound_as_a_whole_but_for_who_was_right() {
        let guesses = Guesses::default();
        let now = crate::clock::now();
        guesses.right(address(1), "anna", now);
        for name in 0..ADDRESS_MAX {
            assert_eq!(guesses.wait(address(1), "berta", now), None, "{name}");
            guesses.wrong(address(1), &name.to_string(), None, now);
        }
        assert_eq!(guesses.wait(address(1), "berta", now), Some(WINDOW));
        assert_eq!(guesses.wait(address(1), "anna", now), None);
        assert_eq!(guesses.wait(address(2), "berta", now), None);
        assert_eq!(
            guesses.wait(address(1), "berta", now + WINDOW + SECOND),
            None
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = Guesses::default();
        let now = crate::clock::now();
        for name in 0..REMEMBERED_MAX + 10 {
            guesses.wrong(address(1), &name.to_string(), None, now);
            guesses.right(address(1), &name.to_string(), now);
        }
        let inner = guesses.inner.lock().unwrap();
        assert_eq!(inner.failed.len(), REMEMBERED_MAX);
        assert_eq!(inner.known.len(), REMEMBERED_MAX);
    }
}
