//! Who uses an application, whether they may, and the record of it in the audit log. An address is no
//! proof here, not even loopback.

use std::net::IpAddr;

use axum::response::Response;
use base::error::Class;
use base::http::error_response;
use base::secret::Secret;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::IdentityError;
use identity::assertions::Claims;
use identity::audit::{Caller, Event, Outcome};
use identity::names::{LOCAL_ADMIN, Labels};
use identity::principal::Principal;
use identity::roles::{Kind, Verb};

use super::open::OpenUse;
use super::uses::USED;
use super::visit::Visit;
use super::{AppName, Apps};
use crate::hub::{FoundApp, ReachError, unix_milliseconds};

/// How long an assertion is valid: longer than clocks differ.
const ASSERTION_SECONDS: i64 = 300;
/// Somebody who may use an application.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    pub(super) app: FoundApp,
    pub(super) user: String,
    roles: Vec<String>,
    address: IpAddr,
    /// A lock on them ends it.
    pub(super) open: OpenUse,
    /// The header that carried the token, if one did: it is not the application's.
    pub(super) token_header: Option<HeaderName>,
}

impl Apps {
    /// Lets somebody in, or says why not.
    pub(super) async fn admit(
        &self,
        name: &AppName,
        visit: &Visit<'_>,
    ) -> Result<Admission, Response> {
        let address = visit.peer.ip();
        if !visit.peer.is_tls && !visit.peer.is_loopback() {
            let text = "applications are reached with TLS only";
            return Err(error_response(Class::Forbidden, text));
        }
        let (principal, token_header) = self.visitor(name, visit).await?;
        let user = principal
            .as_ref()
            .map_or(LOCAL_ADMIN, |principal| principal.user.as_str())
            .to_owned();
        let caller = Caller::user(user.clone(), Some(address));
        let Some(app) = self.nodes.find_app(&name.app, name.node.as_deref()) else {
            self.refuse(&caller, name, None, "no such application")
                .await;
            return Err(error_response(
                Class::NotFound,
                format!("no node offers an application `{name}` here: see `landline apps ls`"),
            ));
        };
        if let Some(principal) = &principal
            && !self.may_use(principal, &app).await?
        {
            self.refuse(&caller, name, Some(&app), "no role allows it")
                .await;
            let text = format!(
                "{user} may not use the application {name}: no role of theirs allows it, or the token's scopes leave it out"
            );
            return Err(error_response(Class::Forbidden, text));
        }
        let targets = principal.as_ref().map(Principal::lock_targets);
        let trust = self.identity.trust();
        let open = self.open.begin(&targets.unwrap_or_default(), &trust);
        let roles = principal.map_or_else(
            || vec!["admin".to_owned()],
            |principal| principal.roles.into_iter().map(|role| role.name).collect(),
        );
        Ok(Admission {
            app,
            user,
            roles,
            address,
            open,
            token_header,
        })
    }

    async fn may_use(&self, principal: &Principal, app: &FoundApp) -> Result<bool, Response> {
        let member = self.identity.members().get(&app.node_id).await;
        let member = member.map_err(|error| refused(&error))?;
        // A node that was removed has no labels to be allowed by.
        let mut labels: Labels = member.map(|member| member.labels).unwrap_or_default();
        labels.insert("app".to_owned(), app.offered.name.clone());
        labels.insert("node".to_owned(), app.node.clone());
        Ok(principal.check(Kind::Apps, Verb::Use, &labels).is_allowed())
    }

    /// Records how a use ended.
    pub(super) async fn record(&self, admission: &Admission, failure: Option<&str>) {
        let target = target(&admission.app);
        let outcome = match failure {
            Some(_) => Outcome::Failed,
            None => Outcome::Success,
        };
        let this = (
            admission.user.clone(),
            target.clone(),
            admission.address,
            outcome.as_str(),
        );
        let event = || {
            let caller = Caller::user(admission.user.clone(), Some(admission.address));
            let mut event = Event::success(USED, &caller, target)
                .with("user", &admission.user)
                .with("app", &admission.app.offered.name)
                .with("node", &admission.app.node);
            event.outcome = outcome;
            match failure {
                Some(reason) => event.with("reason", reason),
                None => event,
            }
        };
        self.uses.note(&self.identity, this, event).await;
    }

    pub(super) async fn refuse(
        &self,
        caller: &Caller,
        name: &AppName,
        found: Option<&FoundApp>,
        reason: &str,
    ) {
        let target = found.map_or_else(|| short(&format!("app:{name}")), target);
        let event = Event::success(USED, caller, target).with("reason", reason);
        if let Err(error) = self.identity.audit().record_refusal(event).await {
            let error = crate::line::chain(&error);
            tracing::error!(error, "a refusal could not be recorded in the audit log");
        }
    }

    /// What the application is told of who uses it.
    pub(super) async fn assertion(&self, admission: &Admission) -> Result<HeaderValue, ReachError> {
        let now = unix_milliseconds() / 1000;
        let claims = Claims {
            issuer: self.settings.issuer.clone(),
            subject: admission.user.clone(),
            audience: format!("{}@{}", admission.app.offered.name, admission.app.node),
            roles: admission.roles.clone(),
            issued_at: now,
            expires_at: now + ASSERTION_SECONDS,
        };
        let signed = self.identity.assertions().sign(&claims).await;
        let signed = signed.map_err(|error| unproved(&error))?;
        HeaderValue::try_from(signed).map_err(|_| ReachError {
            class: Class::Internal,
            text: "the assertion is no header".to_owned(),
        })
    }
}

/// The token, and the header it is in: `Proxy-Authorization` leaves `Authorization` to the application.
pub(super) fn token(headers: &HeaderMap) -> Option<(HeaderName, Secret)> {
    [PROXY_AUTHORIZATION, AUTHORIZATION]
        .into_iter()
        .find_map(|name| {
            let value = headers.get(&name)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            is_bearer.then(|| (name, Secret::new(token.trim())))
        })
}

fn target(app: &FoundApp) -> String {
    format!("app:{}@{}", app.offered.name, app.node)
}

/// What a stranger sent, short enough for the audit log.
fn short(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(140)
        .collect()
}

/// What identity says no to, as outsiders hear it.
fn unproved(error: &IdentityError) -> ReachError {
    let class = error.class();
    if class != Class::Internal {
        let text = error.to_string();
        return ReachError { class, text };
    }
    let error = crate::line::chain(error);
    tracing::error!(error, "who asks for an application can't be told");
    let text = "the hub has a problem of its own; its log says which".to_owned();
    ReachError { class, text }
}

/// The answer to what identity says no to.
pub(super) fn refused(error: &IdentityError) -> Response {
    let error = unproved(error);
    match error.class {
        Class::Unauthenticated => unauthenticated(&error.text),
        class => error_response(class, error.text),
    }
}

pub(super) fn unauthenticated(text: &str) -> Response {
    let mut response = error_response(Class::Unauthenticated, text);
    response.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"landline\""),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_where_it_belongs() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<(&str, &str)>| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            let found = token(&headers);
            let found = found
                .as_ref()
                .map(|(name, token)| (name.as_str(), token.expose()));
            assert_eq!(found, expected, "{pairs:?}");
        };
        check(&[], None);
        check(&[("authorization", "Basic eA==")], None);
        check(
            &[("authorization", "bearer t")],
            Some(("authorization", "t")),
        );
        let both = [
            ("authorization", "Bearer app"),
            ("proxy-authorization", "Bearer ours"),
        ];
        check(&both, Some(("proxy-authorization", "ours")));
    }
}
