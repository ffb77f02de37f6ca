//! A file for each group: magic, CRC-32C, and a message of protobuf with the key, the times, and each
//! family as remote write has it. A file is replaced whole and flushed before a push is answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signals::{Labels, Value};
use wire::protobuf::{Malformed, Reader, Writer};
use wire::remote_write::{self, Encoder, HistogramSample, Item, Points, Sample, Version};

use super::super::answer::Refused;
use super::super::convert;
use super::group::{Family, GROUPS_MAX, Group, Key};

const MAGIC: &[u8; 8] = b"LLPUSH1\n";
/// Bytes of magic and checksum.
const HEAD_BYTES: usize = 12;
const EXTENSION: &str = "group";
/// Where files go that can't be read, below the folder.
const DAMAGED: &str = "damaged";
/// Files of one number that may lie there.
const DAMAGED_MAX: u32 = 1_000;
/// Bytes of one file: the labels of a page are repeated in each of its series.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Replaces the file of a group.
pub(super) fn write(folder: &Path, key: &Key, group: &Group) -> Result<(), Refused> {
    let message = encode(key, group);
    let mut content = MAGIC.to_vec();
    content.extend(crc32c::crc32c(&message).to_le_bytes());
    content.extend(message);
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(Refused::TooLarge(FILE_BYTES_MAX));
    }
    let path = path(folder, group.file);
    let written =
        make_folder(folder).and_then(|()| base::files::write_whole(&path, &content, 0o600));
    written.map_err(|error| Refused::File(path.display().to_string(), error))
}

/// Makes the folder; that it is there is on disk, too.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

/// Removes the file of a group.
pub(super) fn remove(folder: &Path, number: u64) -> Result<(), Refused> {
    let path = path(folder, number);
    let removed = match std::fs::remove_file(&path) {
        // Somebody has removed it, or an earlier try was not on disk yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    let removed = removed.and_then(|()| std::fs::File::open(folder)?.sync_all());
    removed.map_err(|error| Refused::File(path.display().to_string(), error))
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{EXTENSION}"))
}

/// What a folder has.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) groups: Vec<(Key, Group)>,
    /// Files that were moved aside.
    pub(super) damaged: u64,
}

/// Reads all groups; none when there is no folder. A file that is damaged is moved aside and told of in
/// the log, so that the other groups go on.
pub(super) fn read_all(folder: &Path) -> Result<Found, Refused> {
    let failed = |error| Refused::File(folder.display().to_string(), error);
    let mut found = Found::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let number = number_of(&path);
        let Some(number) = number.filter(|_| found.groups.len() < GROUPS_MAX) else {
            continue;
        };
        match read(&path, number)? {
            Some(group) => found.groups.push(group),
            None => {
                set_aside(folder, &path, number)?;
                found.damaged += 1;
            }
        }
    }
    Ok(found)
}

/// Moves a damaged file to where nobody reads it.
fn set_aside(folder: &Path, path: &Path, number: u64) -> Result<(), Refused> {
    let aside = folder.join(DAMAGED);
    let names = (0..DAMAGED_MAX).map(|turn| aside.join(format!("{number:010}.{turn}.{EXTENSION}")));
    let moved = std::fs::create_dir_all(&aside).and_then(|()| {
        let mut free = names.filter(|name| !name.exists());
        let target = free.next().unwrap_or_else(|| aside.join("last"));
        std::fs::rename(path, &target)?;
        std::fs::File::open(&aside)?.sync_all()?;
        std::fs::File::open(folder)?.sync_all()?;
        Ok(target)
    });
    let target = moved.map_err(|error| Refused::File(path.display().to_string(), error))?;
    tracing::error!(
        file = %path.display(),
        moved_to = %target.display(),
        "a file of pushed metrics is damaged and was moved aside: its group is not stored any more until its job pushes again"
    );
    Ok(())
}

/// The number of a file; none for what lies beside, such as what a power cut left unfinished.
fn number_of(path: &Path) -> Option<u64> {
    let is_group = path.extension().is_some_and(|have| have == EXTENSION);
    let stem = path.file_stem().filter(|_| is_group)?;
    stem.to_str()?.parse().ok()
}

/// A group; none when its file holds something else than what was written.
fn read(path: &Path, number: u64) -> Result<Option<(Key, Group)>, Refused> {
    let content = base::files::read_limited(path, FILE_BYTES_MAX);
    let content = content.map_err(|error| Refused::File(path.display().to_string(), error))?;
    let read = checked(&content).and_then(|message| decode(message).ok());
    Ok(read.map(|(key, mut group)| {
        group.file = number;
        (key, group)
    }))
}

fn checked(content: &[u8]) -> Option<&[u8]> {
    let (head, message) = content.split_at_checked(HEAD_BYTES)?;
    let sum = head.strip_prefix(MAGIC)?;
    (crc32c::crc32c(message).to_le_bytes() == sum).then_some(message)
}

fn encode(key: &Key, group: &Group) -> Vec<u8> {
    let mut out = Writer::default();
    for (name, value) in &key.0 {
        out.message(1, |out| {
            out.text(1, name);
            out.text(2, value);
        });
    }
    out.signed(2, group.pushed_at);
    out.signed(4, group.failed_at);
    for (name, family) in &group.families {
        let mut series = Encoder::new(Version::One);
        for (labels, value) in &family.series {
            let (mut samples, mut histograms) = (Vec::new(), Vec::new());
            match value {
                Value::Float(value) => samples.push(Sample {
                    value: *value,
                    timestamp: 0,
                    start: 0,
                }),
                Value::Histogram(histogram) => histograms.push(HistogramSample {
                    histogram: convert::wire_histogram(histogram),
                    timestamp: 0,
                    start: 0,
                }),
            }
            let points = Points {
                samples: &samples,
                histograms: &histograms,
                ..Points::default()
            };
            let labels = labels.iter();
            let labels = labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            series.series(labels, &points);
        }
        out.message(3, |out| {
            out.text(1, name);
            out.bytes(2, &series.finish());
        });
    }
    out.finish()
}

fn decode(message: &[u8]) -> Result<(Key, Group), Malformed> {
    let mut key = BTreeMap::new();
    let mut group = Group::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => {
                let (name, value) = two(field.bytes()?)?;
                let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::Text(1));
                key.insert(text(name)?.to_owned(), text(value)?.to_owned());
            }
            2 => group.pushed_at = field.signed()?,
            3 => {
                let (name, series) = two(field.bytes()?)?;
                let name = std::str::from_utf8(name).map_err(|_| Malformed::Text(3))?;
                let family = family(series)?;
                group.families.insert(name.to_owned(), family);
            }
            4 => group.failed_at = field.signed()?,
            _ => {}
        }
    }
    Ok((Key(key), group))
}

/// The first two fields of a message.
fn two(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut one, mut two) = (&[][..], &[][..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => one = field.bytes()?,
            2 => two = field.bytes()?,
            _ => {}
        }
    }
    Ok((one, two))
}

fn family(message: &[u8]) -> Result<Family, Malformed> {
    let mut family = Family::default();
    let request = remote_write::Request::read(Version::One, message)?;
    let mut pairs = Vec::new();
    for series in request.series() {
        let series = series?;
        series.labels(&mut pairs)?;
        let labels: Labels =
            convert::labels(&pairs).map_err(|_| Malformed::Meaning("labels make no sense"))?;
        for item in series.items() {
            let value = match item? {
                Item::Sample(sample) => Value::Float(sample.value),
                Item::Histogram(sample) => {
                    Value::Histogram(Arc::new(convert::histogram(sample.histogram)))
                }
                Item::Exemplar(_) => continue,
            };
            family.series.insert(labels.clone(), value);
        }
    }
    Ok(family)
}
