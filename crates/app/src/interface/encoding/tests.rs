//! Which form of a file a browser gets.

use super::{File, is_among};

const FILE: File = File {
    name: "a.js",
    tag: "1f",
    plain: b"plain",
    gzip: Some(b"gzip"),
    brotli: Some(b"brotli"),
};

#[test]
fn a_browser_gets_the_shortest_form_that_it_takes() {
    for (accepted, coding, tag) in [
        ("gzip, deflate, br, zstd", Some("br"), "\"1f-br\""),
        ("br;q=0, GZIP ; q=0.5", Some("gzip"), "\"1f-gzip\""),
        ("gzip,deflate", Some("gzip"), "\"1f-gzip\""),
        ("*", Some("br"), "\"1f-br\""),
        ("*;q=0, gzip", Some("gzip"), "\"1f-gzip\""),
        ("*, br;q=0.0", Some("gzip"), "\"1f-gzip\""),
        ("identity", None, "\"1f\""),
        ("gzip;q=0", None, "\"1f\""),
        ("gzip;q=x", None, "\"1f\""),
        ("brotli, gzipped", None, "\"1f\""),
        ("", None, "\"1f\""),
    ] {
        let chosen = FILE.chosen(accepted);
        assert_eq!(
            (chosen.coding, chosen.tag.as_str()),
            (coding, tag),
            "{accepted:?}"
        );
        let content = match coding {
            Some("br") => "brotli",
            Some(coding) => coding,
            None => "plain",
        };
        assert_eq!(chosen.content, content.as_bytes(), "{accepted:?}");
    }
    let short = File {
        brotli: None,
        gzip: None,
        ..FILE
    };
    assert_eq!(short.chosen("br, gzip").coding, None);
}

#[test]
fn what_a_browser_has_is_known_by_its_tag() {
    for (tags, is_there) in [
        ("\"1f-br\"", true),
        ("\"x\", W/\"1f-br\"", true),
        ("*", true),
        ("\"1f\"", false),
        ("1f-br", false),
        ("", false),
    ] {
        assert_eq!(is_among(tags, "\"1f-br\""), is_there, "{tags:?}");
    }
}
