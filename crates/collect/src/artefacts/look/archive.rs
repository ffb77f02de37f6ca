//! An archive that is not packed: only the heads are read, wherever they are.

use wire::tar::Member;

use super::Page;
use super::error::LookError;
use super::query::{Asked, WantedMember};
use super::source::Source;
use super::walk::{Ended, Finder, Listing, Visit, Walk};

/// A page of its files.
pub(super) async fn list(source: &mut Source, asked: &Asked) -> Result<Page, LookError> {
    let mut walk = Walk::new(asked.list_from()?);
    let mut listing = Listing::new(asked);
    let ended = go(source, &mut walk, &mut listing).await;
    listing.finish(ended, walk.begin(), "tar")
}

/// One of its files.
pub(super) async fn find(source: &mut Source, wanted: &WantedMember) -> Result<Member, LookError> {
    let mut walk = Walk::new(wanted.at.unwrap_or(0));
    let mut finder = Finder::new(wanted);
    let ended = go(source, &mut walk, &mut finder).await;
    finder.finish(ended)
}

async fn go(
    source: &mut Source,
    walk: &mut Walk,
    visit: &mut impl Visit,
) -> Result<Ended, LookError> {
    while let Some(wanted) = walk.wanted() {
        let bytes = source.read(wanted.offset, wanted.length).await?;
        if let Some(ended) = walk.feed(&bytes, source.bytes(), visit)? {
            return Ok(ended);
        }
    }
    Ok(Ended::Bound)
}
