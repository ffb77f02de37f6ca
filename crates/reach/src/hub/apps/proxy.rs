//! One HTTP exchange with an application: the request goes out through the line, the answer comes
//! back, both bodies flow while they are read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::clock;
use base::error::Class;
use base::http::{Peer, error_response};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use super::admission::Admission;
use super::body::{Activity, watched};
use super::headers::{self, Way};
use super::visit::Visit;
use super::{AppName, Apps, upstream};
use crate::hub::ReachError;

/// The longest wait for the head of an answer after the last of the request's body has moved.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);

/// How often a request is asked again whose line broke under it.
const RETRIES_MAX: usize = 2;
/// Until then it may also wait for a node that has just lost its last line: callers are told in 6 s.
const WAIT_AFTER_BREAK: Duration = Duration::from_secs(1);

impl Apps {
    /// `/apps/<app>/…`
    pub(super) async fn by_path(self: Arc<Self>, request: Request<Body>) -> Response {
        let Some((name, mount, rest)) = AppName::of_path(request.uri()) else {
            return error_response(Class::NotFound, "an application is at /apps/<app>/");
        };
        match rest {
            Some(rest) => self.exchange(name, Some(mount), rest, request).await,
            None => to_folder(&mount, &request),
        }
    }

    /// `<app>.<host>`
    pub(super) async fn by_host(self: Arc<Self>, request: Request<Body>) -> Response {
        let Some(name) = AppName::of_headers(request.headers(), &self.settings.hosts) else {
            return error_response(Class::NotFound, "this host stands for no application");
        };
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str()).to_owned();
        if path.split('?').next() == Some(AppName::ENTER) {
            return self.enter(request.into_parts().0).await;
        }
        self.exchange(name, None, path, request).await
    }

    async fn exchange(
        self: Arc<Self>,
        name: AppName,
        mount: Option<String>,
        path: String,
        request: Request<Body>,
    ) -> Response {
        let Some(peer) = request.extensions().get::<Peer>().copied() else {
            return error_response(Class::Internal, "the connection is not known");
        };
        let visit = Visit {
            peer: &peer,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            is_at_host: mount.is_none(),
        };
        let admission = match self.admit(&name, &visit).await {
            Ok(admission) => admission,
            Err(refusal) => return refusal,
        };
        if !admission.app.offered.is_http {
            let text = format!(
                "{name} does not speak HTTP: use `landline forward {name} <local address>`"
            );
            return error_response(Class::Invalid, text);
        }
        let way = Way {
            peer,
            mount,
            app_host: admission.app.offered.host.clone(),
        };
        match self.pass_on(&admission, &way, &path, request).await {
            Ok(response) => response,
            Err(error) => {
                let (app, node) = (&admission.app.offered.name, &admission.app.node);
                tracing::debug!(
                    app,
                    node,
                    error = error.text,
                    "an application gave no answer"
                );
                self.record(&admission, Some(&error.text)).await;
                error_response(error.class, error.text)
            }
        }
    }

    async fn pass_on(
        &self,
        admission: &Admission,
        way: &Way,
        path: &str,
        mut request: Request<Body>,
    ) -> Result<Response, ReachError> {
        let assertion = self.assertion(admission).await?;
        let upgrade = headers::upgrade(request.headers());
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let activity = Activity::new(&admission.open);
        let mut outgoing = outgoing(admission, way, path, request, &activity)?;
        outgoing.headers_mut().insert(headers::ASSERTION, assertion);
        let answer = self.ask(admission, outgoing, &activity).await?;
        self.record(admission, None).await;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(admission, client, answer);
        }
        let (mut head, body) = answer.into_parts();
        headers::remove_hop_by_hop(&mut head.headers, None);
        headers::refuse_own_cookies(&mut head.headers);
        headers::mend_location(&mut head.headers, way);
        head.version = Version::HTTP_11;
        Ok(Response::from_parts(head, watched(body, &activity)))
    }

    /// Waits for the head of the answer, as long as the request's body moves and somewhat longer.
    async fn ask(
        &self,
        admission: &Admission,
        request: Request<Body>,
        activity: &Activity,
    ) -> Result<http::Response<Incoming>, ReachError> {
        let app = &admission.app;
        let begun = clock::now();
        let again = (0..RETRIES_MAX).map_while(|_| repeatable(&request));
        let mut again: Vec<_> = again.collect();
        let wanted = (app.node.as_str(), app.offered.name.as_str());
        let ask = |request| upstream::request((&self.pool, &self.nodes), wanted, request);
        let mut answer = std::pin::pin!(ask(request));
        let mut patience = upstream::CHECK_FIRST;
        loop {
            let checked = tokio::time::timeout(patience, answer.as_mut());
            if let Ok(outcome) = checked.await {
                let error = match outcome {
                    Ok(answered) => return Ok(answered),
                    Err(error) => error,
                };
                // A connection that was kept may have died with its line before anybody noticed.
                let may_wait = clock::now() < begun + WAIT_AFTER_BREAK;
                if upstream::line_broke(&error).is_some()
                    && (may_wait || self.nodes.is_online(&app.node))
                    && let Some(request) = again.pop()
                {
                    answer.set(ask(request));
                    continue;
                }
                return Err(upstream::explain(&error, app, &self.nodes));
            }
            // A connection that was kept does not tell by itself that its line is dead.
            self.nodes.check(&app.node);
            patience = (patience * 2).min(upstream::CHECK_LONGEST);
            if activity.last() + ANSWER_LIMIT <= clock::now() {
                let text = format!(
                    "{} on {} gave no answer within {} s; check the application's log",
                    app.offered.name,
                    app.node,
                    ANSWER_LIMIT.as_secs()
                );
                let class = Class::Timeout;
                return Err(ReachError { class, text });
            }
        }
    }

    /// The application has changed the protocol: from now on bytes pass both ways.
    fn switch(
        &self,
        admission: &Admission,
        client: Option<OnUpgrade>,
        mut answer: http::Response<Incoming>,
    ) -> Result<Response, ReachError> {
        let upgrade = headers::upgrade(answer.headers());
        let (Some(client), Some(upgrade)) = (client, upgrade) else {
            let app = &admission.app.offered.name;
            return Err(ReachError {
                class: Class::BadPeer,
                text: format!("{app} changed to a protocol that nobody asked for"),
            });
        };
        let app = hyper::upgrade::on(&mut answer);
        self.join(client, app, admission.open.clone())?;
        let (mut head, _) = answer.into_parts();
        headers::remove_hop_by_hop(&mut head.headers, Some(upgrade));
        headers::refuse_own_cookies(&mut head.headers);
        head.version = Version::HTTP_11;
        Ok(Response::from_parts(head, Body::empty()))
    }
}

/// The same request once more, if it may be asked twice: it changes nothing (RFC 9110, 9.2.1) and has no
/// body.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

/// The request as the application gets it.
fn outgoing(
    admission: &Admission,
    way: &Way,
    path: &str,
    request: Request<Body>,
    activity: &Activity,
) -> Result<Request<Body>, ReachError> {
    let uri = upstream::uri(&admission.app, path).map_err(|_| ReachError {
        class: Class::Invalid,
        text: "the path can't be passed on as it is".to_owned(),
    })?;
    let (head, body) = request.into_parts();
    let mut outgoing = Request::new(watched(body, activity));
    *outgoing.method_mut() = head.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = head.headers;
    if let Some(name) = &admission.token_header {
        outgoing.headers_mut().remove(name);
    }
    headers::remove_own_cookies(outgoing.headers_mut());
    if outgoing.body().size_hint().exact().is_none() {
        // The length is that of the body, or it is not known.
        outgoing.headers_mut().remove(CONTENT_LENGTH);
    }
    // First, so that a client can't have removed what we say.
    let upgrade = headers::upgrade(outgoing.headers());
    headers::remove_hop_by_hop(outgoing.headers_mut(), upgrade);
    headers::tell_way(outgoing.headers_mut(), way);
    Ok(outgoing)
}

/// Links of a page lead where they should only below a path that ends with `/`.
fn to_folder(mount: &str, request: &Request<Body>) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return error_response(Class::NotFound, format!("the application is at {mount}/"));
    }
    let query = request.uri().query();
    let location = match query {
        Some(query) => format!("{mount}/?{query}"),
        None => format!("{mount}/"),
    };
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response(),
        Err(_) => error_response(Class::Invalid, "the path can't be passed on as it is"),
    }
}
