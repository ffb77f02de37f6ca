//! Reading small files with a bound, replacing one whole, and telling when one has changed. No
//! watching.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads a whole file of at most `limit` bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "the bounded reader itself: take() stands before"
)]
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("larger than {}", crate::config::format_bytes(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Reads a whole UTF-8 file of at most `limit` bytes.
pub fn read_text_limited(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_limited(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

/// Replaces a file so that a reader sees the old content or the new one, also after a power cut:
/// written beside, flushed, renamed, and the folder flushed.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension(format!("{:08x}.new", fastrand::u32(..)));
    let written =
        write_beside(&beside, content, mode).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = written {
        // What is left of it is of no use; the first error is the one to tell.
        drop(std::fs::remove_file(&beside));
        return Err(error);
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// What changes when a file's content is replaced or rewritten. Links are followed, so that the
/// atomic swap of a mounted Kubernetes secret is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The stamp of a file; `None` when it can't be seen.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
