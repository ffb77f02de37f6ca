//! Where an export goes: to standard output, or to a file that appears once it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes that are written at a time.
const BUFFER: usize = 256 << 10;

/// Where to.
pub(in crate::commands) struct Sink {
    writer: Option<BufWriter<Box<dyn Write>>>,
    /// A file beside, and the one that it becomes.
    pending: Option<(PathBuf, PathBuf)>,
}

impl Sink {
    /// Standard output.
    pub(in crate::commands) fn standard() -> Self {
        Self::of(Box::new(io::stdout()), None)
    }

    /// A file. What is no plain file, such as a pipe, is written to as it is.
    pub(in crate::commands) fn file(path: &Path) -> io::Result<Self> {
        // A link stays one: what it leads to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if target.metadata().is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&target)?;
            return Ok(Self::of(Box::new(file), None));
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = format!(".{name}.{}.part", std::process::id());
        let beside = target.with_file_name(beside);
        let file = File::create_new(&beside)?;
        Ok(Self::of(Box::new(file), Some((beside, target))))
    }

    fn of(writer: Box<dyn Write>, pending: Option<(PathBuf, PathBuf)>) -> Self {
        Self {
            writer: Some(BufWriter::with_capacity(BUFFER, writer)),
            pending,
        }
    }

    /// Whether there is a file that is not whole yet.
    pub(in crate::commands) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The file is whole.
    pub(in crate::commands) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.writer = None;
        match self.pending.take() {
            Some((beside, target)) => {
                let renamed = File::open(&beside)?.sync_all();
                let renamed = renamed.and_then(|()| std::fs::rename(&beside, &target));
                if renamed.is_err() {
                    self.pending = Some((beside, target));
                }
                renamed
            }
            None => Ok(()),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(writer) => writer.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Sink {
    /// Half a file is of no use.
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.pending {
            drop(std::fs::remove_file(beside));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.csv");
        std::fs::write(&path, "before").unwrap();
        let mut sink = Sink::file(&path).unwrap();
        sink.write_all(b"after").unwrap();
        assert_eq!(
            base::files::read_text_limited(&path, 100).unwrap(),
            "before"
        );
        sink.finish().unwrap();
        assert_eq!(base::files::read_text_limited(&path, 100).unwrap(), "after");
        assert_eq!(names(folder.path()), ["records.csv"]);
    }

    #[test]
    fn half_a_file_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::file(&folder.path().join("records.csv")).unwrap();
        sink.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(sink);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let sink = Sink::file(Path::new("/dev/null")).unwrap();
        sink.finish().unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }
}
