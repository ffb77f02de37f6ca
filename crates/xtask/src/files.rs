//! Reading the checkout: text files with a limit, and the list of files that are ours.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::failure::{Attempt, Failure};

/// The largest text file that any command reads; nothing in the checkout comes near it.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Folders that hold no source of ours.
const FOREIGN_FOLDERS: [&str; 6] = [
    ".git",
    "target",
    "node_modules",
    "dist",
    "landline-data",
    "testdata",
];

/// A whole text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).attempt(|| format!("open {}", path.display()))?;
    let mut text = String::new();
    let read = file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
    let size = read.attempt(|| format!("read {}", path.display()))?;
    if size as u64 > TEXT_BYTES_MAX {
        return Err(Failure(format!(
            "{} is over {TEXT_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(text)
}

/// Every file under `root` whose name ends in one of `endings`, sorted, relative to `root`.
pub(crate) fn list(root: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                if !FOREIGN_FOLDERS.contains(&name) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The paths directly inside `folder`, sorted; none when it does not exist.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listing = folder
        .read_dir()
        .attempt(|| format!("list {}", folder.display()))?;
    let paths = listing.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths
        .collect::<Result<_, _>>()
        .attempt(|| format!("list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}
