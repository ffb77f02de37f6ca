//! The section `monitor.objects` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use base::config::{Field, as_duration};
use base::secret::SecretSource;
use bucket::BucketConfig;
use serde::Serialize;

/// How old segments are that go into the bucket, when nothing else is said.
const AFTER: Duration = Duration::from_hours(2 * 24);
/// The least that can be said: a segment is of two hours.
const AFTER_MIN: Duration = Duration::from_hours(1);

/// The bucket that old segments go into.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectsConfig {
    /// Where it is.
    pub url: BucketConfig,
    /// How old the newest sample of a segment is that goes there.
    #[serde(serialize_with = "as_duration")]
    pub after: Duration,
    /// The key of the store that has it; `AWS_ACCESS_KEY_ID` without it.
    pub access_key: Option<SecretSource>,
    /// Its secret; `AWS_SECRET_ACCESS_KEY` without it.
    pub secret_key: Option<SecretSource>,
    /// The authority of that store's certificate; the system's without it.
    pub ca: Option<PathBuf>,
}

impl ObjectsConfig {
    /// Reads the section; reports what is wrong in it.
    pub(crate) fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let url = section.required("url").and_then(|field| {
            let text = field.text()?;
            if text.starts_with("s3://") {
                return BucketConfig::read(&field, &text);
            }
            let help = "write it as s3://bucket/prefix?endpoint=https://…&region=…";
            field.error("segments go into a bucket", Some(help));
            None
        });
        let after = section.optional("after").and_then(|field| {
            let after = field.duration()?;
            if after < AFTER_MIN {
                field.error("segments stay here for an hour at least", None);
            }
            Some(after)
        });
        let access_key = section
            .optional("access_key")
            .and_then(|field| SecretSource::read_needed(&field));
        let secret_key = section
            .optional("secret_key")
            .and_then(|field| SecretSource::read_needed(&field));
        let ca = section.optional("ca").and_then(|field| field.path());
        section.finish();
        Some(Self {
            url: url?,
            after: after.unwrap_or(AFTER),
            access_key,
            secret_key,
            ca,
        })
    }
}
