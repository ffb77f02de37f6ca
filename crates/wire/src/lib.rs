//! Bytes and values of the foreign protocols Landline speaks: exposition pages, remote write,
//! request signing, HTTP authentication, the store S3 and the records of the telemetrics client. It opens no socket, reads no clock
//! and no environment, and never waits.

pub mod auth;
pub mod digest;
pub mod dns;
pub mod exposition;
pub mod fuzz;
pub mod histogram;
pub mod http_message;
pub mod json_metrics;
pub mod otlp;
pub mod parquet;
pub mod protobuf;
pub mod remote_read;
pub mod remote_write;
pub mod s3;
pub mod sigv4;
pub mod snappy;
pub mod tar;
pub mod telemetrics;
pub mod tsdb;
