//! Configurations of other projects, read in place, and what is told about wrong ones.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// Files that are refused here although the original takes them, with the reason.
const REFUSED_HERE: [(&str, &str); 16] = [
    ("agent_mode.good.yml", "remote_write"),
    ("agent_mode.with_remote_reads.yml", "remote_read"),
    (
        "config_with_deprecated_am_api_config.yml",
        "api_version v1, refused by the original, too",
    ),
    (
        "conf.good.yml",
        "remote_write, remote_read, tracing, sources of others",
    ),
    (
        "kubernetes_empty_apiserver.good.yml",
        "kubernetes_sd_configs",
    ),
    (
        "kubernetes_kubeconfig_without_apiserver.good.yml",
        "kubernetes_sd_configs",
    ),
    (
        "kubernetes_selectors_endpoints.good.yml",
        "kubernetes_sd_configs",
    ),
    (
        "kubernetes_selectors_ingress.good.yml",
        "kubernetes_sd_configs",
    ),
    (
        "kubernetes_selectors_node.good.yml",
        "kubernetes_sd_configs",
    ),
    ("kubernetes_selectors_pod.good.yml", "kubernetes_sd_configs"),
    (
        "kubernetes_selectors_service.good.yml",
        "kubernetes_sd_configs",
    ),
    (
        "otlp_allow_utf8.incompatible.yml",
        "refused by the original, too",
    ),
    (
        "otlp_no_translation.incompatible.yml",
        "refused by the original, too",
    ),
    ("remote_write_retry_on_rate_limit.good.yml", "remote_write"),
    ("roundtrip.good.yml", "sources of others"),
    (
        "scrape_config_files_glob.good.yml",
        "vultr_sd_configs in one of the files",
    ),
];

/// Files that are taken here although the original refuses them, with the reason.
const TAKEN_HERE: [(&str, &str); 3] = [
    (
        "labelmap.bad.yml",
        "a tag of YAML makes bytes that are no text; tags are not read",
    ),
    (
        "labelname.bad.yml",
        "a tag of YAML makes bytes that are no text; tags are not read",
    ),
    (
        "labelvalue.bad.yml",
        "a tag of YAML makes bytes that are no text; tags are not read",
    ),
];

/// The folder `shared/vectors/prometheus-config` in one of the folders above the crate.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .map(|folder| folder.join("shared/vectors/prometheus-config"))
        .find(|found| found.is_dir())
}

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a skip must be seen"
)]
fn skip() {
    let line = "SKIPPED: configurations: no shared/vectors above the crate";
    println!("{line}");
    if let Ok(list) = std::env::var("LANDLINE_TEST_SKIPS") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(list);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("the list of skips is writable");
    }
}

#[test]
fn other_projects_files_load_or_are_refused_as_they_are_named() {
    let Some(folder) = folder() else {
        return skip();
    };
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".yml") {
            continue;
        }
        seen += 1;
        let is_bad = name.contains(".bad.");
        let is_exception = |list: &[(&str, &str)]| list.iter().any(|(file, _)| *file == name);
        let should_load = !is_bad && !is_exception(&REFUSED_HERE) || is_exception(&TAKEN_HERE);
        match load(&path, &BTreeMap::new()) {
            Ok(_) if should_load => {}
            Ok(_) => wrong.push(format!("{name} was taken")),
            Err(error) if should_load => wrong.push(format!("{name}: {error}")),
            Err(error) => {
                let has_place = error.problems.iter().all(|found| found.problem.line > 0);
                assert!(
                    has_place && !error.to_string().is_empty(),
                    "{name}: {error}"
                );
            }
        }
    }
    assert!(seen > 200, "{seen} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn read(text: &str) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, text).expect("written");
    let environment = BTreeMap::from([("TEST".to_owned(), "value".to_owned())]);
    load(&path, &environment)
}

fn errors(text: &str) -> Vec<(usize, String, String)> {
    let error = read(text).expect_err("it is wrong");
    error
        .problems
        .into_iter()
        .map(|found| {
            (
                found.problem.line,
                found.problem.path,
                found.problem.message,
            )
        })
        .collect()
}

#[test]
fn the_seeds_file_loads_with_its_meaning() {
    let text = "global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels:
    monitor: codelab-${TEST}-$$
rule_files: [alert.rules]
alerting:
  alertmanagers:
    - static_configs:
        - targets: ['localhost:9093']
scrape_configs:
  - job_name: blackbox
    scrape_interval: 60s
    scrape_timeout: 30s
    metrics_path: /probe
    params:
      module: [http_2xx]
    static_configs:
      - targets: ['https://example.net'.]
";
    let wrong = errors(text);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let text = text.replace(
        "['https://example.net'.]",
        "[example.net]\n    relabel_configs:
      - source_labels: [__address__]
        target_label: __param_target
      - target_label: __address__
        replacement: 127.0.0.1:9115",
    );
    let loaded = read(&text).expect("it loads");
    let config = loaded.config;
    assert_eq!(config.global.external_labels["monitor"], "codelab-value-$");
    assert_eq!(config.rule_files, ["alert.rules"]);
    let job = &config.jobs[0];
    assert_eq!(job.metrics_path, "/probe");
    assert_eq!(job.params["module"], ["http_2xx"]);
    assert_eq!(job.scrape_interval.as_secs(), 60);
    assert_eq!(job.relabel.len(), 2);
    let warned: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|found| found.problem.path.as_str())
        .collect();
    assert_eq!(warned, ["rule_files", "alerting"]);
}

#[test]
fn all_problems_are_told_with_their_places() {
    let found = errors(
        "global:\n  scrape_intervall: 5s\nscrape_configs:\n  - job_name: a\n    scheme: ftp\n  \
         - job_name: a\n    consul_sd_configs: [{server: x}]\n    relabel_configs:\n      \
         - regex: '('\nremote_write: [{url: x}]\n",
    );
    let places: Vec<(usize, &str)> = found
        .iter()
        .map(|(line, path, _)| (*line, path.as_str()))
        .collect();
    let expected = [
        (2, "global.scrape_intervall"),
        (5, "scrape_configs[0].scheme"),
        (6, "scrape_configs[1]"),
        (7, "scrape_configs[1].consul_sd_configs"),
        (9, "scrape_configs[1].relabel_configs[0].regex"),
        (10, "remote_write"),
    ];
    assert_eq!(places, expected, "{found:?}");
}

#[test]
fn secrets_are_hidden_in_the_text() {
    let text = "scrape_configs:
  - job_name: a
    basic_auth: {username: u, password: 'geheim'}
  - job_name: b
    authorization:
      credentials: |
        noch-eins
    http_headers:
      X-Key: {secrets: [drittes]}
";
    let loaded = read(text).expect("it loads");
    let shown = &loaded.config.text;
    for secret in ["geheim", "noch-eins", "drittes"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{loaded:?}").contains(secret));
    }
    assert_eq!(shown.matches("<secret>").count(), 3, "{shown}");
    assert!(shown.contains("job_name: b\n"));
}

#[test]
fn a_short_interval_shortens_the_timeout() {
    let text = "scrape_configs:\n  - job_name: a\n    scrape_interval: 2s\n";
    let loaded = read(text).expect("it loads");
    assert_eq!(loaded.config.jobs[0].scrape_timeout.as_secs(), 2);
    let text = "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: a}]\n";
    let loaded = read(text).expect("it loads");
    assert_eq!(loaded.config.jobs[0].scrape_timeout.as_secs(), 1);
}

#[test]
fn ways_to_log_in_exclude_one_another() {
    for keys in [
        "basic_auth: {username: a}, bearer_token: b",
        "authorization: {credentials: a}, oauth2: {client_id: a, token_url: 'http://a'}",
        "basic_auth: {password: a, password_file: b}",
        "authorization: {type: Basic, credentials: a}",
        "no_proxy: a",
        "proxy_from_environment: true, proxy_url: 'http://a'",
        "http_headers: {Authorization: {values: [a]}}",
        "tls_config: {ca: a}",
        "tls_config: {min_version: TLS13}",
        "tls_config: {cert_file: a}",
    ] {
        let text = format!("scrape_configs: [{{job_name: a, {keys}}}]\n");
        assert!(read(&text).is_err(), "{keys}");
    }
}

/// Of the files with everything in them nothing else is refused than what is not supported at all.
#[test]
fn everything_else_of_the_originals_own_files_loads() {
    let Some(folder) = folder() else {
        return skip();
    };
    for name in ["conf.good.yml", "roundtrip.good.yml"] {
        let error = load(&folder.join(name), &BTreeMap::new()).expect_err("it is refused");
        let errors = error.problems.iter().map(|found| &found.problem);
        let errors = errors.filter(|problem| problem.severity == Severity::Error);
        let mut count = 0;
        for problem in errors {
            let key = problem.path.rsplit('.').next().unwrap_or_default();
            let message = format!("`{key}` is not supported");
            assert_eq!(problem.message, message, "{problem:?}");
            count += 1;
        }
        assert!(count > 5, "{name}: {count}");
    }
}

const SEED: &str = "global: {scrape_interval: 15s, external_labels: {a: b}}
scrape_configs:
  - job_name: a
    basic_auth: {username: u, password: p}
    static_configs: [{targets: ['a:1'], labels: {x: y}}]
    dns_sd_configs: [{names: [a], type: A, port: 1}]
    relabel_configs:
      - {source_labels: [a], regex: '(.*)', action: replace, target_label: b}
    sample_limit: 5
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever becomes of a file, it is read or refused with places.
    #[test]
    fn a_file_with_holes_is_read_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[a-z0-9:{}\\[\\]', \n$-]{0,3}"), 1..4)
    ) {
        let mut text: Vec<char> = SEED.chars().collect();
        for (at, put) in cuts {
            let at = at.index(text.len());
            text.splice(at..=at, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = read(&text) {
            prop_assert!(!error.problems.is_empty());
            prop_assert!(error.problems.iter().all(|found| found.problem.line > 0));
        }
    }
}
