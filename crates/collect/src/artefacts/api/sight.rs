//! Which groups somebody may read. Lists are made of these alone, so that nobody learns from a page's
//! size or its end what others have.

use super::ApiError;
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{GroupRow, Seen};
use crate::artefacts::visitor::{Act, Visitor};

/// Groups that a search names to the database.
const NAMED_MAX: usize = 10_000;

/// The groups that somebody may read, in their order.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) groups: Vec<GroupRow>,
    /// Those that they may not.
    hidden: Vec<i64>,
}

impl Sight {
    pub(super) async fn of(shared: &Shared, visitor: &Visitor) -> Result<Self, ApiError> {
        let all = shared.catalogue.group_rows().await?;
        let may_read = |group: &GroupRow| visitor.may(&group.name, Act::Read);
        let (groups, hidden): (Vec<GroupRow>, Vec<GroupRow>) = all.into_iter().partition(may_read);
        Ok(Self {
            groups,
            hidden: hidden.into_iter().map(|group| group.id).collect(),
        })
    }

    /// Whether they may read all.
    pub(super) fn is_all(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Those with this part in their name, in any case.
    pub(super) fn named(&self, part: &str) -> Vec<i64> {
        let part = part.to_lowercase();
        let is_named = |group: &&GroupRow| group.name.to_lowercase().contains(&part);
        let named = self.groups.iter().filter(is_named).take(NAMED_MAX);
        named.map(|group| group.id).collect()
    }

    /// For a search; there is none when neither the groups that they may read nor the others are few.
    pub(super) fn seen(self) -> Result<Seen, ApiError> {
        if self.is_all() {
            return Ok(Seen::All);
        }
        if self.groups.len() <= NAMED_MAX {
            let ids = self.groups.iter().map(|group| group.id);
            return Ok(Seen::Only(ids.collect()));
        }
        if self.hidden.len() <= NAMED_MAX {
            return Ok(Seen::AllBut(self.hidden));
        }
        let text = "there are too many groups to be searched at once: name a group";
        Err(ApiError::Invalid(text.to_owned()))
    }
}
