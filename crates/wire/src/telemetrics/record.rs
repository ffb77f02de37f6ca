//! Whether a submission is a record: the checks of the original collector, in its order, so that the
//! first complaint is the original's too. Wherever this is stricter or more lenient than the
//! original, the function that decides says so.

use super::{Field, Invalid, Submission};

/// What is stored for a text that a record's format does not have.
pub const NOT_AVAILABLE: &str = "N/A";

/// The architectures of the original.
const ARCHITECTURES: [&str; 10] = [
    "armv7l", "armv6l", "aarch64", "amd64", "sparc64", "ppc64", "i686", "i386", "x86_64", "ppc",
];
/// Characters of any other architecture.
const ARCH_CHARS_MAX: usize = 64;
/// Characters of a machine id.
const MACHINE_ID_CHARS_MAX: usize = 32;
/// Characters of a host type.
const HOST_TYPE_CHARS_MAX: usize = 249;
/// Characters of the board, the processor and the firmware.
const HARDWARE_CHARS_MAX: usize = 199;
/// Hexadecimal digits of an event id.
const EVENT_ID_CHARS: usize = 32;
/// The first number that PostgreSQL cannot keep in the original's column, less one: the original
/// refuses the last good one as well.
const PAYLOAD_FORMAT_VERSION_MAX: i64 = 2_147_483_646;
/// The last number that it can keep. The original lets smaller ones through and fails on them.
const PAYLOAD_FORMAT_VERSION_MIN: i64 = -2_147_483_648;
/// Characters of a text that an error repeats.
const QUOTED_CHARS_MAX: usize = 80;
/// The system whose builds are numbers.
const CLEAR_LINUX: &str = "clear-linux-os";

/// The fields that must have been sent, in the order in which the original looks for them, each with
/// the first format that has it.
const REQUIRED: [(u8, Field); 16] = [
    (1, Field::Arch),
    (1, Field::Build),
    (1, Field::CreationTimestamp),
    (1, Field::Classification),
    (1, Field::HostType),
    (1, Field::KernelVersion),
    (1, Field::MachineId),
    (1, Field::Severity),
    (1, Field::RecordFormatVersion),
    (2, Field::PayloadFormatVersion),
    (2, Field::SystemName),
    (2, Field::Tid),
    (3, Field::BoardName),
    (3, Field::BiosVersion),
    (3, Field::CpuModel),
    (4, Field::EventId),
];

/// How much more than the original is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// The ten architectures of the original.
    Strict,
    /// Any architecture of 1 to 64 printable ASCII characters without blanks: there are machines of
    /// `riscv64`, and the client itself sends `unknown` when it cannot tell.
    Lenient,
}

/// A record whose every value has been checked. Texts without a stated length are as long as the
/// header block or the body let them be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The format, 1 to 4.
    pub record_format_version: u8,
    /// 1 is low, 4 critical.
    pub severity: u8,
    /// Three parts with `/` between, one or two of which can be empty.
    pub classification: String,
    /// At most 32 characters, can be empty.
    pub machine_id: String,
    /// When the client made it, Unix seconds by its clock: 0 or later, however far in the future.
    pub created: i64,
    /// One of the ten known ones or, when `is_unusual_arch`, 1 to 64 visible ASCII characters.
    pub arch: String,
    /// Whether the original would have refused the architecture.
    pub is_unusual_arch: bool,
    /// `vendor|product|version`, at most 249 characters, can be empty.
    pub host_type: String,
    /// Two numbers and something more with `.` between, such as `6.1.0-13-amd64`.
    pub kernel_version: String,
    /// At most 199 printable ASCII characters, can be empty; `N/A` before format 3.
    pub board_name: String,
    /// At most 199 printable ASCII characters, can be empty; `N/A` before format 3.
    pub cpu_model: String,
    /// At most 199 printable ASCII characters, can be empty; `N/A` before format 3.
    pub bios_version: String,
    /// 32 lower-case hexadecimal digits; `N/A` before format 4.
    pub event_id: String,
    /// ASCII letters, digits, `-`, `_` and `.`, at least one; digits alone for Clear Linux.
    pub build: String,
    /// Without quotes, otherwise unchecked, can be empty; `N/A` when format 1 came without it.
    pub system_name: String,
    /// From -2,147,483,648 to 2,147,483,646; 0 when format 1 came without it.
    pub payload_format_version: i64,
    /// Whether `X-CLR-External` was exactly `true`.
    pub external: bool,
    /// As it was sent. It can be empty and can contain NUL.
    pub payload: String,
}

/// Makes a record of a submission, or says what is wrong with it first.
///
/// A telemetry id must be there from format 2 on, but callers have compared it before. System name
/// and payload version belong to format 2; the original nevertheless uses them wherever they were
/// sent, and so does this. It fails on format 1 without them; this does not.
///
/// # Errors
/// The first check that fails, in the original's order.
pub fn check(submission: &Submission, strictness: Strictness) -> Result<Record, Invalid> {
    let text = |field| submission.get(field).unwrap_or_default();
    let record_format_version = record_format_version(text(Field::RecordFormatVersion))?;
    if let Some(missing) = first_missing(submission, record_format_version) {
        return Err(Invalid::Missing(missing));
    }
    // A field that a lower format lacks is not looked at, even when it was sent.
    let text_since = |format, field, is_valid: fn(&str) -> bool, problem| {
        if record_format_version < format {
            return Ok(NOT_AVAILABLE.to_owned());
        }
        valid(text(field), is_valid, problem)
    };
    let severity = one_to_four(text(Field::Severity)).ok_or(Invalid::Severity)?;
    let classification = valid(
        text(Field::Classification),
        is_classification,
        Invalid::Classification,
    )?;
    let machine_id = valid(
        text(Field::MachineId),
        |text| text.chars().count() <= MACHINE_ID_CHARS_MAX,
        Invalid::MachineId,
    )?;
    let created = created(text(Field::CreationTimestamp)).ok_or(Invalid::CreationTimestamp)?;
    let is_unusual_arch = is_unusual_arch(text(Field::Arch), strictness).ok_or(Invalid::Arch)?;
    let host_type = valid(
        text(Field::HostType),
        |text| text.chars().count() <= HOST_TYPE_CHARS_MAX,
        Invalid::HostType,
    )?;
    let kernel_version = valid(
        text(Field::KernelVersion),
        is_kernel_version,
        Invalid::KernelVersion,
    )?;
    let board_name = text_since(3, Field::BoardName, is_hardware, Invalid::BoardName)?;
    let cpu_model = text_since(3, Field::CpuModel, is_hardware, Invalid::CpuModel)?;
    let bios_version = text_since(3, Field::BiosVersion, is_hardware, Invalid::BiosVersion)?;
    let event_id = text_since(4, Field::EventId, is_event_id, Invalid::EventId)?;
    let system_name = submission.get(Field::SystemName);
    let system_name = system_name.map_or_else(|| NOT_AVAILABLE.to_owned(), without_quotes);
    Ok(Record {
        record_format_version,
        severity,
        classification,
        machine_id,
        created,
        arch: text(Field::Arch).to_owned(),
        is_unusual_arch,
        host_type,
        kernel_version,
        board_name,
        cpu_model,
        bios_version,
        event_id,
        // The order of these matters as well: the build is checked before the payload version.
        build: build(text(Field::Build), &system_name)?,
        payload_format_version: payload_format_version(submission)?,
        system_name,
        external: submission.get(Field::External) == Some("true"),
        payload: submission.payload().to_owned(),
    })
}

fn valid(text: &str, is_valid: fn(&str) -> bool, problem: Invalid) -> Result<String, Invalid> {
    if is_valid(text) {
        Ok(text.to_owned())
    } else {
        Err(problem)
    }
}

/// Stricter than the original, which reads `04` as a number, finds no required set under that text
/// and then looks for nothing.
fn record_format_version(text: &str) -> Result<u8, Invalid> {
    one_to_four(text)
        .filter(|_| text.len() == 1)
        .ok_or(Invalid::RecordFormatVersion)
}

fn first_missing(submission: &Submission, record_format_version: u8) -> Option<Field> {
    let needed = REQUIRED
        .iter()
        .filter(|(since, _)| *since <= record_format_version);
    let mut missing = needed.filter(|(_, field)| submission.get(*field).is_none());
    missing.next().map(|(_, field)| *field)
}

/// Digits, leading zeros among them, of a number from 1 to 4.
fn one_to_four(text: &str) -> Option<u8> {
    let number: u8 = text.parse().ok().filter(|_| is_digits(text))?;
    (1..=4).contains(&number).then_some(number)
}

/// Stricter than the original, which takes `//`.
fn is_classification(text: &str) -> bool {
    text.matches('/').count() == 2 && text != "//"
}

/// Stricter than the original, which commits what does not fit its clock and fails on it ever after.
fn created(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| is_digits(text))
}

/// Whether it is one of the ten architectures that the original takes.
pub fn is_usual_arch(text: &str) -> bool {
    ARCHITECTURES.contains(&text)
}

/// Whether the original would refuse it; nothing when this does, too.
fn is_unusual_arch(text: &str, strictness: Strictness) -> Option<bool> {
    if is_usual_arch(text) {
        return Some(false);
    }
    let is_word = (1..=ARCH_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    (strictness == Strictness::Lenient && is_word).then_some(true)
}

fn is_kernel_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let mut is_next_digits = || parts.next().is_some_and(is_digits);
    is_next_digits() && is_next_digits() && parts.next().is_some()
}

/// What Python calls printable, which includes all ASCII blanks and line breaks.
fn is_hardware(text: &str) -> bool {
    let is_printable = |byte| matches!(byte, b'\t'..=b'\r' | b' '..=b'~');
    text.len() <= HARDWARE_CHARS_MAX && text.bytes().all(is_printable)
}

fn is_event_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == EVENT_ID_CHARS && text.bytes().all(is_digit)
}

/// The build without its quotes: `VERSION_ID` of os-release(5) arrives with those of the file.
fn build(text: &str, system_name: &str) -> Result<String, Invalid> {
    let build = without_quotes(text);
    if system_name == CLEAR_LINUX {
        return valid(&build, is_digits, Invalid::ClearLinuxBuild);
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if build.is_empty() || !build.bytes().all(is_allowed) {
        return Err(Invalid::Build);
    }
    Ok(build)
}

fn payload_format_version(submission: &Submission) -> Result<i64, Invalid> {
    let Some(text) = submission.get(Field::PayloadFormatVersion) else {
        return Ok(0);
    };
    // Python's integers may have blanks around them and a sign.
    let number = text.trim();
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    if !is_digits(digits) {
        let quoted = quoted(text);
        return Err(Invalid::PayloadFormatVersion { quoted });
    }
    let is_supported =
        |number: &i64| (PAYLOAD_FORMAT_VERSION_MIN..=PAYLOAD_FORMAT_VERSION_MAX).contains(number);
    let number = number.parse().ok().filter(is_supported);
    number.ok_or(Invalid::PayloadFormatVersionRange)
}

fn without_quotes(text: &str) -> String {
    text.replace(['"', '\''], "")
}

/// ASCII digits, at least one. Python takes other scripts' digits as well, and then fails on some.
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The beginning of a text as Python writes it: in double quotes when only single ones are in it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::from(quote);
    for character in text.chars().take(QUOTED_CHARS_MAX) {
        if character.is_control() || character == '\\' {
            quoted.extend(character.escape_default());
        } else {
            quoted.extend((character == quote).then_some('\\'));
            quoted.push(character);
        }
    }
    quoted.push(quote);
    quoted
}
