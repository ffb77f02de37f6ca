//! Two runs side by side: their fields, and their files by pages.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::request::Parts;
use serde::Serialize;

use super::files::known;
use super::query::{Query, invalid};
use super::runs::{self, ShownRun};
use super::{Answer, ApiError, enter, is_name};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{FileEntry, Listed, Window};
use crate::artefacts::visitor::Act;

/// Files of a page: usually, and at most.
const LIMITS: (usize, usize) = (500, 1_000);

#[derive(Serialize)]
struct Compared {
    left: ShownRun,
    right: ShownRun,
    fields: Vec<Field>,
    files: Vec<File>,
    /// To be asked for as `after`.
    next: Option<String>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    left: Vec<String>,
    right: Vec<String>,
    is_same: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct File {
    name: String,
    left: Option<Side>,
    right: Option<Side>,
    change: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Side {
    bytes: u64,
    /// Nothing for what came in parts.
    sha256: Option<String>,
}

pub(super) async fn compare(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let mut query = Query::of(&head)?;
    let (left, right) = (query.text("left")?, query.text("right")?);
    let after = query.text("after")?.unwrap_or_default();
    let limit = query.limit(LIMITS)?;
    query.finish()?;
    let left = side(shared, &head, left).await?;
    let right = side(shared, &head, right).await?;
    let window = (after.as_str(), limit);
    let of_left = files(shared, &left.1, window).await?;
    let of_right = files(shared, &right.1, window).await?;
    let mut files = merge(of_left, of_right);
    let is_truncated = files.len() > limit;
    files.truncate(limit);
    let last = files.last().filter(|_| is_truncated);
    let next = last.map(|file| file.name.clone());
    Ok(Json(Compared {
        fields: fields(&left.0, &right.0),
        left: left.0,
        right: right.0,
        files,
        next,
    })
    .into_response())
}

/// A run that is named as `group/run`, and what its keys begin with.
async fn side(
    shared: &Shared,
    head: &Parts,
    named: Option<String>,
) -> Result<(ShownRun, String), ApiError> {
    let expected = || invalid("left and right are needed, each a run as `group/run`");
    let named = named.ok_or_else(expected)?;
    let (group, run) = named.split_once('/').ok_or_else(expected)?;
    if group.is_empty() || run.is_empty() || run.contains('/') {
        return Err(expected());
    }
    if !is_name(group) || !is_name(run) {
        return Err(ApiError::NotFound("run"));
    }
    let visitor = enter(head, group, Act::Read)?;
    let found = runs::find(shared, (group, run)).await?;
    let shown = runs::shown(shared, &visitor, found);
    Ok((shown, format!("{group}/{run}/")))
}

/// The files of a run behind a name, one more than fit on a page, with their names.
async fn files(
    shared: &Shared,
    root: &str,
    (after, limit): (&str, usize),
) -> Result<Vec<FileEntry>, ApiError> {
    let after = format!("{root}{after}");
    let window = Window {
        prefix: root,
        is_by_folder: false,
        after: &after,
        limit: limit + 1,
    };
    let (entries, _) = shared.catalogue.files(window).await?;
    let files = entries.into_iter().filter_map(|entry| match entry {
        Listed::File(file) => Some(FileEntry {
            key: file.key.strip_prefix(root)?.to_owned(),
            ..file
        }),
        Listed::Folder(_) => None,
    });
    Ok(files.collect())
}

/// Both lists as one. Of a list that has more than a page, what is missing comes after that page.
fn merge(left: Vec<FileEntry>, right: Vec<FileEntry>) -> Vec<File> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(one), Some(other)) => one.key.cmp(&other.key),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        let one = left.next_if(|_| order != Ordering::Greater);
        let other = right.next_if(|_| order != Ordering::Less);
        merged.extend(file(one, other));
    }
}

fn file(left: Option<FileEntry>, right: Option<FileEntry>) -> Option<File> {
    let change = match (&left, &right) {
        (Some(left), Some(right)) if is_same(left, right) => "same",
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "left_only",
        (None, _) => "right_only",
    };
    let name = left.as_ref().or(right.as_ref())?.key.clone();
    let side = |file: FileEntry| Side {
        bytes: file.bytes,
        sha256: known(file.sha256),
    };
    Some(File {
        name,
        left: left.map(side),
        right: right.map(side),
        change,
    })
}

/// By their hashes, or where these are not known by their tags, which are made of hashes.
fn is_same(left: &FileEntry, right: &FileEntry) -> bool {
    let is_known = !left.sha256.is_empty() && !right.sha256.is_empty();
    let has_same_hash = if is_known {
        left.sha256 == right.sha256
    } else {
        left.etag == right.etag
    };
    left.bytes == right.bytes && has_same_hash
}

fn fields(left: &ShownRun, right: &ShownRun) -> Vec<Field> {
    let names: BTreeSet<&String> = left.fields.keys().chain(right.fields.keys()).collect();
    let values = |run: &ShownRun, name: &str| run.fields.get(name).cloned().unwrap_or_default();
    let fields = names.into_iter().map(|name| {
        let (left, right) = (values(left, name), values(right, name));
        Field {
            name: name.clone(),
            is_same: left == right,
            left,
            right,
        }
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, sha256: &str) -> FileEntry {
        FileEntry {
            key: key.to_owned(),
            bytes: 1,
            changed_at: 0,
            versions: 1,
            content_type: String::new(),
            etag: "tag".to_owned(),
            sha256: sha256.to_owned(),
        }
    }

    #[test]
    fn both_lists_are_one() {
        let left = vec![entry("a", "1"), entry("b", "1"), entry("d", "")];
        let right = vec![entry("b", "2"), entry("c", "1"), entry("d", "1")];
        let merged = merge(left, right);
        let shown: Vec<(&str, &str)> = merged
            .iter()
            .map(|file| (file.name.as_str(), file.change))
            .collect();
        let expected = [
            ("a", "left_only"),
            ("b", "changed"),
            ("c", "right_only"),
            ("d", "same"),
        ];
        assert_eq!(shown, expected);
    }
}
