//! What browsers do by themselves: they send cookies whoever made the request, say which page made it,
//! and go where a link leads. Who uses cookies to know somebody needs all three.

use std::net::IpAddr;

use http::header::{ACCEPT, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};

use super::{Peer, host_of};

/// The longest path for a redirect.
const PATH_BYTES_MAX: usize = 2048;
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            let (found, value) = pair.split_once('=')?;
            (found.trim() == name).then(|| value.trim())
        })
}

/// Takes cookies out of a request by their names and leaves the others as they were.
pub fn remove_cookies(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let name = |pair: &[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        String::from_utf8_lossy(name).trim().to_owned()
    };
    let values: Vec<HeaderValue> = headers.get_all(COOKIE).into_iter().cloned().collect();
    headers.remove(COOKIE);
    for value in values {
        let pairs = value.as_bytes().split(|byte| *byte == b';');
        let kept: Vec<&[u8]> = pairs.filter(|pair| !is_removed(&name(pair))).collect();
        let kept = kept.join(&b';');
        if let Ok(kept) = HeaderValue::from_bytes(kept.trim_ascii())
            && !kept.is_empty()
        {
            headers.append(COOKIE, kept);
        }
    }
}

/// Whether the request changes nothing, as HTTP has it (RFC 9110, 9.2.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a page of this very origin made the request. A request that says nothing about it comes
/// from no browser that is up to date, and does not count as one of ours.
pub fn is_same_origin(headers: &HeaderMap, peer: &Peer) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(HOST.as_str()) else {
        return false;
    };
    match text(ORIGIN.as_str()) {
        Some(origin) => {
            // Something on this machine may end TLS before us.
            let is_plain = !peer.is_tls && origin.strip_prefix("http://") == Some(host);
            is_plain || origin.strip_prefix("https://") == Some(host)
        }
        None => !headers.contains_key(ORIGIN) && text(SEC_FETCH_SITE) == Some("same-origin"),
    }
}

/// Whether the browser speaks TLS: with us, or with something on this machine that stands before us.
/// Without TLS a browser comes to us under names of this machine only.
pub fn speaks_tls(headers: &HeaderMap, peer: &Peer) -> bool {
    peer.is_tls || host_of(headers).is_some_and(|host| !is_local(host))
}

/// Whether a host, without its port, is a name or an address of this machine to itself, which no other
/// machine's name can be made to be (RFC 6761, 6.3).
pub fn is_local(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

/// Whether a person goes to this address with their browser, so that a page or a redirect is of use.
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_asked = match text(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => text(ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html")),
    };
    is_asked && matches!(*method, Method::GET | Method::HEAD)
}

/// A path of this host, for a redirect to where somebody wanted to go: nothing that a browser could
/// take for another host, and at most 2 kB.
pub fn local_path(wanted: &str) -> Option<&str> {
    let is_plain = wanted
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_here = wanted.starts_with('/') && !wanted.starts_with("//");
    (is_plain && is_here && wanted.len() <= PATH_BYTES_MAX).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn cookies_are_found_and_taken_out_by_name() {
        let mut headers = map(&[
            ("cookie", "a=1; __Host-landline=s; b=x=y"),
            ("cookie", "__Host-landline=again"),
            ("cookie", " c=3"),
        ]);
        assert_eq!(cookie(&headers, "__Host-landline"), Some("s"));
        assert_eq!(cookie(&headers, "b"), Some("x=y"));
        assert_eq!(cookie(&headers, "c"), Some("3"));
        assert_eq!(cookie(&headers, "landline"), None);
        remove_cookies(&mut headers, |name| name.starts_with("__Host-landline"));
        let kept = map(&[("cookie", "a=1; b=x=y"), ("cookie", "c=3")]);
        assert_eq!(headers, kept);
        remove_cookies(&mut headers, |_| true);
        assert!(headers.is_empty());
    }

    #[test]
    fn only_pages_of_the_same_origin_count() {
        let check = |is_tls: bool, pairs: &[(&'static str, &str)], expected: bool| {
            let mut headers = map(pairs);
            headers.insert(HOST, HeaderValue::from_static("hub.example.net:3080"));
            let address = "127.0.0.1:1".parse().unwrap();
            let found = is_same_origin(&headers, &Peer { address, is_tls });
            assert_eq!(found, expected, "{is_tls} {pairs:?}");
        };
        let own = ("origin", "https://hub.example.net:3080");
        check(true, &[own], true);
        check(false, &[own], true);
        check(true, &[own, ("sec-fetch-site", "same-origin")], true);
        check(true, &[("sec-fetch-site", "same-origin")], true);
        check(false, &[("origin", "http://hub.example.net:3080")], true);
        check(true, &[("origin", "http://hub.example.net:3080")], false);
        for other in [
            "https://evil.example",
            "https://api.hub.example.net:3080",
            "null",
            "",
        ] {
            check(true, &[("origin", other)], false);
            let claimed = ("sec-fetch-site", "same-origin");
            check(true, &[("origin", other), claimed], false);
        }
        check(
            true,
            &[("origin", "https://hub.example.net:3080.evil.example")],
            false,
        );
        for site in ["cross-site", "same-site", "none"] {
            check(true, &[("sec-fetch-site", site)], false);
        }
        check(true, &[], false);
    }

    #[test]
    fn only_names_of_this_machine_go_without_tls() {
        let check = |is_tls: bool, host: &str, expected: bool| {
            let address = "127.0.0.1:1".parse().unwrap();
            let found = speaks_tls(&map(&[("host", host)]), &Peer { address, is_tls });
            assert_eq!(found, expected, "{is_tls} {host}");
        };
        for host in [
            "localhost:3080",
            "API.localhost",
            "127.0.0.1:3080",
            "[::1]:3080",
        ] {
            check(false, host, false);
            check(true, host, true);
        }
        check(false, "hub.example.net", true);
        check(false, "localhost.example.net:3080", true);
    }

    #[test]
    fn a_person_is_told_from_a_script() {
        let check = |method: Method, pairs: &[(&'static str, &str)], expected: bool| {
            assert_eq!(is_navigation(&method, &map(pairs)), expected, "{pairs:?}");
        };
        let html = ("accept", "text/html,*/*;q=0.8");
        check(Method::GET, &[html], true);
        check(Method::GET, &[html, ("sec-fetch-mode", "navigate")], true);
        check(Method::GET, &[html, ("sec-fetch-mode", "cors")], false);
        check(Method::POST, &[html], false);
        check(Method::GET, &[("accept", "*/*")], false);
        check(Method::GET, &[], false);
    }

    #[test]
    fn nobody_is_led_to_another_host() {
        for path in ["/", "/launch/api?to=%2Fx", "/a//b"] {
            assert_eq!(local_path(path), Some(path));
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /x",
            "javascript:alert(1)",
        ] {
            assert_eq!(local_path(other), None, "{other:?}");
        }
    }
}
