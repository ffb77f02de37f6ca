//! Reading an archive without its contents: which bytes are wanted next, and what they say.

use super::BLOCK_BYTES;
use super::block::{self, Block, TarError};
use super::pax::Fields;

/// Further fields of one file, in bytes: as much as other readers take.
const FIELDS_BYTES_MAX: u64 = 1 << 20;
/// Heads with further fields before one file.
const FIELDS_HEADS_MAX: usize = 16;
/// What is shown of a name, in bytes: a path of Linux.
const NAME_BYTES_MAX: usize = 4096;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, in which what is no text or would steer a terminal is written as an escape; of very
    /// long ones the beginning.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Its bytes, with the holes of a sparse file.
    pub size: u64,
    /// When it was modified, in Unix seconds.
    pub modified: i64,
    /// Where what belongs to it begins in the archive: reading can begin here.
    pub begin: u64,
    /// Where its bytes begin.
    pub data: u64,
    /// How many bytes stand there.
    pub stored: u64,
}

/// What a file of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// One with bytes.
    File,
    /// A folder.
    Folder,
    /// A link of either kind.
    Link,
    /// A file with holes, whose bytes do not stand there as they are.
    Sparse,
    /// A device and the like.
    Other,
}

/// Bytes of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub length: usize,
}

/// What the bytes said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing that could be told yet.
    More,
    /// A file.
    Member(Member),
    /// The archive ends here.
    End,
}

/// Goes from head to head. It asks for bytes and is given them, at most a mebibyte at once; contents are
/// passed over.
#[derive(Debug, Clone)]
pub struct Walker {
    /// Where what belongs to the next file begins.
    begin: u64,
    /// Where it goes on.
    at: u64,
    state: State,
    fields: Fields,
    /// GNU's long name.
    long_name: Option<Vec<u8>>,
    /// Heads with further fields since the last file.
    heads: usize,
}

#[derive(Debug, Clone)]
enum State {
    Head,
    /// Behind a head: fields of POSIX, or a long name of GNU's.
    Fields {
        kind: u8,
        length: usize,
    },
    /// Further blocks of the map of a sparse file.
    Map(Block),
}

impl Walker {
    /// Begins at a head.
    pub fn new(at: u64) -> Self {
        Self {
            begin: at,
            at,
            state: State::Head,
            fields: Fields::default(),
            long_name: None,
            heads: 0,
        }
    }

    /// Where what belongs to the next file begins: another walker can begin there.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// What it needs next.
    pub fn wanted(&self) -> Wanted {
        let length = match self.state {
            State::Head | State::Map(_) => BLOCK_BYTES,
            State::Fields { length, .. } => length,
        };
        Wanted {
            offset: self.at,
            length,
        }
    }

    /// Takes exactly what it wanted. After an end or an error there is nothing more to be told.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Step, TarError> {
        if bytes.len() != self.wanted().length {
            return Err(TarError::Short(self.at));
        }
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => self.take_head(bytes),
            State::Fields { kind, length } => {
                self.take_fields(kind, bytes)?;
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                self.skip(length)?;
                Ok(Step::More)
            }
            State::Map(head) => {
                let has_more = bytes.get(504).is_some_and(|byte| *byte != 0);
                self.pass_block()?;
                if has_more {
                    self.state = State::Map(head);
                    return Ok(Step::More);
                }
                self.member(head)
            }
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Step, TarError> {
        let block = bytes.first_chunk().ok_or(TarError::Short(self.at))?;
        if block::is_zero(block) {
            return Ok(Step::End);
        }
        let head = block::parse(block, self.at)?;
        let at = self.at;
        self.pass_block()?;
        if matches!(head.kind, b'x' | b'L' | b'K' | b'g') {
            self.heads += 1;
            if self.heads > FIELDS_HEADS_MAX {
                return Err(TarError::Flood(at, FIELDS_HEADS_MAX));
            }
            // Where a link leads and what holds for all files is not of interest.
            if matches!(head.kind, b'K' | b'g') {
                self.skip(head.size)?;
                return Ok(Step::More);
            }
            let length = usize::try_from(head.size).ok();
            let length = length.filter(|_| head.size <= FIELDS_BYTES_MAX);
            let length = length.ok_or(TarError::LongFields(at, FIELDS_BYTES_MAX))?;
            if length > 0 {
                self.state = State::Fields {
                    kind: head.kind,
                    length,
                };
            }
            return Ok(Step::More);
        }
        if head.has_more_map {
            self.state = State::Map(head);
            return Ok(Step::More);
        }
        self.member(head)
    }

    fn take_fields(&mut self, kind: u8, bytes: &[u8]) -> Result<(), TarError> {
        if kind == b'x' {
            return self.fields.read(bytes, self.at);
        }
        self.long_name = Some(block::text(bytes).to_vec());
        Ok(())
    }

    /// The file behind all of its heads.
    fn member(&mut self, head: Block) -> Result<Step, TarError> {
        let fields = std::mem::take(&mut self.fields);
        let name = fields.path.or_else(|| self.long_name.take());
        let name = name.unwrap_or(head.name);
        let kind = match head.kind {
            b'S' => MemberKind::Sparse,
            b'0' | 0 | b'7' if fields.is_sparse => MemberKind::Sparse,
            // Before there was a word for folders, they were told by their names.
            0 | b'0' if name.ends_with(b"/") => MemberKind::Folder,
            b'0' | 0 | b'7' => MemberKind::File,
            b'1' | b'2' => MemberKind::Link,
            b'5' => MemberKind::Folder,
            _ => MemberKind::Other,
        };
        // Some programs write the size of what a link leads to; no bytes follow.
        let has_bytes = !matches!(head.kind, b'1'..=b'6');
        let size = fields.size.unwrap_or(head.size);
        let stored = if has_bytes { size } else { 0 };
        let (begin, data) = (self.begin, self.at);
        self.skip(stored)?;
        self.begin = self.at;
        self.heads = 0;
        self.long_name = None;
        let size = match kind {
            MemberKind::Sparse => fields.real_size.unwrap_or(head.real_size),
            MemberKind::File | MemberKind::Other => stored,
            MemberKind::Folder | MemberKind::Link => 0,
        };
        Ok(Step::Member(Member {
            name: shown(&name),
            kind,
            size,
            modified: fields.modified.unwrap_or(head.modified),
            begin,
            data,
            stored,
        }))
    }

    fn pass_block(&mut self) -> Result<(), TarError> {
        self.skip(1)
    }

    /// Goes on behind so many bytes and the zeros after them.
    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let next = bytes
            .checked_next_multiple_of(512)
            .and_then(|bytes| self.at.checked_add(bytes));
        // Offsets leave as numbers of JSON.
        let next = next.filter(|next| i64::try_from(*next).is_ok());
        self.at = next.ok_or(TarError::Size(self.begin))?;
        Ok(())
    }
}

/// A name as it can be shown anywhere.
fn shown(name: &[u8]) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(name).chars() {
        if out.len() >= NAME_BYTES_MAX {
            out.push('…');
            break;
        }
        // The latter turn the direction of what is written.
        let is_steering = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_steering {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}
