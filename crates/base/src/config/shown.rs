//! How values are shown when the configuration is printed: as people write them. To be named in
//! `#[serde(serialize_with = …)]`.

use std::time::Duration;

use serde::Serializer;

use super::{format_bytes, format_duration};

/// A size, such as `32MiB`.
pub fn as_bytes<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_bytes(*bytes))
}

/// A size, or nothing where there is no limit.
pub fn as_optional_bytes<S: Serializer>(
    bytes: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => as_bytes(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// A time, such as `20m`.
pub fn as_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// How long something is kept: a time, or `forever`.
pub fn as_keep<S: Serializer>(keep: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match keep {
        Some(keep) => as_duration(keep, serializer),
        None => serializer.serialize_str("forever"),
    }
}
