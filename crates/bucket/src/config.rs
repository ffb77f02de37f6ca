//! The address of a bucket, as `s3://name/prefix?endpoint=…&region=…`.

use base::config::Field;
use serde::Serialize;
use url::Url;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketConfig {
    /// The bucket.
    pub name: String,
    /// What keys in it begin with; it ends with a slash, or is empty.
    pub prefix: String,
    /// The store.
    pub endpoint: Url,
    /// Its region.
    pub region: String,
}

impl BucketConfig {
    /// Reads an address; reports what is wrong with it.
    pub fn read(field: &Field<'_>, text: &str) -> Option<Self> {
        let help = "write it as s3://bucket/prefix?endpoint=https://…&region=…";
        let refuse = |message: &str| -> Option<Self> {
            field.error(message, Some(help));
            None
        };
        let Some(url) = Url::parse(text).ok() else {
            return refuse("this is no address of a bucket");
        };
        let Some(name) = url.host_str() else {
            return refuse("the bucket has no name");
        };
        let environment = &field.context().environment;
        let variable = |name: &str| environment.get(name).cloned();
        let (mut endpoint, mut allows_http) = (variable("AWS_ENDPOINT_URL"), false);
        let mut region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        for (key, value) in url.query_pairs() {
            match &*key {
                "endpoint" => endpoint = Some(value.into_owned()),
                "region" => region = Some(value.into_owned()),
                "allow_http" => allows_http = value == "true",
                _ => return refuse(&format!("`{}` is not known here", key.escape_debug())),
            }
        }
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = match endpoint {
            Some(endpoint) => Url::parse(&endpoint).ok(),
            None => usual_endpoint(&region),
        };
        let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        let is_web =
            |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain(url);
        if !is_plain(&url) {
            return refuse(
                "keys don't belong into the address: give them as access_key and secret_key",
            );
        }
        let Some(endpoint) = endpoint.filter(is_web) else {
            return refuse("the endpoint is no URL with http or https");
        };
        if endpoint.scheme() == "http" && !allows_http {
            return refuse(
                "plain HTTP shows everything on the way: add allow_http=true to allow it",
            );
        }
        let prefix = url.path().trim_matches('/');
        Some(Self {
            name: name.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
            endpoint,
            region,
        })
    }
}

/// The store of AWS in a region.
fn usual_endpoint(region: &str) -> Option<Url> {
    Url::parse(&format!("https://s3.{region}.amazonaws.com")).ok()
}
