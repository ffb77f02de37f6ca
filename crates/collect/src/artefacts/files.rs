//! Pages of files for people, at the addresses that krkn prints: one list a page, without scripts, so
//! that they work everywhere.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::config::format_bytes;
use base::http::{Policy, Routes};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use wire::auth::http_date;
use wire::s3::key::percent_encode;

use super::Shared;
use super::catalogue::Shown;
use super::error::Trouble;
use super::krkn::{entries, rest_of, visitor};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
     table{border-collapse:collapse;width:100%}td,th{padding:.3rem .5rem;text-align:left;\
     border-bottom:1px solid #8884;overflow-wrap:anywhere}td:nth-child(n+2){white-space:nowrap}\
     @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}";
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; \
     base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    let handler = || {
        let shared = Arc::clone(shared);
        move |request: Request| async move {
            let answered = page(&shared, request).await;
            answered.unwrap_or_else(|trouble| {
                shared.metrics.count_refused(trouble.reason());
                trouble.plain()
            })
        }
    };
    Routes::default()
        .get("/files", policy(), handler())
        .get("/files/", policy(), handler())
        .get("/files/{*path}", policy(), handler())
}

async fn page(shared: &Shared, request: Request) -> Result<Response, Trouble> {
    let (head, _) = request.into_parts();
    let address = head.uri.path();
    if !address.ends_with('/') {
        // krkn prints addresses without the slash.
        let location = HeaderValue::try_from(format!("{address}/"));
        let location = location.map_err(|_| Trouble::NoFile)?;
        return Ok((StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response());
    }
    let path = rest_of(&head, "/files")?;
    let path = path.trim_end_matches('/');
    let entries = entries(shared, &visitor(&head)?, path).await?;
    let mut response = (StatusCode::OK, document(path, &entries)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn document(path: &str, entries: &[Shown]) -> String {
    let shown = if path.is_empty() { "Artefacts" } else { path };
    let title = escape(shown);
    let mut rows = String::new();
    if let Some((parent, _)) = path.rsplit_once('/') {
        let parent = percent_encode(parent, true);
        rows.push_str(&row(&format!("/files/{parent}/"), "..", "", ""));
    } else if !path.is_empty() {
        rows.push_str(&row("/files/", "..", "", ""));
    }
    for entry in entries {
        let key = percent_encode(entry.key(), true);
        rows.push_str(&match entry {
            Shown::Folder(prefix) => row(&format!("/files/{key}"), last(prefix), "", ""),
            Shown::File(object) => {
                let modified = http_date(object.modified.div_euclid(1000));
                let address = format!("/download/{key}");
                row(
                    &address,
                    last(&object.key),
                    &format_bytes(object.size),
                    &modified,
                )
            }
        });
    }
    let whole = if path.contains('/') && !entries.is_empty() {
        let address = percent_encode(path, true);
        format!("<p><a href=\"/download/{address}/\">All of it as one archive</a></p>")
    } else {
        String::new()
    };
    let (page, leads) = interactive(path);
    let empty = if entries.is_empty() {
        "<p>There is nothing here yet.</p>"
    } else {
        ""
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1><p><a href=\"{page}\">{leads}</a></p><table><thead><tr><th>Name</th>\
         <th>Size</th><th>Modified</th></tr></thead><tbody>{rows}</tbody></table>{empty}{whole}</body></html>\n"
    )
}

/// The page with scripts about the same, and what is said of it.
fn interactive(path: &str) -> (String, &'static str) {
    let mut names = path.splitn(3, '/').filter(|name| !name.is_empty());
    let Some(group) = names.next() else {
        let leads = "All groups with quotas, search and recovery times";
        return ("/runs".to_owned(), leads);
    };
    let group = percent_encode(group, false);
    let Some(run) = names.next() else {
        let leads = "This group with search, recovery times and settings";
        return (format!("/runs/{group}"), leads);
    };
    let run = percent_encode(run, false);
    let folder = names.next().map(|folder| percent_encode(folder, false));
    let folder = folder.map_or_else(String::new, |folder| format!("?folder={folder}%2F"));
    let leads = "This run with its report, and a look into its files";
    (format!("/runs/{group}/{run}{folder}"), leads)
}

/// The last segment, with the slash of a folder.
fn last(key: &str) -> &str {
    let end = key.trim_end_matches('/');
    let begin = end.rfind('/').map_or(0, |slash| slash + 1);
    key.get(begin..).unwrap_or(key)
}

fn row(address: &str, name: &str, size: &str, modified: &str) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _written = write!(
        out,
        "<tr><td><a href=\"{}\">{}</a></td><td>{size}</td><td>{modified}</td></tr>",
        escape(address),
        escape(name)
    );
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lead_to_the_pages_of_the_same() {
        for (path, page) in [
            ("", "/runs"),
            ("a & b", "/runs/a%20%26%20b"),
            ("g/1-\u{fc}?", "/runs/g/1-%C3%BC%3F"),
            ("g/r/logs/deep", "/runs/g/r?folder=logs%2Fdeep%2F"),
        ] {
            assert_eq!(interactive(path).0, page);
            let page = format!("<a href=\"{page}\">");
            assert!(document(path, &[]).contains(&page), "{path}");
        }
    }
}
