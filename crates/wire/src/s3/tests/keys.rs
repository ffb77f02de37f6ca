//! Keys and lists.

use crate::s3::key::{Key, KeyError, Parts, percent_decode, query_pairs};
use crate::s3::xml::{
    CompletedPart, Listing, Object, complete, error, initiated, read_complete, read_rows,
    read_text, timestamp,
};

#[test]
fn keys_that_could_be_paths_elsewhere_are_refused() {
    let long = "a".repeat(1025);
    for (text, expected) in [
        ("", KeyError::Empty),
        (&long, KeyError::TooLong),
        ("a\0b", KeyError::Character),
        ("a\nb", KeyError::Character),
        ("a\\b", KeyError::Character),
        ("../../x", KeyError::Segment),
        ("a/../b", KeyError::Segment),
        ("a/..", KeyError::Segment),
        ("..", KeyError::Segment),
        ("./a", KeyError::Segment),
        ("/a", KeyError::Segment),
        ("a//b", KeyError::Segment),
        ("/", KeyError::Segment),
    ] {
        assert_eq!(Key::new(text), Err(expected), "{text:?}");
    }
    for text in [
        "a",
        "..a",
        "a..b/c",
        "a/",
        "group/1-u-tag/prometheus-00.tar",
        "ü/日本",
        &"a".repeat(1024),
    ] {
        assert!(Key::new(text).is_ok(), "{text:?}");
    }
    assert_eq!(Key::decode("a%2f..%2Fb"), Err(KeyError::Segment));
    assert_eq!(Key::decode("a%00"), Err(KeyError::Character));
    for broken in ["%", "%4", "%zz", "%ff"] {
        assert_eq!(Key::decode(broken), Err(KeyError::Encoding), "{broken}");
    }
    let key = Key::decode("g/a%20b+%C3%BC").unwrap();
    assert_eq!(key.as_str(), "g/a b+ü");
    assert_eq!(key.encode(), "g/a%20b%2B%C3%BC");
}

#[test]
fn a_run_has_a_group() {
    let key = |run, name| Key::of_run(run, name).map(|key| key.as_str().to_owned());
    assert_eq!(key("g/r", "f").as_deref(), Ok("g/r/f"));
    assert_eq!(key("r", "f").as_deref(), Ok("default/r/f"));
    for (run, name) in [
        ("../a/b", "f"),
        ("g/r", "../../x"),
        ("", "f"),
        ("g/r", ""),
        ("/g", "f"),
        ("g/", "f"),
    ] {
        assert!(key(run, name).is_err(), "{run} {name}");
    }
    let parts = |text: &str| {
        let key = Key::new(text).unwrap();
        let Parts { group, run, name } = key.parts();
        [group, run, name].map(str::to_owned)
    };
    assert_eq!(parts("f"), ["", "", "f"]);
    assert_eq!(parts("g/f"), ["g", "", "f"]);
    assert_eq!(parts("g/r/f/h"), ["g", "r", "f/h"]);
    assert_eq!(parts("g/"), ["", "", "g/"]);
    assert_eq!(parts("g/r/"), ["g", "", "r/"]);
}

#[test]
fn queries_are_decoded() {
    let pairs = query_pairs("uploads&prefix=a%2Fb+c&&x=%3D=").unwrap();
    let expected = [("uploads", ""), ("prefix", "a/b c"), ("x", "==")];
    assert!(
        pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .eq(expected)
    );
    assert_eq!(query_pairs("a=%"), None);
    assert_eq!(percent_decode("+"), Some("+".to_owned()));
}

#[test]
fn documents_escape_what_they_show() {
    let text = error("NoSuchKey", "there is no <a> & \"b\"\u{1}", "/artefacts/x");
    assert!(text.ends_with(
        "<Error><Code>NoSuchKey</Code><Message>there is no &lt;a&gt; &amp; &quot;b&quot;?</Message>\
         <Resource>/artefacts/x</Resource></Error>"
    ));
    assert_eq!(timestamp(1_795_279_800_123), "2026-11-21T16:50:00.123Z");
    let listing = Listing {
        bucket: "artefacts".to_owned(),
        prefix: "a b/".to_owned(),
        delimiter: "/".to_owned(),
        max_keys: 1000,
        is_encoded: true,
        next: Some("t".to_owned()),
        objects: vec![Object {
            key: "a b/c".to_owned(),
            modified: 0,
            etag: "e".to_owned(),
            size: 3,
            version: None,
        }],
        prefixes: vec!["a b/d/".to_owned()],
        ..Listing::default()
    };
    let text = listing.objects_v2();
    for part in [
        "<Prefix>a%20b/</Prefix><Delimiter>/</Delimiter><MaxKeys>1000</MaxKeys>",
        "<IsTruncated>true</IsTruncated><KeyCount>2</KeyCount>",
        "<NextContinuationToken>t</NextContinuationToken>",
        "<Contents><Key>a%20b/c</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size>",
        "<CommonPrefixes><Prefix>a%20b/d/</Prefix></CommonPrefixes>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let listing = Listing {
        objects: ["a&b", "c"]
            .map(|key| Object {
                key: key.to_owned(),
                modified: 0,
                etag: "e".to_owned(),
                size: 3,
                version: None,
            })
            .to_vec(),
        next: Some("token".to_owned()),
        ..Listing::default()
    };
    let text = listing.objects_v2();
    let rows = read_rows(text.as_bytes(), "Contents", &["Key", "Missing", "Size"]).unwrap();
    assert_eq!(rows, [["a&b", "", "3"], ["c", "", "3"]]);
    let next = read_text(text.as_bytes(), "NextContinuationToken").unwrap();
    assert_eq!(next.as_deref(), Some("token"));
    assert_eq!(read_text(text.as_bytes(), "Key").unwrap(), None);
    let part = |number, etag: &str| CompletedPart {
        number,
        etag: etag.to_owned(),
    };
    let parts = [part(1, "aa"), part(2, "b&b")];
    assert_eq!(
        read_complete(complete(&parts).as_bytes()).as_deref(),
        Ok(&parts[..])
    );
    let begun = initiated("b", "k", "id");
    let id = read_text(begun.as_bytes(), "UploadId").unwrap();
    assert_eq!(id.as_deref(), Some("id"));
}
