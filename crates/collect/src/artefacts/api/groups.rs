//! Groups: the list, one, and what is set for it.

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use wire::s3::xml::timestamp;

use super::query::{Query, invalid};
use super::sight::Sight;
use super::{Answer, ApiError, enter, group_of, read_change, visitor};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Group, GroupChange, GroupRow};
use crate::artefacts::settings::{
    Written, parse_quota, parse_retention, write_quota, write_retention,
};
use crate::artefacts::visitor::{Act, Visitor};
use crate::records::Change;

/// Groups of a page: usually, and at most.
const LIMITS: (usize, usize) = (200, 1_000);

#[derive(Serialize)]
struct Page {
    groups: Vec<ShownGroup>,
    /// What the bucket of S3 is called, for clients that use it with a session.
    bucket: String,
    /// To be asked for as `after`.
    next: Option<String>,
    total: Total,
    /// Bytes that are free on the disk; only for who may read all groups.
    free: Option<u64>,
}

#[derive(Serialize)]
struct Total {
    /// In all groups that may be read.
    bytes: u64,
    /// For all groups; only for who may read all of them.
    quota: Option<u64>,
}

#[derive(Serialize)]
struct ShownGroup {
    name: String,
    runs: u64,
    files: u64,
    bytes: u64,
    changed_at: String,
    pinned: bool,
    /// Seconds.
    retention: Option<u64>,
    quota: Option<u64>,
    settings: Written,
    may: Vec<Act>,
}

/// What may be done in a group.
pub(super) fn acts(visitor: &Visitor, group: &str) -> Vec<Act> {
    let acts = Act::ALL.into_iter();
    acts.filter(|act| visitor.may(group, *act)).collect()
}

fn shown(shared: &Shared, visitor: &Visitor, group: Group) -> ShownGroup {
    let row = group.row;
    let effective = shared.config.effective(&row.name, &row.settings);
    ShownGroup {
        runs: group.runs,
        files: group.files,
        bytes: row.bytes,
        changed_at: timestamp(group.changed_at),
        pinned: row.is_pinned,
        retention: effective.retention.map(|time| time.as_secs()),
        quota: effective.quota,
        settings: row.settings.written(),
        may: acts(visitor, &row.name),
        name: row.name,
    }
}

pub(super) async fn list(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let visitor = visitor(&head)?;
    let mut query = Query::of(&head)?;
    let after = query.text("after")?.unwrap_or_default();
    let limit = query.limit(LIMITS)?;
    query.finish()?;
    let sight = Sight::of(shared, &visitor).await?;
    // By names with their slashes, as everywhere.
    let place = |name: &str| format!("{name}/");
    let is_behind = |group: &&GroupRow| {
        !group.name.is_empty() && (after.is_empty() || place(&group.name) > place(&after))
    };
    let mut behind = sight.groups.iter().filter(is_behind);
    let page: Vec<&GroupRow> = behind.by_ref().take(limit).collect();
    let next = behind.next().and(page.last());
    let next = next.map(|group| group.name.clone());
    let ids: Vec<i64> = page.iter().map(|group| group.id).collect();
    let groups = shared.catalogue.groups_with(&ids).await?;
    let groups = groups.into_iter();
    let groups = groups.map(|group| shown(shared, &visitor, group)).collect();
    let bytes = sight.groups.iter().map(|group| group.bytes).sum();
    let quota = shared.config.quota.total.filter(|_| sight.is_all());
    let free = shared.objects.free().filter(|_| sight.is_all());
    Ok(Json(Page {
        groups,
        bucket: shared.config.bucket.clone(),
        next,
        total: Total { bytes, quota },
        free,
    })
    .into_response())
}

/// A group as it is shown.
async fn show(shared: &Shared, visitor: &Visitor, name: &str) -> Answer {
    let group = shared.catalogue.group(name).await?;
    let group = group.ok_or(ApiError::NotFound("group"))?;
    Ok(Json(shown(shared, visitor, group)).into_response())
}

pub(super) async fn one(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let name = group_of(&head)?;
    let visitor = enter(&head, &name, Act::Read)?;
    Query::of(&head)?.finish()?;
    show(shared, &visitor, &name).await
}

/// What people change of a group. A setting that is null is what the configuration says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default, deserialize_with = "said")]
    retention: Said,
    #[serde(default, deserialize_with = "said")]
    quota: Said,
    #[serde(default, deserialize_with = "given")]
    pinned: Option<bool>,
}

/// A setting: nothing when it is not there, empty when it is null.
type Said = Option<String>;

fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Said, D::Error> {
    let value: Option<String> = Deserialize::deserialize(deserializer)?;
    if value.as_ref().is_some_and(String::is_empty) {
        return Err(D::Error::custom("a setting is not empty: null resets it"));
    }
    Ok(Some(value.unwrap_or_default()))
}

/// What is there is no null.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl Wanted {
    /// As the tables keep it, and as the audit log tells it.
    fn read(self) -> Result<(GroupChange, Map<String, Value>), ApiError> {
        let mut details = Map::new();
        let mut tell = |name: &str, value: &Said| {
            if let Some(text) = value {
                let text = Some(text).filter(|text| !text.is_empty());
                details.insert(name.to_owned(), json!(text));
            }
        };
        let setting = |text: Said, read: &dyn Fn(&str) -> Result<String, &'static str>| {
            let read = text.map(|text| match text.as_str() {
                "" => Ok(String::new()),
                text => read(text).map_err(invalid),
            });
            read.transpose()
        };
        let retention = setting(self.retention, &|text| {
            parse_retention(text).map(write_retention)
        })?;
        let quota = setting(self.quota, &|text| parse_quota(text).map(write_quota))?;
        tell("retention", &retention);
        tell("quota", &quota);
        if let Some(pinned) = self.pinned {
            details.insert("pinned".to_owned(), pinned.into());
        }
        let change = GroupChange {
            retention,
            quota,
            is_pinned: self.pinned,
        };
        Ok((change, details))
    }
}

pub(super) async fn change(shared: &Shared, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let name = group_of(&head)?;
    let visitor = enter(&head, &name, Act::Update)?;
    Query::of(&head)?.finish()?;
    let (change, details) = read_change::<Wanted>(body).await?.read()?;
    if !shared.catalogue.change_group(&name, &change).await? {
        return Err(ApiError::NotFound("group"));
    }
    // What is kept for a shorter time now goes soon.
    shared.retention_changed.notify_one();
    let noted = Change {
        kind: "artefact_group.changed",
        target: format!("artefact_group:{name}"),
        details: Value::Object(details),
    };
    shared.note((&head, Some(&visitor)), noted).await;
    show(shared, &visitor, &name).await
}
