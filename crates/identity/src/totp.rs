//! One-time codes by time (RFC 6238) as all authenticator apps make them: SHA-1, 6 digits, 30 s.
//! Pure; that a code works once is kept by `users`.

use aws_lc_rs::hmac;
use base::secret::Secret;

use crate::random::{self, RandomError};

/// Seconds of one code.
pub(crate) const STEP_SECONDS: i64 = 30;
/// Digits of a code.
pub(crate) const DIGITS: u32 = 6;
/// Steps before and after the present one whose codes are taken, for clocks that differ.
pub(crate) const STEPS_AROUND: i64 = 1;
/// Bytes of a key: as long as the hash (RFC 4226, section 4).
const KEY_BYTES: usize = 20;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new key.
pub(crate) fn generate_key() -> Result<[u8; KEY_BYTES], RandomError> {
    random::bytes()
}

/// The address that an authenticator app reads from a QR code.
pub(crate) fn otpauth_url(cluster: &str, user: &str, key: &[u8]) -> Secret {
    // Names of clusters and users hold no character that a URL would escape.
    Secret::new(format!(
        "otpauth://totp/Landline%20{cluster}:{user}?secret={}&issuer=Landline%20{cluster}",
        base32(key)
    ))
}

/// The key in the form that is typed by hand.
pub(crate) fn base32(key: &[u8]) -> String {
    let mut text = String::new();
    for chunk in key.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(bits);
        for index in 0..(chunk.len() * 8).div_ceil(5) {
            let digit = (bits >> (35 - 5 * index)) & 31;
            text.extend(
                BASE32
                    .get(usize::try_from(digit).unwrap_or_default())
                    .map(|c| *c as char),
            );
        }
    }
    text
}

/// The step at a time in Unix milliseconds.
pub(crate) fn step_at(now: i64) -> i64 {
    now.div_euclid(1000 * STEP_SECONDS)
}

/// The step whose code this is, looking around `now` (Unix milliseconds) and only after
/// `last_step`, the step of the last code that was taken.
pub(crate) fn find_step(key: &[u8], code: &Secret, now: i64, last_step: i64) -> Option<i64> {
    let present = step_at(now);
    let mut found = None;
    // Every step is compared whatever the one before gave.
    for step in (present - STEPS_AROUND)..=(present + STEPS_AROUND) {
        let expected = format!("{:06}", hotp(key, step) % 10_u32.pow(DIGITS));
        if code.matches(&expected) && step > last_step {
            found = Some(step);
        }
    }
    found
}

/// The truncated value of RFC 4226, section 5.3, before it is cut to digits.
fn hotp(key: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 0x0f);
    let bytes = tag
        .get(offset..offset + 4)
        .and_then(|four| four.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default()) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    /// RFC 6238, appendix B, the column of SHA-1: 8 digits.
    #[test]
    fn the_vectors_of_rfc_6238() {
        let vectors = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (seconds, expected) in vectors {
            let code = hotp(KEY, step_at(seconds * 1000)) % 100_000_000;
            assert_eq!(format!("{code:08}"), expected, "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_around_its_time_and_only_forwards() {
        let code = Secret::new("287082");
        let check = |seconds: i64, last| find_step(KEY, &code, seconds * 1000, last);
        assert_eq!(check(59, -1), Some(1));
        assert_eq!(check(29, -1), Some(1), "a step early");
        assert_eq!(check(89, -1), Some(1), "a step late");
        assert_eq!(check(90, -1), None, "two steps late");
        assert_eq!(check(59, 1), None, "taken before");
        let wrong = |code: &str| find_step(KEY, &Secret::new(code), 59_000, -1);
        for code in ["287083", "", "94287082", "28708"] {
            assert_eq!(wrong(code), None, "{code}");
        }
    }

    /// RFC 4648, section 10, without padding.
    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (plain, expected) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(plain.as_bytes()), expected);
        }
        assert_eq!(base32(KEY), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
