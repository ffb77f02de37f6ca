//! What a sender is answered.

use serde_json::json;

use crate::protobuf::Writer;

/// Characters of a message.
const MESSAGE_CHARS_MAX: usize = 4_096;

/// An answer of success: how many points were not taken, and why. Both are left out when all were.
pub fn partial_success(rejected: u64, message: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    if rejected > 0 || !message.is_empty() {
        writer.message(1, |out| {
            out.unsigned(1, rejected);
            out.text(2, shortened(message));
        });
    }
    writer.finish()
}

/// An answer of failure: `google.rpc.Status` with its code.
pub fn error(code: u64, message: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.unsigned(1, code);
    writer.text(2, shortened(message));
    writer.finish()
}

/// [`partial_success`] in JSON.
pub fn partial_success_json(rejected: u64, message: &str) -> Vec<u8> {
    let answer = if rejected > 0 || !message.is_empty() {
        // Numbers of 64 bits are texts.
        let partial = json!({
            "rejectedDataPoints": rejected.to_string(),
            "errorMessage": shortened(message),
        });
        json!({"partialSuccess": partial})
    } else {
        json!({})
    };
    answer.to_string().into_bytes()
}

/// [`error`] in JSON.
pub fn error_json(code: u64, message: &str) -> Vec<u8> {
    let answer = json!({"code": code, "message": shortened(message)});
    answer.to_string().into_bytes()
}

fn shortened(message: &str) -> &str {
    let end = message.char_indices().nth(MESSAGE_CHARS_MAX);
    let end = end.map_or(message.len(), |(end, _)| end);
    message.get(..end).unwrap_or(message)
}
