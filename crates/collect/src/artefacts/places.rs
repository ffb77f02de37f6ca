//! Where clients reach us: the beginning of links, and the hosts and paths that a signature may be
//! about when a front stands before us.

use std::net::IpAddr;

use base::http::Peer;
use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use ipnet::IpNet;
use url::Url;

/// Headers in which fronts say what was asked of them.
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Places {
    public: Option<Place>,
    trusted: Vec<IpNet>,
}

/// One way to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `http` or `https`.
    scheme: String,
    /// Host, with the port when it is not the usual one.
    pub(crate) host: String,
    /// What stands before our paths, without a slash at its end.
    prefix: String,
}

impl Place {
    /// An address of ours.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{}{path}", self.scheme, self.host, self.prefix)
    }
}

impl Places {
    pub(crate) fn new(public: Option<&Url>, trusted: &[IpNet]) -> Self {
        let public = public.and_then(|url| {
            let host = url.host_str()?;
            let host = match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            };
            Some(Place {
                scheme: url.scheme().to_owned(),
                host,
                prefix: url.path().trim_end_matches('/').to_owned(),
            })
        });
        Self {
            public,
            trusted: trusted.to_vec(),
        }
    }

    /// All that a request may have been meant for, the likeliest first.
    fn of(&self, head: &Parts) -> Vec<Place> {
        let peer = head.extensions.get::<Peer>();
        let direct = Place {
            scheme: if peer.is_some_and(|peer| peer.is_tls) {
                "https".to_owned()
            } else {
                "http".to_owned()
            },
            host: value(&head.headers, HOST.as_str())
                .or_else(|| head.uri.authority().map(http::uri::Authority::as_str))
                .unwrap_or("localhost")
                .to_owned(),
            prefix: String::new(),
        };
        let is_trusted = peer.is_some_and(|peer| {
            let ip = peer.ip();
            self.trusted.iter().any(|network| network.contains(&ip))
        });
        let forwarded = is_trusted.then(|| forwarded(&head.headers, &direct));
        let all = self.public.clone().into_iter().chain(forwarded.flatten());
        all.chain([direct]).collect()
    }

    /// The hosts that a signature may be about, each with what a front took from the beginning of the
    /// path. What that is only the configuration says: with a prefix that the sender chooses, what was
    /// signed for one key would fit others. Our own links are signed without.
    pub(crate) fn of_signature(&self, head: &Parts, is_ours: bool) -> Vec<(String, String)> {
        let public = self.public.as_ref().filter(|_| !is_ours);
        let public = public.map(|place| (place.host.clone(), place.prefix.clone()));
        let all = self.of(head).into_iter();
        let plain = all.map(|place| (place.host, String::new()));
        public.into_iter().chain(plain).collect()
    }

    /// The address that a front which is believed says a request came from.
    pub(crate) fn client(&self, head: &Parts) -> Option<IpAddr> {
        let peer = head.extensions.get::<Peer>()?.ip();
        let is_trusted = |ip: &IpAddr| self.trusted.iter().any(|network| network.contains(ip));
        if !is_trusted(&peer) {
            return None;
        }
        let said = head.headers.get(FORWARDED_FOR)?.to_str().ok()?;
        // Each front adds whom it was asked by: the last that is none of them.
        let mut addresses = said.rsplit(',').map_while(|text| text.trim().parse().ok());
        addresses.find(|ip| !is_trusted(ip))
    }

    /// Where links should lead.
    pub(crate) fn for_links(&self, head: &Parts) -> Option<Place> {
        self.of(head).into_iter().next()
    }
}

fn forwarded(headers: &HeaderMap, direct: &Place) -> Option<Place> {
    let proto = value(headers, FORWARDED_PROTO);
    let host = value(headers, FORWARDED_HOST);
    if proto.is_none() && host.is_none() {
        return None;
    }
    let scheme = proto.unwrap_or(&direct.scheme);
    let prefix = value(headers, FORWARDED_PREFIX).unwrap_or_default();
    Some(Place {
        scheme: if scheme == "https" { "https" } else { "http" }.to_owned(),
        host: host.unwrap_or(&direct.host).to_owned(),
        prefix: prefix.trim_end_matches('/').to_owned(),
    })
}

/// The first word of a header's only line.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    let first = text.split(',').next()?.trim();
    (!first.is_empty()).then_some(first)
}
