//! The files of chunks of a block, read in windows: the chunks of its series stand in the order of
//! these.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wire::tsdb::chunk::{self, CHUNK_HEADER_BYTES_MAX, HEADER_BYTES, Sample};
use wire::tsdb::index::ChunkPlace;

use super::{ImportError, foreign};

/// Read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// Files of one block, of 512 MiB each.
const FILES_MAX: usize = 10_000;

/// The files, and what was read last.
#[derive(Debug)]
pub(super) struct Chunks {
    files: Vec<(PathBuf, File)>,
    window: Vec<u8>,
    /// Of which file, and where it begins there.
    from: (u32, u64),
}

impl Chunks {
    pub(super) fn open(folder: &Path) -> Result<Self, ImportError> {
        let mut files = Vec::new();
        for number in 1..=FILES_MAX {
            let path = folder.join(format!("{number:06}"));
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(source) => return Err(ImportError::Read { path, source }),
                Ok(file) => file,
            };
            let mut header = [0; HEADER_BYTES];
            if let Err(source) = file.read_exact_at(&mut header, 0) {
                return Err(ImportError::Read { path, source });
            }
            chunk::check_header(&header).map_err(|source| foreign(&path, source))?;
            files.push((path, file));
        }
        Ok(Self {
            files,
            window: Vec::new(),
            from: (u32::MAX, 0),
        })
    }

    /// Shows the samples of a chunk.
    pub(super) fn read(
        &mut self,
        place: ChunkPlace,
        see: &mut dyn FnMut(i64, Sample),
    ) -> Result<(), ImportError> {
        let offset = u64::from(place.offset);
        let head = self.bytes((place.file, offset), CHUNK_HEADER_BYTES_MAX)?;
        let length = chunk::length(head).unwrap_or(CHUNK_HEADER_BYTES_MAX);
        let bytes = self.bytes((place.file, offset), length)?;
        chunk::read(bytes, see).map_err(|source| ImportError::Chunk {
            path: self.path(place.file),
            offset,
            source,
        })
    }

    fn path(&self, file: u32) -> PathBuf {
        let known = self.files.get(file as usize);
        known.map_or_else(
            || PathBuf::from(format!("chunks/{:06}", u64::from(file) + 1)),
            |(path, _)| path.clone(),
        )
    }

    /// So many bytes, or as many as the file has from there on.
    fn bytes(&mut self, (file, offset): (u32, u64), length: usize) -> Result<&[u8], ImportError> {
        let begin = offset.checked_sub(self.from.1);
        let begin = begin.and_then(|begin| usize::try_from(begin).ok());
        let is_there = begin.is_some_and(|begin| begin + length <= self.window.len());
        if file != self.from.0 || !is_there {
            self.fill((file, offset), length.max(WINDOW_BYTES))?;
        }
        let begin = usize::try_from(offset - self.from.1).unwrap_or(usize::MAX);
        let rest = self.window.get(begin..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn fill(&mut self, from: (u32, u64), length: usize) -> Result<(), ImportError> {
        let failed = |path: PathBuf, source| ImportError::Read { path, source };
        let Some((path, file)) = self.files.get(from.0 as usize) else {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(failed(self.path(from.0), error));
        };
        self.window.resize(length, 0);
        let mut count = 0;
        while let Some(rest) = self.window.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, from.1 + count as u64) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(path.clone(), error)),
            }
        }
        self.window.truncate(count);
        self.from = from;
        Ok(())
    }
}
