//! Which headers pass between client and application, and which tell about the way (RFC 9110, 7.6;
//! RFC 7239 for the older `X-Forwarded-` family, which is what applications read).

use base::http::words;
use base::http::{Peer, browser};
use http::header::{CONNECTION, COOKIE, HOST, LOCATION, SET_COOKIE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// Says who uses the application; signed.
pub(super) const ASSERTION: HeaderName = HeaderName::from_static("landline-jwt-assertion");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Names that only we may send: applications believe them. Many read `_` as `-`.
const OURS: [&str; 10] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-real-ip",
    "landline-jwt-assertion",
];

/// How the client came.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) peer: Peer,
    /// The path on the hub that leads to the application; none when it has a host of its own.
    pub(super) mount: Option<String>,
    /// What the application is called on its node.
    pub(super) app_host: String,
}

/// The protocol that a client or an application wants to change to. The one that could hide further
/// requests in the connection is not passed on.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(UPGRADE)?;
    let is_asked = words(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let is_allowed = words(headers, &UPGRADE).all(|word| !word.eq_ignore_ascii_case("h2c"));
    (is_asked && is_allowed).then(|| wanted.clone())
}

/// Removes what is for one hop only. An upgrade that is meant is put back.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    base::http::remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// Takes what is between browsers and the hub out of what a browser sends to an application.
pub(super) fn remove_own_cookies(headers: &mut HeaderMap) {
    if headers.contains_key(COOKIE) {
        browser::remove_cookies(headers, is_own_cookie);
    }
}

/// Keeps an application from setting what is between browsers and the hub.
pub(super) fn refuse_own_cookies(headers: &mut HeaderMap) {
    let is_own = |value: &HeaderValue| {
        let name = value.as_bytes().split(|byte| *byte == b'=').next();
        is_own_cookie(String::from_utf8_lossy(name.unwrap_or_default()).trim())
    };
    let all = headers.get_all(SET_COOKIE);
    if !all.iter().any(is_own) {
        return;
    }
    let kept: Vec<HeaderValue> = all.iter().filter(|value| !is_own(value)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// Browsers compare the prefix without regard to case.
fn is_own_cookie(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("__host-landline") || name.starts_with("landline-local")
}

/// Tells the application how the client came, in place of what the client says of it.
pub(super) fn tell_way(headers: &mut HeaderMap, way: &Way) {
    let claimed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| OURS.contains(&name.as_str().replace('_', "-").as_str()))
        .cloned()
        .collect();
    for name in claimed {
        headers.remove(name);
    }
    let (scheme, port) = if way.peer.is_tls {
        ("https", "443")
    } else {
        ("http", "80")
    };
    let host = headers.get(HOST).cloned();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(FORWARDED_FOR, &way.peer.ip().to_string());
    set(FORWARDED_PROTO, scheme);
    if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
        set(FORWARDED_HOST, host);
        let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
        let named = host.rsplit_once(':').map(|(_, port)| port).filter(digits);
        set(FORWARDED_PORT, named.unwrap_or(port));
    }
    if let Some(mount) = &way.mount {
        set(FORWARDED_PREFIX, mount);
    }
    if !way.app_host.is_empty() {
        set(HOST, &way.app_host);
    }
}

/// Makes a redirect of the application lead back through the hub.
pub(super) fn mend_location(headers: &mut HeaderMap, way: &Way) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let mount = way.mount.as_deref().unwrap_or_default();
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let mended = if is_path {
        format!("{mount}{location}")
    } else {
        let Ok(uri) = location.parse::<Uri>() else {
            return;
        };
        let is_own = uri
            .authority()
            .is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(&way.app_host));
        if !is_own {
            return;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        format!("{mount}{path}")
    };
    if let Ok(mended) = HeaderValue::try_from(mended) {
        headers.insert(LOCATION, mended);
    }
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

    fn way(mount: Option<&str>) -> Way {
        Way {
            peer: Peer {
                address: "192.0.2.7:1234".parse().unwrap(),
                is_tls: true,
            },
            mount: mount.map(str::to_owned),
            app_host: "127.0.0.1:8080".to_owned(),
        }
    }

    #[test]
    fn what_is_for_one_hop_stays_behind() {
        let mut headers = map(&[
            ("connection", "close, X-Secret"),
            ("connection", "content-length"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("proxy-authorization", "Bearer t"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut headers, None);
        assert_eq!(headers, map(&[("content-length", "3"), ("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_passes_and_h2c_does_not() {
        let asked =
            |upgrade: &str| map(&[("connection", "keep-alive, Upgrade"), ("upgrade", upgrade)]);
        assert_eq!(upgrade(&asked("websocket")).unwrap(), "websocket");
        assert_eq!(upgrade(&asked("h2c")), None);
        assert_eq!(upgrade(&asked("websocket, H2C")), None);
        assert_eq!(upgrade(&map(&[("upgrade", "websocket")])), None);
        let mut headers = asked("websocket");
        remove_hop_by_hop(&mut headers, Some(HeaderValue::from_static("websocket")));
        assert_eq!(
            headers,
            map(&[("connection", "upgrade"), ("upgrade", "websocket")])
        );
    }

    #[test]
    fn the_client_cannot_say_how_it_came() {
        let mut headers = map(&[
            ("host", "api.hub.example.net:3080"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("landline_jwt_assertion", "x"),
            ("landline-jwt-assertion", "x"),
            ("x-real-ip", "10.0.0.1"),
        ]);
        tell_way(&mut headers, &way(Some("/apps/api")));
        let expected = map(&[
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.hub.example.net:3080"),
            ("x-forwarded-port", "3080"),
            ("x-forwarded-prefix", "/apps/api"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn our_cookies_are_not_the_applications() {
        let mut headers = map(&[
            ("cookie", "a=1; __Host-landline-app=s; landline-local=t"),
            ("cookie", "__HOST-LANDLINE=s"),
        ]);
        remove_own_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1")]));
        let mut answer = map(&[
            ("set-cookie", "b=2; Path=/"),
            ("set-cookie", "landline-local=x; Domain=localhost"),
            ("set-cookie", "__Host-landline-app=x; Path=/; Secure"),
        ]);
        refuse_own_cookies(&mut answer);
        assert_eq!(answer, map(&[("set-cookie", "b=2; Path=/")]));
    }

    #[test]
    fn redirects_stay_with_the_hub() {
        let check = |mount: Option<&str>, location: &str, expected: &str| {
            let mut headers = map(&[("location", location)]);
            mend_location(&mut headers, &way(mount));
            assert_eq!(headers[LOCATION], expected, "{mount:?} {location}");
        };
        let mount = Some("/apps/api");
        check(mount, "/login?a=b", "/apps/api/login?a=b");
        check(mount, "login", "login");
        check(mount, "http://127.0.0.1:8080/x", "/apps/api/x");
        check(
            mount,
            "https://elsewhere.example/x",
            "https://elsewhere.example/x",
        );
        check(mount, "//elsewhere.example/x", "//elsewhere.example/x");
        check(None, "/login", "/login");
        check(None, "http://127.0.0.1:8080", "/");
    }
}
