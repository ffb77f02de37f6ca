//! `http_sd_configs`: a server knows the targets.

use std::time::{Duration, Instant};

use base::client::read_body;
use base::clock;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::{Surroundings, groups_of_json};
use crate::scrape::config::HttpConfig;
use crate::scrape::fetch::AGENT;
use crate::scrape::http::{HttpClient, Way};
use crate::scrape::relabel::LabelSet;

/// The largest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Tells a server how often it is asked.
const REFRESH_HEADER: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

/// One server.
#[derive(Debug)]
pub(super) struct Asking {
    config: HttpConfig,
    client: HttpClient,
    /// What its last answer is called.
    tag: Option<HeaderValue>,
}

impl Asking {
    pub(super) fn new(config: &HttpConfig, surroundings: &Surroundings) -> Self {
        let around = (&surroundings.environment, &surroundings.supervisor);
        Self {
            client: HttpClient::new(&config.http, &Way::Direct, around),
            config: config.clone(),
            tag: None,
        }
    }

    pub(super) fn refresh(&self) -> Duration {
        self.config.refresh
    }

    /// Its targets; nothing when they are those of the last time.
    pub(super) async fn ask(&mut self, deadline: Instant) -> Result<Option<Vec<LabelSet>>, String> {
        let url = &self.config.url;
        let deadline = deadline.min(clock::now() + self.config.refresh);
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let seconds = self.config.refresh.as_secs_f64().to_string();
        if let Ok(value) = HeaderValue::try_from(seconds) {
            headers.insert(REFRESH_HEADER, value);
        }
        if let Some(tag) = &self.tag {
            headers.insert(IF_NONE_MATCH, tag.clone());
        }
        let mut shown: Url = (**url).clone();
        // It fails for a URL without a host only.
        shown.set_password(None).ok();
        let failed = |reason: String| format!("{shown}: {reason}");
        let response = self.client.get(url, &headers, deadline).await;
        let response = response.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && self.tag.is_some() {
            return Ok(None);
        }
        if status != StatusCode::OK {
            if status == StatusCode::UNAUTHORIZED {
                self.client.was_refused().await;
            }
            return Err(failed(format!("server returned HTTP status {status}")));
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let media = content_type.unwrap_or_default().split(';').next();
        if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
            let reason = "its answer is not of the type application/json";
            return Err(failed(reason.to_owned()));
        }
        let tag = response.headers().get(ETAG).cloned();
        let body = read_body(response.into_body(), ANSWER_BYTES_MAX, deadline).await;
        let body = body.map_err(|error| failed(error.to_string()))?;
        let text = std::str::from_utf8(&body).map_err(|_| failed("no UTF-8".to_owned()))?;
        let targets = groups_of_json(text, ("__meta_url", shown.as_str())).map_err(failed)?;
        self.tag = tag;
        Ok(Some(targets))
    }
}
