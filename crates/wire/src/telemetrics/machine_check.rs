//! What the payload of a machine check says: mcelog writes `STATUS <hexadecimal> MCGSTATUS …`, and the
//! last eight digits of that status are the code by which the original counts them.

/// Digits of a code.
const DIGITS: usize = 8;
/// Digits of a status at most: it is a register of 64 bits.
const STATUS_DIGITS_MAX: usize = 16;

/// The code of the first status in a payload: its last eight hexadecimal digits, or all when it has
/// fewer. Nothing when there is no status.
pub fn code(payload: &str) -> Option<&str> {
    payload.match_indices("STATUS ").find_map(|(at, word)| {
        let rest = payload.get(at + word.len()..)?;
        let (status, after) = rest.split_once(' ')?;
        let is_status = !status.is_empty()
            && status.len() <= STATUS_DIGITS_MAX
            && status.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_whole = is_status && after.trim_start().starts_with("MCGSTATUS");
        let start = status.len().saturating_sub(DIGITS);
        is_whole.then(|| status.get(start..))?
    })
}
