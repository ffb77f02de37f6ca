//! What the section may say, and what it is told otherwise.

use std::path::Path;

use base::config::{Context, Document};

use super::*;

/// The section, and problems with their keys.
fn read(text: &str) -> (Option<SignalsConfig>, String) {
    let document = Document::parse(text).unwrap();
    let context = Context::new(Path::new("/etc"), BTreeMap::default());
    let config = SignalsConfig::read(&Field::root(&document.root, &context));
    let problems = context.take_problems().into_iter();
    let problems = problems.map(|problem| format!("{}: {}\n", problem.path, problem.message));
    (config, problems.collect())
}

#[test]
fn a_remote_says_little_or_all() {
    let (config, problems) = read("remote: [{name: a, url: http://b/w}]");
    assert_eq!(problems, "");
    let config = config.unwrap();
    let remote = &config.remote[0];
    assert_eq!((remote.version, remote.histograms), (Version::One, false));
    assert_eq!(
        (remote.queue, remote.timeout),
        (1 << 30, Duration::from_secs(30))
    );
    assert_eq!(remote.read, None);
    let text = "remote:
  - name: a-1
    url: https://b/w?x=1
    version: 2.0
    histograms: false
    auth: {kind: basic, username: u, password: secret-1}
    headers: {X-Tenant: secret-2}
    tls: {ca: ca.pem}
    queue: 2MiB
    timeout: 5s
    read: {url: 'http://b/r', mode: delegated}
  - {name: b, read: {url: 'http://c/r', mode: off}}
";
    let (config, problems) = read(text);
    assert_eq!(problems, "");
    let config = config.unwrap();
    assert_eq!(config.written().count(), 1);
    let options = config.adjust(signals::Options::default());
    assert_eq!((options.keep_log, options.log_file_bytes), (true, 1 << 18));
    let shown = serde_json::to_string(&config).unwrap();
    assert!(!shown.contains("secret-"), "{shown}");
    assert!(shown.contains("\"version\":\"2.0\""), "{shown}");
    assert!(!format!("{config:?}").contains("secret-"));
    let unkept = SignalsConfig::default().adjust(signals::Options::default());
    assert!(!unkept.keep_log);
}

/// What is said, the key that is told, and words of the problem.
const WRONG: &[(&str, &str, &str)] = &[
    ("[{url: 'http://b'}]", "remote[0]", "`name` is missing"),
    ("[{name: A, url: 'http://b'}]", "remote[0].name", "1 to 63"),
    (
        "[{name: ../x, url: 'http://b'}]",
        "remote[0].name",
        "1 to 63",
    ),
    ("[{name: a}]", "remote[0]", "`url` or `read` is missing"),
    ("[{name: a, url: b}]", "remote[0].url", "a URL"),
    (
        "[{name: a, url: 'ftp://b'}]",
        "remote[0].url",
        "http or https",
    ),
    (
        "[{name: a, url: 'http://u:p@b'}]",
        "remote[0].url",
        "credentials",
    ),
    ("[{name: a, url: 'http://b#c'}]", "remote[0].url", "no `#`"),
    (
        "[{name: a, url: 'http://b', version: 3}]",
        "remote[0].version",
        "one of 1.0, 2.0",
    ),
    (
        "[{name: a, url: 'http://b', queue: 1KiB}]",
        "remote[0].queue",
        "1MiB to 1TiB",
    ),
    (
        "[{name: a, url: 'http://b', timeout: 1h}]",
        "remote[0].timeout",
        "1s to 10m",
    ),
    (
        "[{name: a, url: 'http://b', read: {}}]",
        "remote[0].read",
        "`url` is missing",
    ),
    (
        "[{name: a, read: {url: 'http://b', mode: x}}]",
        "remote[0].read.mode",
        "one of off",
    ),
    (
        "[{name: a, url: 'http://b', shards: 3}]",
        "remote[0].shards",
        "unknown key",
    ),
    (
        "[{name: a, url: 'http://b', headers: {Host: x}}]",
        "remote[0].headers.Host",
        "can't be set",
    ),
    (
        "[{name: a, url: 'http://b', headers: {'a b': x}}]",
        "remote[0].headers.a b",
        "no name",
    ),
    (
        "[{name: a, url: 'http://b', auth: {kind: x}}]",
        "remote[0].auth.kind",
        "one of bearer, basic",
    ),
    (
        "[{name: a, url: 'http://b', auth: {kind: bearer}}]",
        "remote[0].auth",
        "`token` is missing",
    ),
    (
        "[{name: a, url: 'http://b'}, {name: a, url: 'http://c'}]",
        "remote",
        "two remotes",
    ),
    (
        "[{name: a, read: {url: 'http://b', mode: delegated}}, {name: c, read: {url: 'http://b'}}]",
        "remote",
        "one remote only",
    ),
];

#[test]
fn what_is_wrong_is_named() {
    for (text, path, words) in WRONG {
        let (_, problems) = read(&format!("remote: {text}"));
        let is_it = |line: &str| line.starts_with(&format!("{path}: ")) && line.contains(words);
        assert!(problems.lines().any(is_it), "{text}: {problems}");
    }
    let many: Vec<String> = (0..9)
        .map(|at| format!("{{name: a{at}, url: 'http://b'}}"))
        .collect();
    let (_, problems) = read(&format!("remote: [{}]", many.join(",")));
    assert!(problems.contains("more than 8 remotes"), "{problems}");
}
