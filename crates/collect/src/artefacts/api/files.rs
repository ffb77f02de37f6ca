//! Files of a run by pages, the versions of one, and the run's telemetry.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;
use serde_json::json;
use wire::s3::key::Key;
use wire::s3::xml::timestamp;

use super::query::{Query, invalid};
use super::{Answer, ApiError, enter, run_of, runs};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{FileEntry, FileVersion, Listed, Window};
use crate::artefacts::joined::{count_parts, part_of, prefix_of_parts};
use crate::artefacts::krkn::TELEMETRY_FILE;
use crate::artefacts::visitor::Act;

/// Files of a page: usually, and at most.
const LIMITS: (usize, usize) = (500, 1_000);
/// Parts of one file that are looked at: as many as are joined.
const PARTS_MAX: usize = 10_000;

#[derive(Serialize)]
struct Page {
    files: Vec<ShownFile>,
    folders: Vec<String>,
    joined: Vec<Joined>,
    /// To be asked for as `after`.
    next: Option<String>,
}

#[derive(Serialize)]
struct ShownFile {
    name: String,
    bytes: u64,
    changed_at: String,
    versions: u64,
    content_type: String,
    etag: String,
    sha256: Option<String>,
    part_of: Option<String>,
}

/// A file that can be fetched as one, though it came in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Joined {
    name: String,
    parts: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct ShownVersion {
    id: i64,
    bytes: u64,
    created_at: String,
    created_by: String,
    content_type: String,
    etag: String,
    sha256: Option<String>,
    is_current: bool,
}

/// A hash, where it is known.
pub(super) fn known(sha256: String) -> Option<String> {
    Some(sha256).filter(|text| !text.is_empty())
}

pub(super) async fn list(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let (group, run) = run_of(&head)?;
    enter(&head, &group, Act::Read)?;
    let mut query = Query::of(&head)?;
    let prefix = query.text("prefix")?.unwrap_or_default();
    let after = query.text("after")?;
    let limit = query.limit(LIMITS)?;
    let is_by_folder = query.boolean("folders")?.unwrap_or(false);
    query.finish()?;
    let root = format!("{group}/{run}/");
    let after = after
        .map(|name| format!("{root}{name}"))
        .unwrap_or_default();
    let window = Window {
        prefix: &format!("{root}{prefix}"),
        is_by_folder,
        after: &after,
        limit,
    };
    let (entries, is_truncated) = shared.catalogue.files(window).await?;
    if entries.is_empty() {
        // An empty page of a run, or no run.
        runs::find(shared, (&group, &run)).await?;
    }
    let name = |key: &str| key.strip_prefix(&root).unwrap_or(key).to_owned();
    let last = entries.last().filter(|_| is_truncated);
    let next = last.map(|entry| name(entry.key()));
    let whole = whole_files(shared, &entries, (window, is_truncated)).await?;
    let mut shown = Page {
        files: Vec::new(),
        folders: Vec::new(),
        joined: Vec::new(),
        next,
    };
    for entry in entries {
        match entry {
            Listed::Folder(folder) => shown.folders.push(name(&folder)),
            Listed::File(file) => {
                let part = part_of(&file.key);
                let part = part.and_then(|(key, number)| Some((whole.get(&key)?, number, key)));
                // It is named once, where its first part is.
                if let Some((joined, 0, key)) = &part {
                    let name = name(key);
                    if shown.joined.last().is_none_or(|last| last.name != name) {
                        let joined = (*joined).clone();
                        shown.joined.push(Joined { name, ..joined });
                    }
                }
                let joined = part.map(|(.., key)| name(&key));
                shown.files.push(shown_file(file, (&root, joined)));
            }
        }
    }
    Ok(Json(shown).into_response())
}

fn shown_file(file: FileEntry, (root, part_of): (&str, Option<String>)) -> ShownFile {
    ShownFile {
        name: file.key.strip_prefix(root).unwrap_or(&file.key).to_owned(),
        bytes: file.bytes,
        changed_at: timestamp(file.changed_at),
        versions: file.versions,
        content_type: file.content_type,
        etag: file.etag,
        sha256: known(file.sha256),
        part_of,
    }
}

/// The files that those of a page are the parts of, if none is missing, by their keys. What begins or
/// ends outside of the page is looked up; that are those whose parts stand around its first and its
/// last key.
async fn whole_files(
    shared: &Shared,
    entries: &[Listed],
    (window, is_truncated): (Window<'_>, bool),
) -> Result<BTreeMap<String, Joined>, ApiError> {
    let mut parts: BTreeMap<String, Vec<(usize, u64)>> = BTreeMap::new();
    for entry in entries {
        if let Listed::File(file) = entry
            && let Some((joined, number)) = part_of(&file.key)
        {
            parts.entry(joined).or_default().push((number, file.bytes));
        }
    }
    let last = entries.last().filter(|_| is_truncated).map(Listed::key);
    let is_cut = |prefix: &str| {
        let goes_on = last.is_some_and(|last| last.starts_with(prefix));
        goes_on || window.after.starts_with(prefix) || window.prefix.starts_with(prefix)
    };
    let mut cut: BTreeSet<String> = BTreeSet::new();
    for joined in parts.keys() {
        cut.extend(prefix_of_parts(joined).filter(|prefix| is_cut(prefix)));
    }
    for prefix in cut {
        let all = shared.catalogue.sizes(&prefix, PARTS_MAX).await?;
        parts.retain(|joined, _| prefix_of_parts(joined).as_deref() != Some(prefix.as_str()));
        for (key, bytes) in all.unwrap_or_default() {
            if let Some((joined, number)) = part_of(&key) {
                parts.entry(joined).or_default().push((number, bytes));
            }
        }
    }
    let mut whole = BTreeMap::new();
    for (joined, parts) in parts {
        if let Some(count) = count_parts(parts.iter().map(|(number, _)| *number)) {
            let file = Joined {
                name: String::new(),
                parts: count,
                bytes: parts.iter().map(|(_, bytes)| bytes).sum(),
            };
            whole.insert(joined, file);
        }
    }
    // A file of the very name is found before its parts.
    let keys: Vec<String> = whole.keys().cloned().collect();
    for taken in shared.catalogue.taken_keys(&keys).await? {
        whole.remove(&taken);
    }
    Ok(whole)
}

pub(super) async fn versions(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let (group, run) = run_of(&head)?;
    enter(&head, &group, Act::Read)?;
    let mut query = Query::of(&head)?;
    let name = query.text("name")?;
    query.finish()?;
    let name = name.ok_or_else(|| invalid("name is needed: that of a file of the run"))?;
    let key = Key::of_run(&format!("{group}/{run}"), &name);
    let key = key.map_err(|_| ApiError::NotFound("file"))?;
    let versions = shared.catalogue.file_versions(&key).await?;
    if versions.is_empty() {
        return Err(ApiError::NotFound("file"));
    }
    let versions: Vec<ShownVersion> = versions.into_iter().map(shown_version).collect();
    Ok(Json(json!({"versions": versions})).into_response())
}

fn shown_version(version: FileVersion) -> ShownVersion {
    ShownVersion {
        id: version.id,
        bytes: version.bytes,
        created_at: timestamp(version.created_at),
        created_by: version.created_by,
        content_type: version.content_type,
        etag: version.etag,
        sha256: known(version.sha256),
        is_current: version.is_current,
    }
}

pub(super) async fn telemetry(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let (group, run) = run_of(&head)?;
    enter(&head, &group, Act::Read)?;
    Query::of(&head)?.finish()?;
    let key = Key::of_run(&format!("{group}/{run}"), TELEMETRY_FILE);
    let key = key.map_err(|_| ApiError::NotFound("run"))?;
    let version = shared.catalogue.find(&key, None).await?;
    let version = version.ok_or(ApiError::NotFound("telemetry"))?;
    let length = version.bytes.to_string();
    let body = shared.objects.read(version.segments, (0, version.bytes));
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_LENGTH, length.as_str()),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "sandbox"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let response: Response = (StatusCode::OK, headers, body.await?).into_response();
    Ok(response)
}
