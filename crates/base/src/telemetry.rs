//! The program's own log and metrics: one line per event on stderr, one registry. What is measured
//! is named by the code that measures it.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::registry::Registry;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// The shape of the log on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. `filter` as `info`, `debug` or `landline=debug,hyper=warn`.
///
/// # Errors
/// The filter doesn't parse, or a log was started before.
pub fn start_log(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}

/// The registry that `/metrics` shows; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// Lets a module register what it measures. Names carry the prefix `landline_` themselves.
    pub fn register(&self, describe: impl FnOnce(&mut Registry)) {
        describe(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The whole registry as OpenMetrics text.
    ///
    /// # Errors
    /// A collector failed to write.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 << 10);
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
