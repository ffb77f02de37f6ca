//! What tests of scraping share, and the whole of it against a real server.

mod measured;
mod original;
mod server;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::{self, JobConfig};

/// A configuration of its text.
pub(crate) fn loaded(text: &str) -> config::PrometheusConfig {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, text).expect("written");
    let loaded = config::load(&path, &BTreeMap::new());
    loaded
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

/// A job of its keys.
pub(crate) fn job(keys: &str) -> Arc<JobConfig> {
    let mut text = "scrape_configs:\n  - job_name: job\n".to_owned();
    for line in keys.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    Arc::clone(&loaded(&text).jobs[0])
}
