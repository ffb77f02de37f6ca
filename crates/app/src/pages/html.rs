//! HTML in which nothing that comes from outside can be markup: what is written by us is a constant,
//! everything else is escaped on its way in. And the answer around a page.

use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};

/// A part of a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Html(String);

/// Where the style of all pages is.
pub(crate) const STYLE_PATH: &str = "/landline.css";
/// The style of all pages.
pub(crate) const STYLE: &str = include_str!("style.css");

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

impl Html {
    /// Adds markup of our own.
    pub(crate) fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a text, also as the value of an attribute in double quotes.
    pub(crate) fn text(mut self, text: &str) -> Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds another part.
    pub(crate) fn html(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds a part for each of `all`.
    pub(crate) fn each<T>(self, all: &[T], part: impl Fn(Self, &T) -> Self) -> Self {
        all.iter().fold(self, part)
    }
}

/// The whole page.
pub(crate) fn page(status: StatusCode, title: &str, body: &Html) -> Response {
    let whole = Html::default()
        .raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>")
        .text(title)
        .raw(" · Landline</title>\n<link rel=\"stylesheet\" href=\"")
        .raw(STYLE_PATH)
        .raw("\">\n<link rel=\"icon\" href=\"data:,\">\n</head>\n<body>\n<main>\n")
        .html(body)
        .raw("</main>\n</body>\n</html>\n");
    let mut response = (status, whole.0).into_response();
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    guard(&mut response, "");
    response
}

/// Leads somewhere on this host, after a form or because nobody is signed in.
pub(crate) fn see_other(path: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(path) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response();
    guard(&mut response, "");
    response
}

/// Adds a cookie.
pub(crate) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// What browsers may do with a page: load its style, send its forms to this host (and to where
/// `forms` says), and nothing else. Nobody keeps it, frames it or learns its address.
pub(crate) fn guard(response: &mut Response, forms: &str) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'{forms}; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        // `no-referrer` would make browsers send `Origin: null` with our own forms.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (OPENER, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_never_markup() {
        let part = Html::default()
            .raw("<p title=\"")
            .text("\"><script>'&")
            .raw("\">");
        assert_eq!(part.0, "<p title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">");
        let list = Html::default().each(&["<a>", "b"], |list, word| list.raw("<li>").text(word));
        assert_eq!(list.0, "<li>&lt;a&gt;<li>b");
    }
}
