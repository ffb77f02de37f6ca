//! What a client sent, before anything is checked: a text per field that came, and the payload. It is
//! what a quarantine keeps, so it is complete even when the record is nonsense.

use serde_json::Value;

use super::Field;

/// Keys of one JSON object. The client sends 16.
pub const JSON_KEYS_MAX: usize = 256;

/// A submission: what a client sent, as text, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// By the place of the field in `Field::ALL`.
    texts: [Option<String>; Field::ALL.len()],
    payload: String,
}

/// A body that is no submission in JSON.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// Not JSON at all, or nested deeper than 128 levels.
    #[error("the body is not JSON")]
    Json(#[source] serde_json::Error),
    /// JSON, but a list or a bare value.
    #[error("the body is not a JSON object")]
    NotObject,
    /// More keys than any client sends.
    #[error("the body has more than {JSON_KEYS_MAX} keys")]
    TooManyKeys,
    /// A list or an object where a text belongs.
    #[error("the value of `{0}` is not a text or a number")]
    Nested(&'static str),
    /// The key `payload` is not there.
    #[error("the body has no key `payload`")]
    NoPayload,
}

impl JsonProblem {
    /// One stable word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Json(_) => "not_json",
            Self::NotObject => "not_object",
            Self::TooManyKeys => "too_many_keys",
            Self::Nested(_) => "nested_value",
            Self::NoPayload => "no_payload",
        }
    }
}

impl Submission {
    /// Takes the headers and the body of a request to `/v2/collector`. Headers that are no field are
    /// passed over. Values and body are UTF-8, or else Latin-1; blanks and tabs around a value are
    /// dropped, nothing of the body is. Of a header that came twice, in whatever spelling, the last
    /// counts, as the later of two CGI variables does.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: &[u8],
    ) -> Self {
        let mut submission = Self::empty(decode(body));
        for (name, value) in headers {
            if let Some(field) = Field::of(name) {
                submission.set(field, header_text(value));
            }
        }
        submission
    }

    /// Takes the body of a request to `/v3/collector` and its two headers. The body is UTF-8, or else
    /// Latin-1: the client copies what the firmware says of the board without a look. Keys are known
    /// in the form of [`Field::name`] only; others are passed over, among them those of the two
    /// headers. Numbers become their decimal text, true and false their words, null an empty text.
    ///
    /// # Errors
    /// The body is not one flat JSON object with a payload.
    pub fn from_json(
        body: &[u8],
        tid: Option<&[u8]>,
        external: Option<&[u8]>,
    ) -> Result<Self, JsonProblem> {
        let document: Value = serde_json::from_str(&decode(body)).map_err(JsonProblem::Json)?;
        let Value::Object(mut values) = document else {
            return Err(JsonProblem::NotObject);
        };
        if values.len() > JSON_KEYS_MAX {
            return Err(JsonProblem::TooManyKeys);
        }
        let payload = values.remove("payload").ok_or(JsonProblem::NoPayload)?;
        let mut submission = Self::empty(json_text("payload", payload)?);
        for field in Field::ALL {
            if field.is_always_header() {
                continue;
            }
            if let Some(value) = values.remove(field.name()) {
                submission.set(field, json_text(field.name(), value)?);
            }
        }
        for (field, value) in [(Field::Tid, tid), (Field::External, external)] {
            if let Some(value) = value {
                submission.set(field, header_text(value));
            }
        }
        Ok(submission)
    }

    /// The text of a field; nothing when it was not sent, which is not the same as an empty text.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.texts.get(field as usize)?.as_deref()
    }

    /// What was sent, in the order of [`Field::ALL`], each field with its text.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &str)> {
        let texts = self.texts.iter().map(Option::as_deref);
        let fields = Field::ALL.into_iter().zip(texts);
        fields.filter_map(|(field, text)| Some((field, text?)))
    }

    /// The payload as it was sent, to the last line break. It can be empty and can contain NUL.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    fn empty(payload: String) -> Self {
        Self {
            texts: Default::default(),
            payload,
        }
    }

    fn set(&mut self, field: Field, text: String) {
        if let Some(place) = self.texts.get_mut(field as usize) {
            *place = Some(text);
        }
    }
}

/// UTF-8, or else Latin-1, which every byte is.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn header_text(value: &[u8]) -> String {
    let text = decode(value);
    text.trim_matches([' ', '\t']).to_owned()
}

fn json_text(key: &'static str, value: Value) -> Result<String, JsonProblem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(String::new()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err(JsonProblem::Nested(key)),
    }
}
