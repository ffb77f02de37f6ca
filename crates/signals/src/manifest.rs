//! Which segments there are and where the log begins: a text under a checksum, replaced whole.

use std::fmt::Write;

use crate::bytes::{Reader, in_memory};
use crate::damage::{Damage, ReadError};
use crate::disk::{Disk, DiskError, named};
use crate::tombstone::{self, Tombstone};

/// Its name, and the one under which it is written.
pub(crate) const NAME: &str = "MANIFEST";
const NEW_NAME: &str = "MANIFEST.new";

const FIRST_LINE: &str = "landline-signals 1";

/// Bytes of a manifest. A segment takes about 80 of them.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What stands at the end of the line of a segment that is an object.
const FAR: &str = "object";

/// What the manifest says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifest {
    /// The first file of the log that is needed.
    pub(crate) log_first: u32,
    /// Samples before this time are in segments; what comes for it is too late.
    pub(crate) flushed: Option<i64>,
    /// The number of the next segment.
    pub(crate) next: u32,
    /// The id of the objects, once there have been any.
    pub(crate) depot: Option<u64>,
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) tombstones: Vec<Tombstone>,
}

/// One segment as the manifest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u32,
    /// Bytes of the file.
    pub(crate) length: u64,
    /// Of the footer.
    pub(crate) checksum: u32,
    /// The time of the first and of the last sample.
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) samples: u64,
    pub(crate) series: u64,
    /// Whether it is an object; otherwise it is a file.
    pub(crate) is_far: bool,
}

impl Manifest {
    /// Writes the manifest; on disk when this returns.
    pub(crate) fn write(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        remove_unfinished(disk)?;
        let file = named(disk, "create", NEW_NAME, disk.create(NEW_NAME))?;
        let text = self.to_text();
        named(disk, "write to", NEW_NAME, file.append(text.as_bytes()))?;
        named(disk, "sync", NEW_NAME, file.sync())?;
        named(disk, "rename", NEW_NAME, disk.rename(NEW_NAME, NAME))?;
        named(disk, "sync", "", disk.sync_folder(""))
    }

    /// Reads the manifest; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>, ReadError> {
        let file = match disk.open(NAME) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => named(disk, "open", NAME, opened)?,
        };
        let length = named(disk, "read", NAME, file.length())?;
        let damage = |offset, what| Damage {
            path: disk.path(NAME).display().to_string(),
            offset,
            what,
        };
        if length > BYTES_MAX {
            return Err(damage(BYTES_MAX, "it is too long").into());
        }
        let mut bytes = vec![0; in_memory(length)];
        named(disk, "read", NAME, file.read_at(0, &mut bytes))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let at = error.valid_up_to() as u64;
            damage(at, "it is no text")
        })?;
        let (body, checksum) = text
            .rfind("checksum ")
            .and_then(|at| text.split_at_checked(at))
            .ok_or_else(|| damage(length, "its last line is missing"))?;
        if checksum != checksum_line(body) {
            return Err(damage(body.len() as u64, "its checksum is wrong").into());
        }
        let mut manifest = Self::default();
        let mut offset = 0;
        for (at, line) in body.lines().enumerate() {
            let understood = if at == 0 {
                (line == FIRST_LINE).then_some(())
            } else {
                manifest.take_line(line)
            };
            understood.ok_or_else(|| damage(offset, "a line makes no sense"))?;
            offset += line.len() as u64 + 1;
        }
        Ok(Some(manifest))
    }

    fn take_line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let mut word = || words.next();
        match kind {
            "log" => self.log_first = word()?.parse().ok()?,
            "flushed" => self.flushed = Some(word()?.parse().ok()?),
            "objects" => self.depot = Some(u64::from_str_radix(word()?, 16).ok()?),
            "next" => self.next = word()?.parse().ok()?,
            "segment" => self.segments.push(SegmentEntry {
                number: word()?.parse().ok()?,
                length: word()?.parse().ok()?,
                checksum: word()?.parse().ok()?,
                first: word()?.parse().ok()?,
                last: word()?.parse().ok()?,
                samples: word()?.parse().ok()?,
                series: word()?.parse().ok()?,
                is_far: match word() {
                    None => false,
                    Some(FAR) => true,
                    Some(_) => return None,
                },
            }),
            "tombstone" => self.tombstones.push(Tombstone {
                before: word()?.parse().ok()?,
                start: word()?.parse().ok()?,
                end: word()?.parse().ok()?,
                matchers: tombstone::read_matchers(&mut Reader::new(&from_hex(word()?)?))?,
            }),
            _ => return None,
        }
        Some(())
    }

    fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nlog {}\nnext {}\n", self.log_first, self.next);
        let mut line = |words: &[&dyn std::fmt::Display]| {
            for (at, word) in words.iter().enumerate() {
                let space = if at == 0 { "" } else { " " };
                // Writing to a text does not fail.
                write!(text, "{space}{word}").ok();
            }
            text.push('\n');
        };
        if let Some(flushed) = self.flushed {
            line(&[&"flushed", &flushed]);
        }
        if let Some(depot) = self.depot {
            line(&[&"objects", &format_args!("{depot:016x}")]);
        }
        for segment in &self.segments {
            let mut words: Vec<&dyn std::fmt::Display> = vec![
                &"segment",
                &segment.number,
                &segment.length,
                &segment.checksum,
                &segment.first,
                &segment.last,
                &segment.samples,
                &segment.series,
            ];
            if segment.is_far {
                words.push(&FAR);
            }
            line(&words);
        }
        for tombstone in &self.tombstones {
            let mut matchers = Vec::new();
            tombstone::put_matchers(&mut matchers, &tombstone.matchers);
            line(&[
                &"tombstone",
                &tombstone.before,
                &tombstone.start,
                &tombstone.end,
                &to_hex(&matchers),
            ]);
        }
        let checksum = checksum_line(&text);
        text + &checksum
    }
}

/// Removes one that was being written.
pub(crate) fn remove_unfinished(disk: &dyn Disk) -> Result<(), DiskError> {
    match disk.remove(NEW_NAME) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => named(disk, "remove", NEW_NAME, removed),
    }
}

fn checksum_line(body: &str) -> String {
    format!("checksum {:08x}\n", crc32c::crc32c(body.as_bytes()))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text does not fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
