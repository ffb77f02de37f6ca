//! AWS signature version 4, judged by botocore: the stub keeps the request, and a small script
//! signs the same request again with the independent implementation.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::server::Seen;

/// Signs again what is given as JSON on standard input and prints the `Authorization` header.
const SCRIPT: &str = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
spec = json.load(sys.stdin)
request = AWSRequest(method=spec["method"], url=spec["url"], data=b"", headers=spec["headers"])
request.context["timestamp"] = spec["timestamp"]
auth = SigV4Auth(Credentials(spec["key_id"], spec["secret"]), spec["service"], spec["region"])
canonical = auth.canonical_request(request)
signature = auth.signature(auth.string_to_sign(request, canonical), request)
signed = auth.signed_headers(auth.headers_to_sign(request))
print(f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
      f"SignedHeaders={signed}, Signature={signature}")
"#;

/// What a request must be signed with.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// Access key id.
    pub key_id: &'a str,
    /// Secret access key.
    pub secret: &'a str,
    /// Region.
    pub region: &'a str,
    /// Service.
    pub service: &'a str,
}

/// The header that botocore makes for this request, signing the same headers at the same time.
pub fn botocore(python: &str, seen: &Seen, credentials: Credentials<'_>) -> Result<String, String> {
    let signed = signed_headers(seen);
    let headers: serde_json::Map<_, _> = signed
        .iter()
        .filter(|name| *name != "host")
        .map(|name| (name.clone(), json!(seen.header(name))))
        .collect();
    let spec = json!({
        "method": seen.method,
        "url": format!("http://{}{}", seen.header("host"), seen.target()),
        "headers": headers,
        "timestamp": seen.header("x-amz-date"),
        "key_id": credentials.key_id,
        "secret": credentials.secret,
        "region": credentials.region,
        "service": credentials.service,
    });
    run(python, &spec.to_string())
}

/// The names in `SignedHeaders`.
pub fn signed_headers(seen: &Seen) -> Vec<String> {
    let names = seen.header("authorization").split("SignedHeaders=").nth(1);
    let names = names
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_default();
    names.split(';').map(str::to_owned).collect()
}

/// Runs the script.
fn run(python: &str, input: &str) -> Result<String, String> {
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let written = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    match (output.status.success(), written) {
        (true, Some(Ok(()))) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
