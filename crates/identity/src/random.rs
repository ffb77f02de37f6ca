//! Random numbers, hashes and identifiers. All randomness of this crate comes from here.

use std::fmt::Write as _;

use aws_lc_rs::{digest, rand};

/// The random source of the operating system gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the random source of the operating system failed; restart the process")]
pub struct RandomError;

/// Unpredictable bytes.
pub(crate) fn bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], RandomError> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A short identifier for lists and commands: 64 random bits as 16 hexadecimal digits. It proves
/// nothing.
pub(crate) fn short_id() -> Result<String, RandomError> {
    Ok(hex(&bytes::<8>()?))
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid() -> Result<String, RandomError> {
    let mut bytes = bytes::<16>()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if [8, 12, 16, 20].contains(&index) {
            text.push('-');
        }
        text.push(digit);
    }
    Ok(text)
}

/// Whether `text` is written as [`uuid`] writes it.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// SHA-256 as 64 hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_form_and_differ() {
        let (first, second) = (uuid().unwrap(), uuid().unwrap());
        assert!(is_uuid(&first) && is_uuid(&second), "{first} {second}");
        assert_ne!(first, second);
        assert_eq!(first.as_bytes()[14], b'4');
        assert!(!is_uuid("web-1") && !is_uuid(""));
        assert_eq!(short_id().unwrap().len(), 16);
    }

    #[test]
    fn the_hash_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
    }
}
