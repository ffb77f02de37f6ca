//! Metrics pages behind the stateless schemes: a fixed header, a basic header, a bearer token, a
//! key in the query, a client certificate, or any rule a test gives.

use std::sync::Arc;

use super::server::{Handler, Seen, Server, answer, handler, text_page};

/// The page behind every guard.
pub const PAGE: &str =
    "# HELP shop_orders_total Orders\n# TYPE shop_orders_total counter\nshop_orders_total 42\n";

/// A page at `/metrics` for requests that follow `rule`, 401 for all others.
pub fn guard(rule: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Handler {
    handler(move |seen| {
        let is_allowed = rule(&seen);
        async move {
            match (is_allowed, seen.path.as_str()) {
                (false, _) => answer(401, "not with these credentials"),
                (true, "/metrics") => text_page(PAGE),
                (true, _) => answer(404, "no such page"),
            }
        }
    })
}

/// The page for requests whose header has exactly this value.
pub async fn header(name: &'static str, value: &str) -> Server {
    let value = value.to_owned();
    Server::plain(guard(move |seen| {
        let values: Vec<_> = seen.headers.get_all(name).iter().collect();
        values.len() == 1
            && values
                .first()
                .is_some_and(|found| found.as_bytes() == value.as_bytes())
    }))
    .await
}

/// The page for requests with this query parameter, once.
pub async fn query_key(param: &str, value: &str) -> Server {
    let wanted = (param.to_owned(), value.to_owned());
    Server::plain(guard(move |seen| {
        let pairs = url::form_urlencoded::parse(seen.query.as_bytes()).into_owned();
        let found: Vec<_> = pairs.filter(|(name, _)| *name == wanted.0).collect();
        found == [wanted.clone()]
    }))
    .await
}

/// The page for clients whose certificate the TLS configuration has verified.
pub async fn client_certificate(config: Arc<rustls::ServerConfig>) -> Server {
    Server::tls(guard(|seen| seen.has_client_certificate), config).await
}
