//! One-time links for people: where they lead, and the first one, which the first start prints.

use std::net::SocketAddr;

use base::secret::Secret;
use identity::{Identity, IdentityError};

use crate::cluster::reachable;

/// Where the hub is for others.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The beginning of links for browsers.
    pub(crate) base: String,
    /// `host:port` for commands.
    pub(crate) proxy: String,
}

/// The beginning of links to this hub. Without a public address they are for this machine, whose
/// browsers come without TLS and without a certificate that they don't know.
pub(crate) fn base(public: Option<&str>, main: SocketAddr) -> String {
    let main = reachable(main);
    match public {
        Some(public) => format!("https://{public}"),
        None if main.ip().is_loopback() => format!("http://{main}"),
        None => format!("https://{main}"),
    }
}

/// The link of an invitation. It is a secret as a whole.
pub(crate) fn welcome(base: &str, secret: &Secret) -> Secret {
    Secret::new(format!("{base}/welcome/{}", secret.expose()))
}

/// Prints the link of the first administrator, as long as there is none.
pub(crate) async fn print_first(identity: &Identity, base: &str) -> Result<(), IdentityError> {
    if let Some(invitation) = identity.first_start().await? {
        let link = welcome(base, &invitation.secret);
        // Within the text: fields are what logs are searched and indexed by.
        tracing::info!(
            "nobody can sign in yet; become the first administrator within 24 hours at {}",
            link.expose()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_people_are() {
        let check = |public: Option<&str>, main: &str, expected: &str| {
            assert_eq!(base(public, main.parse().expect("address")), expected);
        };
        let public = Some("hub.example.net:3080");
        check(public, "0.0.0.0:3080", "https://hub.example.net:3080");
        check(None, "127.0.0.1:3080", "http://127.0.0.1:3080");
        check(None, "0.0.0.0:3080", "http://127.0.0.1:3080");
        check(None, "192.0.2.1:3080", "https://192.0.2.1:3080");
    }
}
