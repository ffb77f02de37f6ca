//! Groups that somebody may not read are not there for them: neither their names nor how many there are
//! can be told from pages of lists.

use it::artefacts::{Store, USER, section};
use it::client;
use serde_json::json;

const EYE: (&str, &str) = ("eye", "eye-password");
/// What they may see.
const SEEN: [&str; 5] = ["m/r/1", "m/r/2", "m/s/3", "p/r/4", "p/r/5"];
/// Words of what they may not.
const HIDDEN: [&str; 5] = ["axx", "lll", "mqq", "nnn", "zzz"];

async fn start() -> Store {
    let users = json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": EYE.0, "password": EYE.1, "groups": ["m", "p"], "rights": ["read"]},
    ]);
    let store = Store::start(section(json!({"users": users, "access": "closed"}))).await;
    let begin = async |key: &str| {
        let path = format!("/{key}");
        assert_eq!(store.s3("PUT", &path, &[], "x").await.status, 200, "{key}");
        assert_eq!(store.s3("PUT", &path, &[], "y").await.status, 200, "{key}");
        let begun = store.s3("POST", &path, &[("uploads", "")], "").await;
        assert_eq!(begun.status, 200, "{key}");
    };
    for key in SEEN {
        begin(key).await;
    }
    for word in HIDDEN {
        for file in ["r/1", "r/2", "r/3"] {
            begin(&format!("{word}/{file}")).await;
        }
        begin(&format!("{word}.top")).await;
    }
    // A folder of its own, whose key is the name of a group.
    begin("p/").await;
    store
}

/// A list as they see it.
async fn ask(store: &Store, parameters: &[(&str, &str)]) -> String {
    let url = store.signed(EYE, ("GET", ""), parameters, 60);
    let reply = client::get(&url, &[]).await.unwrap();
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    for word in HIDDEN {
        assert!(
            !text.contains(word),
            "{parameters:?} tells of {word}: {text}"
        );
    }
    text
}

fn texts(document: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let behind = document.split(open.as_str()).skip(1);
    let inside = behind.map(|rest| rest.split(close.as_str()).next().unwrap_or_default());
    inside.map(str::to_owned).collect()
}

/// All pages of a list: what stands in `element`. Each but the last is full, and only that one has no end.
async fn pages(
    store: &Store,
    (element, size): (&str, usize),
    base: &[(&str, &str)],
    markers: &[(&str, &str)],
) -> Vec<String> {
    let size_text = size.to_string();
    let mut given: Vec<(String, String)> = Vec::new();
    let mut all = Vec::new();
    loop {
        let mut parameters = base.to_vec();
        let limit = if base.contains(&("uploads", "")) {
            "max-uploads"
        } else {
            "max-keys"
        };
        parameters.push((limit, &size_text));
        parameters.extend(
            given
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let page = ask(store, &parameters).await;
        let found = texts(&page, element);
        let is_truncated = texts(&page, "IsTruncated") == ["true"];
        assert_eq!(
            is_truncated,
            !texts(&page, markers[0].0).is_empty(),
            "{page}"
        );
        all.extend(found.iter().cloned());
        if !is_truncated {
            assert!(!found.is_empty() && found.len() <= size, "{page}");
            return all;
        }
        assert_eq!(found.len(), size, "{page}");
        let next = markers.iter().filter_map(|(element, parameter)| {
            let value = texts(&page, element).pop()?;
            Some(((*parameter).to_owned(), value))
        });
        given = next.collect();
    }
}

#[tokio::test]
async fn lists_do_not_tell_of_hidden_groups() {
    let store = start().await;
    let with_folder: Vec<&str> = [&SEEN[..3], &["p/"], &SEEN[3..]].concat();
    let twice: Vec<&str> = with_folder.iter().flat_map(|key| [*key, *key]).collect();
    let second = [("list-type", "2")];
    let token = [("NextContinuationToken", "continuation-token")];
    let versions = [
        ("NextKeyMarker", "key-marker"),
        ("NextVersionIdMarker", "version-id-marker"),
    ];
    let uploads = [
        ("NextKeyMarker", "key-marker"),
        ("NextUploadIdMarker", "upload-id-marker"),
    ];
    for size in [1, 2, 3, 1000] {
        let found = pages(&store, ("Key", size), &second, &token).await;
        assert_eq!(found, with_folder, "by {size}");
        let found = pages(&store, ("Key", size), &[], &[("NextMarker", "marker")]).await;
        assert_eq!(found, with_folder, "the older list by {size}");
        let found = pages(&store, ("Key", size), &[("versions", "")], &versions).await;
        assert_eq!(found, twice, "versions by {size}");
        let found = pages(&store, ("Key", size), &[("uploads", "")], &uploads).await;
        assert_eq!(found, with_folder, "uploads by {size}");
    }
    for size in ["1", "2", "1000"] {
        let mut names = Vec::new();
        let mut token = None::<String>;
        loop {
            let mut parameters = vec![("list-type", "2"), ("delimiter", "/"), ("max-keys", size)];
            parameters.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page = ask(&store, &parameters).await;
            // The first is the one that was asked for.
            names.extend(texts(&page, "Prefix").into_iter().skip(1));
            token = texts(&page, "NextContinuationToken").pop();
            if token.is_none() {
                break;
            }
        }
        assert_eq!(names, ["m/", "p/"], "groups by {size}");
    }
    // With the word in the question it is in the answer; nothing else is.
    for prefix in ["nnn/", "nnn", "z"] {
        let url = store.signed(
            EYE,
            ("GET", ""),
            &[("list-type", "2"), ("prefix", prefix)],
            60,
        );
        let page = client::get(&url, &[]).await.unwrap().text();
        assert_eq!(texts(&page, "KeyCount"), ["0"], "{page}");
        assert_eq!(texts(&page, "IsTruncated"), ["false"], "{page}");
    }
    // Who may see everything does.
    let all = store.s3("GET", "", &[("list-type", "2")], "").await.text();
    assert_eq!(texts(&all, "Key").len(), 6 + HIDDEN.len() * 4);
    assert_eq!(texts(&all, "KeyCount"), ["26"]);
}
