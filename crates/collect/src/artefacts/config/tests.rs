//! Tests of the section `collector.artefacts`.

use std::collections::BTreeMap;

use base::config::{Context, Document};

use super::*;
use crate::records::config::CollectorConfig;

/// The section `collector`, and what is wrong with it.
fn read(text: &str) -> (Option<CollectorConfig>, Vec<String>) {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("krkn.password"), "secret\n").expect("written");
    let context = Context::new(folder.path(), BTreeMap::new());
    let document = Document::parse(text).expect("YAML");
    let config = CollectorConfig::read(&Field::root(&document.root, &context));
    let problems = context.take_problems();
    let shown = problems
        .into_iter()
        .map(|one| format!("{}: {}", one.path, one.message));
    (config, shown.collect())
}

#[test]
fn the_usual_section_is_taken() {
    let (config, problems) = read(
        "listen: 127.0.0.1:8080\nartefacts:\n  link_expiration: 1200s\n  \
         users: [{name: krkn, password: {file: krkn.password}}]\n",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let artefacts = config
        .and_then(|config| config.artefacts)
        .expect("a section");
    assert_eq!(artefacts.link_expiration, Duration::from_mins(20));
    assert_eq!(artefacts.access, AccessConfig::Local);
    let user = artefacts.users.first().expect("a user");
    assert_eq!(user.rights, Act::ALL);
    assert!(user.groups.is_empty());
    assert!(
        read("records: {}")
            .0
            .is_some_and(|config| config.artefacts.is_none())
    );
}

#[test]
fn groups_are_set_by_their_names() {
    let (config, problems) = read(
        "artefacts:\n  retention: 90d\n  groups:\n    \"ci-*\": {retention: 2w, quota: 20GiB}\n    \
         release: {retention: forever}\n",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let artefacts = config
        .and_then(|config| config.artefacts)
        .expect("a section");
    let shown = serde_json::to_value(&artefacts).expect("shown");
    let expected = serde_json::json!({
        "ci-*": {"retention": "14d", "quota": "20GiB"},
        "release": {"retention": "forever", "quota": null},
    });
    assert_eq!(shown["groups"], expected);
    assert_eq!(shown["retention"], "90d");
    assert_eq!(artefacts.close_after, Duration::from_hours(1));
}

#[test]
fn what_is_wrong_is_named() {
    for (section, expected) in [
        (
            "link_expiration: 8d",
            "artefacts.link_expiration: a link may live from 1s to 7d",
        ),
        (
            "uploads_expire: 0s",
            "artefacts.uploads_expire: an upload may stay from 1s to 365d",
        ),
        (
            "bucket: Big",
            "artefacts.bucket: this can't be the name of a bucket",
        ),
        (
            "bucket: files",
            "artefacts.bucket: there are other paths of this name",
        ),
        (
            "access: nobody",
            "artefacts.access: one of local, open, closed is expected here, not `nobody`",
        ),
        (
            "trusted_proxies: [here]",
            "artefacts.trusted_proxies[0]: a network is expected here",
        ),
        (
            "telemetry_limit: 1GiB",
            "artefacts.telemetry_limit: the largest telemetry may be 1B to 256MiB",
        ),
        (
            "users: [{name: a/b, password: x}]",
            "artefacts.users[0].name: this can't be the name of a user",
        ),
        (
            "users: [{name: landline-link, password: x}]",
            "artefacts.users[0].name: this name stands for the collector itself",
        ),
        (
            "users: [{name: a, password: x}, {name: a, password: y}]",
            "artefacts.users: two users have the same name",
        ),
        (
            "objects: gs://b",
            "artefacts.objects: objects are kept in a folder or a bucket",
        ),
        (
            "objects: \"s3://b?endpoint=http://c\"",
            "artefacts.objects: plain HTTP shows everything on the way: add allow_http=true to allow it",
        ),
        (
            "objects: \"s3://b?x=1\"",
            "artefacts.objects: `x` is not known here",
        ),
        (
            "objects: \"s3://k:s@b\"",
            "artefacts.objects: keys don't belong into the address: give them as access_key and secret_key",
        ),
        ("colour: red", "artefacts.colour: unknown key `colour`"),
    ] {
        let (_, problems) = read(&format!("artefacts:\n  {section}\n"));
        assert_eq!(problems, [expected], "{section}");
    }
}

#[test]
fn what_is_wrong_of_groups_is_named() {
    for (section, expected) in [
        (
            "retention: 0d",
            "artefacts.retention: a retention is a time such as `30d`, or `forever`",
        ),
        (
            "close_after: 10ms",
            "artefacts.close_after: a run is over after 1s at the earliest",
        ),
        (
            "groups: {a/b: {retention: 1d}}",
            "artefacts.groups.a/b: this can't be the name of a group",
        ),
        (
            "groups: {a: {quota: much}}",
            "artefacts.groups.a.quota: a quota is a size such as `10GiB`, or `none`",
        ),
    ] {
        let (_, problems) = read(&format!("artefacts:\n  {section}\n"));
        assert_eq!(problems, [expected], "{section}");
    }
}

#[test]
fn a_bucket_is_read_from_its_address() {
    let (config, problems) =
        read("artefacts: {objects: \"s3://name/a/b/?endpoint=https://c:9000&region=r\"}");
    assert!(problems.is_empty(), "{problems:?}");
    let objects = config.and_then(|config| config.artefacts?.objects);
    let Some(ObjectsConfig::Bucket(bucket)) = objects else {
        panic!("a bucket is expected");
    };
    assert_eq!(
        (bucket.name.as_str(), bucket.prefix.as_str()),
        ("name", "a/b/")
    );
    assert_eq!(
        (bucket.endpoint.as_str(), bucket.region.as_str()),
        ("https://c:9000/", "r")
    );
    let (config, _) = read("artefacts: {objects: \"s3://name?region=eu-west-1\"}");
    let objects = config.and_then(|config| config.artefacts?.objects);
    let Some(ObjectsConfig::Bucket(bucket)) = objects else {
        panic!("a bucket is expected");
    };
    assert_eq!(
        bucket.endpoint.as_str(),
        "https://s3.eu-west-1.amazonaws.com/"
    );
    assert_eq!(bucket.prefix, "");
}
