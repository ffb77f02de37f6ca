//! The envelope of all answers: data with notes, or an error with its kind.

use axum::response::{IntoResponse, Response};
use base::client::chain;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use query::promql::engine::QueryError;
use query::promql::format::string;
use signals::StoreError;

use crate::samples::UseError;

/// What an answer begins with.
const BEGIN: &str = r#"{"status":"success","data":"#;

/// What is answered when it went well.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The envelope up to the end of its data. An answer may have megabytes, which nobody copies.
    body: String,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Answer {
    /// Answers with JSON.
    pub(super) fn new(data: &str) -> Self {
        Self::written(data.len(), |body| body.push_str(data))
    }

    /// Answers with the JSON that a function writes, of about so many bytes.
    pub(super) fn written(bytes: usize, write: impl FnOnce(&mut String)) -> Self {
        let mut body = String::with_capacity(BEGIN.len() + bytes + 64);
        body.push_str(BEGIN);
        write(&mut body);
        Self {
            body,
            ..Self::default()
        }
    }

    /// With a warning that the result was cut off.
    pub(super) fn cut(mut self, is_cut: bool) -> Self {
        if is_cut {
            self.warnings.push(CUT.to_owned());
        }
        self
    }
}

/// What a result that `limit` cut off is told with.
pub(super) const CUT: &str = "results truncated due to limit";

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut body = self.body;
        for (name, notes) in [("warnings", self.warnings), ("infos", self.infos)] {
            if notes.is_empty() {
                continue;
            }
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            strings(&mut body, notes.iter());
        }
        body.push('}');
        json(StatusCode::OK, body)
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(super) struct ApiError {
    /// `bad_data`, `execution`, …
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self {
            kind: "bad_data",
            message: message.into(),
        }
    }

    /// What may be asked again later.
    fn unavailable(message: String) -> Self {
        Self {
            kind: "unavailable",
            message,
        }
    }

    /// A parameter that says nothing usable.
    pub(super) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad(format!("invalid parameter \"{name}\": {reason}"))
    }

    fn status(&self) -> StatusCode {
        match self.kind {
            "bad_data" => StatusCode::BAD_REQUEST,
            "execution" => StatusCode::UNPROCESSABLE_ENTITY,
            "canceled" => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            "timeout" | "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "not_found" => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let message = match &error {
            QueryError::Parse(_) => ["invalid parameter \"query\": ", &error.to_string()].concat(),
            _ => error.to_string(),
        };
        Self {
            kind: error.kind(),
            message,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // Neither is a fault: both pass.
        if let StoreError::ManyTombstones(_) = error {
            let remedy = "upkeep works them into the segments within minutes, and POST /api/v1/admin/tsdb/clean_tombstones at once; delete more series by one selector";
            return Self::unavailable(format!("{error}: {remedy}"));
        }
        if let StoreError::Stopped = error {
            return Self::unavailable(error.to_string());
        }
        let message = chain(&error);
        tracing::error!(error = message, "the store of samples could not be read");
        Self {
            kind: "internal",
            message,
        }
    }
}

impl From<UseError> for ApiError {
    fn from(error: UseError) -> Self {
        let kind = match error {
            UseError::Closed => "unavailable",
            UseError::Failed(_) => "internal",
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = String::from(r#"{"status":"error","errorType":"#);
        string(&mut body, self.kind);
        body.push_str(",\"error\":");
        string(&mut body, &self.message);
        body.push('}');
        json(self.status(), body)
    }
}

/// What handlers give.
pub(super) type Answered = Result<Answer, ApiError>;

fn json(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Texts as an array.
pub(super) fn strings<'a>(out: &mut String, texts: impl Iterator<Item = &'a String>) {
    out.push('[');
    for (place, text) in texts.enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(out, text);
    }
    out.push(']');
}
