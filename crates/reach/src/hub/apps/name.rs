//! How an application is called in a URL: `<app>`, or `<app>@<node>` or `<app>.<node>` for that of one
//! node.

use base::http::host_of;
use http::{HeaderMap, Uri};

/// An application, and the node if it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppName {
    /// Its name on the node.
    pub app: String,
    /// The node; none for the one that offered it first.
    pub node: Option<String>,
}

impl AppName {
    /// Reads `<app>`, `<app>@<node>` or `<app>.<node>`. A name of an application has neither sign.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replace("%40", "@");
        let (app, node) = match text.split_once(['@', '.']) {
            Some((app, node)) => (app, Some(node.to_owned())),
            None => (text.as_str(), None),
        };
        let is_empty = app.is_empty() || node.as_ref().is_some_and(String::is_empty);
        (!is_empty).then(|| Self {
            app: app.to_owned(),
            node,
        })
    }

    /// The application that a host stands for: `<app>.<host>` or `<app>.<node>.<host>`.
    pub(super) fn of_host(host: &str, hosts: &[String]) -> Option<Self> {
        Self::parse(&split_host(host, hosts)?.0)
    }

    /// Where at an application's host a browser brings a code of the hub's own host.
    pub const ENTER: &str = "/.landline/enter";

    /// Whether a text is what stands before the hub's host in that of an application.
    pub fn is_host(text: &str) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_word);
        text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label)
    }

    /// How it stands before the hub's host.
    pub(super) fn host(&self) -> String {
        match &self.node {
            Some(node) => format!("{}.{node}", self.app),
            None => self.app.clone(),
        }
    }

    /// The application that the request's host stands for.
    pub(super) fn of_headers(headers: &HeaderMap, hosts: &[String]) -> Option<Self> {
        Self::of_host(host_of(headers)?, hosts)
    }

    /// Splits `/apps/<name>/<rest>` into the part that leads to the application, and the path and
    /// query as the application knows them. Nothing follows the name in `/apps/<name>`.
    pub(super) fn of_path(uri: &Uri) -> Option<(Self, String, Option<String>)> {
        let path = uri.path().strip_prefix(PREFIX)?;
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let mount = format!("{PREFIX}{name}");
        let rest = rest.map(|rest| match uri.query() {
            Some(query) => format!("/{rest}?{query}"),
            None => format!("/{rest}"),
        });
        Some((Self::parse(name)?, mount, rest))
    }
}

/// Splits the host of an application into what names it and the hub's host, without a port.
pub(super) fn split_host(host: &str, hosts: &[String]) -> Option<(String, String)> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let split = |known: &String| {
        let name = host.strip_suffix(known.as_str())?.strip_suffix('.')?;
        Some((name.to_owned(), known.clone()))
    };
    hosts.iter().find_map(split)
}

/// The longest name before the hub's host, in bytes: an application and a node.
const HOST_BYTES_MAX: usize = 130;
/// Where applications are on the hub's own host.
const PREFIX: &str = "/apps/";

impl std::fmt::Display for AppName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{}@{node}", self.app),
            None => f.write_str(&self.app),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, expected: Option<(&str, Option<&str>)>) {
        let hosts = ["hub.example.net".to_owned(), "localhost".to_owned()];
        let found = AppName::of_host(host, &hosts);
        let found = found
            .as_ref()
            .map(|name| (name.app.as_str(), name.node.as_deref()));
        assert_eq!(found, expected, "{host}");
    }

    #[test]
    fn a_host_names_an_application() {
        check("api.hub.example.net", Some(("api", None)));
        check("API.Hub.example.net.", Some(("api", None)));
        check("api.web-1.hub.example.net", Some(("api", Some("web-1"))));
        check("api.localhost", Some(("api", None)));
        for host in ["hub.example.net", ".hub.example.net", "xhub.example.net"] {
            check(host, None);
        }
        check("api.example.net", None);
        check("", None);
    }

    #[test]
    fn only_names_stand_before_the_host_of_the_hub() {
        for name in ["api", "api.web-1", "a_b"] {
            assert!(AppName::is_host(name), "{name}");
        }
        for other in [
            "",
            ".",
            "api.",
            "evil.example/",
            "a:1",
            "a@b",
            "a%2fb",
            "a b",
        ] {
            assert!(!AppName::is_host(other), "{other:?}");
        }
    }

    #[test]
    fn a_path_names_an_application() {
        let of = |text: &str| AppName::of_path(&text.parse().unwrap());
        let (name, mount, rest) = of("/apps/api@web-1/a/b?c=d").unwrap();
        assert_eq!(name.to_string(), "api@web-1");
        assert_eq!(
            (mount.as_str(), rest.as_deref()),
            ("/apps/api@web-1", Some("/a/b?c=d"))
        );
        assert_eq!(of("/apps/api%40web-1/").unwrap().0, name);
        assert_eq!(of("/apps/api?x=y").unwrap().2, None);
        assert!(of("/apps//x").is_none() && of("/other").is_none());
    }
}
