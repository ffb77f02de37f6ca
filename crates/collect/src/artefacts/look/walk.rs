//! Going through an archive within bounds, wherever its bytes come from, and what is done on the way.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::clock;
use wire::s3::xml::timestamp;
use wire::tar::{Member, MemberKind, Step, TarError, Walker, Wanted};

use super::error::LookError;
use super::query::{Asked, WantedMember};
use super::{Page, ShownMember};

/// Heads that are read for one request.
const HEADS_MAX: usize = 20_000;
/// How long a list may take before it is given as far as it is.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of all names of a list.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There is nothing behind.
    End,
    /// Who looks has enough.
    Enough,
    /// A bound of the request.
    Bound,
}

/// What is done with each file of an archive.
pub(super) trait Visit {
    /// Takes one; a break ends the way.
    fn visit(&mut self, member: Member) -> ControlFlow<()>;
}

/// A way through an archive.
#[derive(Debug)]
pub(super) struct Walk {
    walker: Walker,
    /// The last file, and where its bytes end.
    last: Option<(String, u64)>,
    heads: usize,
    until: Instant,
}

impl Walk {
    pub(super) fn new(at: u64) -> Self {
        Self {
            walker: Walker::new(at),
            last: None,
            heads: 0,
            until: clock::now() + TIME_MAX,
        }
    }

    /// Which bytes are to be fed; nothing at a bound.
    pub(super) fn wanted(&mut self) -> Option<Wanted> {
        self.heads += 1;
        let goes_on = self.heads <= HEADS_MAX && clock::now() < self.until;
        goes_on.then(|| self.walker.wanted())
    }

    /// Where another way can begin: behind the last file that was visited.
    pub(super) fn begin(&self) -> u64 {
        self.walker.begin()
    }

    /// Takes the bytes, which are fewer than wanted when the archive has only `total`.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        total: u64,
        visit: &mut impl Visit,
    ) -> Result<Option<Ended>, LookError> {
        let wanted = self.walker.wanted();
        if bytes.len() < wanted.length {
            if let Some((name, _)) = self.last.take().filter(|(_, end)| *end > total) {
                return Err(LookError::Cut(name));
            }
            // Some programs leave the end out, and so does who cuts between two files.
            if bytes.is_empty() && wanted.offset == self.walker.begin() {
                return Ok(Some(Ended::End));
            }
            return Err(TarError::Short(wanted.offset).into());
        }
        Ok(match self.walker.feed(bytes)? {
            Step::More => None,
            Step::End => Some(Ended::End),
            Step::Member(member) => {
                self.last = Some((member.name.clone(), member.data + member.stored));
                visit.visit(member).is_break().then_some(Ended::Enough)
            }
        })
    }
}

/// Collects a page of files.
#[derive(Debug)]
pub(super) struct Listing {
    members: Vec<ShownMember>,
    limit: usize,
    names_bytes: usize,
}

impl Listing {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            members: Vec::new(),
            limit: asked.members(),
            names_bytes: 0,
        }
    }

    /// The page, given how the way to `begin` ended. What was found before something is wrong is shown.
    pub(super) fn finish(
        self,
        ended: Result<Ended, LookError>,
        begin: u64,
        format: &'static str,
    ) -> Result<Page, LookError> {
        let (next, problem) = match ended {
            Ok(Ended::End) => (None, None),
            Ok(Ended::Bound) if self.members.is_empty() => return Err(LookError::Slow),
            Ok(Ended::Enough | Ended::Bound) => (Some(begin), None),
            Err(error) if error.is_of_content() => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        Ok(Page {
            format,
            members: self.members,
            next,
            problem,
        })
    }
}

impl Visit for Listing {
    fn visit(&mut self, member: Member) -> ControlFlow<()> {
        self.names_bytes += member.name.len();
        self.members.push(ShownMember {
            kind: match member.kind {
                MemberKind::File => "file",
                MemberKind::Folder => "folder",
                MemberKind::Link => "link",
                MemberKind::Sparse | MemberKind::Other => "other",
            },
            bytes: member.size,
            changed_at: timestamp(shown_seconds(member.modified).saturating_mul(1000)),
            at: member.begin,
            name: member.name,
        });
        if self.members.len() >= self.limit || self.names_bytes >= NAMES_BYTES_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// A time that has a year of four digits.
fn shown_seconds(seconds: i64) -> i64 {
    const YEAR_10000: i64 = 253_402_300_800;
    const YEAR_0: i64 = -62_167_219_200;
    seconds.clamp(YEAR_0, YEAR_10000 - 1)
}

/// Looks for one file.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    wanted: &'a WantedMember,
    found: Option<Member>,
    passed: usize,
}

impl<'a> Finder<'a> {
    pub(super) fn new(wanted: &'a WantedMember) -> Self {
        Self {
            wanted,
            found: None,
            passed: 0,
        }
    }

    /// The file, if it is one that can be read.
    pub(super) fn finish(self, ended: Result<Ended, LookError>) -> Result<Member, LookError> {
        let name = self.wanted.name.clone();
        match ended? {
            Ended::Bound => return Err(LookError::FarMember(name, self.passed)),
            Ended::End | Ended::Enough => {}
        }
        let Some(member) = self.found else {
            return Err(LookError::NoMember(name));
        };
        let what = match member.kind {
            MemberKind::File => return Ok(member),
            MemberKind::Folder => "a folder",
            MemberKind::Link => "a link",
            MemberKind::Sparse => "a sparse file, whose holes are not filled here",
            MemberKind::Other => "no file",
        };
        Err(LookError::NotShown(name, what))
    }
}

impl Visit for Finder<'_> {
    fn visit(&mut self, member: Member) -> ControlFlow<()> {
        self.passed += 1;
        if member.name == self.wanted.name {
            self.found = Some(member);
            return ControlFlow::Break(());
        }
        // At this place there is another, or none begins there.
        if self.wanted.at.is_some() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
