//! The profile `whatsapp`: WhatsApp Business on-premises. Its parts, its login, and the rule that
//! tells from its health page whether a cluster is well.

use base::config::Field;
use base::secret::SecretSource;
use base::tls::ClientTls;
use serde_json::Value;
use url::Url;

use super::config::{
    Apply, AuthConfig, ExpiryFormat, Extract, ExtractFrom, HealthConfig, HealthRule, Login,
    LoginBody, LoginRequest, PartConfig, SessionRules,
};

/// The gauge that the original proxy added to every page.
pub(crate) const HEALTH_METRIC: &str = "whatsapp_cluster_health";
/// What it means.
pub(crate) const HEALTH_HELP: &str =
    "Whether the WhatsApp cluster can send and receive: 1 well, 0 not";

fn at(origin: &Url, path: &str, query: Option<&str>) -> Url {
    let mut url = origin.clone();
    url.set_path(path);
    url.set_query(query);
    url
}

/// The three pages. Statistics of the database are slow on large installations, so the page goes
/// out without them when they fail.
pub(crate) fn parts(origin: &Url) -> Vec<PartConfig> {
    let text = Some("format=prometheus");
    let part = |name: &str, path: &str| PartConfig::named(name, at(origin, path, text));
    let optional = |part: PartConfig| PartConfig {
        optional: true,
        ..part
    };
    vec![
        part("metrics", "/metrics"),
        optional(part("app", "/v1/stats/app")),
        optional(part("db", "/v1/stats/db")),
    ]
}

/// The health page.
pub(crate) fn health(origin: &Url) -> HealthConfig {
    HealthConfig {
        url: at(origin, "/v1/health", None),
        rule: HealthRule::Whatsapp,
    }
}

/// The login with a user's name and password.
pub(crate) fn login(origin: &Url, username: SecretSource, password: SecretSource) -> AuthConfig {
    let pointer = |path: &str| ExtractFrom::Pointer(path.to_owned());
    let expires = (pointer("/users/0/expires_after"), ExpiryFormat::DateTime);
    AuthConfig::LoginToken {
        username: Some(username),
        password: Some(password),
        request: LoginRequest {
            method: "POST".to_owned(),
            url: at(origin, "/v1/users/login", None),
            basic: true,
            headers: std::collections::BTreeMap::new(),
            body: LoginBody::None,
        },
        ok_status: vec![200],
        extract: Extract {
            token: pointer("/users/0/token"),
            expires: Some(expires),
        },
        apply: Apply {
            header: "Authorization".to_owned(),
            value: "Bearer {token}".to_owned(),
        },
    }
}

/// `auth` of a target with this profile: `{username, password}`, or any kind in full.
pub(crate) fn read_auth(
    auth: Option<Field<'_>>,
    origin: &Url,
    target: &Field<'_>,
) -> Option<Login> {
    let Some(field) = auth else {
        target.error(
            "`auth` is missing",
            Some("the profile whatsapp needs a username and a password"),
        );
        return None;
    };
    let mut section = field.section()?;
    if section.optional("kind").is_some() {
        return Login::read(&field, Some(origin));
    }
    let username = section
        .required("username")
        .and_then(|field| SecretSource::read(&field));
    let password = section
        .required("password")
        .and_then(|field| SecretSource::read(&field));
    let session = SessionRules::read(&mut section);
    section.finish();
    Some(Login {
        auth: login(origin, username?, password?),
        session,
        tls: ClientTls::default(),
    })
}

/// What a health page says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// The cluster works.
    pub(crate) is_well: bool,
    /// Container and status of every node.
    pub(crate) nodes: Vec<(String, String)>,
}

/// Reads a health page: of one node (`{"health": {"gateway_status": …}}`) or of many
/// (`{"health": {"host:container": {"gateway_status", "role", "errors"}}}`).
pub(crate) fn read_health(page: &[u8]) -> Option<Health> {
    let page: Value = serde_json::from_slice(page).ok()?;
    let health = page.get("health")?.as_object()?;
    if let Some(status) = health.get("gateway_status").and_then(Value::as_str) {
        let nodes = vec![("node".to_owned(), status.to_owned())];
        return Some(Health {
            is_well: status == "connected",
            nodes,
        });
    }
    let mut nodes = Vec::new();
    let mut roles: Vec<(&str, bool)> = Vec::new();
    for (name, node) in health {
        let status = node
            .get("gateway_status")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        let role = node.get("role").and_then(Value::as_str).unwrap_or_default();
        let container = name
            .rsplit_once(':')
            .map_or(name.as_str(), |(_, container)| container);
        roles.push((role, status == "connected"));
        nodes.push((container.to_owned(), describe(status, node)));
    }
    Some(Health {
        is_well: is_well(&roles),
        nodes,
    })
}

/// With one primary master, one connected coreapp is enough; otherwise every node must be connected.
fn is_well(nodes: &[(&str, bool)]) -> bool {
    let masters = nodes
        .iter()
        .filter(|(role, _)| *role == "primary_master")
        .count();
    if masters == 1 {
        return nodes
            .iter()
            .any(|(role, connected)| *role == "coreapp" && *connected);
    }
    !nodes.is_empty() && nodes.iter().all(|(_, connected)| *connected)
}

/// A node's status, or its errors as `title (code) - details`.
fn describe(status: &str, node: &Value) -> String {
    let errors = node.get("errors").and_then(Value::as_array);
    let text = |error: &Value, key: &str| match error.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let shown: Vec<String> = errors
        .into_iter()
        .flatten()
        .map(|e| {
            format!(
                "{} ({}) - {}",
                text(e, "title"),
                text(e, "code"),
                text(e, "details")
            )
        })
        .collect();
    if shown.is_empty() {
        status.to_owned()
    } else {
        shown.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(nodes: &[(&str, &str)]) -> Vec<u8> {
        let nodes: serde_json::Map<String, Value> = nodes
            .iter()
            .enumerate()
            .map(|(i, (role, status))| {
                (
                    format!("h:c{i}"),
                    serde_json::json!({"gateway_status": status, "role": role}),
                )
            })
            .collect();
        serde_json::json!({"health": nodes})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn the_rule_of_the_original_holds() {
        let check = |nodes: &[(&str, &str)], expected| {
            assert_eq!(
                read_health(&page(nodes)).map(|h| h.is_well),
                Some(expected),
                "{nodes:?}"
            );
        };
        let (master, core) = ("primary_master", "coreapp");
        check(&[(master, "disconnected"), (core, "connected")], true);
        check(
            &[
                (master, "connected"),
                (core, "connected"),
                (core, "disconnected"),
            ],
            true,
        );
        check(&[(master, "unregistered"), (core, "disconnected")], false);
        check(&[(core, "disconnected")], false);
        check(&[(core, "connected")], true);
        check(
            &[
                (master, "connected"),
                (master, "connected"),
                (core, "disconnected"),
            ],
            false,
        );
        check(&[], false);
        let single = |status: &str| {
            let page = serde_json::json!({"health": {"gateway_status": status}}).to_string();
            read_health(page.as_bytes()).map(|health| health.is_well)
        };
        assert_eq!(single("connected"), Some(true));
        assert_eq!(single("unregistered"), Some(false));
        assert_eq!(read_health(b"<html>"), None);
    }
}
